//! The promises of every store, as tests for any of them: here, and in the tests against servers.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;

use tokio::sync::Barrier;
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, Store};

/// Hands the names of all promises, each a function of [`Replicas`], to the macro `$with`.
#[allow(unused_macros)] // Not every target uses it.
macro_rules! promises {
    ($with:ident $($arguments:tt)*) => {
        $with! { [$($arguments)*]
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
            redemption_is_seen_by_all
            families_do_not_see_each_other
            redemptions_are_exact
            of_many_who_redeem_one_is_first
            redeeming_sees_all_earlier_redemptions
            a_later_redemption_never_shortens_how_long_its_family_is_kept
        }
    };
}

#[allow(unused_imports)] // Not every target uses it.
pub(crate) use promises;

/// The handles of as many replicas to one store, which is fresh and empty.
pub(crate) struct Replicas {
    pub(crate) stores: [Arc<dyn Store>; 4],
    /// Dropped after the stores: what the store is kept in.
    pub(crate) _place: Box<dyn Any + Send>,
}

impl Replicas {
    fn handles(&self) -> [&dyn Store; 4] {
        self.stores.each_ref().map(AsRef::as_ref)
    }
}

pub(crate) async fn an_unknown_ring_is_empty(replicas: Replicas) {
    let [store, ..] = replicas.handles();
    assert_eq!(content(store, "unknown").await, BTreeMap::new());
    store.remove("unknown", &name("a")).await.expect("a missing entry is removed");
    assert_eq!(content(store, "unknown").await, BTreeMap::new());
}

pub(crate) async fn every_replica_loads_what_one_inserts(replicas: Replicas) {
    let [one, ..] = replicas.handles();
    assert_eq!(insert(one, "ring", "a", b"1").await, Insertion::Inserted);
    assert_eq!(insert(one, "ring", "b", b"2").await, Insertion::Inserted);
    for store in replicas.handles() {
        let expected = BTreeMap::from([held("a", b"1"), held("b", b"2")]);
        assert_eq!(content(store, "ring").await, expected);
    }
}

pub(crate) async fn a_read_finds_the_named_entries_and_no_others(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    let longest = vec![b'x'; Entry::MAX_BYTES];
    insert(one, "ring", "a", b"1").await;
    insert(one, "ring", "b", &longest).await;
    insert(one, "ring", "c", b"").await;
    insert(one, "other", "d", b"4").await;
    assert_eq!(read(two, "ring", &["b", "d", "a"]).await, [held("a", b"1"), held("b", &longest)]);
    assert_eq!(read(two, "ring", &["c"]).await, [held("c", b"")]);
    assert_eq!(read(two, "ring", &["d"]).await, []);
    assert_eq!(read(two, "ring", &[]).await, []);
    assert_eq!(read(two, "unknown", &["a"]).await, []);
    one.remove("ring", &name("a")).await.expect("removes");
    assert_eq!(read(two, "ring", &["a", "c"]).await, [held("c", b"")]);
}

/// What follows a log of entries stands on this: it never steps over one that is there.
pub(crate) async fn a_read_that_finds_an_entry_finds_those_before_it(replicas: Replicas) {
    const ENTRIES: usize = 200;
    let [reader, writer, ..] = replicas.stores.clone();
    let names: Vec<_> = (0..ENTRIES).map(|number| format!("n-{number:03}")).collect();
    let named = names.clone();
    let writing = tokio::spawn(async move {
        for name in &named {
            insert(writer.as_ref(), "ring", name, b"1").await;
        }
    });
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    loop {
        let last = writing.is_finished();
        let found = read(reader.as_ref(), "ring", &names).await;
        let first: Vec<_> = names.iter().take(found.len()).map(|name| held(name, b"1")).collect();
        assert!(found == first, "a gap in {found:?}");
        if last {
            assert_eq!(found.len(), ENTRIES);
            break;
        }
    }
}

pub(crate) async fn the_first_insert_wins(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    assert_eq!(insert(one, "ring", "a", b"1").await, Insertion::Inserted);
    for store in [one, two] {
        let second = insert(store, "ring", "a", b"other").await;
        assert_eq!(second, Insertion::Exists(b"1".to_vec().into()));
        assert_eq!(content(store, "ring").await, BTreeMap::from([held("a", b"1")]));
    }
}

/// After an error a writer can't know whether its value was written, and tries again.
pub(crate) async fn an_insert_may_be_repeated(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    insert(one, "ring", "a", b"1").await;
    for store in [one, two] {
        let repeated = insert(store, "ring", "a", b"1").await;
        let same = Insertion::Exists(b"1".to_vec().into());
        assert!(repeated == Insertion::Inserted || repeated == same);
        assert_eq!(content(store, "ring").await, BTreeMap::from([held("a", b"1")]));
    }
}

