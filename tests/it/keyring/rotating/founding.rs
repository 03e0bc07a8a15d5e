//! Founding: a newcomer on an empty store lets live replicas restore their ring before it founds
//! one. Time is Tokio's, which is paused; the replicas' own clocks stand still.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tower_jwt_session::store::{FileStore, Store};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{KeyRing, KeyRingBuilder, NotReadyKind, OperationErrorKind, RejectionKind};

use crate::support::replicas::{
    LIFE, RING, Replica, SKEW, START, assert_converged, assert_served_everywhere, policy, seconds,
};
use crate::support::stores::{Operation, Reach, TestStore};

/// How long a newcomer waits where the store reports changes.
const NOTIFIED: Duration = Duration::from_secs(3);
/// The refresh bound and a write of the replicas' policy.
const POLLED: Duration = Duration::from_secs(70 + 10);
/// How late a newcomer may be beyond its wait.
const LATE: Duration = Duration::from_millis(500);

/// A store that other processes could reach.
enum Place {
    Test(TestStore),
    Directory(TempDir),
}

enum Opened {
    Test(TestStore),
    File(FileStore),
}

impl Place {
    fn all() -> [Self; 3] {
        [
            Self::Test(TestStore::shared(Reach::Notifying)),
            Self::Test(TestStore::shared(Reach::Polled)),
            Self::Directory(tempfile::tempdir().expect("a temporary directory")),
        ]
    }

    fn path(directory: &TempDir) -> PathBuf {
        directory.path().join("keys")
    }

    /// A connection of its own.
    fn open(&self) -> Opened {
        match self {
            Self::Test(store) => Opened::Test(store.sibling()),
            Self::Directory(place) => {
                Opened::File(FileStore::open(Self::path(place)).expect("opens"))
            }
        }
    }

    fn notifies(&self) -> bool {
        match self.open() {
            Opened::Test(store) => store.properties().notifies,
            Opened::File(store) => store.properties().notifies,
        }
    }

    fn wait(&self) -> Duration {
        if self.notifies() { NOTIFIED } else { POLLED }
    }

    async fn names(&self) -> Vec<String> {
        match self {
            Self::Test(store) => store.names().await,
            Self::Directory(place) => {
                let store = FileStore::open(Self::path(place)).expect("opens");
                let entries = store.load(RING).await.expect("loads").entries;
                entries.into_iter().map(|entry| entry.name.to_string()).collect()
            }
        }
    }

    /// Empties the store as an operator would.
    async fn purge(&self) {
        match self {
            Self::Test(store) => store.purge().await,
            Self::Directory(place) => {
                self.open();
                for item in std::fs::read_dir(Self::path(place)).expect("lists") {
                    std::fs::remove_dir_all(item.expect("lists").path()).expect("removes");
                }
            }
        }
    }

    /// A replica that founds the ring at once if it is not there.
    async fn founder(&self) -> Replica {
        match self.open() {
            Opened::Test(store) => Replica::open(store, START).await,
            Opened::File(store) => Replica::open(store, START).await,
        }
    }

    /// A replica with the default of founding.
    async fn newcomer(&self) -> Replica {
        match self.open() {
            Opened::Test(store) => newcomer(store).await,
            Opened::File(store) => newcomer(store).await,
        }
    }
}

fn builder(store: impl Store) -> (KeyRingBuilder, ManualClock) {
    let clock = ManualClock::new(START);
    (KeyRing::builder(RING).store(store).rotation(policy()).clock(clock.clone()), clock)
}

async fn newcomer(store: impl Store) -> Replica {
    let (builder, clock) = builder(store);
    let began = Instant::now();
    let ring = builder.open().await.expect("opens");
    assert!(began.elapsed() < LATE, "`open` does not wait");
    Replica::of(ring, clock, LIFE)
}

