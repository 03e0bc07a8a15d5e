//! Counts the instructions of each HS256 path under callgrind, its HMAC left out, and compares them
//! with those of `instructions.txt`: unlike times they are the same on a busy machine. Fails where a
//! path takes 10 % more, or where verification by signing again takes more or fewer instructions for
//! a signature that differs in its first byte than for one that differs in its last; with `--write` the
//! counts are written instead. Without valgrind, or where another compiler or processor counts
//! otherwise, it says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use benches::{Fixture, accepts};
use tower_jwt_session::testing::primitives;
use tower_jwt_session::{Algorithm, CryptoBackend};

/// The paths that are counted, and whether each has an HMAC, which is subtracted.
const PATHS: [(&str, bool); 5] = [
    ("validate", true),
    ("validate/unit-claims", true),
    ("validate/forged", true),
    ("issue", true),
    ("cached", false),
];

/// Signatures that differ from the right one in their first and in their last byte.
const DIFFERENCES: [&str; 2] = ["by-signing/first-byte", "by-signing/last-byte"];

/// The primitive: an HMAC, which is the same to sign and to verify.
const RAW: &str = "raw";

/// How often a path is run to be counted, beside a few that warm it.
const PASSES: u64 = 1000;
const FEW: u64 = 200;

/// The longest that a count may grow.
const GROWTH: f64 = 1.10;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["run", path, times] => {
            run(path, times.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        ["--write"] => check(true),
        [] => check(false),
        _ => panic!("give no argument, or `--write`"),
    }
}

fn check(write: bool) -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: there is no valgrind; `apt-get install valgrind` brings it");
        return ExitCode::SUCCESS;
    }
    let conditions = conditions();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let raw = count(RAW);
    let counts = PATHS
        .map(|(path, has_primitive)| (path, count(path) - if has_primitive { raw } else { 0 }));
    if write {
        let mut text = conditions + "\n";
        for (path, count) in counts {
            writeln!(text, "{path} {count}").expect("a string takes all");
        }
        std::fs::write(file, text).expect("the counts are written");
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(file).expect("the counts to compare with");
    let (written_with, text) = text.split_once('\n').expect("what they were written with");
    if written_with != conditions {
        println!("SKIPPED: the counts are of {written_with}, this is {conditions}; see `--write`");
        return ExitCode::SUCCESS;
    }
    let known: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(path, count)| (path, count.parse().expect("a count")))
        .collect();
    let mut grown = 0;
    println!("| path | instructions | before | |\n|---|--:|--:|---|");
    for (path, count) in counts {
        let before = known.get(path).unwrap_or_else(|| panic!("{path} has no count yet"));
        let holds = count as f64 <= before * GROWTH;
        grown += u32::from(!holds);
        let change = 100.0 * (count as f64 / before - 1.0);
        let verdict = if holds { "" } else { " **too much**" };
        println!("| {path} | {count} | {before} | {change:+.1} %{verdict} |");
    }
    let [first, last] = DIFFERENCES.map(count_passes);
    // An early end saves at least one instruction in each pass; the environment moves all of them by dozens.
    let is_constant = first.abs_diff(last) < PASSES / 2;
    let verdict = if is_constant { "" } else { ": **they must not differ**" };
    println!(
        "\nEd25519 by signing again, another first or last byte: {first}, {last} instructions in \
         {PASSES} passes{verdict}"
    );
    if grown == 0 && is_constant { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The conditions of the counts beside the code: the compiler, and the one vector extension that
/// valgrind's processor has where the real one has it.
fn conditions() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc runs");
    let compiler = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    #[cfg(target_arch = "x86_64")]
    let processor = if is_x86_feature_detected!("avx2") { "AVX2" } else { "no AVX2" };
    #[cfg(not(target_arch = "x86_64"))]
    let processor = std::env::consts::ARCH;
    format!("{compiler}, {processor}")
}

/// The instructions of one pass.
fn count(path: &str) -> u64 {
    count_passes(path) / PASSES
}

/// The instructions of [`PASSES`]: so many more than a few, so that the start does not count.
fn count_passes(path: &str) -> u64 {
    let [few, many] = [FEW, FEW + PASSES].map(|times| instructions(path, times));
    many - few
}

/// The instructions of a process that goes a path so many times.
fn instructions(path: &str, times: u64) -> u64 {
    let program = std::env::current_exe().expect("the program's path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", path, &times.to_string()])
        .output()
        .expect("valgrind runs");
    let output_text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output_text}");
    let collected = output_text.lines().find_map(|line| line.split_once("Collected :"));
    let (_, collected) = collected.unwrap_or_else(|| panic!("no count: {output_text}"));
    collected.trim().parse().expect("a count")
}

fn run(path: &str, times: u64) {
    if DIFFERENCES.contains(&path) {
        return differ(path == DIFFERENCES[0], times);
    }
    let fixture = Fixture::new(Algorithm::HS256);
    let (signed, signature) = fixture.signed();
    let (start, end) = fixture.token.split_at(fixture.token.len() - 43);
    let forged = format!("{start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
    for _ in 0..times {
        let good = match path {
            RAW => fixture.raw.verifies(signed, &signature),
            "validate" => fixture.validates(&fixture.token),
            "validate/unit-claims" => fixture.validates_unit(&fixture.token),
            "validate/forged" => !fixture.validates(&forged),
            "issue" => fixture.issues(),
            "cached" => accepts(&fixture.cached, &fixture.token),
            _ => panic!("no such path: {path}"),
        };
        assert!(good);
    }
}

/// Refuses the signature with another first or last byte, by the key alone.
fn differ(first: bool, times: u64) {
    let seed = [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[7; 32]];
    let key = primitives::ring_key(Algorithm::EdDSA, &seed.concat(), CryptoBackend::Ring);
    let key = key.expect("a good key");
    let message = [0x2e; 300];
    let mut signature = primitives::sign(&key, &message);
    signature[if first { 0 } else { 63 }] ^= 1;
    for _ in 0..times {
        assert!(!primitives::verify(&key, black_box(&message), black_box(&signature)));
    }
}
