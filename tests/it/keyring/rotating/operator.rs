//! The operator's handle: what it reads, plans and writes, without being a replica.

use std::time::Duration;

use tower_jwt_session::store::{FileStore, MemoryStore, Store};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Algorithm, KeyRing, KeySeal, OperationErrorKind, PauseReason, RejectionKind, RingChange,
    RingChangeKind, RingOperator, RingRecords, SealingKey, Timestamp,
};

use crate::support::replicas::{
    FULL_LEAD, LEAD, PERIOD, RING, Replica, START, assert_converged, pass, policy, seconds,
};
use crate::support::stores::{Operation, Reach, TestStore, pack, unpack};

fn operator(store: impl Store, now: Timestamp) -> RingOperator {
    KeyRing::operate(RING, store).unwrap().clock(ManualClock::new(now))
}

fn sealing_key(first: u8) -> SealingKey {
    SealingKey::new((first..first + 32).collect::<Vec<_>>()).unwrap()
}

/// Two replicas that have had their keys for longer than the lead.
async fn replicas(store: &TestStore) -> [Replica; 2] {
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    pass(&[&one, &two], LEAD).await;
    [one, two]
}

async fn apply(operator: &RingOperator, change: &RingChange) -> (RingChange, Vec<String>) {
    let mut written = Vec::new();
    let done = operator.apply(change, |key_id| written.push(key_id.to_owned())).await;
    (done.expect("the store is up"), written)
}

fn key_ids(records: &RingRecords) -> Vec<&str> {
    records.keys.iter().map(|key| &*key.status.key_id).collect()
}

/// What it shows is what a replica shows, for every algorithm, sealed or not, and it writes nothing.
async fn shows_what_a_replica_shows<S: Store + Clone>(
    store: S,
    algorithm: Algorithm,
    sealed: bool,
) {
    let mut builder = KeyRing::builder(RING).store(store.clone()).algorithm(algorithm).found_now();
    if sealed {
        builder = builder.seal_with([sealing_key(1)]);
    }
    let builder = builder.rotation(policy()).clock(ManualClock::new(START));
    let status = builder.open().await.unwrap().status();
    let before = names(&store).await;

    let operator = operator(store.clone(), START);
    let records = operator.read().await.unwrap();
    assert_eq!(records.signing_key_id, status.signing_key_id, "{algorithm}");
    assert_eq!((records.issuing_paused, records.keys.len()), (None, 2), "{algorithm}");
    for (found, expected) in records.keys.iter().zip(&status.keys) {
        let (found, expected) = (&found.status, expected);
        assert_eq!(found.algorithm.canonical_name(), expected.algorithm.canonical_name());
        assert_eq!((found.state, found.times), (expected.state, expected.times), "{algorithm}");
        assert_eq!(found.key_id, expected.key_id);
    }
    let seals = |records: &RingRecords| [records.keys[0].seal, records.keys[1].seal];
    let expected = if sealed { KeySeal::NotOpened } else { KeySeal::Unsealed };
    assert_eq!((seals(&records), records.are_authenticated()), ([expected; 2], false));
    let opened = operator.seal_with([sealing_key(2), sealing_key(1)]).read().await.unwrap();
    let expected = if sealed { KeySeal::Opened } else { KeySeal::Unsealed };
    assert_eq!((seals(&opened), opened.are_authenticated()), ([expected; 2], sealed));
    assert_eq!(names(&store).await, before);
}

/// RFC 9864 has two names for Ed25519, of which records hold one.
trait Canonical {
    fn canonical_name(&self) -> &'static str;
}

impl Canonical for Algorithm {
    fn canonical_name(&self) -> &'static str {
        match self {
            Algorithm::Ed25519 => Algorithm::EdDSA.as_str(),
            other => other.as_str(),
        }
    }
}

