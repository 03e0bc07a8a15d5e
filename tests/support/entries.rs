//! Entries and redemptions in a few letters.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, RefreshTokenStore, Store,
};

/// What a store of both kinds promises beside the suites: a redemption is no entry, also under one name.
pub(crate) async fn redemptions_and_entries_do_not_see_each_other(
    store: &(impl Store + RefreshTokenStore),
) {
    assert_eq!(redeem(store, "ring", "abc", 1, 10).await, last(1, 10));
    assert_eq!(content(store, "ring").await, BTreeMap::new());
    insert(store, "ring", "abc", b"1").await;
    store.remove("ring", &name("abc")).await.expect("removes");
    assert_eq!(redeem(store, "ring", "abc", 0, 20).await, last(1, 10));
}

pub(crate) fn redemption(family: &str, sequence: u32, at: i64) -> Redemption {
    let (family, at) = (name(family), Timestamp::from_unix_millis(at));
    Redemption::new(family, sequence, at, Duration::from_secs(3600))
}

pub(crate) fn last(sequence: u32, at: i64) -> Redeemed {
    Redeemed::new(sequence, Timestamp::from_unix_millis(at))
}

pub(crate) async fn redeem(
    store: &dyn RefreshTokenStore,
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
