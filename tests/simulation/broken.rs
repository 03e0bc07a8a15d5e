//! That the properties can fail: each promise that the ring builds on, broken, is found out.

use super::properties::{FOUNDED, ONE_KEY, ONE_RING, REFUSED, REVOKED};
use super::run;
use super::scenario::{Broken, Faults, Scenario};

/// Whether one of many seeds, with few other faults, finds that this property does not hold.
fn finds(property: &'static str, faults: Faults, broken: impl Fn(&Scenario) -> Broken) -> bool {
    (2..60).any(|seed| {
        let mut scenario = Scenario::of_seed(seed);
        (scenario.broken, scenario.sought) = (Some(broken(&scenario)), Some(property));
        (scenario.troubles, scenario.faults) = (2, faults.clone());
        let found = run(scenario).violation;
        found.inspect(|found| println!("{}", found.story)).is_some()
    })
}

/// The same on a store that is emptied again and again, without the wait of a newcomer.
fn finds_without_the_wait(property: &'static str) -> bool {
    (0..60).any(|seed| {
        let mut scenario = Scenario::emptied(seed);
        (scenario.broken, scenario.sought) = (Some(Broken::Founding), Some(property));
        let found = run(scenario).violation;
        found.inspect(|found| println!("{}", found.story)).is_some()
    })
}

#[test]
fn emptied_store_without_founding_wait_gets_second_ring() {
    assert!(finds_without_the_wait(ONE_RING));
}

#[test]
fn ready_replica_without_founding_wait_refuses_good_tokens() {
    assert!(finds_without_the_wait(FOUNDED));
}

#[test]
fn with_the_lead_cut_to_zero_a_good_token_is_refused() {
    assert!(finds(REFUSED, Faults::default(), |_| Broken::Lead));
}

#[test]
fn with_a_store_slower_than_its_policy_a_good_token_is_refused() {
    let faults = Faults { replace: 1, ..Faults::default() };
    assert!(finds(REFUSED, faults, |it| Broken::Reads(2 * it.replica_lead())));
}

#[test]
fn store_slower_than_policy_accepts_revoked_key_too_long() {
    let faults = Faults { revoke: 1, ..Faults::default() };
    assert!(finds(REVOKED, faults, |it| Broken::Reads(it.bound())));
}

#[test]
fn clocks_beyond_the_policy_refuse_a_good_token() {
    assert!(finds(REFUSED, Faults::default(), |_| Broken::Clocks));
}

#[test]
fn with_inserts_that_are_not_linearizable_two_rings_are_born() {
    assert!(finds(ONE_RING, Faults::default(), |_| Broken::Inserts));
}

#[test]
fn inserts_not_linearizable_give_a_generation_two_keys() {
    assert!(finds(ONE_KEY, Faults::default(), |_| Broken::Inserts));
}

#[test]
fn with_marks_that_are_lost_a_revoked_key_is_accepted() {
    let faults = Faults { revoke: 1, ..Faults::default() };
    assert!(finds(REVOKED, faults, |_| Broken::Marks));
}
