//! A replica's clock against the store's: what is shown, what is warned of, and that never more than
//! one replica is unready because of its clock.

use std::collections::BTreeSet;

use tower_jwt_session::store::{FileStore, MemoryStore};
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{
    Algorithm, Clock as _, KeyRing, KeyState, NotReadyKind, RejectionKind, Sessions, SystemClock,
};

use crate::support::clocks::{Fleet, HOUR, OFF, shifted};
use crate::support::recorder::{Events, Metrics};
use crate::support::replicas::{MILLI, REFRESH, RING, Replica, SKEW, START, seconds};
use crate::support::stores::{Operation, TestStore};

const NOBODY: [usize; 0] = [];

#[tokio::test]
async fn clock_offset_is_shown_positive_for_a_replica_that_is_ahead() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    for offset in [0, 25, -25, OFF, -OFF, HOUR, -HOUR] {
        let fleet = Fleet::new([offset]).await;
        let shown = fleet.ring(0).status().clock_offset.expect("the store has a clock");
        assert_eq!(shown.offset_ms, offset);
        assert!(shown.uncertainty_ms < 5000, "{shown:?}");
        let gauge = recorder.gauge(RING, "clock_offset_seconds");
        assert_eq!(gauge, Some(offset as f64 / 1000.));
        let json = serde_json::to_value(fleet.ring(0).status()).unwrap();
        assert_eq!(json["clock_offset"]["offset_ms"], offset);
    }
}

#[tokio::test]
async fn clock_off_in_two_reads_makes_one_replica_unready() {
    for offset in [OFF, -OFF, HOUR, -HOUR] {
        let mut fleet = Fleet::new([0, offset, 0]).await;
        assert_eq!(fleet.unready(), NOBODY, "after one read");
        // The second read takes the lease; the third finds it.
        fleet.poll().await;
        assert_eq!(fleet.unready(), NOBODY, "the lease is not held yet");
        for _ in 0..10 {
            fleet.poll().await;
            let refused = fleet.ring(1).ready().unwrap_err();
            assert_eq!(refused.kind(), NotReadyKind::Clock);
            let expected = [format!(" {} ms ", offset.abs()), format!("clock_skew ({SKEW:?})")];
            assert!(expected.iter().all(|it| refused.to_string().contains(it)), "{refused}");
            assert_eq!(fleet.unready(), [1]);
        }
        let text = fleet.ring(1).ready().unwrap_err().to_string();
        let direction = if offset > 0 { "ms ahead of the store" } else { "ms behind the store" };
        assert!(text.contains(direction) && text.contains("30s"), "{text}");
        // Right again: ready with the next read.
        fleet.step(1, 0);
        fleet.poll().await;
        assert_eq!(fleet.unready(), NOBODY);
        assert_eq!(fleet.leases().await.len(), 1, "no more than the last is left");
        assert_eq!(fleet.ring(1).status().skipped, Vec::<String>::new());
    }
}

#[tokio::test]
async fn clock_within_the_skew_never_makes_a_replica_unready() {
    let skew = SKEW.as_millis() as i64;
    let mut fleet = Fleet::new([skew, -skew, 100]).await;
    for _ in 0..10 {
        fleet.poll().await;
        assert_eq!(fleet.unready(), NOBODY);
    }
    assert_eq!(fleet.leases().await, Vec::<String>::new());
}

#[tokio::test]
async fn clock_stepped_while_running_makes_replica_unready_until_right() {
    let mut fleet = Fleet::new([0, 0]).await;
    for offset in [OFF, 0, -OFF, 0, HOUR, 0] {
        fleet.step(1, offset);
        for _ in 0..3 {
            fleet.poll().await;
        }
        assert_eq!(fleet.unready().len(), usize::from(offset != 0), "{offset}");
    }
    // From one wrong time to another: the two readings do not agree, and the lease ends meanwhile.
    fleet.step(1, OFF);
    for _ in 0..3 {
        fleet.poll().await;
    }
    fleet.step(1, HOUR);
    for _ in 0..2 {
        fleet.poll().await;
        assert_eq!(fleet.unready(), NOBODY);
    }
    fleet.poll().await;
    assert_eq!(fleet.unready(), [1]);
}