pub(crate) async fn removed_entry_is_gone(replicas: Replicas) {
    let [one, two, three, ..] = replicas.handles();
    insert(one, "ring", "a", b"1").await;
    insert(one, "ring", "b", b"2").await;
    for store in [one, two] {
        store.remove("ring", &name("a")).await.expect("removes");
        assert_eq!(content(three, "ring").await, BTreeMap::from([held("b", b"2")]));
    }
    assert_eq!(insert(two, "ring", "a", b"3").await, Insertion::Inserted);
    let expected = BTreeMap::from([held("a", b"3"), held("b", b"2")]);
    assert_eq!(content(one, "ring").await, expected);
}

pub(crate) async fn rings_do_not_see_each_other(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    let rings = ["a", "a.b", "a-b", "a_b", "ab", "b"];
    for ring in rings {
        let inserted = insert(one, ring, "x", ring.as_bytes()).await;
        assert_eq!(inserted, Insertion::Inserted, "{ring}");
    }
    two.remove("a", &name("x")).await.expect("removes");
    assert_eq!(content(one, "a").await, BTreeMap::new());
    for ring in &rings[1..] {
        let expected = BTreeMap::from([held("x", ring.as_bytes())]);
        assert_eq!(content(two, ring).await, expected, "{ring}");
    }
}

pub(crate) async fn values_and_names_are_exact(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    let long_ring = "r".repeat(64);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let longest = all_bytes.repeat(Entry::MAX_BYTES / 256);
    assert_eq!(longest.len(), Entry::MAX_BYTES);
    let long_name = "n".repeat(128);
    let values: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("0", b"\0"),
        ("line", b"{\"a\": 1}\r\n"),
        ("-_09azAZ", &all_bytes),
        ("longest", &longest),
        (&long_name, &longest),
    ];
    for (entry, value) in values {
        let inserted = insert(one, &long_ring, entry, value).await;
        assert_eq!(inserted, Insertion::Inserted, "{entry}");
        let lost = insert(two, &long_ring, entry, b"other").await;
        assert_eq!(lost, Insertion::Exists(value.to_vec().into()), "{entry}");
    }
    let expected = values.map(|(entry, value)| held(entry, value)).into();
    assert!(content(two, &long_ring).await == expected);
}

pub(crate) async fn a_value_that_is_too_long_is_refused(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    let long = vec![b'x'; Entry::MAX_BYTES + 1];
    let refused = one.insert("ring", &entry("a", &long)).await;
    refused.expect_err("longer than a value may be");
    assert_eq!(content(two, "ring").await, BTreeMap::new());
    assert_eq!(insert(two, "ring", "a", b"1").await, Insertion::Inserted);
}

pub(crate) async fn one_of_many_racers_wins(replicas: Replicas) {
    for round in 0..200 {
        let start = Arc::new(Barrier::new(replicas.stores.len()));
        let racers = replicas.stores.iter().enumerate().map(|(racer, store)| {
            let (store, start) = (Arc::clone(store), Arc::clone(&start));
            tokio::spawn(async move {
                let own = format!("the value of racer {racer} in round {round}").into_bytes();
                start.wait().await;
                let outcome = insert(store.as_ref(), "ring", &format!("g-{round}"), &own).await;
                let read = content(store.as_ref(), "ring").await;
                (own, outcome, read)
            })
        });
        let mut winners = Vec::new();
        let mut seen = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            let (own, outcome, mut read) = racer.await.expect("a racer ends");
            seen.extend(read.remove(&format!("g-{round}")));
            match outcome {
                Insertion::Inserted => winners.push(own),
                Insertion::Exists(value) => seen.push(value.to_vec()),
                other => panic!("{other:?}"),
            }
        }
        let [winner] = winners.as_slice() else {
            panic!("{} winners in round {round}", winners.len());
        };
        // Four reads after the insert, and three losers.
        assert_eq!(seen.len(), 7, "round {round}");
        assert!(seen.iter().all(|value| value == winner), "round {round}");
    }
}