async fn names(store: &dyn Store) -> Vec<String> {
    let entries = store.load(RING).await.unwrap().entries;
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn operator_shows_what_a_replica_shows_of_every_algorithm_and_store() {
    for algorithm in Algorithm::ALL {
        let directory = tempfile::tempdir().unwrap();
        let file = FileStore::open(directory.path().join("keys")).unwrap();
        // Some algorithms verify alone.
        if KeyRing::builder("probe").store(file.clone()).algorithm(algorithm).open().await.is_err()
        {
            continue;
        }
        for sealed in [false, true] {
            shows_what_a_replica_shows(MemoryStore::new(), algorithm, sealed).await;
        }
        shows_what_a_replica_shows(file, algorithm, true).await;
    }
}

#[tokio::test]
async fn operator_rotates_as_a_replica_does_and_makes_no_key() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let (first, before) = (one.signing_key(), store.names().await);
    let now = START + LEAD;
    let operator = operator(store.sibling(), now);
    let planned = operator.read().await.unwrap().plan_rotation().unwrap();
    assert_eq!(store.names().await, before);
    // The second key was published at the start; the mark, too, has to reach everyone.
    let at = (START + FULL_LEAD).max(now + LEAD);
    let signer = planned.signer.clone().unwrap();
    assert_eq!((&signer.key_id, signer.from), (&one.key(1).key_id, at));
    assert_eq!(
        (planned.issuing_paused, planned.known_by, planned.makes_key),
        (None, now + LEAD, true)
    );

    let (done, written) = apply(&operator, &planned).await;
    assert_eq!((&written, &done.key_ids), (&vec![first.clone()], &vec![first.clone()]));
    let mut after = store.names().await;
    after.retain(|name| !before.contains(name));
    assert_eq!(after, [format!("retire-{first}")]);

    // Replicas make the next key once they see it.
    two.refresh().await;
    one.refresh().await;
    assert_eq!(one.generations(), [0, 1, 2]);
    assert_converged(&[&one, &two]);
    let old = one.issue();
    assert_eq!(one.signs_at(at - Duration::from_millis(1)), Some(0));
    assert_eq!(one.signs_at(at), Some(1));
    assert_eq!(one.judge(&old), Ok(()));
}

#[tokio::test]
async fn operator_repeats_a_rotation_without_another_mark() {
    let store = TestStore::new();
    let [one, _two] = replicas(&store).await;
    let operator = operator(store.sibling(), START + LEAD);
    let planned = operator.read().await.unwrap().plan_rotation().unwrap();
    let (done, _) = apply(&operator, &planned).await;
    let before = store.entries().await;
    let again = operator.read().await.unwrap().plan_rotation().unwrap();
    assert_eq!((&again.key_ids, &again.signer), (&Vec::new(), &done.signer));
    assert_eq!(apply(&operator, &again).await.1, Vec::<String>::new());
    assert_eq!(store.entries().await, before);
    one.refresh().await;
    // A replica's own rotation agrees.
    assert_eq!(one.ring.rotate_now().await.unwrap(), done.signer.unwrap().from);
}

#[tokio::test]
async fn operator_refuses_to_rotate_without_a_successor_and_writes_nothing() {
    let store = TestStore::new();
    let [one, _two] = replicas(&store).await;
    let kid = one.key(1).key_id;
    one.revoke(1).await;
    for name in store.names().await.iter().filter(|name| name.ends_with("-0000000002")) {
        store.delete(name).await;
    }
    let before = store.entries().await;
    let records = operator(store.sibling(), START + LEAD).read().await.unwrap();
    let error = records.plan_rotation().unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::KeyRingNotReady);
    assert!(error.to_string().contains("a live replica makes it: start one"), "{error}");
    assert_eq!(store.entries().await, before, "{kid}");
}

#[tokio::test]
async fn operator_revokes_a_leaked_key_and_its_published_successor_signs() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let (leaked, stolen) = (one.signing_key(), one.issue());
    let operator = operator(store.sibling(), START + LEAD);
    let planned = operator.read().await.unwrap().plan_revocation(&leaked).unwrap();
    assert_eq!(planned.kind, RingChangeKind::Revoke(leaked.clone()));
    let signer = planned.signer.clone().unwrap();
    assert_eq!((&signer.key_id, signer.from), (&one.key(1).key_id, START + LEAD));
    assert_eq!(planned.issuing_paused, None);
    apply(&operator, &planned).await;
    for replica in [&one, &two] {
        replica.refresh().await;
        assert_eq!(replica.judge(&stolen), Err(RejectionKind::UnknownKey));
        assert_eq!(replica.signs(), Some(1));
    }
    // The replicas have made another.
    let new = operator.new_key(&operator.read().await.unwrap(), Duration::ZERO).await.unwrap();
    assert!(new.is_none());
    assert_eq!(one.generations(), [0, 1, 2]);
    // Marked already: nothing is written.
    let again = operator.read().await.unwrap().plan_revocation(&leaked).unwrap();
    assert!(again.key_ids.is_empty());
}

#[tokio::test]
async fn operator_says_until_when_issuing_pauses_and_replicas_agree() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let operator = operator(store.sibling(), START);
    let planned = operator.read().await.unwrap().plan_revocation(&one.signing_key()).unwrap();
    let pause = planned.issuing_paused.unwrap();
    assert_eq!((pause.reason, pause.until), (PauseReason::Revoked, Some(START + LEAD)));
    apply(&operator, &planned).await;
    one.refresh().await;
    assert_eq!(one.ring.status().issuing_paused, Some(pause));
    assert_eq!(one.signs_at(START + LEAD), Some(1));
}

