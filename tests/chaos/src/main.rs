//! Faults by name, several at a time, and a report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use chaos::report::{self, Line};
use chaos::run::outcome::End;
use chaos::run::perform::{perform, prepare};
use chaos::{Fault, StoreKind, all, long, variable};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const USAGE: &str = "\
Breaks servers, directories, replicas, clocks and networks under load, and reports what held.

Usage: cargo run -p chaos -- [options]

Options:
  --faults A,B     only these (all); --list shows them
  --store STORE    only those of directory, redis or postgres
  --long           the long run in place of faults: load for a minute while keys rotate and
                   replicas are added and removed; --store as above (directory). Use --release
  --report DIR     writes chaos.md and chaos.json there
  --list           prints the table of faults

Variables:
  CHAOS_AT_A_TIME    how many faults run at a time, each in its own cluster (2)
  CHAOS_SECONDS      each fault lasts at least so long (6 to 10)
  REQUIRE_SERVERS=1  a program or a right that is missing is a failure";

struct Options {
    faults: Vec<Fault>,
    report: Option<PathBuf>,
    list: bool,
    long: bool,
    store: Option<StoreKind>,
}

fn options() -> Result<Options, String> {
    let mut options =
        Options { faults: all(), report: None, list: false, long: false, store: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--list" {
            options.list = true;
            continue;
        }
        if argument == "--long" {
            options.long = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("`{argument}` needs a value"));
        match &*argument {
            "--faults" => {
                let value = value?;
                let names: Vec<_> = value.split(',').collect();
                for name in &names {
                    if !all().iter().any(|fault| fault.name == *name) {
                        return Err(format!("--faults: there is no `{name}`; `--list` shows all"));
                    }
                }
                options.faults.retain(|fault| names.contains(&fault.name));
            }
            "--store" => {
                let store = value?;
                options.faults.retain(|fault| fault.store.word() == store);
                let kinds = [StoreKind::Directory, StoreKind::Redis, StoreKind::Postgres];
                options.store = kinds.into_iter().find(|kind| kind.word() == store);
                if options.store.is_none() {
                    return Err(format!("--store {store}: expected directory, redis or postgres"));
                }
            }
            "--report" => options.report = Some(value?.into()),
            _ => return Err(format!("unexpected argument `{argument}`")),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("chaos: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.list {
        for fault in options.faults {
            println!("{:<28} {}", fault.name, fault.does);
        }
        return ExitCode::SUCCESS;
    }
    prepare().await;
    let lines = match options.long {
        true => vec![long::run(options.store.unwrap_or(StoreKind::Directory)).await],
        false => run(options.faults).await,
    };
    for wrong in lines.iter().filter(|_| options.long).flat_map(Line::wrong) {
        eprintln!("{wrong}");
    }
    print!("\n{}", report::table(&lines));
    let written = options.report.map(|directory| report::write(&lines, &directory));
    if let Some(Err(problem)) = written {
        eprintln!("chaos: --report: {problem}");
        return ExitCode::FAILURE;
    }
    let required = std::env::var_os("REQUIRE_SERVERS").is_some_and(|value| value == "1");
    let skipped = lines.iter().any(|line| matches!(line.end, End::Skipped(_)));
    match lines.iter().all(Line::holds) && !(required && skipped) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Several at a time; the lines are in the order of the table.
async fn run(faults: Vec<Fault>) -> Vec<Line> {
    let at_a_time = Arc::new(Semaphore::new(variable("CHAOS_AT_A_TIME", 2) as usize));
    let mut running = JoinSet::new();
    for (index, fault) in faults.into_iter().enumerate() {
        let at_a_time = Arc::clone(&at_a_time);
        running.spawn(async move {
            let _turn = at_a_time.acquire_owned().await.expect("it is never closed");
            let start = Instant::now();
            let line = Line::new(&fault, perform(&fault).await);
            let took = start.elapsed().as_secs();
            match &line.end {
                End::Skipped(missing) => eprintln!("NOT RUN: {}: {missing}", line.fault),
                _ if line.holds() => eprintln!("holds:  {} ({took} s)", line.fault),
                _ => eprintln!("FAILED: {} ({took} s)", line.fault),
            }
            for wrong in line.wrong() {
                eprintln!("        {wrong}");
            }
            (index, line)
        });
    }
    let mut lines = running.join_all().await;
    lines.sort_by_key(|(index, _)| *index);
    lines.into_iter().map(|(_, line)| line).collect()
}
