//! The promises of a [`Store`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

use super::handles::{handles, name};
use crate::store::contract::{Entry, Insertion, Loaded, Store};

/// Makes one test per promise of a [`Store`]; the [module](crate::testing::store_contract) says how.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    (@ [$($harness:tt)+] $empty_store:path) => {
        $($harness)+! { store, $empty_store:
            an_unknown_ring_is_empty
            every_replica_loads_what_one_inserts
            a_read_finds_the_named_entries_and_no_others
            a_read_that_finds_an_entry_finds_those_before_it
            the_first_insert_wins
            an_insert_may_be_repeated
            removed_entry_is_gone
            rings_do_not_see_each_other
            values_and_names_are_exact
            a_value_that_is_too_long_is_refused
            one_of_many_racers_wins
            readers_see_whole_values
            the_time_is_one_for_all_replicas
            a_store_that_notifies_reports_an_insert
        }
    };
    ($empty_store:path, $harness:ident!) => {
        $crate::__store_tests! { @ [$harness] $empty_store }
    };
    ($empty_store:path) => {
        $crate::__store_tests! { @ [$crate::__store_contract_tests] $empty_store }
    };
}

/// A ring that nobody wrote has no entries, and removing one of them is no error.
pub async fn an_unknown_ring_is_empty<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    assert_content(&store, "unknown", &[]).await;
    remove(&store, "unknown", "a").await;
    assert_content(&store, "unknown", &[]).await;
}

/// An entry that one replica inserted is loaded by each.
pub async fn every_replica_loads_what_one_inserts<S: Store>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    assert_inserts(&*replicas[0], "ring", "a", b"1").await;
    assert_inserts(&*replicas[0], "ring", "b", b"2").await;
    for store in &replicas {
        assert_content(&**store, "ring", &[("a", b"1"), ("b", b"2")]).await;
    }
}

/// [`Store::read`] returns those of the named entries that exist, with their whole values.
pub async fn a_read_finds_the_named_entries_and_no_others<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let longest = vec![b'x'; Entry::MAX_BYTES];
    assert_inserts(&**one, "ring", "a", b"1").await;
    assert_inserts(&**one, "ring", "b", &longest).await;
    assert_inserts(&**one, "ring", "c", b"").await;
    assert_inserts(&**one, "other", "d", b"4").await;
    assert_read(&**two, "ring", &["b", "d", "a"], &[("a", b"1"), ("b", &longest)]).await;
    assert_read(&**two, "ring", &["c"], &[("c", b"")]).await;
    assert_read(&**two, "ring", &["d"], &[]).await;
    assert_read(&**two, "ring", &[], &[]).await;
    assert_read(&**two, "unknown", &["a"], &[]).await;
    remove(&**one, "ring", "a").await;
    assert_read(&**two, "ring", &["a", "c"], &[("c", b"")]).await;
}

/// A [`read`](Store::read) that finds an entry also finds those that are named before it and were
/// inserted before it. Whoever follows a chain of entries relies on this.
pub async fn a_read_that_finds_an_entry_finds_those_before_it<S: Store>(open: impl AsyncFn() -> S) {
    const ENTRIES: usize = 200;
    let [reader, writer, ..] = handles(&open).await;
    let names: Vec<_> = (0..ENTRIES).map(|number| format!("n-{number:03}")).collect();
    let named = names.clone();
    let writing = tokio::spawn(async move {
        for name in &named {
            assert_inserts(&*writer, "ring", name, b"1").await;
        }
    });
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    loop {
        let is_last = writing.is_finished();
        let found = read(&*reader, "ring", &names).await;
        let found: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(found, names[..found.len()], "a read left out entries that are older");
        if is_last {
            break assert_eq!(found.len(), ENTRIES, "a read left out entries");
        }
    }
    writing.await.expect("the writer ends");
}

/// Of two inserts under one name the first wins; the second gets the winner's value.
pub async fn the_first_insert_wins<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    assert_inserts(&**one, "ring", "a", b"1").await;
    for store in [one, two] {
        assert_exists(&**store, "ring", "a", b"other", b"1").await;
        assert_content(&**store, "ring", &[("a", b"1")]).await;
    }
}

/// A writer that inserts the same value once more, as after an error, gets either outcome, and changes
/// nothing.
pub async fn an_insert_may_be_repeated<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    assert_inserts(&**one, "ring", "a", b"1").await;
    for store in [one, two] {
        let repeated = insert(&**store, "ring", "a", b"1").await;
        let is_one_of_both =
            repeated == Insertion::Inserted || repeated == Insertion::Exists(b"1".to_vec().into());
        assert!(
            is_one_of_both,
            "the same value was inserted again, and `insert` returned {repeated:?}"
        );
        assert_content(&**store, "ring", &[("a", b"1")]).await;
    }
}

