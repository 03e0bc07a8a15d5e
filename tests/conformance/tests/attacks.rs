//! Every class of attack on tokens, against every algorithm, asked for its verdict in every way: on
//! session tokens by both ways in which a header is read, and on refresh tokens.
//!
//! Unlike the codec's own tests these don't look for the reason of a refusal, only that there is
//! one, everywhere and in the one form that reveals nothing. Each class holds some tokens that are
//! good, so that none refuses all there is.

#[path = "attacks/claims.rs"]
mod claims;
#[path = "attacks/header.rs"]
mod header;
#[path = "attacks/signature.rs"]
mod signature;
#[path = "attacks/target.rs"]
mod target;
#[path = "attacks/text.rs"]
mod text;

use std::process::ExitCode;
use std::sync::Arc;

use conformance::{Verdict, report};
use libtest_mimic::{Failed, Trial};

use target::{ALGORITHMS, Attack, Kind, Target};

/// A class of attacks: its name, how many it has at least, and its attacks on a target.
type Class = (&'static str, usize, fn(&Target) -> Vec<Attack>);

const CLASSES: [Class; 16] = [
    ("alg_none", 16, header::alg_none),
    ("algorithm_confusion", 17, header::algorithm_confusion),
    ("key_id_injection", 17, header::key_id_injection),
    ("header_keys", 8, header::header_keys),
    ("crit", 10, header::crit),
    ("token_type", 10, header::token_type),
    ("time_claims", 31, claims::time),
    ("context_claims", 38, claims::context),
    ("structure", 17, text::structure),
    ("base64", 10, text::base64),
    ("json", 25, text::json),
    ("duplicates", 9, text::duplicates),
    ("depth", 4, text::depth),
    ("jwe", 9, text::jwe),
    ("length", 4, text::length),
    ("signature", 19, signature::signature),
];

/// The first classes, whose attacks are all by the header.
const HEADER_CLASSES: usize = 6;

fn run(target: &Target, (_, least, attacks): Class) -> Result<(), Failed> {
    let attacks = attacks(target);
    let refused = attacks.iter().filter(|attack| attack.expected == Verdict::Refused).count();
    let mut failures = Vec::new();
    if refused < least || refused == attacks.len() {
        failures.push(format!("{refused} attacks of {} tokens, at least {least}", attacks.len()));
    }
    for Attack { name, token, expected } in &attacks {
        if let Err(failure) = target.check(token, *expected) {
            failures.push(format!("{name}: {}\n  {token}", failure.message().unwrap_or_default()));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

fn main() -> ExitCode {
    let trials = ALGORITHMS.into_iter().flat_map(|algorithm| {
        [Kind::Read, Kind::Known, Kind::Refresh].into_iter().flat_map(move |kind| {
            let target = Arc::new(Target::new(algorithm, kind));
            // Where the header is the attack, it is never one that is known as a whole.
            let skipped = if kind == Kind::Known { HEADER_CLASSES } else { 0 };
            let classes = CLASSES.into_iter().skip(skipped);
            classes.map(move |class| {
                let target = Arc::clone(&target);
                let name = format!("{algorithm:?}::{}, {kind:?}", class.0);
                Trial::test(name, move || run(&target, class))
            })
        })
    });
    report(trials.collect(), "answers to attacks")
}
