//! The verdict: no session lost in the one arm, and some lost in each arm that cannot keep them.

use crate::{
    command::arm::Arm,
    script::proof::ArmReport,
    script::steps::{Outcome, Step},
};

/// Why the proof does not hold; empty if it does.
pub(crate) fn judge(stateless: &ArmReport, others: &[ArmReport]) -> Vec<String> {
    let mut reasons = Vec::new();
    for (step, outcome) in &stateless.steps {
        reasons.extend(faults(*step, outcome));
    }
    for ArmReport { arm, steps } in others {
        let lost: u64 = steps.iter().map(|(_, outcome)| outcome.tally.unexpected_401).sum();
        if lost == 0 && arm.loses_sessions() {
            reasons.push(format!(
                "{arm}: no session was lost, so the script shows no difference between the arms"
            ));
        }
    }
    reasons
}

/// The faults in one step of the arm that must lose no session.
pub(crate) fn faults(step: Step, outcome: &Outcome) -> Vec<String> {
    let Outcome { tally, expected, least_kids, .. } = outcome;
    let mut faults = Vec::new();
    if tally.unexpected_401 > 0 {
        faults.push(format!("{} unexpected 401", tally.unexpected_401));
    }
    if tally.failed > 0 {
        faults.push(format!("{} answers were 5xx or incomplete", tally.failed));
    }
    if let Some(surprise) = &tally.surprise {
        faults.push(surprise.clone());
    }
    if tally.kids.len() < *least_kids {
        faults.push(format!("{} keys signed, expected {least_kids} or more", tally.kids.len()));
    }
    for replica in expected.iter().filter(|it| !tally.by_replica.contains_key(*it)) {
        faults.push(format!("{replica} answered nothing"));
    }
    faults.iter().map(|fault| format!("{}, {}: {fault}", Arm::Stateless, step.title())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::tally::Tally;

    fn report(tally: Tally, least_kids: usize) -> ArmReport {
        let expected = vec!["replica-1".into()];
        let outcome = Outcome { tally, expected, least_kids, finding: None };
        ArmReport { arm: Arm::Memory, steps: vec![(Step::Rotate, outcome)] }
    }

    fn clean() -> Tally {
        Tally { by_replica: [("replica-1".into(), 9)].into(), ..Tally::default() }
    }

    fn lossy() -> Tally {
        Tally { unexpected_401: 3, ..clean() }
    }

    #[test]
    fn a_clean_arm_against_a_lossy_one_is_a_pass() {
        assert_eq!(judge(&report(clean(), 0), &[report(lossy(), 0)]), [""; 0]);
    }

    #[test]
    fn each_fault_is_a_reason() {
        let failed = Tally { failed: 2, ..clean() };
        let surprised = Tally { surprise: Some("a answered 418".into()), ..clean() };
        for (tally, kids, reason) in [
            (lossy(), 0, "3 unexpected 401"),
            (failed, 0, "2 answers were 5xx or incomplete"),
            (surprised, 0, "a answered 418"),
            (clean(), 3, "0 keys signed, expected 3 or more"),
            (Tally::default(), 0, "replica-1 answered nothing"),
        ] {
            let reasons = judge(&report(tally, kids), &[report(lossy(), 0)]);
            assert_eq!(reasons, [format!("stateless, keys rotate: {reason}")]);
        }
    }

    #[test]
    fn a_control_that_loses_nothing_proves_nothing() {
        assert_eq!(judge(&report(clean(), 0), &[report(lossy(), 0), report(clean(), 0)]).len(), 1);
    }
}
