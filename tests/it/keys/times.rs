//! When keys are made, and the absolute times of their lives.

use std::collections::BTreeMap;

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{KeyTimes, RotationPolicy};

use crate::support::replicas::{
    FULL_LEAD, LEAD, LIFE, MILLI, OVERRUN, PERIOD, REFRESH, Replica, SKEW, START, pass, pass_until,
    policy, seconds,
};

/// Every key that a replica meets in that many periods, refreshing as late as it may.
async fn life_of_keys(periods: u32) -> BTreeMap<u64, KeyTimes> {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let mut met = BTreeMap::new();
    for _ in 0..periods * (PERIOD.as_secs() / REFRESH.as_secs()) as u32 {
        pass(&[&replica], REFRESH).await;
        for key in replica.ring.status().keys {
            let times = met.insert(key.generation, key.times);
            assert!(times.is_none_or(|times| times == key.times), "a record changed");
        }
    }
    met
}

#[tokio::test]
async fn the_leads_are_the_sums_of_their_parts() {
    let policy = policy();
    assert_eq!(policy.refresh_bound(), REFRESH);
    assert_eq!(policy.replica_lead(), LEAD);
    assert_eq!(policy.full_lead(), FULL_LEAD);
    assert_eq!(RotationPolicy::new(), RotationPolicy::default());
}

#[tokio::test]
async fn two_keys_are_always_ahead() {
    let keys = life_of_keys(6).await;
    assert!(keys.len() >= 7);
    for generation in 2..keys.len() as u64 {
        let (key, predecessor) = (keys[&generation], keys[&(generation - 1)]);
        assert!(key.published + FULL_LEAD <= predecessor.signs_from, "{generation}");
        assert_eq!(key.propagated, key.published + LEAD, "{generation}");
    }
}

#[tokio::test]
async fn a_key_follows_its_predecessor_without_a_gap() {
    let keys = life_of_keys(6).await;
    let lives: Vec<_> = keys.values().collect();
    assert_eq!(lives[0].published, START);
    for pair in lives.windows(2) {
        assert_eq!(pair[0].signs_until, pair[1].signs_from);
    }
}

#[tokio::test]
async fn a_key_is_kept_until_the_last_of_its_tokens_has_expired() {
    for times in life_of_keys(3).await.values() {
        assert_eq!(times.signs_until, times.signs_from + PERIOD);
        assert_eq!(times.signs_latest, times.signs_until + OVERRUN);
        assert_eq!(times.verifies_until, times.signs_latest + LIFE + SKEW);
    }
}

#[tokio::test]
async fn the_first_key_needs_no_lead_and_the_second_has_one() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    assert_eq!(replica.generations(), [0, 1]);
    let (first, second) = (replica.times(0), replica.times(1));
    assert_eq!([first.published, first.propagated, first.signs_from], [START; 3]);
    assert_eq!(second.propagated, START + LEAD);
    assert_eq!(second.signs_from, START + PERIOD);
}

#[tokio::test]
async fn third_key_is_made_one_refresh_before_its_lead() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let due = replica.times(1).signs_from - (FULL_LEAD + REFRESH);
    replica.refresh_at(due - MILLI).await;
    assert_eq!(replica.generations(), [0, 1]);
    replica.refresh_at(due).await;
    assert_eq!(replica.generations(), [0, 1, 2]);
    assert_eq!(replica.times(2).published, due);
    assert_eq!(replica.times(2).signs_from, replica.times(1).signs_until);
}

#[tokio::test]
async fn late_key_signs_a_full_lead_after_publication() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let late = replica.times(1).signs_until - seconds(60);
    replica.refresh_at(late).await;
    assert_eq!(replica.times(2).published, late);
    assert_eq!(replica.times(2).signs_from, late + FULL_LEAD);
    // Until then its predecessor signs on, within its overrun.
    assert_eq!(replica.signs_at(late + FULL_LEAD - MILLI), Some(1));
    assert_eq!(replica.signs_at(late + FULL_LEAD), Some(2));
}

#[tokio::test]
async fn another_policy_changes_only_the_keys_made_after_it() {
    let store = MemoryStore::new();
    let before = Replica::open(store.clone(), START).await;
    let old = [before.times(0), before.times(1)];

    let longer = policy()
        .signing_period(2 * PERIOD)
        .max_token_lifetime(3 * LIFE)
        .max_overdue_signing(2 * OVERRUN)
        .jwks_max_age(seconds(600));
    let after = Replica::open_with(store, longer.clone(), START).await;
    assert_eq!([after.times(0), after.times(1)], old);

    pass_until(&[&after], old[1].signs_from).await;
    before.refresh_at(old[1].signs_from).await;
    assert_eq!([before.times(0), before.times(1)], old);
    let new = before.times(2);
    assert_eq!(new, after.times(2));
    assert_eq!(new.signs_from, old[1].signs_until);
    assert_eq!(new.signs_until, new.signs_from + 2 * PERIOD);
    assert_eq!(new.signs_latest, new.signs_until + 2 * OVERRUN);
    assert_eq!(new.verifies_until, new.signs_latest + 3 * LIFE + SKEW);
    assert!(new.published + longer.full_lead() <= old[1].signs_from);
}

#[tokio::test]
async fn a_token_never_outlives_its_key() {
    let store = MemoryStore::new();
    let _short = Replica::open(store.clone(), START).await;
    let clock = tower_jwt_session::testing::ManualClock::new(START);
    let ring = tower_jwt_session::KeyRing::builder(crate::support::replicas::RING)
        .store(store)
        .clock(clock.clone())
        .rotation(policy().max_token_lifetime(10 * LIFE))
        .open()
        .await
        .expect("opens");
    let long = Replica::of(ring, clock, 10 * LIFE);

    let key = long.times(0);
    let token = long.try_issue().expect("signs");
    assert_eq!(token.expires_at(), START + LIFE, "as the key was made for");
    assert!(token.expires_at() <= key.verifies_until - SKEW);
    long.clock.set(START + LIFE + SKEW - MILLI);
    assert_eq!(long.judge(token.as_str()), Ok(()));
    long.clock.set(START + LIFE + SKEW);
    long.judge(token.as_str()).expect_err("the token has ended");
}

#[tokio::test]
async fn the_last_token_of_a_key_lives_its_whole_life() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let key = replica.times(1);
    replica.clock.set(key.signs_latest - MILLI);
    assert_eq!(replica.signs(), Some(1));
    let token = replica.try_issue().expect("signs");
    assert_eq!(token.lifetime(), LIFE);
    replica.clock.set(token.expires_at() + SKEW - MILLI);
    assert_eq!(replica.judge(token.as_str()), Ok(()));
}
