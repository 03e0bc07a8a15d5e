//! Someone who can write the store, and has no sealing key: whatever is changed, moved or brought
//! back, no replica takes a key of it, whether it runs already or starts on it.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Clock as _, KeyRing, KeyState, RotationPolicy, SealingKey, Timestamp};

use crate::support::replicas::{
    LEAD, LIFE, REFRESH, RING, Replica, SKEW, START, pass, policy, seconds,
};
use crate::support::stores::{TestStore, pack, unpack};

type Entries = BTreeMap<String, Vec<u8>>;

fn sealing_key(first: u8) -> SealingKey {
    let secret: Vec<u8> = (first..first + 32).collect();
    SealingKey::new(secret).expect("random enough")
}

/// A replica with two sealing keys, of which the first seals.
async fn sealed_at(store: &TestStore, now: Timestamp) -> Replica {
    sealed_with(store, RING, policy(), now).await
}

async fn sealed_with(
    store: &TestStore,
    name: &str,
    policy: RotationPolicy,
    now: Timestamp,
) -> Replica {
    let clock = ManualClock::new(now);
    let ring = KeyRing::builder(name).store(store.clone()).rotation(policy).clock(clock.clone());
    let ring = ring.seal_with([sealing_key(1), sealing_key(101)]).open().await.expect("opens");
    Replica::of(ring, clock, LIFE)
}

fn key_of(entries: &Entries, generation: u64) -> (String, Vec<u8>) {
    let suffix = format!("-{generation:010}");
    let entry = entries.iter().find(|(name, _)| name.ends_with(&suffix)).expect("a key");
    (entry.0.clone(), entry.1.clone())
}

/// The entry with `from` in its text replaced by `to`, and nothing else.
fn replace(value: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(value.to_vec()).expect("is text");
    assert!(text.contains(from), "{from}: {text}");
    text.replace(from, to).into_bytes()
}

/// A member of the record, as it is written there.
fn member(name: &str, value: &serde_json::Value) -> String {
    format!("\\\"{name}\\\":{}", value.to_string().replace('"', "\\\""))
}

/// The entry with another value of one of the record's members.
fn change(value: &[u8], path: &str, to: serde_json::Value) -> Vec<u8> {
    let unpacked = unpack(value);
    let before = unpacked["record"].pointer(path).expect("such a member");
    assert_ne!(*before, to);
    let name = path.rsplit('/').next().expect("a name");
    replace(value, &member(name, before), &member(name, &to))
}

/// Lets days pass, and with fewer refreshes than are usual.
async fn pass_days(replica: &Replica, days: u32) {
    for _ in 0..days * 24 {
        replica.clock.advance(seconds(3600));
        replica.refresh().await;
    }
}

fn time(entry: &serde_json::Value, name: &str) -> i64 {
    let text = entry["record"]["times"][name].as_str().expect("a time");
    serde_json::from_value::<Timestamp>(text.into()).expect("a time").as_unix_seconds()
}

fn later(entry: &serde_json::Value, name: &str, by: i64) -> serde_json::Value {
    Timestamp::from_unix_seconds(time(entry, name) + by).to_string().into()
}

/// Every way to change one thing of a key's entry, with the name that fits what it says then.
fn changes(name: &str, value: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let entry = unpack(value);
    let mut changed = Vec::new();
    let mut add =
        |what: &str, name: &str, value| changed.push((what.to_owned(), name.to_owned(), value));
    for (path, by) in [
        ("published", -100),
        ("propagated", -100),
        ("signs_from", -100),
        ("signs_until", 100),
        ("signs_latest", 100),
        ("verifies_until", 10 * 365 * 24 * 3600),
    ] {
        add(path, name, change(value, &format!("/times/{path}"), later(&entry, path, by)));
    }
    let born = Timestamp::from_unix_seconds(START.as_unix_seconds() - 1);
    add("birth", name, change(value, "/birth/born", born.to_string().into()));
    let id = entry["record"]["birth"]["id"].as_str().expect("an ID");
    let other_id = "B".repeat(id.len());
    let other_name = name.replace(id, &other_id);
    add("ring's ID", &other_name, change(value, "/birth/id", other_id.into()));
    let other_name = name.replace("-0000000001", "-0000000009");
    add("generation", &other_name, change(value, "/generation", 9.into()));
    add("algorithm", name, change(value, "/algorithm", "HS256".into()));
    add("key ID", name, change(value, "/kid", "another".into()));
    add("ring's name", name, change(value, "/ring", "another".into()));
    let end = "}\",\n";
    add("further member", name, replace(value, end, &format!(",\\\"more\\\":1{end}")));
    add("space", name, replace(value, end, &format!(" {end}")));
    let sealed = &entry["material"]["sealed"];
    let [key, nonce, ciphertext] = ["sealing_key", "nonce", "ciphertext"]
        .map(|name| sealed[name].as_str().expect("sealed").to_owned());
    let debug = format!("{:?}", sealing_key(101));
    let other_key = debug.split('"').nth(1).expect("an ID");
    assert_ne!(key, other_key);
    add("sealing key's ID", name, replace(value, &key, other_key));
    let flip = |text: &str| match text.strip_prefix('A') {
        Some(rest) => format!("B{rest}"),
        None => format!("A{}", &text[1..]),
    };
    add("nonce", name, replace(value, &nonce, &flip(&nonce)));
    add("ciphertext", name, replace(value, &ciphertext, &flip(&ciphertext)));
    add("older version", name, replace(value, "\"version\": 2", "\"version\": 1"));
    add("newer version", name, replace(value, "\"version\": 2", "\"version\": 3"));
    changed
}