#[tokio::test]
async fn store_clock_that_is_wrong_for_all_leaves_all_but_one_ready() {
    let mut fleet = Fleet::new([HOUR, HOUR, HOUR, HOUR, HOUR]).await;
    for _ in 0..4 {
        fleet.poll().await;
    }
    let first = fleet.unready();
    assert_eq!(first.len(), 1);
    for _ in 0..50 {
        fleet.poll().await;
        assert_eq!(fleet.unready(), first, "it renews its lease");
    }
    assert!(fleet.leases().await.len() <= 2, "{:?}", fleet.leases().await);
}

#[tokio::test]
async fn lease_of_dead_replica_is_free_after_two_refreshes() {
    let mut fleet = Fleet::new([OFF, OFF]).await;
    for _ in 0..3 {
        fleet.poll().await;
    }
    assert_eq!(fleet.unready(), [0]);
    let died = fleet.replicas.remove(0);
    drop(died);
    let (mut passed, step) = (seconds(0), seconds(10));
    while fleet.unready().is_empty() {
        assert!(passed <= 2 * REFRESH + 2 * step, "the lease is never free");
        fleet.pass(step.as_millis() as i64);
        fleet.replicas[0].0.refresh().await;
        passed += step;
    }
    // The dead one's was read, and perhaps renewed, by the last poll.
    assert!(passed >= REFRESH, "{passed:?}");
}

#[tokio::test]
async fn replica_with_clock_right_again_returns_its_lease() {
    let mut fleet = Fleet::new([OFF, -OFF]).await;
    for _ in 0..3 {
        fleet.poll().await;
    }
    assert_eq!(fleet.unready(), [0]);
    fleet.step(0, 0);
    // Nobody's time passes.
    for (replica, ..) in &fleet.replicas {
        replica.refresh().await;
        replica.refresh().await;
    }
    assert_eq!(fleet.unready(), [1]);
}

#[tokio::test]
async fn replica_cut_off_is_ready_when_its_lease_is_over() {
    let mut fleet = Fleet::new([OFF]).await;
    for _ in 0..3 {
        fleet.poll().await;
    }
    assert_eq!(fleet.unready(), [0]);
    fleet.replicas[0].1.down();
    fleet.pass(1000);
    fleet.ring(0).refresh().await.unwrap_err();
    assert_eq!(fleet.unready(), [0], "the lease goes on");
    fleet.pass(2 * REFRESH.as_millis() as i64);
    assert_eq!(fleet.unready(), NOBODY);
}

#[tokio::test]
async fn store_clock_that_jumps_makes_no_replica_unready() {
    let jumps: [&[i64]; 4] =
        [&[0, HOUR], &[HOUR, -HOUR], &[0, 0, OFF], &[HOUR, 2 * HOUR, 3 * HOUR, 5 * HOUR]];
    for jumps in jumps {
        let mut fleet = Fleet::new([0, 0]).await;
        for jump in jumps.iter().cycle().take(20) {
            fleet.pass(REFRESH.as_millis() as i64);
            fleet.store.show_time(shifted(fleet.now, *jump));
            for (replica, ..) in &fleet.replicas {
                replica.refresh().await;
            }
            assert_eq!(fleet.unready(), NOBODY, "{jumps:?}");
        }
        assert_eq!(fleet.leases().await, Vec::<String>::new());
    }
}

/// Each takes 200 seconds, in which the clock goes on: it may as well be right.
#[tokio::test]
async fn slow_reads_make_no_replica_unready() {
    let mut fleet = Fleet::new([OFF]).await;
    for _ in 0..5 {
        let (ring, store) = (fleet.ring(0).clone(), fleet.replicas[0].1.clone());
        store.forget_calls();
        store.hang(&[Operation::Load]);
        let reading = tokio::spawn(async move { ring.refresh().await });
        store.called(Operation::Load).await;
        fleet.pass(200_000);
        store.up();
        reading.await.unwrap().unwrap();
        let shown = fleet.ring(0).status().clock_offset.unwrap();
        assert!(shown.uncertainty_ms >= 100_000, "{shown:?}");
        assert_eq!(fleet.unready(), NOBODY);
    }
    assert_eq!(fleet.leases().await, Vec::<String>::new());
}

