//! The judgment of a comparison: each arm has to show its own weakness, and the crate none.

use std::time::Duration;

use crate::{
    command::arm::Arm,
    compare::outcome::{ArmOutcome, Phase, Row},
    faults::event::Event,
};

/// The faults in which a replica's process ends, or gets no more requests: the users that a balancer had
/// sent to it go elsewhere.
const DEPARTURES: [Event; 4] = [Event::Kill, Event::Drain, Event::Roll, Event::FailHealth];
/// How many commands a request of a session in a database takes, at least.
const LEAST_COMMANDS: f64 = 0.9;

/// Why the comparison does not show what it is to show; empty if it does.
pub(crate) fn judge(arms: &[ArmOutcome]) -> Vec<String> {
    arms.iter().flat_map(reasons).collect()
}

fn reasons(outcome: &ArmOutcome) -> Vec<String> {
    let reasons = match outcome.arm {
        Arm::Stateless | Arm::Cold => stateless(outcome),
        Arm::Memory => memory(outcome),
        Arm::Sticky => sticky(outcome),
        Arm::Replicated => replicated(outcome),
        Arm::Database => database(outcome),
        Arm::Bare => Vec::new(),
    };
    reasons.into_iter().map(|reason| format!("{}, {reason}", outcome.arm)).collect()
}

/// Sessions lost, or requests that failed, in a row where there must be none.
fn flawless(row: &Row, reasons: &mut Vec<String>) {
    let tally = &row.tally;
    if tally.unexpected_401 > 0 {
        reasons.push(format!("{}: {} sessions lost, expected 0", row.phase, tally.unexpected_401));
    }
    if tally.failed > 0 {
        let first = tally.surprise.as_deref().unwrap_or_default();
        let failed = tally.failed;
        reasons.push(format!("{}: {failed} failed, expected 0; the first: {first}", row.phase));
    }
}

/// Nothing is lost and nothing fails; a copy is refused in time. A wrong clock costs sessions where no
/// store shows that it is wrong, as SECURITY.md says.
fn stateless(outcome: &ArmOutcome) -> Vec<String> {
    let mut reasons = Vec::new();
    for row in &outcome.rows {
        if !(row.phase == Phase::Fault(Event::Clock) && outcome.is_without_clock()) {
            flawless(row, &mut reasons);
        }
        let accepted_for = row.tally.accepted_for;
        let bound = outcome.bound_ms.map_or(Duration::ZERO, Duration::from_millis);
        if accepted_for > bound {
            reasons.push(format!(
                "{}: a copy was accepted for {accepted_for:?} after its logout, longer than {bound:?}",
                row.phase
            ));
        }
    }
    reasons
}

/// Users are logged out at random while nothing happens.
fn memory(outcome: &ArmOutcome) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(row) = outcome.row(Phase::Steady) {
        loses(row, "sessions are on one replica only, and the balancer goes round", &mut reasons);
    }
    reasons
}

/// Nothing is lost while nothing happens, and the users of a replica that leaves are.
fn sticky(outcome: &ArmOutcome) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(row) = outcome.row(Phase::Steady) {
        flawless(row, &mut reasons);
    }
    for row in DEPARTURES.iter().filter_map(|fault| outcome.row(Phase::Fault(*fault))) {
        loses(row, "the users of a replica have to be out when it leaves", &mut reasons);
    }
    reasons
}

/// Nothing is lost but what was not copied before a kill; copies cost bytes.
fn replicated(outcome: &ArmOutcome) -> Vec<String> {
    let mut reasons = Vec::new();
    for row in &outcome.rows {
        match row.phase {
            Phase::Fault(Event::Kill) => {
                loses(row, "a session is copied some time after its login", &mut reasons);
            }
            Phase::Steady | Phase::Fault(Event::Drain | Event::Roll | Event::FailHealth) => {
                flawless(row, &mut reasons);
            }
            Phase::Fault(_) => {}
        }
    }
    let growth = &outcome.growth;
    if growth.copied_per_session < growth.peers * LEAST_COPY || growth.peers == 0 {
        reasons.push(format!(
            "{} bytes were copied by session, expected {LEAST_COPY} or more for each of {} other replicas",
            growth.copied_per_session, growth.peers
        ));
    }
    reasons
}

/// How many bytes a copy of a session has, at least.
const LEAST_COPY: u64 = 50;

/// Replicas may die; each request asks the database; without it nobody is served.
fn database(outcome: &ArmOutcome) -> Vec<String> {
    let mut reasons = Vec::new();
    for row in &outcome.rows {
        match row.phase {
            Phase::Fault(Event::KillStore) => {
                let turned_away = row.tally.unexpected_401 + row.tally.failed;
                if turned_away == 0 {
                    reasons.push(format!("{}: nobody was refused without the database", row.phase));
                }
            }
            Phase::Steady => {
                flawless(row, &mut reasons);
                let commands = row.commands_per_request.unwrap_or_default();
                if commands < LEAST_COMMANDS {
                    reasons.push(format!(
                        "{}: {commands:.2} commands by request, expected {LEAST_COMMANDS} or more",
                        row.phase
                    ));
                }
            }
            Phase::Fault(fault) if DEPARTURES.contains(&fault) => flawless(row, &mut reasons),
            Phase::Fault(_) => {}
        }
    }
    reasons
}

