//! One line of the checklist: its outcome, found, expected and the fix.

use std::fmt;

use serde::Serialize;

/// A line of the checklist.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    check: &'static str,
    pub(crate) outcome: Outcome,
    found: String,
    expected: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

/// The outcome of a check; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It needs an option that was not given, or an answer that did not come.
    NotChecked,
    Ok,
    Warning,
    Failed,
}

/// A check: its name, what is expected, and how to correct it.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) fix: &'static str,
}

/// What is wrong, and how bad that is.
pub(crate) type Problem = (Outcome, String);

impl Check {
    /// The line for what was found.
    pub(crate) fn line(self, outcome: Outcome, found: impl Into<String>) -> Line {
        let fix = (outcome >= Outcome::Warning).then_some(self.fix);
        let Self { name, expected, .. } = self;
        Line { check: name, outcome, found: found.into(), expected, fix }
    }

    /// The line for all problems; `ok` is what is found without one.
    pub(crate) fn of(self, problems: Vec<Problem>, ok: impl Into<String>) -> Line {
        let worst = problems.iter().map(|(outcome, _)| *outcome).max();
        let texts: Vec<_> = problems.into_iter().map(|(_, text)| text).collect();
        match worst {
            Some(worst) => self.line(worst, texts.join("; ")),
            None => self.line(Outcome::Ok, ok),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, outcome, found, expected, fix } = self;
        let outcome = match outcome {
            Outcome::NotChecked => "not checked",
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED",
        };
        write!(f, "{outcome:<12} {check:<12} {}", shown(found))?;
        match fix {
            Some(fix) => write!(f, "; expected {expected}; fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// Without characters that a terminal would obey: it comes from the network.
fn shown(text: &str) -> String {
    let shown = |it: char| if it.is_control() { '\u{fffd}' } else { it };
    text.chars().take(LONGEST).map(shown).collect()
}

const LONGEST: usize = 2000;