/// An entry that one replica removed is gone for each, may be removed again, and its name is free.
pub async fn removed_entry_is_gone<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, three, ..] = &handles(&open).await;
    assert_inserts(&**one, "ring", "a", b"1").await;
    assert_inserts(&**one, "ring", "b", b"2").await;
    for store in [one, two] {
        remove(&**store, "ring", "a").await;
        assert_content(&**three, "ring", &[("b", b"2")]).await;
    }
    assert_inserts(&**two, "ring", "a", b"3").await;
    assert_content(&**one, "ring", &[("a", b"3"), ("b", b"2")]).await;
}

/// Rings with similar names are independent of each other.
pub async fn rings_do_not_see_each_other<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let rings = ["a", "a.b", "a-b", "a_b", "ab", "b"];
    for ring in rings {
        assert_inserts(&**one, ring, "x", ring.as_bytes()).await;
    }
    remove(&**two, "a", "x").await;
    assert_content(&**one, "a", &[]).await;
    for ring in &rings[1..] {
        assert_content(&**two, ring, &[("x", ring.as_bytes())]).await;
    }
}

/// Names and values come back as they were written: the longest ones, empty values, any bytes.
pub async fn values_and_names_are_exact<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let long_ring = "r".repeat(64);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let longest = all_bytes.repeat(Entry::MAX_BYTES / 256);
    let long_name = "n".repeat(128);
    let values: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("0", b"\0"),
        ("line", b"{\"a\": 1}\r\n"),
        ("-_09azAZ", &all_bytes),
        ("longest", &longest),
        (&long_name, &longest),
    ];
    for (name, value) in values {
        assert_inserts(&**one, &long_ring, name, value).await;
        assert_exists(&**two, &long_ring, name, b"other", value).await;
    }
    assert_content(&**two, &long_ring, &values).await;
}

/// A value of more than [`Entry::MAX_BYTES`] is an error, and leaves nothing under its name.
pub async fn a_value_that_is_too_long_is_refused<S: Store>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let long = vec![b'x'; Entry::MAX_BYTES + 1];
    let inserted = one.insert("ring", &Entry::new(name("a"), long)).await;
    if let Ok(inserted) = inserted {
        panic!("`insert` accepted a value longer than `Entry::MAX_BYTES`: {inserted:?}");
    }
    assert_content(&**two, "ring", &[]).await;
    assert_inserts(&**two, "ring", "a", b"1").await;
}

/// Of replicas that insert different values under one name at once, exactly one wins, and each reads
/// the winner's value afterwards.
pub async fn one_of_many_racers_wins<S: Store>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    for round in 0..200 {
        let name = format!("g-{round}");
        let start = Arc::new(Barrier::new(replicas.len()));
        let racers = replicas.iter().enumerate().map(|(racer, store)| {
            let (store, start, name) = (store.clone(), start.clone(), name.clone());
            tokio::spawn(async move {
                let own = format!("the value of racer {racer} in round {round}").into_bytes();
                start.wait().await;
                let outcome = insert(&*store, "ring", &name, &own).await;
                let read = content(&*store, "ring").await.remove(&name);
                (own, outcome, read)
            })
        });
        let (mut winners, mut seen) = (Vec::new(), Vec::new());
        for racer in racers.collect::<Vec<_>>() {
            let (own, outcome, read) = racer.await.expect("a racer ends");
            seen.push(read.unwrap_or_else(|| panic!("{name} was missing after its insert")));
            match outcome {
                Insertion::Inserted => winners.push(own),
                Insertion::Exists(value) => seen.push(value.to_vec()),
                other => panic!("`insert` of {name} returned {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "of {} racers, so many inserted {name}", replicas.len());
        let is_same = seen.iter().all(|value| *value == winners[0]);
        assert!(is_same, "replicas saw different values of {name}");
    }
}

/// A reader sees all of a value or none of it, while others write.
pub async fn readers_see_whole_values<S: Store>(open: impl AsyncFn() -> S) {
    let [reader, writers @ ..] = handles(&open).await;
    let writers: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            tokio::spawn(async move {
                for number in 0..20_u8 {
                    let value = vec![number; Entry::MAX_BYTES];
                    assert_inserts(&*store, "ring", &format!("{number}-{writer}"), &value).await;
                }
            })
        })
        .collect();
    loop {
        let is_last = writers.iter().all(|writer| writer.is_finished());
        let read = content(&*reader, "ring").await;
        for (name, value) in &read {
            let number = name.split('-').next().and_then(|number| number.parse().ok());
            assert_eq!(value.len(), Entry::MAX_BYTES, "the value of {name} is cut short");
            let is_whole = value.iter().all(|byte| Some(*byte) == number);
            assert!(is_whole, "the value of {name} is torn");
        }
        if is_last {
            break;
        }
    }
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    assert_eq!(content(&*reader, "ring").await.len(), 60, "entries are missing");
}