/// The keys that a replica holds: their IDs, and all that is sealed of them.
fn keys(replica: &Replica) -> BTreeMap<String, String> {
    let keys = replica.ring.status().keys.into_iter();
    keys.map(|key| (key.key_id, format!("{} {:?} {:?}", key.generation, key.algorithm, key.times)))
        .collect()
}

#[tokio::test]
async fn sealed_record_with_any_change_is_refused() {
    let store = TestStore::new();
    let maker = sealed_at(&store, START).await;
    let (known, entries) = (keys(&maker), store.entries().await);
    let (name, value) = key_of(&entries, 1);
    let kid = maker.key(1).key_id;
    for (what, other_name, other_value) in changes(&name, &value) {
        // In the place of the good one, and beside it.
        for beside in [false, true] {
            let mut changed = entries.clone();
            let place = match beside {
                true => format!("{other_name}-{kid}"),
                false => other_name.clone(),
            };
            changed.retain(|held, _| beside || *held != name);
            changed.insert(place, other_value.clone());
            store.restore(&changed).await;
            let newcomer = sealed_at(&store.sibling(), START).await;
            for (kid, says) in keys(&newcomer) {
                assert!(known.get(&kid).is_none_or(|known| *known == says), "{what}: {says}");
            }
            assert!(beside || !keys(&newcomer).contains_key(&kid), "{what}: it is held");
            store.restore(&changed).await;
            maker.refresh().await;
            assert_eq!(keys(&maker).get(&kid), known.get(&kid), "{what}");
        }
    }
}

#[tokio::test]
async fn sealed_record_replayed_with_later_times_is_refused() {
    let store = TestStore::new();
    let running = sealed_at(&store, START).await;
    pass(&[&running], LEAD).await;
    let stolen = running.issue();
    let kid = running.signing_key();
    let old = store.entries().await;
    running.revoke(0).await;
    pass_days(&running, 3).await;
    assert!(!keys(&running).contains_key(&kid), "its life is over");

    let (name, value) = key_of(&old, 0);
    let unpacked = unpack(&value);
    let mut with_later_times = value.clone();
    for time in
        ["published", "propagated", "signs_from", "signs_until", "signs_latest", "verifies_until"]
    {
        let later = later(&unpacked, time, 3 * 24 * 3600);
        let before = &unpacked["record"]["times"][time];
        with_later_times = replace(&with_later_times, &member(time, before), &member(time, &later));
    }
    let only_longer =
        change(&value, "/times/verifies_until", later(&unpacked, "verifies_until", 9_999_999));
    for brought_back in [value, with_later_times, only_longer] {
        store.put(&name, &brought_back).await;
        let newcomer = sealed_at(&store.sibling(), running.clock.now()).await;
        assert!(!keys(&newcomer).contains_key(&kid), "{:?}", newcomer.ring.status());
        newcomer.judge(&stolen).expect_err("has expired");
        store.put(&name, &brought_back).await;
        running.refresh().await;
        assert!(!keys(&running).contains_key(&kid), "{:?}", running.ring.status());
        store.delete(&name).await;
    }
}

/// The other replicas of the ring are configured otherwise: their own keys live for less long.
#[tokio::test]
async fn revoked_key_restored_by_attacker_is_still_revoked() {
    let store = TestStore::new();
    let long = policy().max_token_lifetime(seconds(30 * 24 * 3600));
    let maker = sealed_with(&store, RING, long, START).await;
    pass(&[&maker], LEAD).await;
    let old = store.entries().await;
    let kid = maker.signing_key();
    maker.revoke(0).await;
    let (name, value) = key_of(&old, 0);
    store.delete(&name).await;
    drop(maker);
    let other = sealed_at(&store.sibling(), START + LEAD).await;
    pass_days(&other, 3).await;
    drop(other);

    store.put(&name, &value).await;
    let newcomer = sealed_at(&store.sibling(), START + LEAD + seconds(3 * 24 * 3600)).await;
    let held = newcomer.ring.status().keys.into_iter().find(|key| key.key_id == kid);
    assert_eq!(held.map(|key| key.state), Some(KeyState::Revoked));
}

