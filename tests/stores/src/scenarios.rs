//! Scenarios for every store in a server.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};
use tower_jwt_session::store::{Insertion, RefreshTokenStore, SealingNeed, Store, StoreError};
use tower_jwt_session::testing::{ManualClock, store_contract};
use tower_jwt_session::{Clock, KeyRing, KeyState, NotReadyKind, SystemClock, Timestamp};

use crate::dying_writers;
use crate::rings;
use crate::support::counted::Counted;
use crate::support::entries::{
    content, entry, held, insert, last, name, redeem, redemption,
    redemptions_and_entries_do_not_see_each_other,
};
use crate::{Backend, Test, block_on};

/// Far sooner than any poll of these tests, which is an hour, and enough on a machine that is busy.
pub(crate) const PROMPT: Duration = Duration::from_secs(60);

pub(crate) fn all<B: Backend>() -> Vec<Test<B>> {
    macro_rules! contract {
        ($suite:ident, $empty_store:path: $($promise:ident)+) => {
            [$((concat!("contract::", stringify!($promise)), |server: Arc<B>| {
                block_on(async {
                    store_contract::$suite::$promise($empty_store(&*server).await).await;
                });
            })),+]
        };
    }
    macro_rules! scenarios {
        ($($scenario:ident)+) => {
            [$((stringify!($scenario), |server: Arc<B>| block_on($scenario(&*server)))),+]
        };
    }
    let of_stores: [Test<B>; 14] = store_contract::store_tests!(empty_store, contract!);
    let of_refresh_tokens: [Test<B>; 6] =
        store_contract::refresh_token_store_tests!(empty_store, contract!);
    let of_revocations: [Test<B>; 18] =
        store_contract::revocation_store_tests!(empty_store, contract!);
    let more: [Test<B>; 19] = scenarios! {
        writers_that_die_leave_whole_records
        a_cursor_of_another_store_is_a_gap
        hints_are_at_most_about_two_a_second
        redemptions_are_no_entries
        it_asks_for_sealing
        every_read_returns_the_time_of_the_server
        a_clock_that_differs_from_the_servers_is_shown_and_makes_one_replica_unready
        a_killed_server_is_an_error_until_it_is_back
        a_server_that_restarts_at_once_is_used_at_once
        a_password_shows_nowhere
        invalid_entry_is_reported_and_hides_nothing
        change_is_notified_at_once
        change_while_busy_is_notified
        a_lost_connection_is_followed_by_a_wake_up
        a_server_that_came_back_is_followed_by_a_wake_up
        the_connection_that_listens_ends_with_the_store
        two_rotators_make_one_key_per_generation
        five_replicas_that_boot_at_once_have_one_ring
        a_rotation_and_a_revocation_are_pushed
    };
    let of_rings = of_stores.into_iter().chain(of_refresh_tokens);
    of_rings.chain(of_revocations).chain(more).collect()
}

async fn empty_store<B: Backend>(server: &B) -> impl AsyncFn() -> B::Store {
    let database = server.database().await;
    async move || server.open(&database).await
}

async fn a_cursor_of_another_store_is_a_gap<B: Backend>(server: &B) {
    let (one, other) = (empty_store(server).await, empty_store(server).await);
    store_contract::revocation_store::a_cursor_of_another_store_is_a_gap(one, other).await;
}

async fn writers_that_die_leave_whole_records<B: Backend>(server: &B) {
    dying_writers::writers_that_die_leave_whole_records(empty_store(server).await).await;
}

async fn hints_are_at_most_about_two_a_second<B: Backend>(server: &B) {
    let open = empty_store(server).await;
    store_contract::revocation_store::hints_are_at_most_about_two_a_second(open).await;
}

/// Two handles to an empty store, with connections of their own.
async fn two<B: Backend>(server: &B) -> (String, B::Store, B::Store) {
    let database = server.database().await;
    let (one, two) = (server.open(&database).await, server.open(&database).await);
    (database, one, two)
}

async fn redemptions_are_no_entries<B: Backend>(server: &B) {
    let (_, store, _) = two(server).await;
    redemptions_and_entries_do_not_see_each_other(&store).await;
}

