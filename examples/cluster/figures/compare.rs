//! A comparison at the terminal: a line for each fault as it happens, and two tables at the end.

use crate::{
    command::arm::Arm,
    compare::outcome::{ArmOutcome, Comparison, Phase, Row},
    faults::event::Event,
    figures::report::{grouped, milliseconds},
    figures::table::{Group, draw},
    terminal::Terminal,
    users::tally::Tally,
};

/// What the table shows of a fault that does not concern an arm.
const NOTHING: &str = "·";

/// An arm, and the heads of the lines that follow.
pub(crate) fn arm_title(terminal: &Terminal, arm: Arm) -> String {
    format!(
        "{}\n  {:<20}{:>6}{:>6}{:>8}{:>8}{:>8}{:>9}{:>10}{:>9}",
        terminal.bold(&arm.to_string()),
        "",
        "lost",
        "5xx",
        "req/s",
        "p50 ms",
        "p99 ms",
        "cmd/req",
        "copied/s",
        "replica"
    )
}

/// The figures of one fault, and what was done.
pub(crate) fn progress(terminal: &Terminal, row: &Row) -> String {
    let tally = &row.tally;
    let figures = format!(
        "  {:<20}{:>6}{:>6}{:>8}{:>8}{:>8}{:>9}{:>10}{:>9}",
        row.phase.title(),
        grouped(tally.unexpected_401),
        grouped(tally.failed),
        grouped(row.rate as u64),
        percentile(tally, 50),
        percentile(tally, 99),
        row.commands_per_request.map_or_else(|| NOTHING.to_owned(), |it| format!("{it:.2}")),
        bytes(row.copied_per_second as u64),
        row.memory_per_replica.map_or_else(|| NOTHING.to_owned(), bytes),
    );
    let said = match row.phase {
        Phase::Steady => return figures,
        Phase::Fault(_) => terminal.dim(&row.said),
    };
    format!("{figures}\n      {said}")
}

/// What many sessions cost an arm, in one line.
pub(crate) fn growth(outcome: &ArmOutcome) -> String {
    let growth = &outcome.growth;
    format!(
        "  {} more sessions: by 1,000 of them the replicas grew by {}, the store by {}; {} were copied \
         by session\n",
        grouped(growth.sessions),
        growth.replicas_per_1000.map_or_else(|| NOTHING.to_owned(), grown),
        growth.store_per_1000.map_or_else(|| NOTHING.to_owned(), grown),
        bytes(growth.copied_per_session),
    )
}

/// Both tables: what each arm lost, and what it costs.
pub(crate) fn tables(comparison: &Comparison) -> String {
    let Comparison { seconds, users, replicas, .. } = comparison;
    let clock = match comparison.arms.iter().any(ArmOutcome::is_without_clock) {
        true => {
            "  wrong clock: a directory has no clock by which a replica could see that its own is off; Redis has.\n"
        }
        false => "",
    };
    format!(
        "{}  lost: sessions that ended though nobody ended them. 5xx: answers 5xx or none. p99: milliseconds.\n  \
         {users} users, {replicas} replicas, {seconds} s after each fault, and then it is undone.\n{clock}\n{}  \
         commands: as the store itself counts. memory: of processes, as the system counts.\n",
        losses(comparison),
        costs(comparison),
    )
}

/// The faults, arm by arm.
fn losses(comparison: &Comparison) -> String {
    let mut groups = vec![Group::new("", &[("fault", 18)])];
    for outcome in &comparison.arms {
        let columns = [("lost", 4), ("5xx", 4), ("p99", 6)];
        groups.push(Group::new(&outcome.arm.to_string(), &columns));
    }
    let mut rows = Vec::new();
    for phase in phases(&comparison.arms) {
        let mut cells = vec![phase.title().to_owned()];
        for outcome in &comparison.arms {
            cells.extend(match outcome.row(phase) {
                Some(row) => counts(&row.tally),
                None => [NOTHING, NOTHING, NOTHING].map(str::to_owned),
            });
        }
        rows.push(Some(cells));
    }
    let mut total = vec!["total".to_owned()];
    total.extend(comparison.arms.iter().flat_map(|outcome| counts(&outcome.total())));
    rows.extend([None, Some(total)]);
    draw(&groups, &rows)
}

