//! The errors of opening a ring.

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{
    Algorithm, Key, KeyError, KeyErrorKind, KeyRing, NotReadyKind, OperationErrorKind,
};

use crate::support::replicas::{REFRESH, Replica, SKEW, START, policy, seconds};
use crate::support::stores::{Operation, TestStore};

#[tokio::test]
async fn a_name_out_of_form_is_refused() {
    let long = "a".repeat(65);
    for name in ["", ".hidden", "a b", "a/b", "ä", &long] {
        let error = KeyRing::builder(name).store(MemoryStore::new()).open().await;
        let error = error.expect_err(name).to_string();
        assert!(
            error.starts_with(&format!("name of the key ring is {name:?}: use 1 to 64")),
            "{error}"
        );
    }
    for name in ["a", "A.b_c-9", &"a".repeat(64)] {
        KeyRing::builder(name).store(MemoryStore::new()).open().await.expect(name);
    }
}

#[tokio::test]
async fn a_ring_needs_a_store() {
    let error = KeyRing::builder("app").open().await.expect_err("has none").to_string();
    assert!(error.starts_with("store is missing: "), "{error}");
}

#[tokio::test]
async fn a_ring_makes_no_rsa_keys() {
    for algorithm in [Algorithm::RS256, Algorithm::PS512] {
        let builder = KeyRing::builder("app").store(MemoryStore::new());
        let error = builder.algorithm(algorithm).open().await.expect_err("is RSA");
        assert!(error.to_string().contains("EdDSA"), "{error}");
        assert_eq!(error.setting(), Some("algorithm"));
        let source =
            std::error::Error::source(&error).and_then(|source| source.downcast_ref::<KeyError>());
        assert_eq!(source.map(KeyError::kind), Some(KeyErrorKind::UnsupportedAlgorithm));
        assert!(error.to_string().contains("generates no RSA keys"), "{error}");
    }
}

#[tokio::test]
async fn a_ring_makes_keys_of_every_other_algorithm() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512};
    for algorithm in [EdDSA, ES256, ES384, HS256, HS384, HS512] {
        let store = MemoryStore::new();
        let clock = ManualClock::new(START);
        let builder = || KeyRing::builder("app").store(store.clone()).clock(clock.clone());
        let ring = builder().algorithm(algorithm).open().await.expect("opens");
        assert!(ring.status().keys.iter().all(|key| key.algorithm == algorithm));
        let one = Replica::of(ring, clock.clone(), seconds(60));
        // The algorithm is the key's: another setting changes nothing of it.
        let other = builder().open().await.expect("opens");
        let other = Replica::of(other, clock.clone(), seconds(60));
        assert_eq!(other.judge(&one.issue()), Ok(()));
    }
}

#[tokio::test]
async fn store_down_at_start_is_an_error_with_ring_and_cause() {
    for operation in [Operation::Load, Operation::Insert] {
        let store = TestStore::new();
        store.fail(&[operation]);
        let error = Replica::try_open(store, policy(), START).await.err().expect("is down");
        let text = error.to_string();
        assert!(text.contains("the store of ring \"app\" failed"), "{text}");
        assert!(text.contains(&format!("the test's store refuses to {operation:?}")), "{text}");
        assert!(error.is_store_unavailable());
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[tokio::test]
async fn a_store_that_hangs_at_the_start_is_given_up() {
    let store = TestStore::new();
    store.hang(&[Operation::Load]);
    let hasty = policy().refresh_timeout(seconds(1) / 1000);
    let error = Replica::try_open(store, hasty, START).await.err().expect("hangs").to_string();
    assert!(error.contains("took longer than 1ms"), "{error}");
}

#[tokio::test]
async fn replica_polling_slower_than_keys_publish_is_not_ready() {
    let store = MemoryStore::new();
    let usual = Replica::open(store.clone(), START).await;
    let slow = policy().refresh_interval(seconds(300));
    let bound = slow.refresh_bound();
    let slow = Replica::open_with(store, slow, START).await;
    let lead = policy().replica_lead();
    assert!(REFRESH < lead && lead < bound);
    let unready = slow.ring.ready().unwrap_err();
    assert_eq!(unready.kind(), NotReadyKind::SlowRefresh);
    let expected =
        format!("within {bound:?}, but the ring's keys are published only {lead:?} ahead");
    assert!(unready.to_string().contains(&expected), "{unready}");
    assert_eq!(usual.ring.ready(), Ok(()));
    // It serves all the same, if it is asked.
    assert_eq!(usual.judge(&slow.issue()), Ok(()));
}

#[tokio::test]
async fn fixed_keys_are_not_rotated() {
    let clock = ManualClock::new(START);
    let ring = testing::fixed_ring(clock.clone());
    ring.refresh().await.expect("there is nothing to do");
    assert_eq!(ring.ready(), Ok(()));
    let key_id = ring.status().signing_key_id.expect("signs");
    assert!(
        matches!(ring.rotate_now().await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
    assert!(
        matches!(ring.revoke(&key_id).await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
    assert!(
        matches!(ring.replace_all().await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
    clock.advance(seconds(100 * 365 * 24 * 3600));
    assert_eq!(ring.status().signing_key_id, Some(key_id));
}

#[tokio::test]
async fn fixed_ring_without_keys_or_with_equal_keys_is_refused() {
    let error = KeyRing::fixed([]).build().expect_err("has none").to_string();
    assert_eq!(error, "keys is empty: give at least one key");
    let key = testing::fixed_key(Algorithm::EdDSA);
    let error =
        KeyRing::fixed([key.clone(), key.clone()]).build().expect_err("are equal").to_string();
    assert!(error.contains(key.key_id()), "{error}");

    let public = serde_json::to_string(&key.to_jwk().expect("is public")).expect("is JSON");
    let public = Key::from_jwk(public).expect("is good");
    let ring = KeyRing::fixed([public]).build().expect("verifies");
    let replica = Replica::of(ring, ManualClock::new(START), seconds(60));
    assert!(
        matches!(replica.try_issue(), Err(error) if error.kind() == OperationErrorKind::NoSigningKey)
    );
}

#[tokio::test]
async fn status_shows_no_secret() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START + SKEW).await;
    let text = format!("{:?} {:?}", replica.ring, replica.ring.status());
    let json = serde_json::to_string(&replica.ring.status()).expect("serializes");
    for value in store.entries().await.into_values() {
        let record: serde_json::Value = serde_json::from_slice(&value).expect("is JSON");
        if let Some(material) = record["material"]["unsealed"].as_str() {
            assert!(!text.contains(material) && !json.contains(material));
        }
    }
    assert!(json.contains(&replica.signing_key()), "{json}");
}
