//! The report: fault × invariant, as Markdown and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::run::outcome::{End, Outcome};
use crate::{Fault, Problem};

/// One line of the report.
#[derive(Serialize)]
pub struct Line {
    /// The name of the fault.
    pub fault: &'static str,
    /// Where the replicas met.
    pub store: &'static str,
    /// What happened.
    pub does: String,
    /// How it heals.
    pub heals: &'static str,
    /// What came out.
    pub end: End,
}

impl Line {
    /// The line of a fault.
    pub fn new(fault: &Fault, end: End) -> Self {
        let (store, heals) = (fault.store.word(), fault.heals.how);
        Self { fault: fault.name, store, does: fault.does.to_owned(), heals, end }
    }

    /// Whether every invariant held; a machine that lacks something is judged by the caller.
    pub fn holds(&self) -> bool {
        match &self.end {
            End::Done(outcome) => outcome.holds(),
            End::Skipped(_) => true,
            End::Broken(_) => false,
        }
    }

    /// One sentence for each thing that is wrong.
    pub fn wrong(&self) -> Vec<String> {
        match &self.end {
            End::Skipped(_) => Vec::new(),
            End::Broken(problem) => vec![format!("the harness could not do it: {problem}")],
            End::Done(outcome) => {
                let broken = outcome.invariants.iter().filter(|invariant| !invariant.holds);
                let broken = broken.map(|it| format!("{}: {}", it.name, it.found));
                let problems = outcome.counts.problems.iter().map(|it| format!("  {it}"));
                broken.chain(problems.filter(|_| !outcome.holds())).collect()
            }
        }
    }
}

/// Writes `chaos.md` and `chaos.json` into a directory.
///
/// # Errors
/// If it cannot be written.
pub fn write(lines: &[Line], directory: &Path) -> Result<(), Problem> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(directory).map_err(failed)?;
    let json = serde_json::to_string_pretty(lines).map_err(|error| error.to_string())?;
    std::fs::write(directory.join("chaos.json"), json + "\n").map_err(failed)?;
    std::fs::write(directory.join("chaos.md"), markdown(lines)).map_err(failed)
}

/// The report for people.
pub fn markdown(lines: &[Line]) -> String {
    let mut text = "# Faults\n\n".to_owned();
    text += &table(lines);
    text += "\n# Each invariant\n\n";
    text += "| fault | invariant | | found | allowed by |\n|---|---|---|---|---|\n";
    for line in lines {
        let End::Done(outcome) = &line.end else { continue };
        for it in &outcome.invariants {
            let mark = if it.holds { "holds" } else { "**FAILED**" };
            let (found, allowed) = (it.found.replace('|', "\\|"), it.allowed.unwrap_or_default());
            let _ =
                writeln!(text, "| {} | {} | {mark} | {found} | {allowed} |", line.fault, it.name);
        }
    }
    let wrong: Vec<_> = lines.iter().filter(|line| !line.wrong().is_empty()).collect();
    if !wrong.is_empty() {
        text += "\n# Problems\n";
        for line in wrong {
            let _ = writeln!(text, "\n{}:\n", line.fault);
            for wrong in line.wrong() {
                let _ = writeln!(text, "- {wrong}");
            }
        }
    }
    text
}

/// What happened to users, who saw it, and when it was over.
pub fn table(lines: &[Line]) -> String {
    let mut text = "| fault | requests | wrong 401 | 5xx | accepted after the bound | seen by | healed after |\n\
                    |---|--:|--:|---|--:|---|---|\n"
        .to_owned();
    for line in lines {
        let cells = match &line.end {
            End::Skipped(missing) => format!("NOT RUN: {missing} | | | | |"),
            End::Broken(problem) => format!("COULD NOT BE DONE: {problem} | | | | |"),
            End::Done(outcome) => cells(outcome, line.heals),
        };
        let mark = if line.holds() { "" } else { " **FAILED**" };
        let _ = writeln!(text, "| {}{mark}: {} | {cells} |", line.fault, line.does);
    }
    text
}

fn cells(outcome: &Outcome, heals: &str) -> String {
    let counts = &outcome.counts;
    let asked = counts.sessions.plus(&counts.first);
    let all = asked.asked + counts.logins.asked + counts.logouts.asked + counts.copies.tried;
    let kinds = [("sessions", &asked), ("logins", &counts.logins), ("logouts", &counts.logouts)];
    let errors = kinds.iter().filter(|(_, it)| it.unavailable + it.server_errors > 0);
    let errors = errors
        .map(|(kind, it)| format!("{} of {} {kind}", it.unavailable + it.server_errors, it.asked));
    let errors = errors.collect::<Vec<_>>().join(", ");
    let errors = if errors.is_empty() { "0".to_owned() } else { errors };
    let signs = &outcome.signs;
    let seen = [("status", &signs.status), ("metric", &signs.metric), ("log", &signs.log)];
    let seen = seen.iter().filter_map(|(kind, seen)| {
        let (sign, after) = seen.iter().min_by(|one, two| one.1.total_cmp(two.1))?;
        Some(format!("{kind} `{sign}` {after:.1} s"))
    });
    let seen = seen.collect::<Vec<_>>().join(", ");
    let seen = if seen.is_empty() { "–".to_owned() } else { seen };
    let healed = match &outcome.healed {
        Ok(seconds) => format!("{seconds:.1} s, {heals}"),
        Err(wrong) => format!("NOT: {wrong}"),
    };
    let wrong = match counts.refused_as_stated {
        0 => counts.refused.to_string(),
        stated => format!("{} ({stated} as stated)", counts.refused),
    };
    let accepted = counts.copies.after_bound;
    format!("{all} | {wrong} | {errors} | {accepted} | {seen} | {healed}")
}
