//! The inequalities between a policy's durations: each is refused with its numbers and the fix.

use std::time::Duration;

use tower_jwt_session::store::{FileStore, MemoryStore};
use tower_jwt_session::{BuildError, KeyRing, RotationPolicy};

use crate::support::replicas::{RING, policy, seconds};

async fn open(policy: RotationPolicy) -> Result<KeyRing, BuildError> {
    KeyRing::builder(RING).store(MemoryStore::new()).rotation(policy).open().await
}

fn named(error: &BuildError) -> (&'static str, &str, &str) {
    let text = |text: Option<&'static str>| text.unwrap_or_default();
    (text(error.setting()), error.value().unwrap_or_default(), error.help().unwrap_or_default())
}

/// The setting, its value and the help of a policy that is refused.
async fn refused(policy: RotationPolicy) -> (&'static str, String, String) {
    let error = open(policy).await.expect_err("is refused");
    let text = error.to_string();
    let (field, value, help) = named(&error);
    assert_eq!(text, format!("{field} is {value}: {help}"));
    (field, value.to_owned(), help.to_owned())
}

type Setter = fn(RotationPolicy, Duration) -> RotationPolicy;

const SETTERS: [(&str, Setter, bool); 8] = [
    ("signing_period", RotationPolicy::signing_period, false),
    ("max_token_lifetime", RotationPolicy::max_token_lifetime, false),
    ("clock_skew", RotationPolicy::clock_skew, true),
    ("refresh_interval", RotationPolicy::refresh_interval, false),
    ("refresh_timeout", RotationPolicy::refresh_timeout, false),
    ("insert_timeout", RotationPolicy::insert_timeout, false),
    ("jwks_max_age", RotationPolicy::jwks_max_age, true),
    ("max_overdue_signing", RotationPolicy::max_overdue_signing, true),
];

#[tokio::test]
async fn a_duration_out_of_range_is_refused() {
    let ten_years = seconds(10 * 365 * 24 * 3600);
    for (name, set, _) in SETTERS {
        for wrong in [ten_years + seconds(1), Duration::MAX, Duration::from_nanos(1)] {
            let (field, value, help) = refused(set(policy(), wrong)).await;
            assert_eq!((field, value), (name, format!("{wrong:?}")));
            assert_eq!(help, "set it to at least 1 ms and at most 315360000s");
        }
    }
}

#[tokio::test]
async fn only_what_may_be_zero_may_be_zero() {
    for (name, set, may_be_zero) in SETTERS {
        let zero = set(policy(), Duration::ZERO);
        if may_be_zero {
            open(zero).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        } else {
            assert_eq!(refused(zero).await.0, name);
        }
    }
}

#[tokio::test]
async fn a_token_lives_a_second_at_least() {
    let least = policy().clock_skew(Duration::from_millis(1));
    let (field, value, help) =
        refused(least.clone().max_token_lifetime(Duration::from_millis(999))).await;
    assert_eq!((field, &*value), ("max_token_lifetime", "999ms"));
    assert!(help.contains("at least 1s"), "{help}");
    open(least.max_token_lifetime(seconds(1))).await.expect("is enough");
}

#[tokio::test]
async fn the_leeway_is_shorter_than_a_token_lives() {
    let short = policy().max_token_lifetime(seconds(60));
    let (field, value, help) = refused(short.clone().clock_skew(seconds(60))).await;
    assert_eq!((field, &*value), ("clock_skew", "60s"));
    assert!(help.contains("max_token_lifetime (60s)"), "{help}");
    open(short.clock_skew(Duration::from_millis(59_999))).await.expect("is shorter");
}

#[tokio::test]
async fn a_successor_is_published_while_its_predecessor_signs() {
    // Insert, two refreshes, two skews and the caches: 10 + 140 + 60 + 300 seconds.
    let least = Duration::from_secs(510);
    open(policy().signing_period(least)).await.expect("is enough");
    let short = least - Duration::from_millis(1);
    let (field, value, help) = refused(policy().signing_period(short)).await;
    assert_eq!((field, &*value), ("signing_period", "509.999s"));
    for part in ["insert_timeout 10s", "bound 70s", "clock_skew 30s", "jwks_max_age 300s", "510s"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[tokio::test]
async fn what_a_store_may_hide_counts() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let cached = FileStore::builder(place.path().join("keys"));
    let cached = cached.attribute_cache(seconds(60)).open().expect("opens");
    let builder = || KeyRing::builder(RING).store(cached.clone()).found_now();
    let short = builder().rotation(policy().signing_period(seconds(629))).open().await;
    let error = short.expect_err("is refused").to_string();
    assert!(error.contains("2 x refresh bound 130s") && error.contains("630s"), "{error}");

    let enough = builder().rotation(policy().signing_period(seconds(630))).open().await;
    let ring = enough.expect("is enough");
    assert_eq!(ring.policy().refresh_bound(), policy().refresh_bound() + seconds(60));
    assert_eq!(ring.policy().replica_lead(), policy().replica_lead() + seconds(60));
}

#[tokio::test]
async fn sessions_live_no_longer_than_their_keys() {
    use tower_jwt_session::Sessions;
    let ring = open(policy().max_token_lifetime(seconds(3600))).await.expect("opens");
    let builder = || Sessions::<()>::builder(ring.clone(), "https://app.example", "app");
    builder().idle_lifetime(seconds(3600)).build().expect("is as long");
    let error = builder().idle_lifetime(seconds(3601)).build().expect_err("is longer");
    let error = error.to_string();
    assert!(error.starts_with("idle_lifetime is 3601s: "), "{error}");
    assert!(error.contains("max_token_lifetime (3600s)"), "{error}");
    assert!(!error.contains("absolute_lifetime"), "{error}");
    let error = builder().idle_lifetime(seconds(48 * 3600)).build().expect_err("both are shorter");
    let error = error.to_string();
    assert!(error.contains("max_token_lifetime (3600s)"), "{error}");
    assert!(error.contains("absolute_lifetime (43200s) has to be"), "{error}");
}
