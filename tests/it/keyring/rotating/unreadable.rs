//! Entries that are damaged, unknown, or of a newer version.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tower_jwt_session::NotReadyKind;
use tower_jwt_session::store::FileStore;

use crate::support::recorder::Events;
use crate::support::replicas::{LEAD, Replica, START, assert_converged, pass, policy, seconds};
use crate::support::stores::{Operation, TestStore, pack, unpack};

/// The name of the entry that holds the key of that generation.
async fn entry_of(store: &TestStore, generation: u64) -> String {
    let suffix = format!("-{generation:010}");
    let names = store.names().await;
    names.into_iter().find(|name| name.ends_with(&suffix)).expect("a key")
}

async fn change(store: &TestStore, name: &str, change: impl FnOnce(&mut Value)) {
    let value = &store.entries().await[name];
    let mut record = unpack(value);
    change(&mut record);
    store.put(name, &pack(record)).await;
}

type Damage = fn(&mut Value);

/// Every way in which a key's entry can be damaged, with what is said of it.
fn damages() -> [(&'static str, Damage); 13] {
    [
        ("not a record", |record| *record = json!("?")),
        ("not a record", |record| record["record"] = json!({})),
        ("found format 1, which no release of this crate writes", |record| {
            record["version"] = json!(1);
        }),
        ("found a key of another ring, \"other\"", |record| {
            record["record"]["ring"] = json!("other");
        }),
        ("not a record", |record| record["record"]["algorithm"] = json!("none")),
        ("found times out of order", |record| {
            record["record"]["times"]["signs_until"] =
                record["record"]["times"]["published"].clone();
            record["record"]["times"]["signs_from"] =
                record["record"]["times"]["verifies_until"].clone();
        }),
        ("found times out of order", |record| {
            record["record"]["times"]["signs_until"] =
                record["record"]["times"]["signs_from"].clone();
        }),
        ("found times out of order", |record| {
            record["record"]["times"]["verifies_until"] =
                record["record"]["times"]["signs_latest"].clone();
        }),
        ("the key or its record is damaged, or was changed after sealing", |record| {
            record["material"]["unsealed"] = json!("+/==")
        }),
        ("invalid EdDSA private key", |record| record["material"]["unsealed"] = json!("AAAA")),
        ("found a key ID that is not that of its key", |record| {
            record["record"]["kid"] = json!("other")
        }),
        ("the name does not match the content", |record| record["record"]["generation"] = json!(7)),
        ("the name does not match the content", |record| {
            record["record"]["birth"]["id"] = json!("other");
        }),
    ]
}

#[tokio::test]
async fn damaged_key_is_skipped_and_reported() {
    for (expected, damage) in damages() {
        let store = TestStore::new();
        let maker = Replica::open(store.clone(), START).await;
        drop(maker);
        let name = entry_of(&store, 1).await;
        change(&store, &name, damage).await;
        let replica = Replica::open(store.sibling(), START).await;
        let [skipped] = &replica.ring.status().skipped[..] else { panic!("one is skipped") };
        assert!(skipped.starts_with(&format!("{name}: ")), "{skipped}");
        assert!(skipped.contains(expected), "{expected}: {skipped}");
        assert_eq!(replica.ring.ready(), Ok(()));
        assert_eq!(replica.signs(), Some(0));
    }
}

#[tokio::test]
async fn damage_report_shows_no_content() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.put("key-secret", b"{\"version\":2,\"record\":\"0123456789-secret\"}").await;
    replica.refresh().await;
    let skipped = replica.ring.status().skipped.join("\n");
    assert!(skipped.starts_with("key-secret: not a record: line 1"), "{skipped}");
    assert!(!skipped.contains("0123456789"), "{skipped}");
}