fn loses(row: &Row, because: &str, reasons: &mut Vec<String>) {
    if row.tally.unexpected_401 == 0 {
        reasons.push(format!("{}: no session was lost, although {because}", row.phase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::outcome::Growth, store::choice::Store, store::server::ServerKind,
        users::tally::Tally,
    };

    fn row(phase: Phase, lost: u64, failed: u64) -> Row {
        Row {
            phase,
            said: String::new(),
            tally: Tally { unexpected_401: lost, failed, ..Tally::default() },
            took: 1.0,
            rate: 0.0,
            commands_per_request: Some(1.0),
            copied_per_second: 0.0,
            memory_per_replica: None,
            spike: None,
        }
    }

    fn arm(arm: Arm, rows: &[(Phase, u64, u64)]) -> ArmOutcome {
        let rows = rows.iter().map(|&(phase, lost, failed)| row(phase, lost, failed)).collect();
        let store = Store::Own(ServerKind::Redis);
        let growth = Growth { copied_per_session: 600, peers: 2, ..Growth::default() };
        ArmOutcome { arm, store, rows, growth, bound_ms: Some(300), background_commands: None }
    }

    const KILL: Phase = Phase::Fault(Event::Kill);
    const KILL_STORE: Phase = Phase::Fault(Event::KillStore);

    #[test]
    fn each_arm_in_its_own_way_is_a_pass() {
        let arms = [
            arm(Arm::Stateless, &[(Phase::Steady, 0, 0), (KILL, 0, 0), (KILL_STORE, 0, 0)]),
            arm(Arm::Memory, &[(Phase::Steady, 9, 0), (KILL, 9, 0)]),
            arm(Arm::Sticky, &[(Phase::Steady, 0, 0), (KILL, 8, 0)]),
            arm(Arm::Replicated, &[(Phase::Steady, 0, 0), (KILL, 3, 0)]),
            arm(Arm::Database, &[(Phase::Steady, 0, 0), (KILL, 0, 0), (KILL_STORE, 0, 99)]),
        ];
        assert_eq!(judge(&arms), [""; 0]);
    }

    #[test]
    fn each_surprise_is_a_reason() {
        for (surprising, reason) in [
            (arm(Arm::Stateless, &[(KILL, 1, 0)]), "kill: 1 sessions lost, expected 0"),
            (arm(Arm::Stateless, &[(KILL_STORE, 0, 2)]), "kill-store: 2 failed, expected 0; "),
            (arm(Arm::Memory, &[(Phase::Steady, 0, 0)]), "steady: no session was lost, although "),
            (arm(Arm::Sticky, &[(Phase::Steady, 1, 0)]), "steady: 1 sessions lost, expected 0"),
            (arm(Arm::Sticky, &[(KILL, 0, 0)]), "kill: no session was lost, although the users"),
            (
                arm(Arm::Replicated, &[(KILL, 0, 0)]),
                "kill: no session was lost, although a session",
            ),
            (
                arm(Arm::Replicated, &[(Phase::Fault(Event::Roll), 2, 0)]),
                "roll: 2 sessions lost, expected 0",
            ),
            (arm(Arm::Database, &[(KILL, 1, 0)]), "kill: 1 sessions lost, expected 0"),
            (arm(Arm::Database, &[(KILL_STORE, 0, 0)]), "kill-store: nobody was refused"),
        ] {
            let expected = format!("{}, {reason}", surprising.arm);
            let [found] = &judge(&[surprising])[..] else { panic!("one reason: {reason}") };
            assert!(found.starts_with(&expected), "{found}");
        }
    }

    #[test]
    fn a_copy_that_is_accepted_too_long_is_a_reason() {
        let mut outcome = arm(Arm::Stateless, &[(Phase::Fault(Event::Replay), 0, 0)]);
        outcome.rows[0].tally.accepted_for = Duration::from_millis(300);
        assert_eq!(judge(std::slice::from_ref(&outcome)), [""; 0]);
        outcome.rows[0].tally.accepted_for = Duration::from_millis(301);
        assert_eq!(judge(&[outcome]).len(), 1);
    }

    #[test]
    fn a_wrong_clock_costs_sessions_in_a_directory_only() {
        let mut outcome = arm(Arm::Stateless, &[(Phase::Fault(Event::Clock), 7, 0)]);
        assert_eq!(judge(std::slice::from_ref(&outcome)).len(), 1);
        outcome.store = Store::File;
        assert_eq!(judge(&[outcome]), [""; 0]);
    }

    #[test]
    fn an_arm_without_its_costs_is_a_reason() {
        let mut cheap = arm(Arm::Replicated, &[(KILL, 3, 0)]);
        cheap.growth.copied_per_session = 60;
        assert_eq!(judge(&[cheap]).len(), 1, "two other replicas need two copies");
        let mut quick = arm(Arm::Database, &[(Phase::Steady, 0, 0)]);
        quick.rows[0].commands_per_request = Some(0.1);
        assert_eq!(judge(&[quick]).len(), 1);
    }
}