async fn it_asks_for_sealing<B: Backend>(server: &B) {
    let (_, store, _) = two(server).await;
    let properties = store.properties();
    assert_eq!(properties.sealing_need, SealingNeed::Required);
    // For how long a connection is relied on, whose server may not be current any more.
    assert_eq!(properties.staleness, Duration::from_secs(1));
}

/// Also of a ring that is empty: a replica that starts there wants to know.
async fn every_read_returns_the_time_of_the_server<B: Backend>(server: &B) {
    let (_, store, _) = two(server).await;
    let names = [name("a"), name("b")];
    for _ in 0..2 {
        let before = SystemClock.now();
        let read = store.read("ring", &names).await.expect("reads").store_time.expect("a time");
        let loaded = store.load("ring").await.expect("loads").store_time.expect("a time");
        let after = SystemClock.now();
        // It is the clock of this machine, which two processes may read with some difference. How busy the
        // machine is does not matter: both ends are read around it.
        let near = before.as_unix_millis() - 50..=after.as_unix_millis() + 50;
        for time in [read, loaded] {
            assert!(near.contains(&time.as_unix_millis()), "{time} is not in {before}..{after}");
        }
        assert!(read <= loaded, "{read} {loaded}");
        insert(&store, "ring", "a", b"1").await;
    }
}

/// The clocks of the right ring and the server are one. Three more are 90 seconds ahead or behind.
async fn a_clock_that_differs_from_the_servers_is_shown_and_makes_one_replica_unready<
    B: Backend,
>(
    server: &B,
) {
    let database = server.database().await;
    let ahead = Duration::from_secs(90);
    let shifted = |offset: i64| {
        let now = SystemClock.now();
        ManualClock::new(if offset < 0 { now - ahead } else { now + ahead })
    };
    let open = async |clock: Arc<dyn Clock>| {
        let store = server.open(&database).await;
        rings::open("clocks", store, rings::hardly_polled(), Shared(clock)).await
    };
    let right = open(Arc::new(SystemClock)).await;
    let wrong = [
        (open(Arc::new(shifted(1))).await, 90_000),
        (open(Arc::new(shifted(-1))).await, -90_000),
        (open(Arc::new(shifted(1))).await, 90_000),
    ];
    for _ in 0..4 {
        for ring in wrong.iter().map(|(ring, _)| ring).chain([&right]) {
            ring.refresh().await.expect("refreshes");
        }
    }
    let offset = |ring: &KeyRing| {
        let offset = ring.status().clock_offset.expect("the server has a clock");
        // It takes little, also on a machine that is busy.
        assert!(offset.uncertainty_ms < 2000, "{offset:?}");
        offset.offset_ms
    };
    assert!(offset(&right).abs() < 5000, "{:?}", right.status());
    right.ready().expect("its clock is right");
    let unready = wrong.iter().filter(|(ring, expected)| {
        // Manual clocks stand still, and so fall behind.
        let fallen = expected - offset(ring);
        assert!((-2000..30_000).contains(&fallen), "{expected}: {:?}", ring.status());
        match ring.ready() {
            Ok(()) => false,
            Err(unready) => {
                assert_eq!(unready.kind(), NotReadyKind::Clock, "{unready}");
                unready.to_string().contains(&format!(" {} ms ", offset(ring).abs()))
            }
        }
    });
    assert_eq!(unready.count(), 1);
    let entries = server.open(&database).await.load("clocks").await.expect("loads").entries;
    let leases = entries.iter().filter(|entry| entry.name.as_str().starts_with("clock-"));
    assert_eq!(leases.count(), 1);
}

/// A clock of which others hold a part.
#[derive(Clone, Debug)]
struct Shared(Arc<dyn Clock>);

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// Within the time for which its old process is relied on.
async fn a_server_that_restarts_at_once_is_used_at_once<B: Backend>(_: &B) {
    let mut server = B::start().await;
    let database = server.database().await;
    let store = server.open(&database).await;
    for round in ["a", "b", "c"] {
        insert(&store, "ring", round, b"1").await;
        server.kill();
        server.restart().await;
        let loaded = store.load("ring").await.unwrap_or_else(|error| panic!("{round}: {error}"));
        assert!(!loaded.entries.is_empty());
    }
}