#[tokio::test]
async fn store_without_a_clock_makes_no_replica_unready() {
    let store = TestStore::new();
    let right = Replica::open(store.clone(), START).await;
    let wrong = Replica::open(store.sibling(), shifted(START, OFF)).await;
    let log = Events::capture();
    for _ in 0..5 {
        right.refresh().await;
        wrong.refresh().await;
        assert!(wrong.ring.ready().is_ok() && right.ring.ready().is_ok());
    }
    assert_eq!(wrong.ring.status().clock_offset, None);
    assert!(log.warnings().is_empty());
}

#[tokio::test]
async fn clock_warnings_come_once_for_each_change() {
    let scenario = async || {
        let mut fleet = Fleet::new([0]).await;
        for offset in [0, 16_000, OFF, 0] {
            fleet.step(0, offset);
            for _ in 0..5 {
                fleet.poll().await;
            }
        }
    };
    let messages = [
        "this replica's clock differs from the store's",
        "this replica is not ready because of its clock",
        "this replica is no longer unready because of its clock",
        "this replica's clock agrees with the store's again",
    ];
    let counts = |events: &Events| messages.map(|message| events.count(message));
    let events = Events::of(scenario, |events| counts(events) == [1; 4]).await;
    assert_eq!(counts(&events), [1; 4]);
    let all = events.all();
    let warned = all.iter().find(|event| event.message == messages[0]).unwrap();
    assert_eq!(warned.fields["offset_ms"], "16000");
}

#[tokio::test]
async fn lease_that_can_not_be_read_is_reported_and_replaced() {
    let mut fleet = Fleet::new([OFF]).await;
    fleet.store.put("clock-0000000007", b"nonsense").await;
    fleet.store.put("clock-7", b"nonsense").await;
    fleet.poll().await;
    let skipped = fleet.ring(0).status().skipped;
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    fleet.poll().await;
    fleet.poll().await;
    assert_eq!(fleet.unready(), [0]);
    let leases: BTreeSet<_> = fleet.leases().await.into_iter().collect();
    assert!(!leases.contains("clock-0000000007"), "{leases:?}");
}

#[tokio::test]
async fn future_token_warns_rarely_and_never_makes_unready() {
    const WARNING: &str =
        "a token of this ring was issued in the future: a replica's clock is wrong";
    let scenario = async || {
        let store = MemoryStore::new();
        let fast = Replica::open(store.clone(), shifted(START, OFF)).await;
        let slow = Replica::open(store, START).await;
        for _ in 0..100 {
            assert_eq!(slow.judge(&fast.issue()), Err(RejectionKind::IssuedInFuture));
        }
        assert!(slow.ring.ready().is_ok());
        // Half an hour, in steps of a minute: once for each ten.
        for _ in 0..30 {
            fast.clock.advance(seconds(60));
            slow.clock.advance(seconds(60));
            slow.judge(&fast.issue()).unwrap_err();
        }
    };
    let events = Events::of(scenario, |events| events.count(WARNING) == 4).await;
    assert_eq!(events.count(WARNING), 4);
}