#[tokio::test]
async fn operator_replaces_all_keys_the_signing_one_last_and_a_replica_makes_new_ones() {
    let store = TestStore::shared(Reach::Notifying);
    let [one, _two] = replicas(&store).await;
    let signing = one.signing_key();
    let operator = operator(store.sibling(), START + LEAD);
    let records = operator.read().await.unwrap();
    let planned = records.plan_replacement().unwrap();
    assert_eq!(planned.key_ids, [one.key(1).key_id, signing]);
    let pause = planned.issuing_paused.unwrap();
    assert_eq!((planned.signer.clone(), pause.until, planned.makes_key), (None, None, true));
    let (_, written) = apply(&operator, &planned).await;
    assert_eq!(written, planned.key_ids);
    assert!(operator.new_key(&records, Duration::ZERO).await.unwrap().is_none());

    one.refresh().await;
    let new = operator.new_key(&records, Duration::ZERO).await.unwrap().expect("it made one");
    assert_eq!((new.status.generation, &*new.status.key_id), (2, &*one.key(2).key_id));
    let after = operator.read().await.unwrap();
    let next = after.next_signer.clone().unwrap();
    assert_eq!((&next.key_id, next.from), (&new.status.key_id, START + LEAD + LEAD));
    assert_eq!(one.ring.status().issuing_paused, after.issuing_paused);
}

#[tokio::test]
async fn operator_marks_the_signing_key_after_those_that_verify_and_those_to_come() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    pass(&[&one, &two], PERIOD).await;
    assert_eq!((one.signs(), one.generations()), (Some(1), vec![0, 1, 2]));
    let records = operator(store.sibling(), START + LEAD + PERIOD).read().await.unwrap();
    let expected = [2, 0, 1].map(|generation| one.key(generation).key_id);
    assert_eq!(records.plan_replacement().unwrap().key_ids, expected);
}

#[tokio::test]
async fn operator_reports_what_was_written_when_the_second_mark_fails() {
    let store = TestStore::new();
    let [one, _two] = replicas(&store).await;
    let connection = store.sibling();
    let operator = operator(connection.clone(), START + LEAD);
    let planned = operator.read().await.unwrap().plan_replacement().unwrap();
    connection.fail_after_inserts(1);
    let mut written = Vec::new();
    let failed = operator.apply(&planned, |key_id| written.push(key_id.to_owned())).await;
    assert_eq!(failed.unwrap_err().kind(), OperationErrorKind::Store);
    assert_eq!(written, [one.key(1).key_id]);
    // The signing key is as it was.
    one.refresh().await;
    assert_eq!(one.signs(), Some(0));
    connection.up();
    let (_, rest) = apply(&operator, &planned).await;
    // With the key that a replica has made meanwhile.
    assert_eq!(rest, [one.key(2).key_id, one.key(0).key_id]);
}

#[tokio::test]
async fn operator_changes_nothing_in_a_ring_that_changed_since_the_plan() {
    let store = TestStore::new();
    let [one, _two] = replicas(&store).await;
    let operator = operator(store.sibling(), START + LEAD);
    let planned = operator.read().await.unwrap().plan_rotation().unwrap();
    one.revoke(0).await;
    let before = store.entries().await;
    let error = operator.apply(&planned, |_| panic!("nothing is written")).await.unwrap_err();
    assert!(error.to_string().contains("plan it again"), "{error}");
    assert_eq!(store.entries().await, before);
}

type Plan = fn(&RingRecords) -> Result<RingChange, tower_jwt_session::OperationError>;

/// Every change, of the signing key where it is of one.
const PLANS: [Plan; 3] = [
    RingRecords::plan_rotation,
    |records| records.plan_revocation(records.signing_key_id.as_deref().unwrap_or("none")),
    RingRecords::plan_replacement,
];