async fn a_killed_server_is_an_error_until_it_is_back<B: Backend>(_: &B) {
    let mut server = B::start().await;
    let database = server.database().await;
    let store = server.open(&database).await;
    insert(&store, "ring", "a", b"1").await;
    assert_eq!(redeem(&store, "ring", "session", 6, 1).await, last(6, 1));
    for round in ["b", "c"] {
        server.kill();
        for _ in 0..2 {
            for error in errors(&store).await {
                assert!(error.to_string().contains("ring"), "{error}");
                assert!(error.source().is_some(), "{error}");
                assert_hidden::<B>(&error);
            }
        }
        server.restart().await;
        // The first call may find nothing but dead connections.
        let started = Instant::now();
        assert!(store.load("ring").await.expect("loads").entries.len() < 3);
        assert_eq!(insert(&store, "ring", round, b"2").await, Insertion::Inserted);
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    }
    let expected = BTreeMap::from([held("a", b"1"), held("b", b"2"), held("c", b"2")]);
    assert_eq!(content(&store, "ring").await, expected);
    // Neither was it forgotten, nor was anything redeemed that was answered with an error.
    assert_eq!(redeem(&store, "ring", "session", 5, 2).await, last(6, 1));
}

async fn errors(store: &(impl Store + RefreshTokenStore)) -> [StoreError; 4] {
    let name = name("a");
    let redemption = redemption("session", 7, 2);
    let limit = Duration::from_secs(10);
    [
        timeout(limit, store.load("ring")).await.expect("in time").expect_err("can't load"),
        timeout(limit, store.insert("ring", &entry("x", b"2")))
            .await
            .expect("in time")
            .expect_err("can't insert"),
        timeout(limit, store.remove("ring", &name))
            .await
            .expect("in time")
            .expect_err("can't remove"),
        timeout(limit, store.redeem("ring", &redemption))
            .await
            .expect("in time")
            .expect_err("can't redeem"),
    ]
}

/// Neither an error nor what caused it shows the password.
pub(crate) fn assert_hidden<B: Backend>(error: &(dyn Error + 'static)) {
    let mut printed = format!("{error:?} {error:#?}");
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        printed += &format!(" {error} {error:?}");
        cause = error.source();
    }
    assert!(!printed.contains(B::PASSWORD), "{printed}");
}

async fn a_password_shows_nowhere<B: Backend>(server: &B) {
    let (_, store, _) = two(server).await;
    for printed in [format!("{store:?}"), format!("{store:#?}")] {
        assert!(!printed.contains(B::PASSWORD), "{printed}");
    }
}

async fn invalid_entry_is_reported_and_hides_nothing<B: Backend>(server: &B) {
    let (database, store, _) = two(server).await;
    insert(&store, "ring", "a", b"1").await;
    insert(&store, "other", "a", b"2").await;
    let planted = server.plant(&database, "ring").await;
    let loaded = store.load("ring").await.expect("loads");
    assert_eq!(loaded.entries, [entry("a", b"1")]);
    assert_eq!(loaded.skipped.len(), planted, "{:?}", loaded.skipped);
    let long = loaded.skipped.iter().find(|skipped| skipped.name.contains("too-long"));
    assert!(long.is_some_and(|long| long.reason.contains("65537 bytes, more than 65536")));
    for skipped in &loaded.skipped {
        assert!(skipped.name.contains("ring"), "{skipped:?}");
        assert!(skipped.name.len() < 300 && !skipped.name.contains('\n'), "{skipped:?}");
    }
    // The other ring is as it was.
    assert_eq!(content(&store, "other").await, BTreeMap::from([held("a", b"2")]));
}

/// Waits for a change, and says how long that took.
async fn notified(store: &dyn Store) -> Duration {
    let began = Instant::now();
    let changed = timeout(PROMPT, store.changed("ring")).await;
    changed.expect("is notified").expect("listens");
    began.elapsed()
}