/// The phases that any arm went through, in their order.
pub(crate) fn phases(arms: &[ArmOutcome]) -> Vec<Phase> {
    // The arm with the most of them has them all: who has keys has a store.
    let longest = arms.iter().max_by_key(|outcome| outcome.rows.len());
    longest.iter().flat_map(|outcome| &outcome.rows).map(|row| row.phase).collect()
}

fn counts(tally: &Tally) -> [String; 3] {
    let count = |number: u64| match number {
        0..10_000 => number.to_string(),
        _ => format!("{}k", number / 1000),
    };
    [count(tally.unexpected_401), count(tally.failed), percentile(tally, 99)]
}

/// What each arm costs while nothing happens.
fn costs(comparison: &Comparison) -> String {
    let arms = &comparison.arms;
    let heads: Vec<_> = arms.iter().map(|outcome| outcome.arm.to_string()).collect();
    let columns: Vec<_> = heads.iter().map(|head| (head.as_str(), 12)).collect();
    let groups = [Group::new("", &[("what it costs", 42)]), Group::new("", &columns)];
    let line = |title: &str, cell: &dyn Fn(&ArmOutcome) -> Option<String>| {
        let cells = arms.iter().map(|it| cell(it).unwrap_or_else(|| NOTHING.to_owned()));
        Some([title.to_owned()].into_iter().chain(cells).collect())
    };
    let steady = |it: &ArmOutcome, cell: &dyn Fn(&Row) -> Option<String>| {
        it.row(Phase::Steady).and_then(cell)
    };
    let accepted = |it: &ArmOutcome| {
        let ended = [Event::Replay, Event::LogOutEverywhere];
        let rows = ended.iter().filter_map(|event| it.row(Phase::Fault(*event)));
        let mut total = Tally::default();
        let count = rows.map(|row| total.merge(row.tally.clone())).count();
        (count > 0).then_some(total)
    };
    let rows = [
        line("requests per second", &|it| steady(it, &|row| Some(grouped(row.rate as u64)))),
        line("p50, p99 in milliseconds", &|it| {
            let times = |row: &Row| [50, 99].map(|percent| percentile(&row.tally, percent));
            steady(it, &|row| Some(times(row).join(", ")))
        }),
        line("commands to the store by request", &|it| {
            steady(it, &|row| row.commands_per_request.map(|it| format!("{it:.2}")))
        }),
        line("  and per second, without users", &|it| {
            it.background_commands.map(|count| format!("{count:.0}"))
        }),
        line("bytes from replica to replica, per second", &|it| {
            steady(it, &|row| Some(bytes(row.copied_per_second as u64)))
        }),
        line("bytes from replica to replica, by login", &|it| {
            Some(bytes(it.growth.copied_per_session))
        }),
        line("memory of a replica", &|it| steady(it, &|row| row.memory_per_replica.map(bytes))),
        line("memory of all replicas, by 1,000 sessions", &|it| {
            it.growth.replicas_per_1000.map(grown)
        }),
        line("memory of the store, by 1,000 sessions", &|it| it.growth.store_per_1000.map(grown)),
        line("copies accepted after a logout", &|it| {
            accepted(it).map(|tally| grouped(tally.accepted_after_logout))
        }),
        line("  until, in milliseconds", &|it| {
            accepted(it).map(|tally| tally.accepted_for.as_millis().to_string())
        }),
        line("spike: most requests per second", &|it| {
            let spike = it.row(Phase::Fault(Event::Spike))?.spike.as_ref()?;
            let most = spike.samples.iter().map(|sample| sample.rate).max_by(f64::total_cmp)?;
            Some(grouped(most as u64))
        }),
        line("  first answers of new replicas after ms", &|it| {
            let spike = it.row(Phase::Fault(Event::Spike))?.spike.as_ref()?;
            let first = spike.added.iter().map(|added| {
                added.first_answer_ms.map_or_else(|| NOTHING.to_owned(), |it| it.to_string())
            });
            Some(first.collect::<Vec<_>>().join(", "))
        }),
        line("  sessions that new replicas refused", &|it| {
            let spike = it.row(Phase::Fault(Event::Spike))?.spike.as_ref()?;
            Some(grouped(spike.added.iter().map(|added| added.refused).sum()))
        }),
    ];
    draw(&groups, &rows)
}