/// A mark that says to be kept for less long ends no earlier where its key is held.
#[tokio::test]
async fn revocation_with_its_end_moved_ahead_lasts_as_long_as_its_key() {
    let store = TestStore::new();
    let replica = sealed_at(&store, START).await;
    pass(&[&replica], LEAD).await;
    let stolen = replica.issue();
    replica.revoke(0).await;
    let name = store.names().await.into_iter().find(|name| name.starts_with("revoke-"));
    let name = name.expect("a mark");
    let mut mark = unpack(&store.entries().await[&name]);
    mark["entry"]["kept_until"] = "1970-01-01T00:00:00Z".into();
    store.put(&name, &pack(mark)).await;
    let newcomer = sealed_at(&store.sibling(), START + LEAD).await;
    pass(&[&replica, &newcomer], REFRESH).await;
    for replica in [&replica, &newcomer] {
        replica.judge(&stolen).expect_err("is revoked");
    }
    assert!(store.names().await.contains(&name));
}

#[tokio::test]
async fn sealed_materials_swapped_between_records_are_refused() {
    let store = TestStore::new();
    let maker = sealed_at(&store, START).await;
    let entries = store.entries().await;
    let [(zero, one), (first, second)] = [key_of(&entries, 0), key_of(&entries, 1)];
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("is text");
    let parts = |value: &[u8]| {
        let text = text(value);
        let at = text.find("\"material\"").expect("its material");
        (text[..at].to_owned(), text[at..].to_owned())
    };
    let ((record_0, material_0), (record_1, material_1)) = (parts(&one), parts(&second));
    let mut swapped = entries.clone();
    swapped.insert(first, (record_1 + &material_0).into_bytes());
    store.restore(&swapped).await;
    let newcomer = sealed_at(&store.sibling(), START).await;
    assert!(!keys(&newcomer).contains_key(&maker.key(1).key_id));
    swapped.insert(zero, (record_0 + &material_1).into_bytes());
    store.restore(&swapped).await;
    let known = keys(&maker);
    maker.refresh().await;
    assert_eq!(keys(&maker), known);
}

/// It holds for keys that are not sealed, too.
#[tokio::test]
async fn record_moved_to_another_ring_or_name_is_refused() {
    for sealed in [false, true] {
        let store = TestStore::new();
        let open = async |name: &str| match sealed {
            true => sealed_with(&store, name, policy(), START).await,
            false => {
                let ring = KeyRing::builder(name).store(store.clone()).rotation(policy());
                let clock = ManualClock::new(START);
                let ring = ring.clock(clock.clone()).open().await.expect("opens");
                Replica::of(ring, clock, LIFE)
            }
        };
        let [one, other] = [open(RING).await, open("other").await];
        let [of_one, of_other] = [store.entries().await, store.entries_of("other").await];
        let moved: Vec<_> = of_one.iter().filter(|(name, _)| name.starts_with("key-")).collect();
        let other_ring = |name: &str| {
            let id = |entries: &Entries| key_of(entries, 0).0[4..26].to_owned();
            name.replace(&id(&of_one), &id(&of_other)).replace("-000000000", "-000000001")
        };
        for (name, value) in &moved {
            store.put_of("other", name, value).await;
            store.put_of("other", &other_ring(name), value).await;
            let wrong_kid = format!("{name}-{}", other.key(0).key_id);
            store.put(&wrong_kid, value).await;
            store.put(&name.replace("-000000000", "-000000001"), value).await;
        }
        let (known, newcomer) = (keys(&other), open("other").await);
        other.refresh().await;
        assert_eq!(keys(&other), known);
        assert_eq!(keys(&newcomer), known);
        assert_eq!(newcomer.ring.status().skipped.len(), 4, "{:?}", newcomer.ring.status().skipped);
        let (known, newcomer) = (keys(&one), open(RING).await);
        one.refresh().await;
        assert_eq!((keys(&one), keys(&newcomer)), (known.clone(), known));
        assert_eq!(one.ring.status().skipped.len(), 4, "{:?}", one.ring.status().skipped);
    }
}

/// The generation that another ring has come to is none of this one's.
#[tokio::test]
async fn generations_are_counted_for_each_ring_by_itself() {
    let [first, second] = [TestStore::new(), TestStore::new()];
    let later = sealed_at(&second, START + SKEW).await;
    for _ in 0..3 {
        later.ring.rotate_now().await.expect("rotates");
        later.clock.advance(Duration::from_secs(3600));
        later.refresh().await;
    }
    let highest = later.generations().into_iter().max();
    assert!(highest > Some(2), "{highest:?}");
    let now = START + SKEW + Duration::from_secs(3 * 3600);
    let replica = sealed_at(&first, START).await;
    let id = key_of(&first.entries().await, 0).0[..26].to_owned();
    replica.clock.set(now);
    for (name, value) in second.entries().await {
        if name.starts_with("key-") {
            first.put(&name, &value).await;
        }
    }
    let highest = async || {
        let names = first.names().await.into_iter().filter(|name| name.starts_with(&id));
        names.filter_map(|name| name[27..37].parse::<u64>().ok()).max()
    };
    let before = highest().await;
    replica.refresh().await;
    assert_eq!(highest().await, before.map(|highest| highest + 1));
}