async fn assert_not_notified(store: &dyn Store) {
    let changed = timeout(Duration::from_millis(300), store.changed("ring")).await;
    changed.expect_err("nothing has changed");
}

async fn change_is_notified_at_once<B: Backend>(server: &B) {
    let (_, one, two) = two(server).await;
    // The first time as soon as it listens.
    assert!(notified(&two).await < PROMPT);
    assert_not_notified(&two).await;
    for round in 0..20 {
        let waiting = tokio::spawn({
            let two = two.clone();
            async move {
                notified(&two).await; // A clone's first time.
                notified(&two).await
            }
        });
        sleep(Duration::from_millis(20)).await;
        insert(&one, "ring", &format!("a-{round}"), b"1").await;
        let took = waiting.await.expect("ends");
        assert!(took < PROMPT, "round {round} took {took:?}");
        assert!(notified(&two).await < PROMPT);
    }
    // Neither one who was too late nor another ring is a change.
    insert(&one, "ring", "a-0", b"2").await;
    insert(&one, "other", "a", b"1").await;
    assert_not_notified(&two).await;
}

async fn change_while_busy_is_notified<B: Backend>(server: &B) {
    let (database, one, two) = two(server).await;
    notified(&two).await;
    for round in 0..5 {
        insert(&one, "ring", &format!("a-{round}"), b"1").await;
    }
    sleep(Duration::from_millis(300)).await;
    // Once for all that came since.
    assert!(notified(&two).await < PROMPT);
    assert_not_notified(&two).await;
    // A wait that times out loses no later change.
    for round in 5..10 {
        let gave_up = timeout(Duration::from_millis(1), two.changed("ring")).await;
        gave_up.expect_err("nothing has changed");
        insert(&one, "ring", &format!("a-{round}"), b"1").await;
        assert!(notified(&two).await < PROMPT);
    }
    // Any number of clones and rings share a connection.
    for ring in ["ring", "b", "c"] {
        two.clone().changed(ring).await.expect("listens");
    }
    assert_eq!(server.listeners(&database).await, 1);
}

async fn a_lost_connection_is_followed_by_a_wake_up<B: Backend>(server: &B) {
    let (database, one, two) = two(server).await;
    notified(&two).await;
    for round in 0..3 {
        server.disconnect(&database).await;
        assert!(notified(&two).await < PROMPT, "round {round}");
        assert_not_notified(&two).await;
        insert(&one, "ring", &format!("a-{round}"), b"1").await;
        assert!(notified(&two).await < PROMPT, "round {round}");
    }
}

async fn a_server_that_came_back_is_followed_by_a_wake_up<B: Backend>(_: &B) {
    let mut server = B::start().await;
    let database = server.database().await;
    let (one, two) = (server.open(&database).await, server.open(&database).await);
    notified(&two).await;
    server.kill();
    let waiting = tokio::spawn(async move {
        two.changed("ring").await.expect("listens");
        two
    });
    sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished(), "notified of a change by a dead server");
    server.restart().await;
    let woken = timeout(PROMPT, waiting).await;
    let two = woken.expect("is woken").expect("ends");
    insert(&one, "ring", "a", b"1").await;
    assert!(notified(&two).await < PROMPT);
}

async fn the_connection_that_listens_ends_with_the_store<B: Backend>(server: &B) {
    let (database, one, two) = two(server).await;
    notified(&one).await;
    let clone = one.clone();
    drop(one);
    notified(&two).await;
    assert_eq!(server.listeners(&database).await, 2);
    drop((clone, two));
    eventually("nobody listens", async || server.listeners(&database).await == 0).await;
}

