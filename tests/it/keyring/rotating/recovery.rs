//! A store that was purged, or restored to what it was: live replicas restore what they hold.

use tower_jwt_session::store::FileStore;
use tower_jwt_session::{KeyState, RejectionKind};

use crate::support::replicas::{
    FULL_LEAD, LEAD, MILLI, REFRESH, Replica, SKEW, START, assert_converged,
    assert_served_everywhere, pass, pass_until, seconds,
};
use crate::support::stores::{Operation, TestStore, unpack};

/// Two replicas in the middle of their third key's life, with a mark of each kind.
async fn replicas(store: &TestStore) -> [Replica; 2] {
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    let both = [&one, &two];
    pass(&both, seconds(7000)).await;
    one.revoke(2).await;
    two.ring.rotate_now().await.expect("rotates");
    pass(&both, REFRESH).await;
    [one, two]
}

#[tokio::test]
async fn a_purged_store_is_filled_again_and_nothing_is_refused() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let token = one.issue();
    let (before, entries) = (one.fingerprint(), store.entries().await);
    store.purge().await;
    one.refresh().await;
    assert_eq!(store.entries().await, entries);
    two.refresh().await;
    assert_eq!(store.entries().await, entries);
    let newcomer = Replica::open(store.sibling(), START + seconds(7070)).await;
    assert_converged(&[&one, &two, &newcomer]);
    assert_eq!(newcomer.fingerprint(), before);
    assert_eq!(newcomer.judge(&token), Ok(()));
    assert_served_everywhere(&[&one, &two, &newcomer]);
}

#[tokio::test]
async fn a_purged_directory_is_filled_again() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let keys = place.path().join("keys");
    let open = || FileStore::open(&keys).expect("opens");
    let one = Replica::open(open(), START).await;
    let token = one.issue();
    std::fs::remove_dir_all(keys.join("app")).expect("purges");
    one.refresh().await;
    let two = Replica::open(open(), START).await;
    assert_converged(&[&one, &two]);
    assert_eq!(two.judge(&token), Ok(()));
}

#[tokio::test]
async fn a_ring_born_in_a_purged_store_gives_way_to_the_older_one() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let now = START + seconds(7070);
    let old = one.issue();
    store.purge().await;
    let newcomer = Replica::open(store.sibling(), now).await;
    let new = newcomer.issue();
    newcomer.judge(&old).expect_err("knows the key not yet");
    let signer = one.signing_key();

    one.refresh().await;
    // It knows both now, and goes on as before.
    assert_eq!(one.signing_key(), signer);
    assert_eq!([one.judge(&old), one.judge(&new)], [Ok(()); 2]);
    newcomer.refresh().await;
    assert_eq!(newcomer.signing_key(), signer);
    two.refresh().await;
    let all = [&one, &two, &newcomer];
    for replica in all {
        assert_eq!([replica.judge(&old), replica.judge(&new)], [Ok(()); 2]);
    }
    assert_converged(&all);
    assert_served_everywhere(&all);

    // The younger ring makes no more keys, and goes when its last token has.
    let count = one.generations().len();
    pass(&all, 8 * LEAD).await;
    assert_converged(&all);
    assert!(one.generations().len() <= count);
    let latest = Replica::open(store.sibling(), now + 8 * LEAD).await;
    assert_converged(&[&one, &latest]);
}

#[tokio::test]
async fn an_older_snapshot_takes_nothing_away() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let snapshot = store.entries().await;
    let two = Replica::open(store.sibling(), START).await;
    pass(&[&one, &two], seconds(7000)).await;
    one.revoke(1).await;
    two.refresh().await;
    let (token, fingerprint) = (two.issue(), two.fingerprint());
    store.restore(&snapshot).await;
    let newcomer = Replica::open(store.sibling(), START + seconds(7000)).await;
    pass(&[&one, &two, &newcomer], REFRESH).await;
    pass(&[&one, &two, &newcomer], seconds(1)).await;
    for replica in [&one, &two, &newcomer] {
        assert_eq!(replica.judge(&token), Ok(()));
        assert_eq!(replica.state(1), KeyState::Revoked);
    }
    assert_converged(&[&one, &two, &newcomer]);
    assert_served_everywhere(&[&one, &two, &newcomer]);
    // The newcomer has made a key of the generation that the others had made before.
    assert_ne!(one.fingerprint(), fingerprint);
}

#[tokio::test]
async fn two_keys_of_one_generation_verify_everywhere_and_one_signs() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    let snapshot = store.entries().await;
    let due = one.times(1).signs_from - seconds(500);
    pass(&[&one, &two], due - START).await;
    assert_eq!(one.generations(), [0, 1, 2]);
    store.restore(&snapshot).await;
    let newcomer = Replica::open(store.sibling(), due + SKEW).await;
    assert_ne!(one.key(2).key_id, newcomer.key(2).key_id);

    let all = [&one, &two, &newcomer];
    for replica in all {
        replica.clock.set(due + SKEW);
    }
    for _ in 0..2 {
        for replica in all {
            replica.refresh().await;
        }
    }
    assert_converged(&all);
    assert_eq!(one.generations(), [0, 1, 2, 2]);
    let mut signers = Vec::new();
    for _ in 0..280 {
        pass(&all, REFRESH).await;
        assert_converged(&all);
        assert_served_everywhere(&all);
        signers.push(one.signs().expect("someone signs"));
    }
    signers.dedup();
    assert_eq!(signers, [0, 1, 2, 3]);
    assert!(one.generations().len() <= 4, "{:?}", one.generations());
}