#[tokio::test]
async fn unknown_entries_and_marks_are_skipped_and_reported() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let (key_id, at) = (replica.key(0).key_id, "2027-01-15T08:00:00Z");
    let mark = json!({"version": 2, "entry": {"kid": key_id, "at": at, "kept_until": at}});
    store.put("README", b"hello").await;
    store.put("revoke-someone", mark.to_string().as_bytes()).await;
    store.put("rewoke-someone", mark.to_string().as_bytes()).await;
    store.put(&format!("retire-{key_id}"), b"\xff").await;
    replica.refresh().await;
    let status = replica.ring.status();
    assert_eq!(status.skipped.len(), 4, "{:?}", status.skipped);
    let unknown = "rewoke-someone: unknown name: remove the entry";
    assert!(status.skipped.iter().any(|skipped| skipped == unknown), "{:?}", status.skipped);
    assert_eq!((status.failure, status.generation), (None, Some(0)));
    assert_eq!(replica.ring.ready(), Ok(()));
    for name in ["README", "revoke-someone", "rewoke-someone", &format!("retire-{key_id}")] {
        store.delete(name).await;
    }
    replica.refresh().await;
    assert_eq!(replica.ring.status().skipped, [""; 0]);
}

#[tokio::test]
async fn damaged_key_held_by_replica_is_restored_beside_it() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    pass(&[&replica], LEAD).await;
    let name = entry_of(&store, 1).await;
    store.put(&name, b"damaged").await;
    replica.refresh().await;
    let newcomer = Replica::open(store.sibling(), START + LEAD).await;
    assert_converged(&[&replica, &newcomer]);
    assert_eq!(newcomer.generations(), [0, 1]);
    assert_eq!(newcomer.ring.status().skipped.len(), 1);
}

#[tokio::test]
async fn a_generation_whose_place_is_taken_by_damage_is_left_out() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let third = entry_of(&store, 1).await.replace("-0000000001", "-0000000002");
    store.put(&third, b"damaged").await;
    let due = replica.times(1).signs_from - seconds(500);
    pass(&[&replica], due - START).await;
    assert_eq!(replica.generations(), [0, 1, 3]);
    let newcomer = Replica::open(store.sibling(), due).await;
    assert_converged(&[&replica, &newcomer]);
    assert_eq!(replica.times(3).signs_from, replica.times(1).signs_until);
}

#[tokio::test]
async fn store_of_unreadable_entries_is_refused_and_untouched() {
    let of_a_newer_version = json!({"version": 3, "entry": {}}).to_string();
    for (name, value) in [
        ("birth", "damaged"),
        ("birth", &of_a_newer_version),
        ("key-abc-0000000000", "damaged"),
        ("key-abc-0000000000", &of_a_newer_version),
        ("README", "hello"),
    ] {
        let store = TestStore::new();
        let entries = BTreeMap::from([(name.to_owned(), value.as_bytes().to_vec())]);
        store.restore(&entries).await;
        let refused = Replica::try_open(store.clone(), policy(), START).await;
        let error = refused.err().expect("is refused");
        let text = error.to_string();
        assert!(error.is_unreadable(), "{text}");
        assert!(text.contains("\"app\"") && text.contains(&format!(": {name}: ")), "{text}");
        assert_eq!(store.entries().await, entries);
        assert_eq!(store.calls(Operation::Insert), [""; 0]);
    }
}

#[tokio::test]
async fn a_whole_ring_of_damaged_keys_is_refused_and_left_alone() {
    let store = TestStore::new();
    drop(Replica::open(store.clone(), START).await);
    for generation in [0, 1] {
        store.put(&entry_of(&store, generation).await, b"damaged").await;
    }
    let entries = store.entries().await;
    let refused = Replica::try_open(store.clone(), policy(), START).await;
    assert!(refused.is_err_and(|error| error.is_unreadable()));
    assert_eq!(store.entries().await, entries);
}