#[tokio::test]
async fn future_token_without_valid_signature_warns_of_nothing() {
    let store = MemoryStore::new();
    let slow = Replica::open(store, START).await;
    let key_id = slow.ring.status().signing_key_id.unwrap();
    let log = Events::capture();
    let key = testing::fixed_key(Algorithm::EdDSA);
    let iat = START.as_unix_seconds() + 3600;
    let header = format!(r#"{{"alg":"EdDSA","typ":"session+jwt","kid":"{key_id}"}}"#);
    let claims = format!(
        r#"{{"iss":"https://app.example","aud":"app","sub":"a","jti":"j","sid":"s","iat":{iat},"exp":{}}}"#,
        iat + 60
    );
    for _ in 0..100 {
        let forged = testing::mint(&key, &header, &claims);
        assert_eq!(slow.judge(&forged), Err(RejectionKind::BadSignature));
    }
    assert!(log.warnings().is_empty());
}

/// Fixed keys that can sign are one's own; a public half is another's.
#[tokio::test]
async fn token_from_the_future_of_another_issuer_is_not_warned_of() {
    let clock = ManualClock::default();
    let key = testing::fixed_key(Algorithm::EdDSA);
    let jwk = serde_json::to_string(&key.to_jwk().unwrap()).unwrap();
    let public = tower_jwt_session::Key::from_jwk(jwk).unwrap();
    let ring = KeyRing::fixed([public]).clock(clock.clone()).build().unwrap();
    let sessions = Sessions::<()>::builder(ring, "https://app.example", "app").build().unwrap();
    let later = ManualClock::new(clock.now() + seconds(3600));
    let issuer = Replica::of(testing::fixed_ring(later.clone()), later, seconds(60));
    let log = Events::capture();
    let refused = sessions.validate(&issuer.issue()).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::IssuedInFuture);
    assert!(log.warnings().is_empty());
}

/// What a clock that is days ahead takes for ended stays in the store until its time is over by the store's clock.
#[tokio::test]
async fn clock_that_is_days_ahead_removes_no_key_of_others() {
    let mut fleet = Fleet::new([0]).await;
    fleet.poll().await;
    let right = &fleet.replicas[0].0;
    right.revoke(1).await;
    let token = right.issue();
    let before = fleet.store.entries().await;
    for days in [2, 5, 400] {
        fleet.join(days * 24 * HOUR).await;
        let (wrong, ..) = fleet.replicas.pop().unwrap();
        wrong.refresh().await;
        let after = fleet.store.entries().await;
        let kept = before.iter().filter(|(name, _)| !name.starts_with("clock-"));
        for (name, value) in kept {
            assert_eq!(after.get(name), Some(value), "{days} days ahead");
        }
        // As if all others had been killed.
        let newcomer = Replica::open(fleet.store.sibling(), fleet.now).await;
        assert_eq!(newcomer.judge(&token), Ok(()), "{days} days ahead");
        assert_eq!(newcomer.state(1), KeyState::Revoked, "{days} days ahead");
    }
}

/// A key whose time is over is removed once the store's clock agrees, also where that is behind.
#[tokio::test]
async fn ended_key_is_removed_when_it_is_over_by_the_stores_clock() {
    let store = TestStore::new();
    store.show_time(START);
    let replica = Replica::open(store.clone(), START).await;
    let over = replica.times(0).verifies_until + 2 * SKEW;
    let names = async || store.names().await;
    let first = names().await.into_iter().find(|it| it.starts_with("key-")).unwrap();
    for (shown, holds) in [(over - MILLI, true), (over, false)] {
        replica.clock.set(over + seconds(3600));
        store.show_time(shown);
        replica.refresh().await;
        assert_eq!(names().await.contains(&first), holds, "{shown}");
    }
}

/// The same where only writing shows the store's clock, which nobody sets.
#[tokio::test]
async fn clock_that_is_days_ahead_removes_no_key_from_a_directory() {
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    let open = async |now| Replica::open(FileStore::open(&keys).unwrap(), now).await;
    let now = SystemClock.now();
    let right = open(now).await;
    right.revoke(1).await;
    let token = right.issue();
    drop(right);
    for days in [2, 5, 400] {
        open(now + seconds(days * 86_400)).await.refresh().await;
        let newcomer = open(now).await;
        assert_eq!(newcomer.judge(&token), Ok(()), "{days} days ahead");
        assert_eq!(newcomer.state(1), KeyState::Revoked, "{days} days ahead");
    }
    // The one that ended long ago by all clocks goes.
    let old = place.path().join("old");
    let open = async |now| Replica::open(FileStore::open(&old).unwrap(), now).await;
    let first = open(now - seconds(30 * 86_400)).await.key(0).key_id;
    let later = open(now).await;
    later.refresh().await;
    let files = std::fs::read_dir(old.join("app")).unwrap().map(|file| file.unwrap().path());
    let texts =
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap());
    assert!(texts.into_iter().all(|text| !text.contains(&first)));
}