/// The second key of a generation may begin after the generation that follows it, which passes it
/// over.
#[tokio::test]
async fn a_key_is_due_by_the_start_of_the_last_generation() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    let both = [&one, &two];
    let snapshot = store.entries().await;
    let due = one.times(1).signs_from - FULL_LEAD - REFRESH;
    pass_until(&both, due - seconds(1)).await;
    one.ring.replace_all().await.expect("replaces");
    store.restore(&snapshot).await;
    two.refresh_at(due).await;
    assert!(two.times(2).signs_from > one.times(3).signs_from);
    pass(&both, REFRESH).await;
    pass(&both, seconds(1)).await;
    assert_converged(&both);
    assert_eq!(one.generations(), [0, 1, 2, 2, 3]);
    pass_until(&both, one.times(3).signs_from).await;
    assert!(one.times(4).published + FULL_LEAD <= one.times(3).signs_from);
}

#[tokio::test]
async fn purge_before_news_of_revocation_loses_nothing() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    let stolen = one.issue();
    let signer = one.signs().expect("someone signs");
    one.revoke(signer).await;
    store.purge().await;
    two.refresh().await;
    assert_eq!(two.judge(&stolen), Ok(()));
    one.refresh().await;
    two.refresh().await;
    assert_eq!(two.judge(&stolen), Err(RejectionKind::UnknownKey));
    assert_converged(&[&one, &two]);
}

#[tokio::test]
async fn nothing_is_written_where_nothing_is_missing() {
    let store = TestStore::new();
    let [one, two] = replicas(&store).await;
    store.forget_calls();
    for _ in 0..3 {
        one.refresh().await;
        two.refresh().await;
    }
    assert_eq!(store.calls(Operation::Insert), [""; 0]);
    assert_eq!(store.calls(Operation::Remove), [""; 0]);
    assert_eq!(store.calls(Operation::Load).len(), 3);
}

#[tokio::test]
async fn fingerprint_is_shared_and_differs_after_any_change() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    let mut prints = vec![one.fingerprint()];
    assert_converged(&[&one, &two]);
    pass(&[&one, &two], seconds(1000)).await;
    assert_eq!(one.fingerprint(), prints[0], "time alone changes nothing");

    one.ring.rotate_now().await.expect("rotates");
    prints.push(one.fingerprint());
    assert_eq!(two.fingerprint(), prints[0]);
    two.refresh().await;
    assert_converged(&[&one, &two]);
    two.revoke(0).await;
    prints.push(two.fingerprint());
    one.ring.replace_all().await.expect("replaces");
    prints.push(one.fingerprint());
    two.refresh().await;
    assert_converged(&[&one, &two]);
    prints.sort();
    prints.dedup();
    assert_eq!(prints.len(), 4);
}

/// It would be removed again at once, by a replica whose clock is ahead.
#[tokio::test]
async fn key_about_to_be_removed_is_not_restored() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let last = one.times(0).verifies_until - 2 * SKEW;
    let of_first = |names: Vec<String>| names.iter().any(|name| name.ends_with("-0000000000"));
    pass_until(&[&one], last - seconds(60)).await;
    store.purge().await;
    one.refresh_at(last - MILLI - seconds(30)).await;
    assert!(of_first(store.names().await));
    store.purge().await;
    one.refresh_at(last).await;
    let names = store.names().await;
    assert!(names.len() > 1 && !of_first(names.clone()), "{names:?}");
}

#[tokio::test]
async fn a_store_is_filled_again_after_half_an_interval() {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let entries = store.entries().await;
    store.purge().await;
    one.refresh().await;
    assert_eq!(store.entries().await, entries);
    store.purge().await;
    let pause = seconds(30);
    one.refresh_at(START + pause - MILLI).await;
    assert_eq!(store.names().await, [""; 0]);
    one.refresh_at(START + pause).await;
    assert_eq!(store.entries().await, entries);
}

/// A ring whose keys have all ended while its store was down, and was then begun anew by others.
#[tokio::test]
async fn without_keys_the_birth_in_the_store_counts() {
    let store = TestStore::new();
    let asleep = Replica::open(store.clone(), START).await;
    let woken = asleep.times(1).verifies_until + seconds(3600);
    store.fail(&[Operation::Insert]);
    asleep.clock.set(woken);
    asleep.ring.refresh().await.expect_err("no key can be made");
    assert_eq!(asleep.generations(), [0; 0]);

    let other = TestStore::new();
    drop(Replica::open(other.clone(), woken).await);
    let birth = other.entries().await.remove("birth").expect("a birth");
    store.purge().await;
    store.put("birth", &birth).await;
    store.up();
    asleep.refresh().await;
    let birth: serde_json::Value = serde_json::from_slice(&birth).expect("is JSON");
    let entries = store.entries().await;
    assert_eq!(entries.len(), 3, "the birth and two keys");
    for (name, value) in entries.iter().filter(|(name, _)| name.starts_with("key-")) {
        assert_eq!(unpack(value)["record"]["birth"], birth["entry"], "{name}");
    }
}
