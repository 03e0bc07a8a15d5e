//! Derived rings: the same keys on every replica, from a root secret and the time alone.

use std::time::Duration;

use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Algorithm, BuildError, KeyErrorKind, KeyRing, Login, OperationErrorKind, Root, RotationPolicy,
    Sessions, Timestamp,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A whole number of days since the epoch, and eight hours.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn secret() -> Vec<u8> {
    (100..132).collect()
}

fn root() -> Root {
    Root::new(secret()).unwrap()
}

fn ring(clock: &ManualClock) -> KeyRing {
    KeyRing::derived("app", root()).clock(clock.clone()).build().unwrap()
}

fn key_ids(ring: &KeyRing) -> Vec<String> {
    ring.status().keys.into_iter().map(|key| key.key_id).collect()
}

fn sessions(keys: KeyRing) -> Sessions<()> {
    Sessions::builder(keys, "https://app.example", "app").build().unwrap()
}

/// Made by another implementation of HKDF, Ed25519 and HMAC. They are fixed for ever: a change logs
/// out every user of every derived ring.
#[test]
fn the_known_answers_stay() {
    let clock = ManualClock::new(NOW);
    // The epoch whose tokens may be about, the one that signs, the next.
    assert_eq!(
        key_ids(&ring(&clock)),
        [
            "dDRb4ynlL3k6-udklXoJzTSsBbskKhqdYf5T1X0662I",
            "V7ImJsTIqRPutSbrbLGL0dCXS6fTVb8H_J3GsLbYTGM",
            "0ygBFtJ94BtRXQ6DO_dlU0zrX2N5Zm87HyYvk3jBTqA",
        ]
    );
    let signer = |ring: KeyRing| ring.status().signing_key_id.unwrap();
    assert_eq!(signer(ring(&clock)), "V7ImJsTIqRPutSbrbLGL0dCXS6fTVb8H_J3GsLbYTGM");

    let other = KeyRing::derived("other", root()).clock(clock.clone()).build().unwrap();
    assert_eq!(signer(other), "BDYexT-qm8Fq_nom8R6crfIcsA-GbyKfBIqI-YYNi2w");

    let next_root = root().successor(1, NOW - DAY);
    let next = KeyRing::derived("app", next_root).clock(clock.clone()).build().unwrap();
    assert_eq!(signer(next), "yoXYz1ZZ7VY0k_oSoA8QP3CH0eU79UzZNQ65Pqsqgmc");

    for (algorithm, key_id) in [
        (Algorithm::HS256, "bV5paspIveTfBIdOleu23OKgyeugVR2825poHtq0hMI"),
        (Algorithm::HS384, "jcsApofY3jmQZxHvaYog0KP4AiVsaxEQqw9vo8xko-E"),
        (Algorithm::HS512, "Yg6tVfgWhvVPsO1aaILxQe9jDytEkPMF5eSQYkGbX_I"),
    ] {
        let ring = KeyRing::derived("app", root()).algorithm(algorithm).clock(clock.clone());
        assert_eq!(signer(ring.build().unwrap()), key_id);
    }
}

#[test]
fn a_token_lives_its_whole_life_whatever_epochs_pass() {
    let clock = ManualClock::new(NOW);
    let ring = KeyRing::derived("app", root()).clock(clock.clone()).build().unwrap();
    let sessions = Sessions::<()>::builder(ring, "https://app.example", "app")
        .idle_lifetime(DAY)
        .absolute_lifetime(DAY)
        .build()
        .unwrap();
    // The last second of an epoch.
    clock.set(Timestamp::from_unix_seconds((1_800_000_000 / 86_400 + 1) * 86_400 - 1));
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    clock.advance(DAY - Duration::from_secs(1));
    assert!(sessions.validate(token.as_str()).is_ok());
}

#[test]
fn keys_whose_tokens_have_ended_are_not_held() {
    let clock = ManualClock::new(NOW);
    let ring = ring(&clock);
    let before = key_ids(&ring);
    clock.advance(10 * DAY);
    let after = key_ids(&ring);
    assert_eq!(after.len(), before.len());
    assert!(before.iter().all(|key_id| !after.contains(key_id)));
    ring.ready().unwrap();
}

#[test]
fn a_root_is_followed_by_another_without_a_refused_token() {
    let clock = ManualClock::new(NOW);
    let change = NOW + Duration::from_secs(3 * 60 * 60);
    let next: Vec<u8> = (7..39).collect();
    let next = Root::new(next).unwrap().successor(1, change);
    let both = KeyRing::derived("app", root()).root(next).clock(clock.clone()).build().unwrap();
    let (both, old) = (sessions(both), sessions(ring(&clock)));

    let token = both.issue(&Login::new("alice", ())).unwrap();
    assert!(old.validate(token.as_str()).is_ok(), "until its time the old root signs");

    clock.set(change - Duration::from_secs(60));
    let token = both.issue(&Login::new("alice", ())).unwrap();
    clock.set(change);
    assert!(both.validate(token.as_str()).is_ok(), "the old root's tokens stay good");
    let token = both.issue(&Login::new("alice", ())).unwrap();
    assert!(both.validate(token.as_str()).is_ok());
    assert!(old.validate(token.as_str()).is_err(), "now the new root signs");
}

