//! Refreshing: what an answer replaces, what a failure leaves, and when it is over.

use super::*;
use crate::support::recorder::{Events, Metrics};
use tokio::runtime::Handle;
use tower_jwt_session::{KeyRingStatus, Login, NotReadyKind, OperationErrorKind, RejectionKind};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

async fn open(document: String) -> (KeyRing, FakeClient, ManualClock) {
    let (client, clock) = (FakeClient::new(document), ManualClock::default());
    (following(&client, &clock).open().await.unwrap(), client, clock)
}

fn kind(validated: Result<Session<()>, Rejection>) -> RejectionKind {
    validated.unwrap_err().kind()
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_with_the_next_answer() {
    let [a, b] = [jwk(Algorithm::EdDSA, "a"), jwk(Algorithm::ES256, "b")];
    let (keys, client, clock) = open(set([a, b.clone()])).await;
    assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
    client.says(set([b]));
    keys.refresh().await.unwrap();
    assert_eq!(kind(validate(&keys, &clock, Algorithm::EdDSA, "a")), RejectionKind::UnknownKey);
    assert!(validate(&keys, &clock, Algorithm::ES256, "b").is_ok());
}

#[tokio::test]
async fn replaced_key_of_same_id_is_used_and_logged() {
    let (keys, client, clock) = open(set([jwk(Algorithm::EdDSA, "a")])).await;
    emit_everything_once().await;
    let log = Events::capture();
    keys.refresh().await.unwrap();
    assert!(log.warnings().is_empty(), "the same key is nothing to report");
    client.says(set([jwk(Algorithm::ES256, "a")]));
    keys.refresh().await.unwrap();
    assert_eq!(log.count("the issuer replaced the key of a key ID"), 1);
    assert!(validate(&keys, &clock, Algorithm::ES256, "a").is_ok());
    let old = validate(&keys, &clock, Algorithm::EdDSA, "a");
    assert_eq!(kind(old), RejectionKind::WrongAlgorithm);
}

#[tokio::test]
async fn a_failure_leaves_the_last_good_keys_for_a_day() {
    let useless = set([json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" })]);
    let failures = [
        Answer::Fails("connection refused"),
        Answer::Hangs,
        Answer::Says(500, "", set([jwk(Algorithm::ES256, "b")])),
        Answer::Says(302, "", set([jwk(Algorithm::ES256, "b")])),
        Answer::Says(200, "", "garbage".to_owned()),
        Answer::Says(200, "", r#"{"keys":[]}"#.to_owned()),
        Answer::Says(200, "", useless),
    ];
    for failure in failures {
        let (client, clock) =
            (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
        let ring = following(&client, &clock).refresh_timeout(Duration::from_millis(10));
        let keys = ring.open().await.unwrap();
        let (opened, fingerprint) = (clock.now(), keys.status().fingerprint);
        client.answers(URL, failure.clone());

        clock.advance(DAY - MILLISECOND);
        assert!(
            matches!(keys.refresh().await, Err(error) if error.kind() == OperationErrorKind::KeySource),
            "{failure:?}"
        );
        assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
        keys.ready().unwrap();
        let status = keys.status();
        assert_eq!((status.refreshed_at, status.fingerprint), (Some(opened), fingerprint));
        let reported = status.failure.unwrap();
        assert!(reported.contains(URL), "{reported}");

        clock.advance(MILLISECOND);
        let ended = validate(&keys, &clock, Algorithm::EdDSA, "a");
        assert_eq!(kind(ended), RejectionKind::KeysUnavailable, "{failure:?}");
        let unready = keys.ready().unwrap_err();
        assert_eq!(unready.kind(), NotReadyKind::Stale);
        let expected =
            format!("{ISSUER} are older than max_staleness ({DAY:?}) and no longer verify");
        assert!(unready.to_string().contains(&expected), "{unready}");
        assert!(unready.to_string().ends_with(&reported), "{unready}");
        assert!(keys.jwks().keys.is_empty());

        client.says(set([jwk(Algorithm::EdDSA, "a")]));
        keys.refresh().await.unwrap();
        assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
        keys.ready().unwrap();
        assert_eq!(keys.status().failure, None);
    }
}

/// A token of a key that is too old is a reason to ask for it.
#[tokio::test]
async fn a_ring_that_went_stale_comes_back_by_itself() {
    let (keys, client, clock) = open(set([jwk(Algorithm::EdDSA, "a")])).await;
    clock.advance(DAY);
    assert_eq!(
        kind(validate(&keys, &clock, Algorithm::EdDSA, "a")),
        RejectionKind::KeysUnavailable
    );
    client.reaches(2).await;
    settle().await;
    assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
}

#[tokio::test]
async fn keys_are_fetched_in_turn_without_being_asked_for() {
    let (client, clock) =
        (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
    let second = Duration::from_secs(1);
    // However long the answer says that it stays fresh.
    client.answers(URL, Answer::Says(200, "max-age=86400", set([jwk(Algorithm::EdDSA, "a")])));
    let keys =
        following(&client, &clock).refresh_interval_bounds(second, second).open().await.unwrap();
    client.says(set([jwk(Algorithm::ES256, "b")]));
    client.reaches(2).await;
    settle().await;
    assert!(validate(&keys, &clock, Algorithm::ES256, "b").is_ok());
}

#[tokio::test]
async fn answer_without_lifetime_is_fresh_for_the_default_age() {
    let (client, clock) =
        (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let ring = following(&client, &clock).refresh_interval_bounds(second, hour);
    let keys = ring.default_max_age(second).open().await.unwrap();
    client.says(set([jwk(Algorithm::ES256, "b")]));
    client.reaches(2).await;
    settle().await;
    assert!(validate(&keys, &clock, Algorithm::ES256, "b").is_ok());
}

#[tokio::test]
async fn the_background_ends_with_the_ring() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (keys, client, _) = open(set([jwk(Algorithm::EdDSA, "a")])).await;
    let (sessions, clone) = (sessions(&keys), keys.clone());
    settle().await;
    assert_eq!(tasks(), before + 1);
    drop((keys, sessions));
    settle().await;
    assert_eq!(tasks(), before + 1, "a clone is left");
    drop(clone);
    settle().await;
    assert_eq!(tasks(), before);
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn nothing_is_issued_rotated_or_revoked_here() {
    let (keys, ..) = open(set([jwk(Algorithm::EdDSA, "a")])).await;
    let issued = sessions(&keys).issue(&Login::new("alice", ()));
    assert!(matches!(&issued, Err(error) if error.kind() == OperationErrorKind::NoSigningKey));
    assert!(
        matches!(keys.rotate_now().await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
    assert!(
        matches!(keys.revoke("a").await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
    assert!(
        matches!(keys.replace_all().await, Err(error) if error.kind() == OperationErrorKind::NotConfigured && error.to_string().contains("not rotated"))
    );
}

#[tokio::test]
async fn skipped_entry_and_failure_are_each_logged_once() {
    emit_everything_once().await;
    let log = Events::capture();
    let (keys, client, _) = open(set([jwk(Algorithm::EdDSA, "a"), json!({ "kid": "new" })])).await;
    for _ in 0..3 {
        keys.refresh().await.unwrap();
    }
    assert_eq!(log.warnings().len(), 1, "{:?}", log.warnings());
    client.answers(URL, Answer::Fails("connection refused"));
    for _ in 0..3 {
        keys.refresh().await.unwrap_err();
    }
    let reported =
        log.warnings().into_iter().filter_map(|event| event.fields.get("error").cloned());
    let reported = reported.filter(|error| error.contains("connection refused")).count();
    assert_eq!(reported, 1, "{:?}", log.warnings());
    assert_eq!(keys.status().skipped.len(), 1);
}

/// See [`Events`].
async fn emit_everything_once() {
    let (keys, client, _) = open(set([jwk(Algorithm::EdDSA, "a"), json!({ "kid": "new" })])).await;
    client.says(set([jwk(Algorithm::ES256, "a")]));
    keys.refresh().await.unwrap();
    client.answers(URL, Answer::Fails("connection refused"));
    keys.refresh().await.unwrap_err();
}

/// The ring's sessions with a cache, and what the cache has found.
struct Cached {
    recorder: Metrics,
    sessions: Sessions<()>,
}

impl Cached {
    fn new(keys: &KeyRing) -> Self {
        let recorder = Metrics::default();
        let sessions = Sessions::builder(keys.clone(), ISSUER, "orders").build().unwrap();
        Self { recorder, sessions }
    }

    /// Validates, and says whether the token came out of the cache.
    fn validate(&self, token: &str) -> Result<bool, RejectionKind> {
        let hits = || self.recorder.counter(ISSUER, "cache_lookups_total", "hit");
        let validate = || {
            let before = hits();
            let validated = self.sessions.validate(token);
            validated.map(|_| hits() > before).map_err(|rejection| rejection.kind())
        };
        metrics::with_local_recorder(&self.recorder, validate)
    }
}

#[tokio::test]
async fn fetch_without_change_keeps_the_cache() {
    let [a, b] = [jwk(Algorithm::EdDSA, "a"), jwk(Algorithm::ES256, "b")];
    let same = [set([a.clone(), b.clone()]), set([b.clone(), a.clone()]), set([a.clone(), b, a])];
    let (keys, client, clock) = open(same[0].clone()).await;
    let cached = Cached::new(&keys);
    let token = token(&clock, Algorithm::EdDSA, "a");
    assert_eq!([(); 3].map(|()| cached.validate(&token)), [Ok(false), Ok(false), Ok(true)]);
    for document in same {
        client.says(document);
        clock.advance(Duration::from_secs(60));
        let before = keys.status();
        keys.refresh().await.unwrap();
        assert_eq!(cached.validate(&token), Ok(true));
        let after = keys.status();
        assert_eq!(after.refreshed_at, Some(clock.now()));
        // It signs nothing here, and when it was published is not known.
        let shown = serde_json::to_value(&after.keys[0]).unwrap();
        for absent in ["/generation", "/times/published", "/times/propagated", "/times/signs_from"]
        {
            assert_eq!(shown.pointer(absent), Some(&serde_json::Value::Null), "{absent}: {shown}");
        }
        assert!(shown["times"]["verifies_until"].is_string(), "{shown}");
        let limit = |status: &KeyRingStatus| status.keys[0].times.verifies_until;
        assert_eq!(limit(&after) - limit(&before), Duration::from_secs(60));
    }
    // And a change still is one.
    client.says(set([jwk(Algorithm::ES256, "b")]));
    keys.refresh().await.unwrap();
    assert_eq!(cached.validate(&token), Err(RejectionKind::UnknownKey));
}

/// The limit moves with each fetch, though the snapshot stays; and cached tokens end with it.
#[tokio::test]
async fn cached_tokens_end_with_the_limit_of_the_last_fetch() {
    let hour = Duration::from_secs(60 * 60);
    let (client, clock) =
        (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
    let keys = following(&client, &clock).max_staleness(2 * hour).open().await.unwrap();
    let cached = Cached::new(&keys);
    let token = token_with(&clock, Algorithm::EdDSA, "a", |_, claims| {
        claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 10 * 60 * 60);
    });
    for _ in 0..2 {
        cached.validate(&token).unwrap();
    }
    clock.advance(hour);
    keys.refresh().await.unwrap();
    assert_eq!(cached.validate(&token), Ok(true));
    clock.advance(2 * hour - MILLISECOND);
    // The limit under which it was cached is over: it is verified once more.
    assert_eq!([(); 2].map(|()| cached.validate(&token)), [Ok(false), Ok(true)]);
    keys.ready().unwrap();
    clock.advance(MILLISECOND);
    assert_eq!(cached.validate(&token), Err(RejectionKind::KeysUnavailable));
    keys.ready().unwrap_err();

    // A clock that was set back brings the limit nearer, also for what is cached.
    keys.refresh().await.unwrap();
    for _ in 0..2 {
        cached.validate(&token).unwrap();
    }
    let start = clock.now();
    clock.set(start - hour);
    keys.refresh().await.unwrap();
    cached.validate(&token).unwrap();
    clock.set(start + hour);
    assert_eq!(cached.validate(&token), Err(RejectionKind::KeysUnavailable));
}
