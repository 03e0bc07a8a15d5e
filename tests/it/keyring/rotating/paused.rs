//! While no key signs: replicas stay ready, the status says why and until when, and responses
//! say when to try again. A rotation by hand never leads to that.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use http::StatusCode;
use tower::ServiceExt as _;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Clock as _, IssuingPaused, Login, NotReadyKind, OperationErrorKind, PauseReason, RefreshTokens,
    Sessions,
};

use crate::support::recorder::Events;
use crate::support::replicas::{
    LEAD, LIFE, MILLI, OVERRUN, PERIOD, Replica, START, pass, policy, seconds,
};
use crate::support::stores::{Operation, SlowInserts, TestStore};
use crate::support::web::{Answer, get, post, send};

impl Replica {
    fn paused(&self) -> Option<IssuingPaused> {
        self.ring.status().issuing_paused
    }

    /// It is paused for that reason, and will not be at that time, nor for any moment before.
    #[track_caller]
    fn assert_paused(&self, reason: PauseReason, until: tower_jwt_session::Timestamp) {
        let paused = self.paused().expect("no key signs");
        assert_eq!((paused.reason, paused.until), (reason, Some(until)));
        let error = self.try_issue().expect_err("no key signs");
        assert_eq!(error.kind(), OperationErrorKind::NoSigningKey);
        let why = match reason {
            PauseReason::Revoked => "the signing key was revoked",
            PauseReason::Retired => "the signing key was retired",
            _ => "the last key is max_overdue_signing past its time",
        };
        let expected = [why, &*format!("its successor signs from {until}")];
        let error = error.to_string();
        assert!(expected.iter().all(|it| error.contains(it)), "{error}");
        assert_eq!(self.ring.ready(), Ok(()));
        let now = self.clock.now();
        assert_eq!(self.signs_at(until - MILLI), None);
        assert!(self.signs_at(until).is_some());
        assert_eq!(self.paused(), None);
        self.clock.set(now);
    }
}

/// Two replicas that have just been started on an empty store.
async fn replicas() -> (TestStore, [Replica; 2]) {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    (store, [one, two])
}

#[tokio::test]
async fn key_revoked_in_first_minutes_leaves_replicas_ready() {
    let (store, [one, two]) = replicas().await;
    one.revoke(0).await;
    two.refresh().await;
    let newcomer = Replica::open(store.sibling(), START).await;
    for replica in [&one, &two, &newcomer] {
        replica.assert_paused(PauseReason::Revoked, START + LEAD);
    }
}

#[tokio::test]
async fn second_revocation_leaves_every_replica_ready() {
    let (store, [one, two]) = replicas().await;
    pass(&[&one, &two], LEAD).await;
    one.revoke(0).await;
    assert_eq!(one.paused(), None, "its successor signs");
    two.refresh().await;
    two.revoke(1).await;
    one.refresh().await;
    let newcomer = Replica::open(store.sibling(), START + LEAD).await;
    for replica in [&one, &two, &newcomer] {
        replica.assert_paused(PauseReason::Revoked, START + 2 * LEAD);
    }
}

#[tokio::test]
async fn all_keys_replaced_leaves_every_replica_ready() {
    let (store, [one, two]) = replicas().await;
    pass(&[&one, &two], LEAD).await;
    one.ring.replace_all().await.expect("the store is up");
    two.refresh().await;
    let newcomer = Replica::open(store.sibling(), START + LEAD).await;
    for replica in [&one, &two, &newcomer] {
        replica.assert_paused(PauseReason::Revoked, START + 2 * LEAD);
    }
}

/// Another replica that has no way to make a key, and has never been ready.
#[tokio::test]
async fn replica_never_ready_stays_unready_without_a_signing_time() {
    let (store, [one, _]) = replicas().await;
    let overrun = one.times(1).signs_latest;
    store.down();
    one.clock.set(overrun);
    one.ring.refresh().await.expect_err("the store is down");
    let unknown = |replica: &Replica| {
        let paused = replica.paused().expect("no key signs");
        assert_eq!((paused.reason, paused.until), (PauseReason::Overdue, None));
        let error = replica.try_issue().expect_err("no key signs").to_string();
        assert!(error.contains("past its time, and no successor is written yet: see"), "{error}");
    };
    unknown(&one);
    assert_eq!(one.ring.ready(), Ok(()), "it verifies, and so do all the others");
    let blind = store.sibling();
    blind.fail(&[Operation::Insert]);
    let newcomer = Replica::open(blind.clone(), overrun).await;
    unknown(&newcomer);
    assert_eq!(newcomer.ring.ready().unwrap_err().kind(), NotReadyKind::NoSigningKey);
    // As soon as it can make a key, it is known.
    blind.up();
    newcomer.refresh().await;
    newcomer.assert_paused(PauseReason::Overdue, overrun + LEAD);
    // Without a key that verifies it serves nobody.
    one.clock.set(overrun + LIFE + 2 * OVERRUN);
    assert_eq!(one.ring.ready().unwrap_err().kind(), NotReadyKind::NoSigningKey);
}

