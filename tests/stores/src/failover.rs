//! Failovers: a server and one that follows it, behind an address that moves while connections stay
//! open. The old server is isolated: it goes on to say that it takes writes, and takes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tower_jwt_session::store::{Insertion, RefreshTokenStore, Store};
use tower_jwt_session::testing::fixed_ring;
use tower_jwt_session::{Login, Revocations, Sessions, SystemClock};

use crate::forwarder::Forwarder;
use crate::revocations::is_refused;
use crate::scenarios::{PROMPT, assert_hidden, eventually};
use crate::support::entries::{content, held, insert, last, name, redeem};
use crate::{Backend, Test, block_on};

/// For how long a store relies on a connection, and a little more.
pub(crate) const RELIED_ON: Duration = Duration::from_millis(1100);

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    vec![
        ("failover_an_isolated_old_server_is_left_by_readers_and_writers", |_: Arc<B>| {
            block_on(an_isolated_old_server_is_left_by_readers_and_writers::<B>());
        }),
        ("failover_revocations_at_the_new_server_are_seen_within_the_bound", |_: Arc<B>| {
            block_on(revocations_at_the_new_server_are_seen_within_the_bound::<B>());
        }),
        ("failover_an_address_that_leads_to_a_replica_is_an_error", |_: Arc<B>| {
            block_on(an_address_that_leads_to_a_replica_is_an_error::<B>());
        }),
    ]
}

async fn an_isolated_old_server_is_left_by_readers_and_writers<B: Backend>() {
    let (old, new) = B::pair().await;
    let address = Forwarder::to(old.port()).await;
    let database = old.database().await;
    old.open(&database).await;
    let store = old.open_at(&database, address.port).await;
    insert(&store, "ring", "before", b"1").await;
    redeem(&store, "ring", "family", 0, 1).await;
    store.changed("ring").await.expect("listens");
    new.caught_up(&old).await;
    new.promote().await;
    address.move_to(new.port());

    let (at_old, at_new) =
        (old.open_at(&database, old.port()).await, new.open_at(&database, new.port()).await);
    insert(&at_new, "ring", "after", b"1").await;
    assert_eq!(redeem(&at_new, "ring", "family", 1, 2).await, last(1, 2));
    sleep(RELIED_ON).await;
    let expected = BTreeMap::from([held("before", b"1"), held("after", b"1")]);
    assert_eq!(content(&store, "ring").await, expected, "it still reads the old server");
    assert_eq!(redeem(&store, "ring", "family", 0, 3).await, last(1, 2));

    // What is written is where readers are, and not at the old server.
    assert_eq!(insert(&store, "ring", "written", b"1").await, Insertion::Inserted);
    store.remove("ring", &name("before")).await.expect("removes");
    let expected = BTreeMap::from([held("after", b"1"), held("written", b"1")]);
    assert_eq!(content(&at_new, "ring").await, expected);
    assert_eq!(content(&at_old, "ring").await, BTreeMap::from([held("before", b"1")]));

    // The connection that listens has moved, too.
    let waken = async || {
        let changed = timeout(PROMPT, store.changed("ring")).await;
        changed.expect("is woken").expect("listens");
    };
    waken().await;
    sleep(Duration::from_millis(500)).await;
    while timeout(Duration::from_millis(300), store.changed("ring")).await.is_ok() {}
    insert(&at_new, "ring", "pushed", b"1").await;
    waken().await;
}

/// As long as nobody writes there, a replica has no reason to leave the old server but its polls.
async fn revocations_at_the_new_server_are_seen_within_the_bound<B: Backend>() {
    let (old, new) = B::pair().await;
    let address = Forwarder::to(old.port()).await;
    let database = old.database().await;
    old.open(&database).await;
    let sessions = async |store: B::Store| {
        let revocations = Revocations::builder("app").store(store);
        let revocations = revocations.refresh_interval(Duration::from_millis(500));
        let revocations = revocations.refresh_timeout(Duration::from_secs(5));
        let revocations =
            revocations.insert_timeout(Duration::from_secs(5)).found_now().open().await;
        let sessions = Sessions::builder(fixed_ring(SystemClock), "https://app.example", "app");
        let sessions = sessions.revocations(revocations.expect("opens"));
        sessions.build().expect("good settings")
    };
    let reader: Sessions<()> = sessions(old.open_at(&database, address.port).await).await;
    let token = reader.issue(&Login::new("alice", ())).expect("a key signs");
    let token = token.as_str();
    sleep(Duration::from_millis(300)).await;
    new.caught_up(&old).await;
    new.promote().await;
    address.move_to(new.port());

    let admin: Sessions<()> = sessions(new.open_at(&database, new.port()).await).await;
    let began = Instant::now();
    admin.revoke_subject("alice").await.expect("is recorded");
    eventually("the reader refuses the session", async || is_refused(&reader, token)).await;
    let bound = reader.revocations().expect("has some").refresh_bound();
    // The bound itself is checked in virtual time; this machine may be busy.
    assert!(began.elapsed() < bound + PROMPT, "{:?}", began.elapsed());
}

async fn an_address_that_leads_to_a_replica_is_an_error<B: Backend>() {
    let (old, new) = B::pair().await;
    let address = Forwarder::to(old.port()).await;
    let database = old.database().await;
    old.open(&database).await;
    let store = old.open_at(&database, address.port).await;
    insert(&store, "ring", "before", b"1").await;
    new.caught_up(&old).await;
    address.move_to(new.port());
    sleep(RELIED_ON).await;
    let entry = crate::support::entries::entry("late", b"1");
    let redemption = crate::support::entries::redemption("family", 0, 1);
    for error in [
        store.load("ring").await.expect_err("can't load"),
        store.insert("ring", &entry).await.expect_err("can't insert"),
        store.remove("ring", &entry.name).await.expect_err("can't remove"),
        store.redeem("ring", &redemption).await.expect_err("can't redeem"),
    ] {
        assert_hidden::<B>(&error);
        assert!(error.to_string().contains(B::OF_A_REPLICA), "{error}");
        assert!(error.to_string().contains("takes writes"), "{error}");
    }
    new.promote().await;
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("before", b"1")]));
    assert_eq!(insert(&store, "ring", "late", b"1").await, Insertion::Inserted);
}