/// Each plan fails with that text, and the store stays as it is.
async fn assert_refused(store: &TestStore, ring: &str, plans: &[Plan], text: &str) {
    let before = store.entries_of(ring).await;
    let operator = KeyRing::operate(ring, store.sibling()).unwrap();
    let operator = operator.clock(ManualClock::new(START + LEAD));
    let records = operator.read().await.unwrap();
    for plan in plans {
        let error = plan(&records).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(store.entries_of(ring).await, before);
}

#[tokio::test]
async fn operator_refuses_what_is_not_there_or_not_understood() {
    let empty = TestStore::new();
    assert_refused(&empty, RING, &PLANS, "the store holds no key of ring \"app\"").await;

    let store = TestStore::new();
    let [one, _two] = replicas(&store).await;
    assert_refused(&store, "other", &PLANS, "the store holds no key of ring \"other\"").await;
    let unknown: Plan = |records| records.plan_revocation("unknown");
    let expected = format!("\"unknown\"; expected one of {}", one.signing_key());
    assert_refused(&store, RING, &[unknown], &expected).await;

    store.put("key-x", b"garbage").await;
    assert_refused(&store, RING, &[RingRecords::plan_replacement], "may be keys: key-x").await;
    store.put("anything", b"{\"version\":3}").await;
    assert_refused(&store, RING, &PLANS, "found entries of format 3").await;
    assert!(KeyRing::operate("../etc", store).is_err());
}

#[tokio::test]
async fn operator_revokes_a_key_beside_an_entry_that_cannot_be_read() {
    let store = TestStore::new();
    let [one, _two] = replicas(&store).await;
    store.put("key-x", b"garbage").await;
    let operator = operator(store.sibling(), START + LEAD);
    let records = operator.read().await.unwrap();
    assert_eq!((records.skipped.len(), key_ids(&records).len()), (1, 2));
    let leaked = one.signing_key();
    apply(&operator, &records.plan_revocation(&leaked).unwrap()).await;
    one.refresh().await;
    assert_eq!(one.signs(), Some(1));
}

/// The record is bound to the seal: with the sealing key a changed one is found.
#[tokio::test]
async fn operator_with_the_sealing_key_finds_a_changed_record() {
    let store = TestStore::new();
    let builder = KeyRing::builder(RING).store(store.clone()).seal_with([sealing_key(1)]);
    let builder = builder.rotation(policy()).clock(ManualClock::new(START)).found_now();
    builder.open().await.unwrap();
    let names = store.names().await;
    let name = names.iter().find(|name| name.ends_with("-0000000001")).unwrap();
    let mut record = unpack(&store.entries().await[name]);
    let times = &mut record["record"]["times"];
    times["propagated"] = times["published"].clone();
    store.put(name, &pack(record)).await;

    let unchecked = operator(store.sibling(), START).read().await.unwrap();
    assert_eq!((unchecked.keys.len(), unchecked.are_authenticated()), (2, false));
    let checked = operator(store.sibling(), START).seal_with([sealing_key(1)]);
    let checked = checked.read().await.unwrap();
    assert_eq!(checked.keys.len(), 1);
    assert!(checked.skipped[0].contains("was changed after sealing"), "{:?}", checked.skipped);
}

/// Two rings were founded: the older one signs, and both are shown.
#[tokio::test]
async fn operator_of_two_rings_in_one_store_takes_the_older_one() {
    let (store, other) = (TestStore::new(), TestStore::new());
    let one = Replica::open(store.clone(), START).await;
    let later = Replica::open(other.clone(), START + seconds(5)).await;
    let (first, second) = (one.signing_key(), later.signing_key());
    for (name, value) in other.entries().await.iter().filter(|(name, _)| *name != "birth") {
        store.put(name, value).await;
    }
    let operator = operator(store.sibling(), START + LEAD + seconds(5));
    let records = operator.read().await.unwrap();
    assert_eq!((records.rings, records.signing_key_id.as_deref()), (2, Some(&*first)));
    assert_eq!(records.keys.len(), 4);
    // To revoke one of the other ring is possible, and stops no signing.
    let change = records.plan_revocation(&second).unwrap();
    assert_eq!(change.signer.map(|signer| signer.key_id), Some(first));
    assert_eq!(records.plan_replacement().unwrap().key_ids.len(), 4);
}

/// A newcomer waits: the operator shows it, and founds nothing.
#[tokio::test]
async fn operator_shows_a_waiting_replica_and_founds_nothing() {
    let store = TestStore::shared(Reach::Notifying);
    let builder = KeyRing::builder(RING).store(store.clone()).rotation(policy());
    let ring = builder.clock(ManualClock::new(START)).open().await.unwrap();
    assert!(ring.ready().is_err());
    let records = operator(store.sibling(), START).read().await.unwrap();
    assert_eq!((records.waiting_replicas, records.keys.len()), (1, 0));
    assert_refused(&store, RING, &PLANS, "the store holds no key").await;
}

#[tokio::test]
async fn operator_measures_the_clock_of_a_store_that_has_one() {
    let store = TestStore::new();
    Replica::open(store.clone(), START).await;
    assert_eq!(operator(store.clone(), START).read().await.unwrap().clock_offset, None);
    store.show_time(START + seconds(90));
    let records = operator(store.clone(), START).read().await.unwrap();
    let offset = records.clock_offset.unwrap().offset_ms;
    assert!((-90_100..=-89_900).contains(&offset), "{offset}");
    // It was not reached.
    store.fail(&[Operation::Load]);
    let error = operator(store, START).read().await.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::Store);
}