fn percentile(tally: &Tally, percent: usize) -> String {
    tally.percentile(percent).map_or_else(|| NOTHING.to_owned(), milliseconds)
}

/// In at most seven characters.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// By how much something grew. What shrank by chance has not grown.
pub(crate) fn grown(count: i64) -> String {
    bytes(u64::try_from(count).unwrap_or_default())
}

/// A comparison with round numbers, for tests.
#[cfg(test)]
pub(crate) fn sample() -> Comparison {
    use crate::{
        compare::outcome::{Added, Growth, Sample, Spike},
        store::choice::Store,
    };

    let row = |phase, lost| Row {
        phase,
        said: "killed <replica-3> & more".to_owned(),
        tally: Tally {
            requests: 1000,
            unexpected_401: lost,
            failed: 2 * lost,
            micros: vec![1500; 1000],
            ..Tally::default()
        },
        took: 3.0,
        rate: 333.3,
        commands_per_request: Some(1.25),
        copied_per_second: 12_345.0,
        memory_per_replica: Some(8_000_000),
        spike: (phase == Phase::Fault(Event::Spike)).then(|| Spike {
            samples: vec![Sample { at_ms: 500, rate: 1200.0, p99_ms: Some(3.0) }],
            added: vec![Added {
                name: "replica-4".to_owned(),
                first_answer_ms: Some(1234),
                answers: 99,
                refused: 7,
            }],
        }),
    };
    let arms = Arm::COMPARED.iter().map(|&arm| {
        let is_stateless = arm == Arm::Stateless;
        let faults = crate::command::compare::FAULTS.iter().map(|&fault| Phase::Fault(fault));
        let phases =
            [Phase::Steady].into_iter().chain(faults.take(if is_stateless { 17 } else { 9 }));
        let rows = phases.map(|phase| row(phase, if is_stateless { 0 } else { 9_999 })).collect();
        let growth = Growth { sessions: 5000, replicas_per_1000: Some(-400), ..Growth::default() };
        ArmOutcome {
            arm,
            store: Store::File,
            rows,
            growth,
            bound_ms: None,
            background_commands: None,
        }
    });
    Comparison { seconds: 2, users: 24, replicas: 3, arms: arms.collect(), reasons: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_fit_a_terminal() {
        let text = tables(&sample());
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        let row = text.lines().find(|line| line.starts_with("│ kill -9")).expect("a row");
        let expected = "│    0    0    1.5 │ 9999  19k    1.5 │";
        assert!(row.contains(expected), "{row}");
        let row = text.lines().find(|line| line.contains("new replicas refused")).expect("a row");
        assert!(row.contains("7 "), "{row}");
        let row = text.lines().find(|line| line.starts_with("│ slow store")).expect("a row");
        assert_eq!(row.matches(NOTHING).count(), 3 * (sample().arms.len() - 1), "{row}");
    }

    #[test]
    fn bytes_are_short() {
        let texts = [0, 999, 1000, 999_949, 12_345_678].map(bytes);
        assert_eq!(texts, ["0 B", "999 B", "1.0 kB", "999.9 kB", "12.3 MB"]);
        assert_eq!(grown(-2048), "0 B");
    }
}