/// The store's clock, if it has one, is the same for every replica, and asking for it changes no ring.
pub async fn the_time_is_one_for_all_replicas<S: Store>(open: impl AsyncFn() -> S) {
    // As much as a busy machine takes to ask all.
    const APART: Duration = Duration::from_secs(60);
    let replicas = handles(&open).await;
    assert_inserts(&*replicas[0], "ring", "a", b"1").await;
    let mut times = Vec::new();
    for store in &replicas {
        for ring in ["ring", "unknown"] {
            let asked = store.time(ring).await;
            times.extend(asked.unwrap_or_else(|error| panic!("`time` failed: {error}")));
            times.extend(load(&**store, ring).await.store_time);
        }
    }
    if let (Some(earliest), Some(latest)) = (times.iter().min(), times.iter().max()) {
        assert!(*latest - *earliest < APART, "the replicas' times are {earliest} to {latest}");
    }
    assert_content(&*replicas[0], "ring", &[("a", b"1")]).await;
    assert_content(&*replicas[0], "unknown", &[]).await;
}

/// If the store's properties say that it [notifies](crate::store::StoreProperties::notifies),
/// [`Store::changed`] completes when another replica inserts.
pub async fn a_store_that_notifies_reports_an_insert<S: Store>(open: impl AsyncFn() -> S) {
    const LIMIT: Duration = Duration::from_secs(20);
    let [waiting, writer, ..] = handles(&open).await;
    if !waiting.properties().notifies {
        return;
    }
    let sees_one = async {
        while content(&*waiting, "ring").await.is_empty() {
            waiting
                .changed("ring")
                .await
                .unwrap_or_else(|error| panic!("`changed` failed: {error}"));
        }
        // Not only what was there before it waited.
        waiting.changed("ring").await.unwrap_or_else(|error| panic!("`changed` failed: {error}"));
    };
    let writes = async {
        for number in 0.. {
            sleep(Duration::from_millis(200)).await;
            assert_inserts(&*writer, "ring", &format!("n-{number}"), b"1").await;
        }
    };
    let reported = timeout(LIMIT, async {
        tokio::select! {
            () = sees_one => {}
            () = writes => {}
        }
    });
    assert!(
        reported.await.is_ok(),
        "the store notifies, by its properties, and `changed` reported no insert within {LIMIT:?}"
    );
}

async fn insert(store: &impl Store, ring: &str, of: &str, value: &[u8]) -> Insertion {
    let inserted = store.insert(ring, &Entry::new(name(of), value.to_vec())).await;
    inserted.unwrap_or_else(|error| panic!("`insert` of {of:?} into ring {ring:?} failed: {error}"))
}

/// Inserts an entry whose name is free.
async fn assert_inserts(store: &impl Store, ring: &str, of: &str, value: &[u8]) {
    let inserted = insert(store, ring, of, value).await;
    assert_eq!(inserted, Insertion::Inserted, "the name {of:?} was free in ring {ring:?}");
}

/// Inserts under a name that is taken.
async fn assert_exists(store: &impl Store, ring: &str, of: &str, value: &[u8], existing: &[u8]) {
    let inserted = insert(store, ring, of, value).await;
    let expected = Insertion::Exists(existing.to_vec().into());
    assert!(
        inserted == expected,
        "{of:?} exists in ring {ring:?}, and `insert` did not return its value"
    );
}

async fn remove(store: &impl Store, ring: &str, of: &str) {
    let removed = store.remove(ring, &name(of)).await;
    removed.unwrap_or_else(|error| panic!("`remove` of {of:?} from ring {ring:?} failed: {error}"));
}

type Content = BTreeMap<String, Vec<u8>>;

async fn content(store: &impl Store, ring: &str) -> Content {
    found("load", load(store, ring).await)
}

async fn load(store: &impl Store, ring: &str) -> Loaded {
    let loaded = store.load(ring).await;
    loaded.unwrap_or_else(|error| panic!("`load` of ring {ring:?} failed: {error}"))
}

async fn read(store: &impl Store, ring: &str, names: &[&str]) -> Content {
    let names: Vec<_> = names.iter().map(|named| name(named)).collect();
    let read = store.read(ring, &names).await;
    found("read", read.unwrap_or_else(|error| panic!("`read` of ring {ring:?} failed: {error}")))
}

fn found(method: &str, loaded: Loaded) -> Content {
    let Loaded { entries, skipped, .. } = loaded;
    assert_eq!(skipped, [], "`{method}` skipped what the suite has inserted");
    let count = entries.len();
    let content: Content =
        entries.iter().map(|entry| (entry.name.to_string(), entry.value.to_vec())).collect();
    assert_eq!(content.len(), count, "`{method}` returned a name twice");
    content
}

async fn assert_content(store: &impl Store, ring: &str, expected: &[(&str, &[u8])]) {
    assert_same("load", ring, content(store, ring).await, expected);
}

async fn assert_read(store: &impl Store, ring: &str, names: &[&str], expected: &[(&str, &[u8])]) {
    assert_same("read", ring, read(store, ring, names).await, expected);
}

fn assert_same(method: &str, ring: &str, found: Content, expected: &[(&str, &[u8])]) {
    let expected: Content =
        expected.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    let [names, expected_names] = [&found, &expected].map(|of| of.keys().collect::<Vec<_>>());
    assert_eq!(
        names, expected_names,
        "`{method}` of ring {ring:?} returned other names than were inserted"
    );
    assert!(
        found == expected,
        "`{method}` of ring {ring:?} returned other values than were inserted"
    );
}
