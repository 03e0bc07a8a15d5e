//! How old what is known may be: the store's own staleness counts, and no clock that is set back makes
//! it look fresh.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get as on_get;
use tower_jwt_session::Rejection;
use tower_jwt_session::store::{Store, StoreProperties};

use super::*;
use crate::support::delegate::delegate;
use crate::support::stores::TestStore;
use crate::support::web::{Credentials as _, get, send};

/// A store that may be behind.
#[derive(Clone, Debug)]
struct Behind(TestStore, Duration);

impl RevocationStore for Behind {
    delegate!(0: append advance restore registers read_feed);
}

impl Store for Behind {
    delegate!(0: load insert remove);

    fn properties(&self) -> StoreProperties {
        let mut properties = self.0.properties();
        properties.staleness = self.1;
        properties
    }
}

async fn ask(one: &Replica, longest: Duration) -> StatusCode {
    let app = Router::new()
        .route("/", on_get(async || "fresh"))
        .route_layer(one.sessions.validate_layer().require_fresh_revocations(longest).unwrap());
    send(&app, get("/").bearer(&one.login("alice"))).await.status
}

#[tokio::test]
async fn freshness_counts_what_the_store_may_be_behind() {
    for staleness in [Duration::ZERO, seconds(1), seconds(60)] {
        let one = Replica::open(Behind(TestStore::new(), staleness)).await;
        let longest = one.revocations.refresh_bound();
        assert_eq!(longest, seconds(71) + staleness);
        pass(&[&one], longest - staleness);
        assert_eq!(ask(&one, longest).await, StatusCode::OK, "{staleness:?}");
        pass(&[&one], Duration::from_millis(1));
        assert_eq!(ask(&one, longest).await, StatusCode::SERVICE_UNAVAILABLE, "{staleness:?}");
    }
}

/// What is said beside the kind, to the log, to tests and by an explanation.
#[tokio::test]
async fn stale_revocations_say_when_they_were_read_and_what_is_required() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    store.down();
    let limit = Duration::from_secs(24 * 3600);
    pass(&[&one], seconds(120));
    let layer = one.sessions.validate_layer().require_fresh_revocations(seconds(71)).unwrap();
    let app = Router::new().route("/", on_get(async || "fresh")).route_layer(layer);
    let answer = send(&app, get("/").bearer(&one.login("alice"))).await;
    let rejection = answer.extensions.get::<Rejection>().expect("why");
    assert_eq!(rejection.about(), Some("revocations"));
    assert_eq!(rejection.found(), Some(&*format!("last read 120s ago, at {START}")));
    let expected = "read at most 71s ago (`require_fresh_revocations`)";
    assert_eq!(rejection.expected(), Some(expected));

    pass(&[&one], limit);
    let token = one.login("alice");
    let rejection = one.sessions.validate(&token).unwrap_err();
    assert_eq!(rejection.found(), Some(&*format!("last read 86520s ago, at {START}")));
    assert_eq!(rejection.expected(), Some("read at most 86400s ago (`max_staleness`)"));
    let explanation = one.sessions.explain(&token);
    let failed = explanation.failed().expect("stale");
    assert_eq!(
        (failed.found.as_deref(), failed.expected.as_deref()),
        (rejection.found(), rejection.expected())
    );
    assert!(explanation.fix.expect("a fix").contains("`testing::refresh`"));
}

#[tokio::test]
async fn freshness_does_not_come_back_with_a_clock_that_is_set_back() {
    for back in [seconds(1), seconds(110), seconds(24 * 3600)] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        store.down();
        pass(&[&one], seconds(120));
        assert_eq!(ask(&one, seconds(100)).await, StatusCode::SERVICE_UNAVAILABLE);
        one.clock.set(one.clock.now() - back);
        assert_eq!(ask(&one, seconds(100)).await, StatusCode::SERVICE_UNAVAILABLE, "{back:?}");
        store.up();
        one.refresh().await;
        assert_eq!(ask(&one, seconds(100)).await, StatusCode::OK, "{back:?}");
    }
}

#[tokio::test]
async fn stale_limit_holds_with_a_clock_that_is_set_back() {
    const LIMIT: Duration = Duration::from_secs(3600);
    let store = TestStore::new();
    let clock = ManualClock::new(START);
    let one = Replica::of(builder(store.clone(), &clock).max_staleness(LIMIT), clock).await;
    store.down();
    pass(&[&one], LIMIT + Duration::from_millis(1));
    one.clock.set(START);
    let token = one.login("alice");
    one.revocations.refresh().await.unwrap_err();
    assert_stale(&one.revocations.ready().unwrap_err(), START, LIMIT);
    assert!(matches!(one.judge(&token), Err(RejectionKind::StaleRevocations { .. })));
    store.up();
    one.refresh().await;
    one.revocations.ready().unwrap();
    assert_eq!(one.judge(&token), Ok(()));
}

/// A process that was stopped continues with a request, before any task has run.
#[tokio::test]
async fn first_request_after_a_pause_beyond_the_stale_limit_is_refused() {
    const LIMIT: Duration = Duration::from_secs(3600);
    let bound = seconds(71);
    // Meanwhile the clock may be set back, or forward.
    for set_to in [LIMIT + seconds(1), bound + seconds(1), LIMIT / 2, seconds(24 * 3600)] {
        let clock = ManualClock::new(START);
        let builder = builder(TestStore::new(), &clock).max_staleness(LIMIT);
        let one = Replica::of(builder, clock.clone()).await;
        assert_eq!(one.revocations.refresh_bound(), bound);
        let token = one.login("alice");
        assert_eq!(one.judge(&token), Ok(()));
        clock.advance(LIMIT + Duration::from_millis(1));
        clock.set(START + set_to);
        let judged = one.judge(&one.login("bob"));
        assert!(
            matches!(judged, Err(RejectionKind::StaleRevocations { .. })),
            "{set_to:?}: {judged:?}"
        );
        one.refresh().await;
        assert_eq!(one.judge(&one.login("bob")), Ok(()), "{set_to:?}");
    }
    let clock = ManualClock::new(START);
    let one = Replica::of(builder(TestStore::new(), &clock).max_staleness(LIMIT), clock).await;
    let token = one.login("alice");
    one.clock.advance(LIMIT);
    assert_eq!(one.judge(&token), Ok(()), "the limit itself is no pause beyond it");
    one.clock.advance(Duration::from_millis(1));
    one.clock.set(START - seconds(1));
    let judged = one.judge(&token);
    assert!(matches!(judged, Err(RejectionKind::StaleRevocations { .. })), "{judged:?}");
}

#[tokio::test]
async fn clock_set_forward_still_counts_as_time_that_passed() {
    let one = Replica::open(TestStore::new()).await;
    one.clock.set(START + seconds(120));
    assert_eq!(ask(&one, seconds(100)).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn monotonic_test_clock_moves_only_with_passed_time() {
    let clock = ManualClock::new(START);
    clock.advance(seconds(5));
    clock.set(START);
    assert_eq!((clock.now(), clock.monotonic()), (START, seconds(5)));
    let system = tower_jwt_session::SystemClock;
    assert!(system.monotonic() <= system.monotonic());
}