#[tokio::test]
async fn an_entry_of_a_newer_version_makes_a_replica_unready_and_idle() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let newer = entry_of(&store, 1).await.replace("-0000000001", "-0000000002");
    store.put(&newer, json!({"version": 7, "entry": {}}).to_string().as_bytes()).await;
    store.forget_calls();
    let due = replica.times(1).signs_from;
    pass(&[&replica], due - START).await;
    let unready = replica.ring.ready().unwrap_err();
    assert_eq!(unready.kind(), NotReadyKind::NewerFormat);
    assert!(unready.to_string().contains("entries of format 7"), "{unready}");
    assert_eq!(replica.generations(), [0, 1]);
    assert_eq!(store.calls(Operation::Insert), [""; 0]);
    assert_eq!(store.calls(Operation::Remove), [""; 0]);
    let [skipped] = &replica.ring.status().skipped[..] else { panic!("one is skipped") };
    assert!(skipped.contains("newer version (format 7)"), "{skipped}");
    // It serves all the same, if it is asked.
    assert_eq!(replica.judge(&replica.issue()), Ok(()));
    let error = replica.ring.ready().expect_err("is not ready").to_string();
    assert!(error.contains("upgrade this replica"), "{error}");

    store.delete(&newer).await;
    replica.refresh().await;
    assert_eq!(replica.ring.ready(), Ok(()));
    assert_eq!(replica.generations(), [0, 1, 2]);
}

/// Two rings while a service is updated: one replica is of a newer version and has written a key, the other
/// two cannot read it.
#[tokio::test]
async fn replicas_beside_newer_version_serve_last_good_keys() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    let before = [one.issue(), two.issue()];
    let newer = entry_of(&store, 1).await.replace("-0000000001", "-0000000002");
    let written = json!({"version": 7, "record": {"generation": 2}}).to_string().into_bytes();
    store.put(&newer, &written).await;

    let events = Events::capture();
    pass(&[&one, &two], seconds(300)).await;
    assert_eq!(events.count("skipped an entry"), 2, "once for each replica: {:?}", events.all());
    for replica in [&one, &two] {
        assert_eq!((replica.signs(), replica.generations()), (Some(0), vec![0, 1]));
        for token in before.iter().chain([&one.issue(), &two.issue()]) {
            assert_eq!(replica.judge(token), Ok(()));
        }
    }
    assert_converged(&[&one, &two]);
    assert_eq!(store.entries().await[&newer], written, "the newer entry is left alone");
}

/// The store reports files that are no entries.
#[tokio::test]
async fn file_skipped_by_store_is_reported_by_ring() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let open = || FileStore::open(place.path().join("keys")).expect("opens");
    let replica = Replica::open(open(), START).await;
    assert_eq!(replica.ring.status().skipped, [""; 0]);
    std::fs::write(place.path().join("keys/app/notes.txt"), "hello").expect("writes");
    replica.refresh().await;
    let [skipped] = &replica.ring.status().skipped[..] else { panic!("one is skipped") };
    assert!(skipped.contains("notes.txt: is not named"), "{skipped}");
    assert_eq!(replica.ring.ready(), Ok(()));
}

#[tokio::test]
async fn the_highest_generation_is_the_last_that_has_a_name() {
    const HIGHEST: u64 = 9_999_999_999;
    for (generation, held) in [(HIGHEST, vec![0, HIGHEST]), (HIGHEST + 1, vec![0, 1])] {
        let store = TestStore::new();
        drop(Replica::open(store.clone(), START).await);
        let name = entry_of(&store, 1).await;
        change(&store, &name, |record| record["record"]["generation"] = json!(generation)).await;
        let value = store.entries().await[&name].clone();
        store.delete(&name).await;
        store.put(&name.replace("0000000001", &generation.to_string()), &value).await;
        let replica = Replica::open(store.sibling(), START).await;
        assert_eq!(replica.generations(), held);
        let skipped = replica.ring.status().skipped;
        assert_eq!(skipped.is_empty(), generation == HIGHEST, "{skipped:?}");
        assert!(
            skipped.iter().all(|it| it.contains("found a generation above 9999999999")),
            "{skipped:?}"
        );
    }
}
