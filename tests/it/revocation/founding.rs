//! Founding: a newcomer on a store that lost its revocations accepts nothing before live replicas
//! have had the time to restore them. Time is Tokio's, which is paused; the replicas' own clocks stand
//! still.

use std::collections::BTreeMap;

use tokio::time::{Instant, sleep, timeout};
use tower_jwt_session::NotReadyKind;

use super::*;
use crate::support::stores::{Reach, TestStore};

/// How long a newcomer waits where the store reports changes.
const NOTIFIED: Duration = Duration::from_secs(3);
/// The refresh bound and a write: 66 s, 5 s and 10 s.
const POLLED: Duration = Duration::from_secs(66 + 5 + 10);
const LATE: Duration = Duration::from_millis(500);

fn wait(reach: Reach) -> Duration {
    if reach == Reach::Notifying { NOTIFIED } else { POLLED }
}

/// A replica that relies at once on an empty store.
async fn founder(store: &TestStore) -> Replica {
    let clock = ManualClock::new(START);
    Replica::of(builder(store.sibling(), &clock).found_now(), clock).await
}

/// A replica with the default of founding.
async fn newcomer(store: &TestStore) -> Replica {
    let began = Instant::now();
    let replica = Replica::open(store.sibling()).await;
    assert!(began.elapsed() < LATE, "`open` does not wait");
    replica
}

/// How long it takes until the replica is ready; until then it accepts no token.
async fn ready_after(replica: &Replica, token: &str) -> Duration {
    let began = Instant::now();
    let ready = async {
        while let Err(unready) = replica.revocations.ready() {
            assert_eq!(unready.kind(), NotReadyKind::Founding, "{unready}");
            let judged = replica.judge(token).expect_err("is not accepted");
            let is_temporary = matches!(judged, RejectionKind::StaleRevocations { .. });
            assert!(is_temporary || judged == RejectionKind::Revoked, "{judged:?}");
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(seconds(600), ready).await.expect("becomes ready");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn emptied_store_and_restarted_replica_accept_no_ended_session() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let live = [founder(&store).await, founder(&store).await];
        let [ended, good] = ["alice", "bob"].map(|subject| live[0].login(subject));
        live[0].logout(&ended).await;
        live[1].refresh().await;
        store.restore_of(PLACE, &BTreeMap::new()).await;

        let restarted = newcomer(&store).await;
        let unready = restarted.revocations.ready().expect_err("waits");
        let expected = format!("does not hold the revocations: waiting since {START}");
        assert!(unready.to_string().contains(&expected), "{unready}");
        let took = ready_after(&restarted, &ended).await;
        assert!(took < wait(reach), "{took:?}");
        assert_eq!(restarted.judge(&ended), Err(RejectionKind::Revoked));
        assert_eq!(restarted.judge(&good), Ok(()));
        // A replica that waited removes its notes.
        sleep(POLLED).await;
        let names: Vec<_> = store.entries_of(PLACE).await.into_keys().collect();
        assert_eq!(names.len(), 2, "the marker and a mark: {names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn store_without_revocations_is_trusted_after_the_wait() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let first = newcomer(&store).await;
        let token = first.login("alice");
        let took = ready_after(&first, &token).await;
        assert!((wait(reach)..wait(reach) + LATE).contains(&took), "{took:?}");
        assert_eq!(first.judge(&token), Ok(()));
        sleep(POLLED).await;
        let names: Vec<_> = store.entries_of(PLACE).await.into_keys().collect();
        assert_eq!(names, ["founded"]);

        let second = newcomer(&store).await;
        assert_eq!(second.revocations.ready(), Ok(()));
        second.logout(&token).await;
        first.refresh().await;
        assert_eq!(first.judge(&token), Err(RejectionKind::Revoked));
    }
}

/// It has nothing to restore but the word that there is nothing.
#[tokio::test(start_paused = true)]
async fn live_replica_without_revocations_answers_a_newcomer() {
    let store = TestStore::shared(Reach::Notifying);
    let live = founder(&store).await;
    let token = live.login("alice");
    store.restore_of(PLACE, &BTreeMap::new()).await;
    let restarted = newcomer(&store).await;
    let took = ready_after(&restarted, &token).await;
    assert!(took < seconds(1), "{took:?}");
    assert_eq!(restarted.judge(&token), Ok(()));
}

/// Only the marker, which a restoration writes last, says that all is there.
#[tokio::test(start_paused = true)]
async fn half_restored_revocations_are_not_relied_on() {
    let store = TestStore::shared(Reach::Notifying);
    let live = founder(&store).await;
    let tokens = ["alice", "bob"].map(|subject| live.login(subject));
    for token in &tokens {
        live.logout(token).await;
    }
    let whole = store.entries_of(PLACE).await;
    drop(live);
    store.restore_of(PLACE, &BTreeMap::new()).await;
    let restarted = newcomer(&store).await;
    for (name, value) in whole.iter().filter(|(name, _)| *name != "founded") {
        store.put_of(PLACE, name, value).await;
        sleep(seconds(1)).await;
        assert!(restarted.revocations.ready().is_err(), "{name}");
    }
    store.put_of(PLACE, "founded", &whole["founded"]).await;
    assert!(ready_after(&restarted, &tokens[0]).await < seconds(1));
    for token in &tokens {
        assert_eq!(restarted.judge(token), Err(RejectionKind::Revoked));
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_private_store_and_a_setting_need_no_wait() {
    let private = Replica::open(TestStore::new()).await;
    let founder = founder(&TestStore::shared(Reach::Polled)).await;
    for replica in [private, founder] {
        assert_eq!(replica.revocations.ready(), Ok(()));
        assert_eq!(replica.judge(&replica.login("alice")), Ok(()));
    }
}