#[test]
fn a_root_that_ends_with_a_period_has_no_key_in_the_next() {
    let clock = ManualClock::new(NOW);
    let midnight = ring(&clock).status().keys.last().unwrap().times.signs_from;
    let next = root().successor(1, midnight);
    let both = KeyRing::derived("app", root()).root(next).clock(clock.clone()).build().unwrap();
    let alone = key_ids(&ring(&clock));
    let both = key_ids(&both);
    assert_eq!(both[..2], alone[..2]);
    assert_eq!(both.len(), 3);
    assert_ne!(both[2], alone[2]);
}

#[test]
fn a_root_has_to_be_random_and_long_enough() {
    for (secret, found) in [(&[7; 31][..], "31 bytes"), (&[7; 32], "1 different byte values")] {
        let error = Root::new(secret).unwrap_err();
        assert_eq!(error.kind(), KeyErrorKind::WeakSecret);
        assert!(error.to_string().contains(found), "{error}");
    }
    assert_eq!(format!("{:?}", root()), "Root { generation: 0, signs_from: None, .. }");
}

#[tokio::test]
async fn derived_ring_rotation_and_invalid_settings_are_refused() {
    let clock = ManualClock::new(NOW);
    let ring = ring(&clock);
    assert!(
        matches!(ring.rotate_now().await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
    assert!(
        matches!(ring.replace_all().await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );

    let error = |build: Result<KeyRing, BuildError>| build.unwrap_err().to_string();
    let derived = || KeyRing::derived("app", root());
    assert!(error(derived().algorithm(Algorithm::ES256).build()).contains("ES256"));
    assert!(
        error(KeyRing::derived("a/b", root()).build())
            .starts_with("name of the key ring is \"a/b\"")
    );
    assert!(error(derived().root(root()).build()).starts_with("root is 0"));
}

#[test]
fn a_root_that_follows_has_a_higher_generation_and_a_later_time() {
    let roots = |generation, signs_from| {
        let next = |generation, signs_from| root().successor(generation, signs_from);
        let ring = KeyRing::derived("app", root()).root(next(1, NOW));
        ring.root(next(generation, signs_from)).build()
    };
    roots(2, NOW + DAY).unwrap();
    for (generation, signs_from) in [(1, NOW + DAY), (2, NOW), (2, NOW - DAY)] {
        let error = roots(generation, signs_from).unwrap_err().to_string();
        assert!(error.starts_with(&format!("root is {generation}: ")), "{error}");
    }
}

#[test]
fn a_period_covers_the_caches_and_a_token_a_hundred_periods() {
    let derived = |policy| KeyRing::derived("app", root()).rotation(policy).build();
    let error = |policy| derived(policy).unwrap_err().to_string();
    let (hour, milli) = (Duration::from_secs(60 * 60), Duration::from_millis(1));
    // The caches of the JWKS, and twice the clocks' difference of a minute.
    let period = |period| RotationPolicy::new().jwks_max_age(hour).signing_period(period);
    let least = hour + Duration::from_secs(120);
    derived(period(least)).unwrap();
    assert!(error(period(least - milli)).starts_with("signing_period is 3719.999s"));

    let lifetime = |life| RotationPolicy::new().signing_period(hour).max_token_lifetime(life);
    derived(lifetime(100 * hour)).unwrap();
    let error = error(lifetime(100 * hour + milli));
    assert!(error.starts_with("max_token_lifetime is 360000.001s"), "{error}");
}

/// The clocks' difference before it is the next one's turn, so that a fast replica's key is in every
/// JWKS for a whole period.
#[test]
fn next_key_is_held_a_period_and_the_skew_ahead() {
    let clock = ManualClock::new(NOW);
    let ring = ring(&clock);
    let newest = || ring.status().keys.last().unwrap().times.signs_from;
    let midnight = newest();
    let due = midnight - Duration::from_secs(60);
    clock.set(due - Duration::from_millis(1));
    assert_eq!(newest(), midnight);
    clock.set(due);
    assert_eq!(newest(), midnight + DAY);
}

/// A snapshot that each request made anew would cost a derivation each, and leave the cached tokens
/// of the former one behind.
#[test]
fn keys_are_derived_once_a_period() {
    let clock = ManualClock::new(NOW);
    let sessions = sessions(ring(&clock));
    for _ in 0..3 {
        clock.advance(DAY);
        let token = sessions.issue(&Login::new("alice", ())).unwrap();
        // A token enters the cache when it comes for the second time.
        let sessions = [(); 3].map(|()| sessions.validate(token.as_str()).unwrap());
        assert!(std::ptr::eq(sessions[1].subject(), sessions[2].subject()), "it is cached");
    }
}