async fn two_rotators_make_one_key_per_generation<B: Backend>(server: &B) {
    const TRIALS: u64 = 300;
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let (_, one, two) = two(server).await;
    // All of it is over by the server's clock.
    let start = SystemClock.now() - DAY * (TRIALS as u32 + 30);
    let (clock, policy) = (ManualClock::new(start), rings::hardly_polled());
    let lost = Arc::new(AtomicUsize::new(0));
    let open = async |store: B::Store| {
        let store = Counted { store, lost: Arc::clone(&lost) };
        rings::open("ring", store, policy.clone(), clock.clone()).await
    };
    let replicas = [open(one).await, open(two.clone()).await];
    let highest = |ring: &KeyRing| ring.status().keys.iter().map(|key| key.generation).max();
    let first = highest(&replicas[0]).expect("has keys");
    for trial in 1..=TRIALS {
        clock.advance(DAY);
        let start = Arc::new(Barrier::new(2));
        let refreshes = replicas.clone().map(|ring| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                ring.refresh().await.expect("refreshes");
            })
        });
        for refresh in refreshes {
            refresh.await.expect("ends");
        }
        let [one, two] = replicas.each_ref().map(KeyRing::status);
        assert_eq!(one.fingerprint, two.fingerprint, "trial {trial}");
        assert_eq!(one.skipped, [""; 0], "trial {trial}");
        let generations: BTreeSet<_> = one.keys.iter().map(|key| key.generation).collect();
        assert_eq!(generations.len(), one.keys.len(), "trial {trial}");
        assert_eq!(generations.last(), Some(&(first + trial)), "trial {trial}");
    }
    let lost = lost.load(Ordering::Relaxed);
    assert!(lost > 0, "nobody ever raced");
    // What has ended was removed: the store holds little more than the ring does.
    let held = content(&two, "ring").await.len();
    assert!(held < 10, "{held} entries");
}

async fn five_replicas_that_boot_at_once_have_one_ring<B: Backend>(server: &B) {
    let database = server.database().await;
    let mut stores = Vec::new();
    for _ in 0..5 {
        stores.push(server.open(&database).await);
    }
    for trial in 0..100 {
        let start = Arc::new(Barrier::new(stores.len()));
        let boots = stores.iter().map(|store| {
            let (store, start) = (store.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                let name = format!("ring-{trial}");
                let ring = rings::open(&name, store, rings::hardly_polled(), SystemClock).await;
                ring.ready().expect("is ready");
                ring
            })
        });
        let mut replicas = Vec::new();
        for boot in boots.collect::<Vec<_>>() {
            replicas.push(boot.await.expect("boots"));
        }
        let mut fingerprints = BTreeSet::new();
        let mut signing = BTreeSet::new();
        for ring in &replicas {
            ring.refresh().await.expect("refreshes");
            let status = ring.status();
            fingerprints.insert(status.fingerprint);
            signing.insert(status.signing_key_id);
            let generations: BTreeSet<_> = status.keys.iter().map(|key| key.generation).collect();
            assert_eq!(generations.len(), status.keys.len(), "trial {trial}");
        }
        assert_eq!((fingerprints.len(), signing.len()), (1, 1), "trial {trial}");
    }
}

async fn a_rotation_and_a_revocation_are_pushed<B: Backend>(server: &B) {
    let (database, one, two) = two(server).await;
    let one = rings::open("ring", one, rings::hardly_polled(), SystemClock).await;
    let two = rings::open("ring", two, rings::hardly_polled(), SystemClock).await;
    eventually("both listen", async || server.listeners(&database).await == 2).await;
    // Until both have refreshed themselves because they now listen.
    sleep(Duration::from_millis(500)).await;

    let signing = two.status().signing_key_id.expect("signs");
    let began = Instant::now();
    one.rotate_now().await.expect("rotates");
    eventually("the other knows of it", async || {
        let keys = two.status().keys;
        keys.iter().any(|key| key.key_id == signing && key.retire_at.is_some())
    })
    .await;
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());

    let began = Instant::now();
    one.revoke(&signing).await.expect("revokes");
    eventually("the other knows of it", async || {
        let keys = two.status().keys;
        keys.iter().any(|key| key.key_id == signing && key.state == KeyState::Revoked)
    })
    .await;
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    eventually("both hold the same", async || one.status().fingerprint == two.status().fingerprint)
        .await;
}

/// Waits until something holds, for a minute at most.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PROMPT, "{what}: not in time");
        sleep(Duration::from_millis(5)).await;
    }
}
