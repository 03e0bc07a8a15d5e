//! The output at the terminal: a line per step, two tables, one sentence.

use std::time::Duration;

use crate::{
    command::{arm::Arm, pace::Pace},
    figures::table::{Group, draw},
    script::proof::ArmReport,
    script::steps::{Outcome, Step},
    script::verdict::faults,
    store::choice::Store,
    terminal::Terminal,
    users::tally::Tally,
};

/// An arm in a few words: at most 34 characters, which is what the tables have room for.
fn title(arm: Arm) -> &'static str {
    match arm {
        Arm::Stateless | Arm::Cold => "stateless: signed session tokens",
        Arm::Memory => "memory: sessions in the process",
        Arm::Sticky => "sticky: memory, and affinity",
        Arm::Replicated => "replicated: in every process",
        Arm::Database => "database: sessions in Redis",
        Arm::Bare => "bare: no sessions",
    }
}

/// The title of an arm, before its steps.
pub(crate) fn arm_title(arm: Arm, store: &Store, pace: Pace) -> String {
    match arm {
        Arm::Stateless | Arm::Cold => format!(
            "{} (tower-jwt-session)\nkeys {}; each signs for {:?}, a session lives {:?}",
            title(arm),
            place(store),
            pace.signing_period,
            pace.session_lifetime
        ),
        Arm::Memory => format!("{} that made them (the control), same script", title(arm)),
        Arm::Sticky => {
            format!("{}: the balancer sends a user to the same replica, same script", title(arm))
        }
        Arm::Replicated => format!(
            "{}: copies are sent after the answer, the balancer has affinity; same script",
            title(arm)
        ),
        Arm::Database => format!("{} (tower-sessions), same script", title(arm)),
        Arm::Bare => title(arm).to_owned(),
    }
}

/// Where the keys are.
fn place(store: &Store) -> String {
    match store {
        Store::File => "are in a directory".to_owned(),
        Store::Derived => "are derived on each replica from one secret".to_owned(),
        Store::Own(kind) => format!("are in a {kind} that this run started"),
        Store::Given(url) => format!("are in {url}"),
    }
}

/// One step in one line, with its meaning.
pub(crate) fn progress(terminal: &Terminal, arm: Arm, step: Step, outcome: &Outcome) {
    let tally = &outcome.tally;
    let faults = faults(step, outcome);
    let mark = if faults.is_empty() { terminal.good("✓") } else { terminal.bad("✗") };
    let counts = format!(
        "{:>6} requests, {} × 401, {} × 5xx, {} retried; by replica {}",
        grouped(tally.requests),
        grouped(tally.unexpected_401),
        tally.failed,
        tally.retries,
        tally.by_replica.values().map(|&it| grouped(it)).collect::<Vec<_>>().join(" "),
    );
    terminal.line(&format!("  {mark} {:<22} {counts}", step.title()));
    let meaning = match arm {
        Arm::Stateless if faults.is_empty() => vec![kept(step, outcome)],
        _ => lost(tally),
    };
    for (index, reason) in meaning.iter().enumerate() {
        let lead = if index == 0 { "you see:" } else { "    and:" };
        terminal.line(&terminal.dim(&format!("      {lead} {reason}")));
    }
}

/// The meaning of a step that succeeded.
fn kept(step: Step, outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    match step {
        Step::Turns => {
            "one login; every replica reads the session from the token itself".to_owned()
        }
        Step::Kill => format!(
            "the replica that issued the session is dead, the session is valid; {} requests in flight were retried",
            tally.retries
        ),
        Step::Return => "a new process accepts the old session with its first request".to_owned(),
        Step::Stop => "a replica hung; the balancer noticed, and requests waited or were sent \
                       elsewhere"
            .to_owned(),
        Step::RollingRestart => {
            "every process was replaced: removed from the balancer, drained, started, added again"
                .to_owned()
        }
        Step::Rotate => format!(
            "{} keys signed in turn, {} cookies were renewed, no user had to log in again",
            tally.kids.len(),
            tally.renewals
        ),
        Step::Grow => "the new replicas accept a session that is older than they are".to_owned(),
        Step::Logout => "the cookie was cleared; without it every replica answers 401".to_owned(),
        Step::Replay
        | Step::Refresh
        | Step::Unrecorded
        | Step::Outage
        | Step::Revoke
        | Step::ReplaceRoot => outcome.finding.clone().unwrap_or_default(),
    }
}

/// Why sessions were refused, by the two replicas that were in it: at most two reasons.
fn lost(tally: &Tally) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut pairs = tally.refusals.keys();
    if let Some((replica, _)) = pairs.clone().find(|(refuser, maker)| refuser == maker) {
        reasons.push(format!("{replica} lost a session that it issued itself"));
    }
    if let Some((refuser, maker)) = pairs.find(|(refuser, maker)| refuser != maker) {
        reasons.push(format!("{refuser} does not know the session that {maker} issued"));
    }
    reasons.extend(tally.surprise.clone());
    reasons.truncate(2);
    if reasons.is_empty() {
        let reason = match tally.unexpected_401 {
            0 => "nobody was logged out",
            _ => "no session was left: an earlier 401 had cleared the cookie",
        };
        reasons.push(reason.to_owned());
    }
    reasons
}

