//! Sealed keys: what rests in a store is of no use without a sealing key, and can't be replaced.

use std::time::Duration;

use crate::support::delegate::delegate;
use tower_jwt_session::store::{Entry, EntryName, MemoryStore, Store};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    KeyErrorKind, KeyRing, KeyRingBuilder, Login, NotReadyKind, SealingKey, Sessions,
};

fn sealing_key(first: u8) -> SealingKey {
    let secret: Vec<u8> = (first..first + 32).collect();
    SealingKey::new(secret).unwrap()
}

fn builder(store: &MemoryStore) -> KeyRingBuilder {
    KeyRing::builder("app").clock(ManualClock::default()).store(store.clone())
}

fn sessions(keys: KeyRing) -> Sessions<()> {
    Sessions::builder(keys, "https://app.example", "app").build().unwrap()
}

async fn texts(store: &MemoryStore, ring: &str) -> Vec<(String, String)> {
    let entries = store.load(ring).await.unwrap().entries;
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    entries.iter().map(|entry| (entry.name.to_string(), text(&entry.value))).collect()
}

#[tokio::test]
async fn a_sealed_ring_is_shared_and_its_store_holds_no_private_key() {
    let store = MemoryStore::new();
    let one = sessions(builder(&store).seal_with([sealing_key(1)]).open().await.unwrap());
    let other = sessions(builder(&store).seal_with([sealing_key(1)]).open().await.unwrap());
    let token = one.issue(&Login::new("alice", ())).unwrap();
    assert!(other.validate(token.as_str()).is_ok());

    let keys: Vec<_> = texts(&store, "app").await.into_iter().collect();
    let keys: Vec<_> = keys.iter().filter(|(name, _)| name.starts_with("key-")).collect();
    assert_eq!(keys.len(), 2);
    for (_, text) in keys {
        assert!(text.contains("ciphertext") && !text.contains("unsealed"), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_sealing_key_is_one_clear_error_and_makes_no_keys() {
    let store = MemoryStore::new();
    builder(&store).seal_with([sealing_key(1)]).open().await.unwrap();
    let before = texts(&store, "app").await;
    let error = builder(&store).seal_with([sealing_key(2)]).open().await.unwrap_err();
    assert!(error.is_unreadable());
    assert!(
        error.to_string().contains(
            "none of the sealing keys can decrypt it: give `seal_with` every sealing key in use"
        ),
        "{error}"
    );
    assert_eq!(texts(&store, "app").await, before);
}

#[tokio::test]
async fn sealing_keys_change_one_after_the_other() {
    let (old, new) = (sealing_key(1), sealing_key(2));
    let store = MemoryStore::new();
    let first = builder(&store).seal_with([old.clone()]).open().await.unwrap();
    let second = builder(&store).seal_with([new.clone(), old.clone()]).open().await.unwrap();
    assert_eq!(first.status().fingerprint, second.status().fingerprint);

    // The newest seals: a replica that has only the old one is unready, still issues, and makes
    // no keys.
    second.rotate_now().await.unwrap();
    let fingerprint = first.status().fingerprint;
    first.refresh().await.unwrap();
    assert_eq!(first.ready().unwrap_err().kind(), NotReadyKind::Sealed);
    assert!(sessions(first.clone()).issue(&Login::new("alice", ())).is_ok());
    assert_ne!(first.status().fingerprint, second.status().fingerprint);
    assert_ne!(first.status().fingerprint, fingerprint, "the mark was read all the same");
    second.ready().unwrap();
}

/// A sealing key leaked, together with the store: every key that it sealed is revoked, and replicas start
/// without it at once.
#[tokio::test]
async fn revoked_and_ended_keys_need_no_sealing_key() {
    let (old, new) = (sealing_key(1), sealing_key(2));
    let (store, clock) = (MemoryStore::new(), ManualClock::default());
    let builder = || KeyRing::builder("app").clock(clock.clone()).store(store.clone());
    builder().seal_with([old.clone()]).open().await.unwrap();
    let both = builder().seal_with([new.clone(), old]).open().await.unwrap();
    // The first revokes the keys of the old sealing key, the second those that were made meanwhile.
    for _ in 0..2 {
        both.replace_all().await.unwrap();
        clock.advance(Duration::from_secs(600));
        both.refresh().await.unwrap();
    }
    let alone = async || builder().seal_with([new.clone()]).open().await;
    let replica = alone().await.unwrap();
    replica.ready().unwrap();
    let token = sessions(replica.clone()).issue(&Login::new("alice", ())).unwrap();
    assert!(sessions(both.clone()).validate(token.as_str()).is_ok());
    assert_eq!(replica.status().skipped.len(), 0);

    // Without their marks they could sign again.
    let marks: Vec<_> = texts(&store, "app").await;
    let marks = marks.iter().filter(|(name, _)| name.starts_with("revoke-"));
    for (name, _) in marks.clone() {
        store.remove("app", &EntryName::parse(name.clone()).unwrap()).await.unwrap();
    }
    let error = alone().await.unwrap_err().to_string();
    let named = both.status().keys.iter().any(|key| {
        let (kid, until) = (&key.key_id, key.times.verifies_until);
        error.contains(&format!("key {kid} verifies until {until}"))
    });
    assert!(named, "{error}");

    // Live replicas restore the marks, and one without the sealing key removes what has ended.
    both.refresh().await.unwrap();
    drop(both);
    for _ in 0..28 {
        clock.advance(Duration::from_secs(6 * 3600));
        replica.refresh().await.unwrap();
        replica.ready().unwrap();
    }
    let names = texts(&store, "app").await.into_iter().map(|(name, _)| name);
    let generations = names.filter_map(|name| Some(name.strip_prefix("key-")?.to_owned()));
    let first = generations.min().unwrap();
    assert!(!first.ends_with("-0000000000"), "{first}");
}

#[tokio::test]
async fn a_key_that_is_moved_to_another_ring_is_refused() {
    let store = MemoryStore::new();
    builder(&store).seal_with([sealing_key(1)]).open().await.unwrap();
    for (name, text) in texts(&store, "app").await {
        let entry = Entry::new(EntryName::parse(name).unwrap(), text.into_bytes());
        store.insert("elsewhere", &entry).await.unwrap();
    }
    let elsewhere = KeyRing::builder("elsewhere").store(store).seal_with([sealing_key(1)]);
    let error = elsewhere.open().await.unwrap_err().to_string();
    assert!(error.contains("a key of another ring, \"app\""), "{error}");
}

#[tokio::test]
async fn where_keys_are_sealed_an_unsealed_one_is_not_believed() {
    let store = MemoryStore::new();
    let forger = builder(&store).open().await.unwrap();
    let error = builder(&store).seal_with([sealing_key(1)]).open().await.unwrap_err();
    assert!(error.to_string().contains("found an unsealed key"), "{error}");

    // Beginning to seal is asked for by name; from then on new keys are sealed.
    let ring = builder(&store).seal_with([sealing_key(1)]).dangerous_unsealed();
    let ring = ring.open().await.unwrap();
    assert_eq!(ring.status().fingerprint, forger.status().fingerprint);
    ring.rotate_now().await.unwrap();
    let sealed = texts(&store, "app").await;
    assert_eq!(sealed.iter().filter(|(_, text)| text.contains("ciphertext")).count(), 1);
}

#[tokio::test]
async fn exposed_store_refuses_unsealed_keys_by_default() {
    /// Like a database: it does not say that sealing is needless.
    #[derive(Debug, Default)]
    struct Exposed(MemoryStore);

    impl Store for Exposed {
        delegate!(0: load insert remove);
    }

    let open = || KeyRing::builder("app").store(Exposed::default()).found_now();
    let error = open().open().await.unwrap_err().to_string();
    assert!(error.starts_with("sealing keys is missing"), "{error}");
    assert!(open().dangerous_unsealed().open().await.is_ok());
    assert!(open().seal_with([sealing_key(1)]).open().await.is_ok());
}

#[test]
fn a_sealing_key_is_32_random_bytes_and_is_not_shown() {
    let long: Vec<u8> = (0..33).collect();
    for (secret, found) in [(&[1; 16][..], "16 bytes"), (&long, "33 bytes")] {
        let error = SealingKey::new(secret).unwrap_err();
        assert_eq!(error.kind(), KeyErrorKind::WeakSecret);
        assert!(error.to_string().contains(found), "{error}");
    }
    assert!(!format!("{:?}", sealing_key(1)).contains("[1, 2"));
}