/// How long it takes until the replica is ready. It refreshes by itself.
async fn ready_after(replica: &Replica) -> Duration {
    let began = Instant::now();
    let ready = async {
        while replica.ring.ready().is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(seconds(600), ready).await.expect("becomes ready");
    began.elapsed()
}

/// It issues nothing, knows no key, and says why.
#[track_caller]
fn assert_waits(replica: &Replica, is_restored: bool) {
    let unready = replica.ring.ready().unwrap_err();
    assert_eq!(unready.kind(), NotReadyKind::Founding, "{unready}");
    let unready = unready.to_string();
    assert!(unready.contains(&format!("waiting since {START}")), "{unready}");
    assert_eq!(unready.contains("a live replica is restoring what it held"), is_restored);
    assert!(
        matches!(replica.try_issue(), Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
}

fn notes(names: Vec<String>) -> Vec<String> {
    let is_note = |name: &String| name.starts_with("newcomer-") || name.starts_with("holder-");
    names.into_iter().filter(is_note).collect()
}

#[tokio::test(start_paused = true)]
async fn emptied_store_and_restarted_replica_keep_one_ring() {
    for place in Place::all() {
        let live = [place.founder().await, place.founder().await];
        let stopped = place.founder().await;
        let (before, tokens) = (live[0].fingerprint(), [live[0].issue(), stopped.issue()]);
        drop(stopped);
        place.purge().await;
        let restarted = place.newcomer().await;
        assert_waits(&restarted, false);
        assert_eq!(restarted.judge(&tokens[0]), Err(RejectionKind::UnknownKey));

        let took = ready_after(&restarted).await;
        assert!(took < place.wait(), "{took:?}");
        let all = [&live[0], &live[1], &restarted];
        for (replica, token) in all.iter().flat_map(|it| tokens.iter().map(move |to| (it, to))) {
            assert_eq!(replica.judge(token), Ok(()));
        }
        assert_eq!(restarted.fingerprint(), before, "no other ring was founded");
        assert_served_everywhere(&all);
        // A replica that waited removes its notes, and none waits any more.
        sleep(POLLED).await;
        assert_eq!(place.names().await.len(), 3, "{:?}", place.names().await);
        assert_converged(&all);
    }
}

#[tokio::test(start_paused = true)]
async fn empty_store_is_founded_after_the_wait() {
    for place in Place::all() {
        let first = place.newcomer().await;
        assert_waits(&first, false);
        sleep(place.wait() - LATE).await;
        assert_waits(&first, false);
        let text = first.ring.ready().expect_err("waits").to_string();
        assert!(text.contains("anew at 20") && text.contains("`found_now`"), "{text}");
        assert!(ready_after(&first).await <= 2 * LATE);
        assert_eq!(first.signs(), Some(0));
        sleep(seconds(1)).await;
        assert_eq!(place.names().await.len(), 3, "a birth and two keys");
        assert_eq!(first.judge(&first.issue()), Ok(()));

        // A later one finds it there.
        let second = place.newcomer().await;
        assert_eq!(second.ring.ready(), Ok(()));
        assert_converged(&[&first, &second]);
    }
}

#[tokio::test(start_paused = true)]
async fn founding_at_once_takes_a_setting() {
    for place in Place::all() {
        let replica = place.founder().await;
        assert_eq!((replica.ring.ready(), replica.signs()), (Ok(()), Some(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn newcomers_that_wait_together_found_one_ring() {
    for place in Place::all() {
        for pause in [0, 1, 700] {
            place.purge().await;
            let mut newcomers = Vec::new();
            for _ in 0..5 {
                newcomers.push(place.newcomer().await);
                sleep(Duration::from_millis(pause)).await;
            }
            for newcomer in &newcomers {
                ready_after(newcomer).await;
            }
            sleep(seconds(2)).await;
            let all: Vec<_> = newcomers.iter().collect();
            for newcomer in &all {
                newcomer.refresh().await;
                assert_eq!(newcomer.generations(), [0, 1]);
            }
            assert_converged(&all);
            assert_served_everywhere(&all);
            let names = place.names().await;
            assert_eq!(names.len(), 3, "{names:?}");
        }
    }
}

/// The replica that answered has died since: the newcomer waits for its restoration, and then no
/// replica answers.
#[tokio::test(start_paused = true)]
async fn answered_newcomer_waits_for_the_restoration_and_asks_again() {
    for reach in [Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let waiting = newcomer(store.sibling()).await;
        let asks = async || {
            let names = store.names().await.into_iter();
            names.filter(|name| name.starts_with("newcomer-")).collect::<Vec<_>>()
        };
        let first = asks().await;
        let [name] = &first[..] else { panic!("{first:?}") };
        let note = store.entries().await[name].clone();
        store.put(&name.replace("newcomer-", "holder-"), &note).await;
        sleep(seconds(2)).await;
        assert_waits(&waiting, true);
        sleep(POLLED - seconds(2)).await;
        assert_waits(&waiting, true);
        sleep(seconds(2)).await;
        assert_waits(&waiting, false);
        let second = asks().await;
        assert!(second.len() == 1 && second != first, "{second:?}");
        let wait = if reach == Reach::Notifying { NOTIFIED } else { POLLED };
        let took = ready_after(&waiting).await;
        assert!((wait - seconds(2)..=wait + LATE).contains(&took), "{took:?}");
        sleep(seconds(2)).await;
        assert_eq!(notes(store.names().await), [""; 0]);
    }
}

/// A live replica that has just restored a store does not wait for the next time.
#[tokio::test(start_paused = true)]
async fn newcomer_is_answered_at_once_after_an_earlier_restoration() {
    let store = TestStore::shared(Reach::Notifying);
    let live = Replica::open(store.sibling(), START).await;
    for _ in 0..3 {
        store.purge().await;
        let restarted = newcomer(store.sibling()).await;
        let took = ready_after(&restarted).await;
        assert!(took < seconds(1), "{took:?}");
        assert_converged(&[&live, &restarted]);
    }
}

/// Only the last entry that a restoration writes says that all is there.
#[tokio::test(start_paused = true)]
async fn half_restored_ring_is_not_ready_and_makes_no_key() {
    let store = TestStore::shared(Reach::Notifying);
    let live = Replica::open(store.sibling(), START).await;
    live.ring.rotate_now().await.expect("rotates");
    let whole = store.entries().await;
    drop(live);
    store.purge().await;
    let restarted = newcomer(store.sibling()).await;
    for (name, value) in whole.iter().filter(|(name, _)| *name != "birth") {
        store.put(name, value).await;
        sleep(Duration::from_millis(300)).await;
        let unready = restarted.ring.ready().unwrap_err();
        assert_eq!(unready.kind(), NotReadyKind::Founding, "{name}");
    }
    store.put("birth", &whole["birth"]).await;
    assert!(ready_after(&restarted).await < seconds(1));
    sleep(seconds(1)).await;
    assert_eq!(store.entries().await, whole, "nothing but what was there before");
}

#[tokio::test(start_paused = true)]
async fn failing_read_begins_the_wait_anew() {
    let store = TestStore::shared(Reach::Notifying);
    let own = store.sibling();
    let waiting = newcomer(own.clone()).await;
    sleep(seconds(2)).await;
    own.fail(&[Operation::Load]);
    sleep(seconds(5)).await;
    own.up();
    sleep(seconds(2)).await;
    assert_waits(&waiting, false);
    assert!(ready_after(&waiting).await > seconds(1));
}

/// The wait counts only while live replicas could see that there is a newcomer.
#[tokio::test(start_paused = true)]
async fn wait_does_not_begin_before_the_newcomer_has_announced_itself() {
    let store = TestStore::shared(Reach::Notifying);
    let own = store.sibling();
    own.fail(&[Operation::Insert]);
    let waiting = newcomer(own.clone()).await;
    sleep(seconds(30)).await;
    let unready = waiting.ring.ready().unwrap_err();
    assert_eq!(unready.kind(), NotReadyKind::Founding);
    assert!(unready.to_string().contains("anew at a time not yet known"), "{unready}");
    own.up();
    let took = ready_after(&waiting).await;
    assert!((NOTIFIED..NOTIFIED + seconds(2)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn damaged_notes_are_skipped_and_delay_nothing() {
    let store = TestStore::shared(Reach::Notifying);
    let good = json!({ "version": 1, "at": START }).to_string();
    let damaged = [
        ("newcomer-AAAAAAAAAAAAAAAA", "nonsense".to_owned()),
        ("newcomer-BBBBBBBBBBBBBBBB", json!({ "version": 2, "at": START }).to_string()),
        ("newcomer-CCCCCCCCCCCCCCCC", json!({ "version": 1 }).to_string()),
        ("holder-DDDDDDDDDDDDDDDD", json!({ "version": 1, "at": START, "x": 1 }).to_string()),
        ("holder-short", good.clone()),
        ("newcomer-", good),
    ];
    for (name, value) in &damaged {
        store.put(name, value.as_bytes()).await;
    }
    let replica = newcomer(store.sibling()).await;
    let took = ready_after(&replica).await;
    assert!(took < NOTIFIED + LATE, "{took:?}");
    let skipped = replica.ring.status().skipped;
    assert_eq!(skipped.len(), damaged.len(), "{skipped:?}");
    for (name, _) in &damaged {
        let begins = |text: &&String| text.starts_with(name) && text.contains("invalid note");
        assert!(skipped.iter().any(|text| begins(&text)), "{name}: {skipped:?}");
    }
}

/// Notes of newcomers that died are removed once they are old, and others stay.
#[tokio::test(start_paused = true)]
async fn notes_of_dead_newcomers_are_removed() {
    let store = TestStore::shared(Reach::Notifying);
    let live = Replica::open(store.sibling(), START).await;
    let note = json!({ "version": 1, "at": START }).to_string();
    store.put("newcomer-AAAAAAAAAAAAAAAA", note.as_bytes()).await;
    sleep(seconds(1)).await;
    assert_eq!(
        notes(store.names().await),
        ["holder-AAAAAAAAAAAAAAAA", "newcomer-AAAAAAAAAAAAAAAA"]
    );
    live.refresh_at(START + seconds(600)).await;
    assert_eq!(notes(store.names().await).len(), 2);
    live.refresh_at(START + seconds(600) + 4 * POLLED + Duration::from_millis(1)).await;
    assert_eq!(notes(store.names().await), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn never_found_refuses_empty_store_and_opens_existing_ring() {
    for reach in [Reach::Private, Reach::Notifying, Reach::Polled] {
        let store = TestStore::shared(reach);
        let open = async || builder(store.sibling()).0.never_found().open().await;
        let error = open().await.expect_err("there is none");
        assert!(
            error.is_no_ring() && error.to_string().contains(&format!("{RING:?}")),
            "{error:?}"
        );
        assert!(error.to_string().contains("`never_found`"), "{error}");
        assert!(!store.names().await.iter().any(|name| name.starts_with("key-")));
        let live = Replica::open(store.sibling(), START).await;
        let ring = open().await.expect("there is one");
        assert_eq!(ring.status().fingerprint, live.fingerprint());
    }
}

/// All its keys have ended, and the store is empty: it goes on with the ring that it had.
#[tokio::test(start_paused = true)]
async fn replica_that_has_held_a_ring_founds_no_other() {
    for keeps_birth in [true, false] {
        let store = TestStore::shared(Reach::Notifying);
        let asleep = newcomer(store.sibling()).await;
        ready_after(&asleep).await;
        let ring_of = async || {
            let key = |name: &String| name.starts_with("key-");
            let names = store.names().await.into_iter().filter(key);
            names.map(|name| name["key-".len()..][..22].to_owned()).collect::<BTreeSet<_>>()
        };
        let before = ring_of().await;
        let birth = store.entries().await["birth"].clone();
        store.purge().await;
        if keeps_birth {
            store.put("birth", &birth).await;
        }
        asleep.clock.set(asleep.times(1).verifies_until + 2 * SKEW);
        asleep.refresh().await;
        assert_eq!(asleep.ring.ready().unwrap_err().kind(), NotReadyKind::Founding);
        let took = ready_after(&asleep).await;
        assert!(took < NOTIFIED + LATE, "{took:?}");
        assert_eq!(ring_of().await, before);
        assert_eq!(asleep.generations(), [2, 3]);
    }
}