/// The two arms side by side: what was counted, and who answered. 100 columns wide.
pub(crate) fn tables(stateless: &ArmReport, other: &ArmReport) -> String {
    let counts = [("reqs", 6), ("401", 6), ("5xx", 3), ("rtry", 4), ("p50", 5), ("p99", 5)];
    let groups = [
        Group::new("", &[("step", 22)]),
        Group::new(title(stateless.arm), &counts),
        Group::new(title(other.arm), &counts),
    ];
    let mut text = draw(&groups, &rows(stateless, other, count_cells));
    text += "  401: a valid session was refused. 5xx: also broken connections. rtry: retried. Times in ms.\n\n";

    let names = [("r-1", 6), ("r-2", 6), ("r-3", 6), ("r-4", 6), ("r-5", 6)];
    let groups = [
        Group::new("", &[("who answered", 22)]),
        Group::new(title(stateless.arm), &names),
        Group::new(title(other.arm), &names),
    ];
    text + &draw(&groups, &rows(stateless, other, replica_cells))
}

fn rows(
    stateless: &ArmReport,
    other: &ArmReport,
    cells: fn(&Tally) -> Vec<String>,
) -> Vec<Option<Vec<String>>> {
    let mut rows = Vec::new();
    for (index, (step, one)) in stateless.steps.iter().enumerate() {
        // The control has no keys.
        let counted = other.steps.get(index).map(|(_, outcome)| cells(&outcome.tally));
        rows.push(Some(row(step.title(), cells(&one.tally), counted.unwrap_or_default())));
    }
    rows.push(None);
    rows.push(Some(row("total", cells(&total(stateless)), cells(&total(other)))));
    rows
}

fn row(title: &str, one: Vec<String>, other: Vec<String>) -> Vec<String> {
    [vec![title.to_owned()], one, other].concat()
}

fn count_cells(tally: &Tally) -> Vec<String> {
    let time = |percent| tally.percentile(percent).map(milliseconds).unwrap_or_default();
    vec![
        grouped(tally.requests),
        grouped(tally.unexpected_401),
        tally.failed.to_string(),
        tally.retries.to_string(),
        time(50),
        time(99),
    ]
}

fn replica_cells(tally: &Tally) -> Vec<String> {
    let count = |number| tally.by_replica.get(&format!("replica-{number}"));
    (1..=5).map(|number| count(number).map_or_else(|| "·".to_owned(), |&it| grouped(it))).collect()
}

fn total(report: &ArmReport) -> Tally {
    let mut total = Tally::default();
    for (_, outcome) in &report.steps {
        total.merge(outcome.tally.clone());
    }
    total
}

/// The store of the keys, the findings of each step there, and skipped steps.
pub(crate) fn keys(store: &Store, stateless: &ArmReport) -> String {
    let mut text = format!("The keys {}.\n", place(store));
    for (step, outcome) in &stateless.steps {
        if let Some(finding) = &outcome.finding
            && faults(*step, outcome).is_empty()
        {
            text += &format!("  {}: {finding}\n", step.title());
        }
    }
    if *store == Store::Derived {
        text += "  revocations are in a directory: keys can be derived, revocations cannot\n";
    }
    if let Store::Given(url) = store {
        text += &format!(
            "  {}, {}: skipped, this server was not started by this run; use `--store {}`\n",
            Step::Outage.title(),
            Step::Unrecorded.title(),
            url.kind.word(),
        );
    }
    text
}

/// The verdict of a proof that holds.
pub(crate) fn summary(stateless: &ArmReport, others: &[ArmReport]) -> String {
    let one = total(stateless);
    let others: Vec<_> = others
        .iter()
        .map(|other| {
            let (arm, other) = (other.arm, total(other));
            format!("{arm} {} of {}", grouped(other.unexpected_401), grouped(other.requests))
        })
        .collect();
    let others = match others.is_empty() {
        true => "it was compared with no other arm".to_owned(),
        false => format!("of the others did: {}", others.join(", ")),
    };
    format!(
        "With sessions in signed tokens, none of {} requests lost its session while replicas were \
         killed, replaced and added and {} keys signed in turn; {others}.",
        grouped(one.requests),
        one.kids.len(),
    )
}

/// Thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In at most five characters up to a minute.
pub(crate) fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 100.0 { format!("{milliseconds:.1}") } else { format!("{milliseconds:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::server::ServerKind;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1000, 12_345_678].map(grouped));
        let times =
            [0, 40, 1500, 99_900, 123_456].map(|it| milliseconds(Duration::from_micros(it)));
        assert_eq!(times, ["0.0", "0.0", "1.5", "99.9", "123"]);
    }

    #[test]
    fn the_tables_are_a_hundred_columns_wide() {
        let report = |arm| {
            let tally = Tally { requests: 7_000, ..Tally::default() };
            let outcome =
                || Outcome { tally: tally.clone(), expected: vec![], least_kids: 0, finding: None };
            let steps = Step::of(arm, &Store::Own(ServerKind::Redis)).into_iter();
            ArmReport { arm, steps: steps.map(|step| (step, outcome())).collect() }
        };
        let text = tables(&report(Arm::Stateless), &report(Arm::Memory));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.lines().filter(|it| it.starts_with('│')).all(|it| it.chars().count() == 100));
    }

    #[test]
    fn a_refusal_names_both_replicas() {
        let pair = |refuser: &str, maker: &str| (refuser.to_owned(), maker.to_owned());
        let refusals = [(pair("replica-2", "replica-1"), 4), (pair("replica-1", "replica-1"), 2)];
        let tally = Tally { refusals: refusals.into(), ..Tally::default() };
        assert_eq!(
            lost(&tally),
            [
                "replica-1 lost a session that it issued itself",
                "replica-2 does not know the session that replica-1 issued",
            ]
        );
        assert_eq!(lost(&Tally::default()), ["nobody was logged out"]);
    }
}