#[tokio::test]
async fn pause_is_logged_once_with_its_reason_and_end() {
    const PAUSED: &str = "issuing is paused: no key signs";
    const RESUMED: &str = "issuing is no longer paused";
    let scenario = async || {
        let (_, [one, two]) = replicas().await;
        one.ring.replace_all().await.expect("the store is up");
        two.refresh().await;
        one.refresh().await;
        pass(&[&one, &two], LEAD).await;
    };
    let events = Events::of(scenario, |events| events.count(RESUMED) == 2).await;
    assert_eq!((events.count(PAUSED), events.count(RESUMED)), (2, 2), "once at each replica");
    for event in events.all().iter().filter(|event| event.message == PAUSED) {
        assert_eq!(event.fields["reason"], "\"revoked\"");
        assert_eq!(event.fields["until"], (START + LEAD).to_string());
    }
    assert_eq!(events.audited("key_revoked").len(), 4, "two keys at two replicas");
}

#[tokio::test]
async fn login_and_refresh_while_paused_are_503_with_retry_after() {
    let replica = Replica::open(TestStore::new(), START).await;
    let sessions = Sessions::<()>::builder(replica.ring.clone(), "https://app.example", "app");
    let sessions = sessions
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection())
        .build()
        .expect("sessions");
    let app = Router::new()
        .route("/in", on_get(async || Login::new("alice", ())))
        .layer(sessions.layer())
        .merge(sessions.token_router());
    replica.refresh_at(START + PERIOD - seconds(10)).await;
    let login = Login::new("alice", ());
    let tokens = sessions.issue_with_refresh_token(&login).expect("a key signs");
    let refreshing = async || {
        let form =
            format!("grant_type=refresh_token&refresh_token={}", tokens.refresh_token.as_str());
        let request = post("/token").header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(Body::from(form)).expect("a request");
        Answer::of(app.clone().oneshot(request).await.expect("an answer")).await
    };
    assert_eq!(send(&app, get("/in")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(refreshing().await.status, StatusCode::OK);

    // The next key was made ten seconds ago: the token is good, and nobody signs.
    replica.refresh_at(START + PERIOD).await;
    replica.revoke(1).await;
    let until = replica.paused().and_then(|paused| paused.until);
    assert_eq!(until, Some(START + PERIOD - seconds(10) + LEAD));
    // Rounded up, so that nobody comes too early.
    replica.clock.advance(MILLI);
    for answer in [send(&app, get("/in")).await, refreshing().await] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.all("retry-after"), [(LEAD.as_secs() - 10).to_string()]);
    }
}

/// Generations that are taken by what can't be read keep a refresh from making the successor, so that
/// the rotation makes it; without caches of the JWKS nothing makes up for what that takes.
#[tokio::test]
async fn rotation_without_a_successor_and_caches_leaves_no_gap() {
    let (content, clock) = (TestStore::new(), ManualClock::new(START));
    let takes = seconds(9);
    let store = SlowInserts { store: content.clone(), clock: clock.clone(), takes };
    let policy = policy().jwks_max_age(Duration::ZERO);
    let ring = tower_jwt_session::KeyRing::builder(crate::support::replicas::RING)
        .store(store)
        .found_now();
    let ring = ring.rotation(policy).clock(clock.clone()).open().await.expect("opens");
    let replica = Replica::of(ring, clock, LIFE);
    pass(&[&replica], LEAD).await;
    let names = content.names().await;
    let first = names.iter().find(|name| name.ends_with("-0000000000")).expect("a key");
    for generation in 2..10 {
        let name = first.replace("-0000000000", &format!("-{generation:010}"));
        content.put(&name, b"damaged").await;
    }
    replica.revoke(1).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(replica.signs_at(retired - MILLI), Some(0));
    assert_eq!(replica.signs_at(retired), Some(10), "{:?}", replica.paused());
}

#[tokio::test]
async fn rotation_that_can_make_no_successor_retires_nothing() {
    let (store, [one, _]) = replicas().await;
    let names = store.names().await;
    let first = names.iter().find(|name| name.ends_with("-0000000000")).expect("a key");
    for generation in 2..30 {
        let name = first.replace("-0000000000", &format!("-{generation:010}"));
        store.put(&name, b"damaged").await;
    }
    one.revoke(1).await;
    let refused = one.ring.rotate_now().await;
    assert!(
        matches!(&refused, Err(error) if error.kind() == OperationErrorKind::KeyRingNotReady && error.to_string().contains("no successor")),
        "{refused:?}"
    );
    assert_eq!((one.key(0).retire_at, one.signs()), (None, Some(0)));
}