pub(crate) async fn readers_see_whole_values(replicas: Replicas) {
    let [reader, writers @ ..] = replicas.stores.clone();
    let writing = Arc::new(AtomicUsize::new(writers.len()));
    let writers: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            let writing = Arc::clone(&writing);
            tokio::spawn(async move {
                for number in 0..20_u8 {
                    let value = vec![number; Entry::MAX_BYTES];
                    insert(store.as_ref(), "ring", &format!("{number}-{writer}"), &value).await;
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    loop {
        let last = writing.load(Ordering::SeqCst) == 0;
        let read = content(reader.as_ref(), "ring").await;
        for (entry, value) in &read {
            let number = entry.split('-').next().and_then(|n| n.parse().ok());
            assert!(value.len() == Entry::MAX_BYTES, "{entry} is cut short");
            assert!(value.iter().all(|b| Some(*b) == number), "{entry} is torn");
        }
        if last {
            assert_eq!(read.len(), 60);
            break;
        }
    }
    for writer in writers {
        writer.await.expect("a writer ends");
    }
}

pub(crate) async fn redemption_is_seen_by_all(replicas: Replicas) {
    let [one, two, three, four] = replicas.handles();
    assert_eq!(redeem(one, "ring", "a", 0, 10).await, last(0, 10));
    for (millis, store) in replicas.handles().into_iter().enumerate() {
        assert_eq!(redeem(store, "ring", "a", 0, millis as i64).await, last(0, 10));
    }
    assert_eq!(redeem(two, "ring", "a", 1, 20).await, last(1, 20));
    assert_eq!(redeem(three, "ring", "a", 0, 30).await, last(1, 20));
    assert_eq!(redeem(four, "ring", "a", 1, 30).await, last(1, 20));
    // Clocks differ, and what lies between may have been lost.
    assert_eq!(redeem(one, "ring", "a", 10, 5).await, last(10, 5));
    for (sequence, store) in replicas.handles().into_iter().enumerate() {
        assert_eq!(redeem(store, "ring", "a", sequence as u32 * 3, 40).await, last(10, 5));
    }
    assert_eq!(redeem(two, "ring", "a", 11, 50).await, last(11, 50));
}

pub(crate) async fn families_do_not_see_each_other(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    let others = [("ring", "ab"), ("ring", "abc"), ("ring", "abd"), ("a", "abc"), ("rin", "gabc")];
    for (sequence, (ring, family)) in others.into_iter().enumerate() {
        let sequence = sequence as u32;
        assert_eq!(redeem(one, ring, family, sequence, 10).await, last(sequence, 10), "{family}");
    }
    for (sequence, (ring, family)) in others.into_iter().enumerate() {
        let latest = last(sequence as u32, 10);
        assert_eq!(redeem(two, ring, family, 0, 20).await, latest, "{ring} {family}");
    }
    for ring in ["ring", "a", "rin"] {
        assert_eq!(content(two, ring).await, BTreeMap::new(), "they are no entries");
    }
    insert(one, "ring", "abc", b"1").await;
    one.remove("ring", &name("abc")).await.expect("removes");
    assert_eq!(redeem(two, "ring", "abc", 0, 20).await, last(1, 10));
}

pub(crate) async fn redemptions_are_exact(replicas: Replicas) {
    let [one, two, ..] = replicas.handles();
    let (long_ring, long_name) = ("r".repeat(64), "n".repeat(128));
    let last_millisecond = 253_402_300_799_999;
    for (family, sequence, at) in [
        ("0", 0, 0),
        ("-_09azAZ", u32::MAX, 1_800_000_000_001),
        ("-", u32::MAX - 1, last_millisecond),
        ("_-", 1 << 31, -1),
        (&long_name, 9, 1),
    ] {
        assert_eq!(redeem(one, &long_ring, family, sequence, at).await, last(sequence, at));
        assert_eq!(redeem(two, &long_ring, family, sequence, 2).await, last(sequence, at));
    }
    for (family, keep_for) in [("long", Duration::MAX), ("short", Duration::from_secs(60))] {
        let mut redemption = redemption(family, 3, 7);
        redemption.keep_for = keep_for;
        assert_eq!(one.redeem("ring", &redemption).await.expect("redeems"), last(3, 7));
        assert_eq!(redeem(two, "ring", family, 3, 8).await, last(3, 7));
    }
}

pub(crate) async fn of_many_who_redeem_one_is_first(replicas: Replicas) {
    for sequence in 0..100 {
        let start = Arc::new(Barrier::new(replicas.stores.len()));
        let racers = replicas.stores.iter().enumerate().map(|(racer, store)| {
            let (store, start) = (Arc::clone(store), Arc::clone(&start));
            tokio::spawn(async move {
                let own = i64::from(sequence) * 10 + racer as i64;
                start.wait().await;
                redeem(store.as_ref(), "ring", "a", sequence, own).await
            })
        });
        let mut all = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            all.push(racer.await.expect("a racer ends"));
        }
        assert!(all.iter().all(|each| *each == all[0]), "{all:?}");
        assert_eq!(all[0].sequence, sequence);
        assert_eq!(all[0].at.as_unix_millis() / 10, i64::from(sequence));
    }
}

/// Each redeems near the highest number that was returned: none gets a lower number than others had
/// been given before it began.
pub(crate) async fn redeeming_sees_all_earlier_redemptions(replicas: Replicas) {
    let highest = Arc::new(AtomicUsize::new(0));
    let racers = replicas.stores.iter().enumerate().map(|(racer, store)| {
        let (store, highest) = (Arc::clone(store), Arc::clone(&highest));
        tokio::spawn(async move {
            for round in 0..60_usize {
                let before = highest.load(Ordering::SeqCst);
                // Now an ancestor, now the last, now one beyond it.
                let sequence = (before + (round + racer) % 3).saturating_sub(1);
                let redeemed = redeem(store.as_ref(), "ring", "a", sequence as u32, 1).await;
                let latest = redeemed.sequence as usize;
                assert!(latest >= before.max(sequence), "{latest} after {before}, {sequence}");
                highest.fetch_max(latest, Ordering::SeqCst);
            }
        })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.expect("a racer ends");
    }
    let highest = highest.load(Ordering::SeqCst) as u32;
    assert!(highest > 20, "they went on to {highest}");
    assert_eq!(redeem(&*replicas.stores[0], "ring", "a", 0, 2).await, last(highest, 1));
}

/// A deploy may shorten how long tokens live: what an earlier one needs is kept all the same.
pub(crate) async fn a_later_redemption_never_shortens_how_long_its_family_is_kept(
    replicas: Replicas,
) {
    let [one, two, ..] = replicas.handles();
    let long = Duration::from_secs(3600);
    let brief = Duration::from_millis(1);
    // The shorter one comes later, comes earlier, or is of the same token.
    for (family, redemptions) in [
        ("fa-later", &[(0, long), (1, brief)][..]),
        ("fa-much-later", &[(0, long), (1, brief), (2, brief), (3, brief), (7, brief)]),
        ("fa-earlier", &[(0, brief), (1, long)]),
        ("fa-repeated", &[(1, long), (1, brief)]),
    ] {
        for (sequence, keep_for) in redemptions {
            let mut redemption = redemption(family, *sequence, i64::from(*sequence));
            redemption.keep_for = *keep_for;
            one.redeem("ring", &redemption).await.expect("redeems");
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Stores drop what has expired when others come.
    for other in 0..100 {
        redeem(two, "ring", &format!("fa-{other}"), 0, 1000).await;
    }
    for (family, highest) in
        [("fa-later", 1), ("fa-much-later", 7), ("fa-earlier", 1), ("fa-repeated", 1)]
    {
        for sequence in [0, highest] {
            let found = redeem(two, "ring", family, sequence, 2000).await;
            assert_eq!(found, last(highest, highest.into()), "{family} {sequence}");
        }
    }
}

pub(crate) fn redemption(family: &str, sequence: u32, at: i64) -> Redemption {
    let (family, at) = (name(family), Timestamp::from_unix_millis(at));
    Redemption::new(family, sequence, at, Duration::from_secs(3600))
}

pub(crate) fn last(sequence: u32, at: i64) -> Redeemed {
    Redeemed::new(sequence, Timestamp::from_unix_millis(at))
}

pub(crate) async fn redeem(
    store: &dyn Store,
    ring: &str,
    family: &str,
    sequence: u32,
    at: i64,
) -> Redeemed {
    store.redeem(ring, &redemption(family, sequence, at)).await.expect("redeems")
}

pub(crate) fn name(name: &str) -> EntryName {
    EntryName::parse(name).expect("an entry's name")
}

pub(crate) fn entry(of: &str, value: &[u8]) -> Entry {
    Entry::new(name(of), value.to_vec())
}

pub(crate) fn held(name: &str, value: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), value.to_vec())
}

pub(crate) async fn insert(store: &dyn Store, ring: &str, of: &str, value: &[u8]) -> Insertion {
    let inserted = store.insert(ring, &entry(of, value)).await;
    inserted.expect("inserts")
}

/// The entries of those names, in the order of their names.
pub(crate) async fn read(store: &dyn Store, ring: &str, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    let names: Vec<_> = names.iter().map(|named| name(named)).collect();
    let Loaded { entries, skipped, .. } = store.read(ring, &names).await.expect("reads");
    assert_eq!(skipped, []);
    let mut found: Vec<_> =
        entries.iter().map(|entry| held(entry.name.as_str(), &entry.value)).collect();
    found.sort();
    found
}

/// What a ring holds, when nothing is skipped and no name comes twice.
pub(crate) async fn content(store: &dyn Store, ring: &str) -> BTreeMap<String, Vec<u8>> {
    let Loaded { entries, skipped, .. } = store.load(ring).await.expect("loads");
    assert_eq!(skipped, []);
    let count = entries.len();
    let content: BTreeMap<_, _> =
        entries.iter().map(|entry| held(entry.name.as_str(), &entry.value)).collect();
    assert_eq!(content.len(), count, "a name comes twice");
    content
}
