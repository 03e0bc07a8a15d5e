//! What came out of a run: each invariant with its count, and whether it held.

use serde::Serialize;

use crate::faults::{Allows, Expected, Fault, Refused};
use crate::run::signs::Signs;
use crate::run::tally::{Answers, Counts};

/// The end of a run.
#[derive(Clone, Debug, Serialize)]
pub enum End {
    /// It was done.
    Done(Box<Outcome>),
    /// This machine lacks something.
    Skipped(String),
    /// The harness could not do it.
    Broken(String),
}

/// One invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What was counted.
    pub found: String,
    /// Whether it held.
    pub holds: bool,
    /// The promise that allows what was counted, if there is something to allow.
    pub allowed: Option<&'static str>,
}

/// What was counted and seen.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What users saw.
    pub counts: Counts,
    /// What operators saw.
    pub signs: Signs,
    /// Readiness answers, and those that were not 200.
    pub readiness: (u64, u64),
    /// How many seconds after the end of the fault all was well, or what was still wrong.
    pub healed: Result<f64, String>,
    /// Sessions that were logged out, and how many answers accepted one of them in the end.
    pub ended: (u64, u64),
    /// The longest time until a revocation holds everywhere, as the replicas state it, in seconds.
    pub bound: f64,
    /// Each invariant.
    pub invariants: Vec<Invariant>,
}

/// The names of the invariants, in the order of the report.
pub const INVARIANTS: [&str; 6] = [
    "no good session refused",
    "5xx only where stated",
    "a logout answered 204 holds in the end",
    "no ended session accepted after the bound",
    "status, metric and log show it",
    "heals",
];

/// Operators have to see a fault within this many seconds.
const SEEN_WITHIN: f64 = 60.0;
/// A run with less load than this shows nothing.
const LEAST_ASKED: u64 = 100;

impl Outcome {
    /// Whether every invariant held.
    pub fn holds(&self) -> bool {
        self.invariants.iter().all(|invariant| invariant.holds)
    }

    /// Judges.
    pub(crate) fn judge(&mut self, fault: &Fault) {
        let [refused, errors, recorded, accepted, seen, heals] = INVARIANTS;
        let allows = fault.allows;
        let counts = &self.counts;
        let asked = counts.sessions.plus(&counts.first);
        let invariant = |name, found, holds, allowed| Invariant { name, found, holds, allowed };
        let stated = match allows.refused {
            Refused::Nobody => None,
            Refused::Last(promise) | Refused::Others(promise) => Some(promise),
        };
        let (wrong, as_stated) = (counts.refused, counts.refused_as_stated);
        let as_stated_words = match as_stated {
            0 => String::new(),
            _ => format!("; {as_stated} as stated"),
        };
        let load = if asked.asked < LEAST_ASKED { ", too few to show anything" } else { "" };
        let ended = if counts.logouts.good == 0 { ", which shows nothing" } else { "" };
        let forgotten = match counts.copies.forgotten {
            0 => String::new(),
            count => {
                format!("; {count} not asked for, which only the killed replica knew")
            }
        };
        self.invariants = vec![
            invariant(
                refused,
                format!(
                    "{wrong} × 401 of {} requests{as_stated_words}{load}",
                    asked.asked + counts.logouts.asked
                ),
                wrong == 0 && load.is_empty(),
                stated.filter(|_| as_stated > 0),
            ),
            errors_of(errors, counts, &asked, allows),
            invariant(
                recorded,
                format!(
                    "{} of {} ended sessions accepted{ended}{forgotten}",
                    self.ended.1, self.ended.0
                ),
                self.ended.1 == 0 && ended.is_empty(),
                allows.forgotten.filter(|_| counts.copies.forgotten > 0),
            ),
            invariant(
                accepted,
                format!(
                    "{} of {} copies after {:.1} s; {} before, {} where the store was not seen",
                    counts.copies.after_bound,
                    counts.copies.tried,
                    self.bound,
                    counts.copies.within_bound,
                    counts.copies.cut_off,
                ),
                counts.copies.after_bound == 0,
                allows.cut_off.filter(|_| counts.copies.cut_off > 0),
            ),
            seen_by(seen, &self.signs, fault.expected),
            match &self.healed {
                Ok(seconds) => invariant(heals, format!("{seconds:.1} s"), true, None),
                Err(wrong) => invariant(heals, wrong.clone(), false, None),
            },
        ];
        if let Some(says) = fault.heals.says {
            let heals = &mut self.invariants[5];
            let said = self.signs.words.iter().any(|words| words.contains(says));
            heals.holds &= said;
            let how = if said { "after what it says" } else { "it does not say" };
            heals.found += &format!(", {how}: `{says}`");
        }
    }
}

/// Every kind of request, and whether it may fail.
fn errors_of(name: &'static str, counts: &Counts, asked: &Answers, allows: Allows) -> Invariant {
    let kinds = [
        ("sessions", asked, allows.sessions),
        ("logins", &counts.logins, allows.logins),
        ("logouts", &counts.logouts, allows.logouts),
    ];
    let mut found = Vec::new();
    let (mut holds, mut allowed) = (true, None);
    for (kind, answers, promise) in kinds {
        if answers.unavailable > 0 {
            found.push(format!("{} of {} {kind} 503", answers.unavailable, answers.asked));
            holds &= promise.is_some();
            allowed = allowed.or(promise);
        }
        if answers.server_errors > 0 {
            found.push(format!("{} {kind} another 5xx", answers.server_errors));
            holds = false;
        }
        if answers.unreachable > 0 {
            found.push(format!("{} {kind} without an answer", answers.unreachable));
            holds &= allows.unreachable.is_some();
            allowed = allowed.or(allows.unreachable);
        }
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Invariant { name, found, holds, allowed }
}

/// Each of the three has to show one of the expected signs, if any is expected.
fn seen_by(name: &'static str, signs: &Signs, expected: Expected) -> Invariant {
    let mut found = Vec::new();
    let mut holds = true;
    let kinds = [
        ("status", &signs.status, expected.status),
        ("metric", &signs.metric, expected.metric),
        ("log", &signs.log, expected.log),
    ];
    for (kind, seen, expected) in kinds {
        let matching = seen.iter().filter(|(sign, _)| expected.iter().any(|it| sign.contains(it)));
        let first = matching.min_by(|one, two| one.1.total_cmp(two.1));
        match first {
            Some((sign, after)) => {
                found.push(format!("{kind}: {sign} ({after:.1} s)"));
                holds &= *after <= SEEN_WITHIN;
            }
            None if expected.is_empty() => {}
            None => {
                found.push(format!("{kind}: NOTHING of {expected:?}"));
                holds = false;
            }
        }
    }
    if found.is_empty() {
        found.push("nothing is to be seen".to_owned());
    }
    Invariant { name, found: found.join("; "), holds, allowed: expected.unseen }
}
