//! The audit trail at every entrance: the sink has the event before the answer, and what holds if it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get as on_get;
use http::{HeaderMap, HeaderValue, StatusCode};
use tower_jwt_session::audit::{Audit, AuditEvent};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Clock as _, Logout, OperationErrorKind, RefreshTokens, RejectionKind, Renewal, Revocations,
    Session, Sessions,
};

use crate::support::recorder::{Events, Metrics};
use crate::support::replicas::{LIFE, seconds};
use crate::support::stores::TestStore;
use crate::support::trail::Trail;
use crate::support::web::{Answer, Credentials, User, get, login, send, token};

const KEY: [u8; 32] = [7; 32];
/// Of alice of `https://app.example`, under that key.
const PSEUDONYM: &str = "qVBeI5Jn_r_AM2CwulD_1Q";

/// A service with everything that writes events.
struct Service {
    clock: ManualClock,
    store: TestStore,
    sessions: Sessions<User>,
    app: Router,
    audit: Audit,
    trail: Trail,
    /// Whether the sink fails.
    is_down: Arc<AtomicBool>,
    /// Whether the renewal hook ends sessions.
    ends: Arc<AtomicBool>,
}

impl Service {
    async fn new() -> Self {
        let (trail, is_down) = Trail::new();
        let audit = Audit::builder().subject_key(KEY).sink(trail.clone()).build().unwrap();
        let (store, clock) = (TestStore::new(), ManualClock::default());
        let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
        let revocations = revocations.audit(audit.clone()).open().await.unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let hook_ends = ends.clone();
        let sessions = crate::support::web::builder(&clock)
            .audit(audit.clone())
            .revocations(revocations)
            .refresh_tokens(RefreshTokens::new().store(store.clone()))
            .on_renewal(async move |_: Session<User>| {
                let ends = hook_ends.load(Ordering::Relaxed);
                Ok(if ends { Renewal::End } else { Renewal::Keep })
            })
            .build()
            .unwrap();
        let app = app(&sessions);
        Self { clock, store, sessions, app, audit, trail, is_down, ends }
    }

    fn fail(&self, fails: bool) {
        self.is_down.store(fails, Ordering::Relaxed);
    }

    fn session(&self) -> Session<User> {
        self.sessions.validate(&self.token()).unwrap()
    }

    /// The token of a session whose login is in the trail already, and not in what is looked at.
    fn token(&self) -> String {
        token(&self.sessions)
    }

    async fn settle(&self) {
        self.audit.flush().await;
        self.trail.clear();
    }

    async fn form(&self, path: &str, form: String) -> Answer {
        let mut headers = HeaderMap::new();
        let media_type = "application/x-www-form-urlencoded";
        headers.insert("content-type", HeaderValue::from_static(media_type));
        let answer = match path {
            "token" => self.sessions.token_response(&headers, form.as_bytes()).await,
            _ => self.sessions.revocation_response(&headers, form.as_bytes()).await,
        };
        Answer::of(answer.map(axum::body::Body::from)).await
    }

    /// A refresh token that was redeemed long ago, as its successor was.
    async fn used(&self) -> String {
        let first = self.sessions.issue_with_refresh_token(&login()).unwrap().refresh_token;
        let second = self.sessions.refresh(first.as_str()).await.unwrap().refresh_token;
        self.sessions.refresh(second.as_str()).await.unwrap();
        first.as_str().to_owned()
    }

    /// Does what an entrance does. Returns the status of its answer: 204 and 503 for plain functions.
    async fn enter(&self, entrance: &str) -> StatusCode {
        let (app, sessions) = (&self.app, &self.sessions);
        let ok = |done: Result<(), tower_jwt_session::OperationError>| match done {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(error) => error.status(),
        };
        // Their logins are not what is looked at.
        let failing = self.is_down.swap(false, Ordering::Relaxed);
        let (token, session, used) = (self.token(), self.session(), self.used().await);
        let pair = sessions.issue_with_refresh_token(&login()).unwrap();
        self.settle().await;
        self.fail(failing);
        match entrance {
            "layer: login" => send(app, get("/in")).await.status,
            "layer: login of a bearer client" => send(app, get("/bearer")).await.status,
            "layer: login in place of a session" => {
                send(app, get("/in").cookie(&token)).await.status
            }
            "login" => ok(sessions.login(&login()).await.map(drop)),
            "layer: logout" => send(app, get("/out").cookie(&token)).await.status,
            "layer: logout of a bearer client" => {
                send(app, get("/out").bearer(&token)).await.status
            }
            "layer: logout everywhere" => send(app, get("/everywhere").cookie(&token)).await.status,
            "layer: logout of others" => send(app, get("/others").cookie(&token)).await.status,
            "logout" => ok(sessions.logout(&session).await),
            "logout_everywhere" => ok(sessions.logout_everywhere(&session).await),
            "logout_others" => ok(sessions.logout_others(&session).await.map(drop)),
            "revoke_token" => ok(sessions.revoke_token(&token).await),
            "revocation endpoint" => {
                let form = format!("token={}", pair.refresh_token.as_str());
                self.form("revoke", form).await.status
            }
            "token endpoint: reuse" => {
                self.clock.advance(seconds(200));
                let form = format!("grant_type=refresh_token&refresh_token={used}");
                self.form("token", form).await.status
            }
            "refresh: reuse" => {
                self.clock.advance(seconds(200));
                let error = sessions.refresh(&used).await.unwrap_err();
                assert_eq!(error.rejection().unwrap().kind(), RejectionKind::Reused);
                StatusCode::NO_CONTENT
            }
            "layer: renewal hook" => {
                self.clock.advance(LIFE / 4 * 3);
                self.ends.store(true, Ordering::Relaxed);
                let status = send(app, get("/me").cookie(&token)).await.status;
                self.ends.store(false, Ordering::Relaxed);
                status
            }
            "refresh: renewal hook" => {
                self.ends.store(true, Ordering::Relaxed);
                let refreshed = sessions.refresh(pair.refresh_token.as_str()).await;
                self.ends.store(false, Ordering::Relaxed);
                assert_eq!(refreshed.unwrap_err().kind(), OperationErrorKind::Rejected);
                StatusCode::NO_CONTENT
            }
            "revoke_session" => ok(sessions.revoke_session(session.session_id()).await),
            "revoke_subject" => ok(sessions.revoke_subject("alice").await),
            "revoke_subject_of" => {
                ok(sessions.revoke_subject_of("https://app.example", "alice").await)
            }
            "revoke_logins_before" => ok(sessions.revoke_logins_before(self.clock.now()).await),
            "reload_claims" => ok(sessions.reload_claims("alice").await),
            _ => panic!("{entrance}"),
        }
    }
}

fn app(sessions: &Sessions<User>) -> Router {
    Router::new()
        .route("/in", on_get(async || login()))
        .route("/bearer", on_get(async || login().bearer()))
        .route("/out", on_get(async || Logout::new()))
        .route("/everywhere", on_get(async || Logout::new().everywhere()))
        .route("/others", on_get(async || Logout::new().others()))
        .route("/me", on_get(async |session: Session<User>| session.subject().to_owned()))
        .layer(sessions.layer())
}

/// Each entrance, the status of its answer, and its events.
const ENTRANCES: [(&str, u16, &[&str]); 23] = [
    ("layer: login", 204, &["login"]),
    ("layer: login of a bearer client", 200, &["login"]),
    ("layer: login in place of a session", 204, &["login", "session_revoked replaced_by_login"]),
    ("login", 204, &["login"]),
    ("layer: logout", 204, &["logout this"]),
    ("layer: logout of a bearer client", 204, &["logout this"]),
    ("layer: logout everywhere", 204, &["logout everywhere"]),
    ("layer: logout of others", 204, &["logout others"]),
    ("logout", 204, &["logout this"]),
    ("logout_everywhere", 204, &["logout everywhere"]),
    ("logout_others", 204, &["logout others"]),
    ("revoke_token", 204, &["logout this revoke_token"]),
    ("revocation endpoint", 200, &["logout this revoke_token"]),
    ("token endpoint: reuse", 400, &["refresh_token_reused"]),
    ("refresh: reuse", 204, &["refresh_token_reused"]),
    ("layer: renewal hook", 200, &["session_revoked renewal_hook"]),
    ("refresh: renewal hook", 204, &["session_revoked renewal_hook"]),
    ("revoke_session", 204, &["session_revoked revoke_session"]),
    ("revoke_subject", 204, &["subject_revoked revoke_subject"]),
    ("revoke_subject_of", 204, &["subject_revoked revoke_subject"]),
    ("revoke_logins_before", 204, &["logins_revoked revoke_logins_before"]),
    ("reload_claims", 204, &["claims_reload reload_claims"]),
    // The last: it is of no other kind.
    ("login", 204, &["login"]),
];

/// The kind, reach and reason.
fn texts(events: &[AuditEvent]) -> Vec<String> {
    let text = |event: &AuditEvent| {
        assert_eq!((event.origin.as_str(), event.outcome.as_str()), ("here", "ok"), "{event:?}");
        let parts = [Some(event.kind.as_str()), event.reach, event.reason].into_iter();
        parts.flatten().collect::<Vec<_>>().join(" ")
    };
    events.iter().map(text).collect()
}

#[tokio::test]
async fn sink_has_the_event_before_the_answer_at_every_entrance() {
    for (entrance, status, expected) in ENTRANCES {
        let service = Service::new().await;
        assert_eq!(service.enter(entrance).await.as_u16(), status, "{entrance}");
        assert_eq!(texts(&service.trail.events()), expected, "{entrance}");
    }
}

#[tokio::test]
async fn failing_sink_withholds_logins_and_no_logout_or_revocation() {
    for (entrance, status, expected) in ENTRANCES {
        let service = Service::new().await;
        service.fail(true);
        let found = service.enter(entrance).await.as_u16();
        assert_eq!(texts(&service.trail.events()), [""; 0], "{entrance}");
        let is_login = expected[0] == "login";
        assert_eq!(found, if is_login { 503 } else { status }, "{entrance}");
        service.fail(false);
        service.audit.flush().await;
        // A session that is not handed out replaces none, and its login is not recorded later.
        let later: &[&str] = if is_login { &[] } else { expected };
        assert_eq!(texts(&service.trail.events()), later, "{entrance}");
    }
}

#[tokio::test]
async fn login_without_a_recorded_event_is_answered_without_a_token() {
    let service = Service::new().await;
    service.fail(true);
    for path in ["/in", "/bearer"] {
        let answer = send(&service.app, get(path)).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(answer.all("retry-after"), ["5"]);
        assert!(!answer.body.contains("token"), "{}", answer.body);
    }
    let (login, sessions) = (login(), service.sessions);
    let one = sessions.login(&login).await.map(|_| ());
    let pair = sessions.login_with_refresh_token(&login).await.map(|_| ());
    for error in [one, pair].map(Result::unwrap_err) {
        assert_eq!(error.kind(), OperationErrorKind::Audit);
        assert!(error.is_temporary() && error.to_string().contains("the trail is down"), "{error}");
    }
}

/// A replica that cannot await hands the session out, and delivers the event later.
#[tokio::test]
async fn login_by_issue_is_recorded_in_the_background() {
    let service = Service::new().await;
    service.fail(true);
    service.sessions.issue(&login()).expect("is handed out");
    service.sessions.issue_with_refresh_token(&login()).expect("is handed out");
    service.fail(false);
    service.audit.flush().await;
    assert_eq!(texts(&service.trail.events()), ["login", "login"]);
}

#[tokio::test]
async fn sink_that_hangs_or_panics_delays_an_answer_by_its_timeout() {
    use tower_jwt_session::audit::{AuditFuture, AuditSink};
    struct Hangs;
    impl AuditSink for Hangs {
        fn record<'a>(&'a self, _: &'a AuditEvent) -> AuditFuture<'a> {
            Box::pin(std::future::pending())
        }
    }
    struct Panics;
    impl AuditSink for Panics {
        fn record<'a>(&'a self, _: &'a AuditEvent) -> AuditFuture<'a> {
            panic!("as a test asks")
        }
    }
    let timeout = std::time::Duration::from_millis(50);
    for (builder, text) in [
        (Audit::builder().sink(Hangs), "longer than sink_timeout (50ms)"),
        (Audit::builder().sink(Panics), "it panicked"),
    ] {
        let audit = builder.sink_timeout(timeout).build().unwrap();
        let clock = ManualClock::default();
        let sessions = crate::support::web::builder(&clock).audit(audit).build().unwrap();
        let error = sessions.login(&login()).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let app = app(&sessions);
        assert_eq!(send(&app, get("/in")).await.status, 503);
        assert_eq!(send(&app, get("/out").cookie(&token(&sessions))).await.status, 204);
    }
}

/// Without revocations the layer clears the cookie, and that is what the event says.
#[tokio::test]
async fn logout_without_revocations_says_that_it_cleared_the_cookie_alone() {
    let (trail, is_down) = Trail::new();
    let audit = Audit::builder().plain_subjects().sink(trail.clone()).build().unwrap();
    let sessions = crate::support::web::builder(&ManualClock::default()).audit(audit.clone());
    let sessions = sessions.build().unwrap();
    let app = app(&sessions);
    let token = token(&sessions);
    audit.flush().await;
    trail.clear();
    assert_eq!(send(&app, get("/out").cookie(&token)).await.status, 204);
    let [event] = &trail.events()[..] else { panic!("{:?}", trail.events()) };
    assert_eq!((event.kind.as_str(), event.outcome.as_str()), ("logout", "cookie_only"));
    assert_eq!(event.subject.as_deref(), Some("alice"));
    is_down.store(true, Ordering::Relaxed);
    assert_eq!(send(&app, get("/out").cookie(&token)).await.status, 204);
}

/// A client that goes away takes no event with it.
#[tokio::test]
async fn logout_of_a_client_that_has_gone_is_in_the_trail() {
    let service = Service::new().await;
    let token = service.token();
    let other = service.session();
    service.settle().await;
    {
        let logout = service.sessions.logout(&other);
        tokio::pin!(logout);
        // It is handed to the task that writes, and dropped.
        assert!(futures_util::poll!(&mut logout).is_pending());
    }
    let request = get("/out").cookie(&token);
    assert_eq!(send(&service.app, request).await.status, 204);
    assert_eq!(texts(&service.trail.events()), ["logout this", "logout this"]);
}

/// The store has it, and its answer was lost: the caller hears of a failure, and the trail of the revocation.
#[tokio::test]
async fn revocation_whose_answer_was_lost_is_learned_from_the_store() {
    let service = Service::new().await;
    let session = service.session();
    service.settle().await;
    service.store.lose_answers();
    service.sessions.logout(&session).await.expect_err("the answer is lost");
    service.store.up();
    service.sessions.revocations().unwrap().refresh().await.unwrap();
    service.audit.flush().await;
    let [event] = &service.trail.events()[..] else { panic!("{:?}", service.trail.events()) };
    assert_eq!((event.kind.as_str(), event.origin.as_str()), ("session_revoked", "store"));
    assert_eq!(event.session_id.as_deref(), Some(session.session_id()));
}

#[tokio::test]
async fn both_sides_name_a_session_and_a_subject_alike() {
    let service = Service::new().await;
    let (trail, _) = Trail::new();
    let audit = Audit::builder().subject_key(KEY).sink(trail.clone()).build().unwrap();
    let other = Revocations::builder("app").store(service.store.sibling());
    let other = other.clock(service.clock.clone()).audit(audit.clone()).open().await.unwrap();
    let session = service.session();
    service.settle().await;
    service.sessions.logout(&session).await.unwrap();
    service.sessions.revoke_subject("alice").await.unwrap();
    service.sessions.reload_claims("alice").await.unwrap();
    service.sessions.revoke_logins_before(service.clock.now()).await.unwrap();
    for _ in 0..2 {
        other.refresh().await.unwrap();
        service.sessions.revocations().unwrap().refresh().await.unwrap();
    }
    audit.flush().await;
    service.audit.flush().await;

    let (here, learned) = (service.trail.events(), trail.events());
    let kinds = |events: &[AuditEvent]| {
        let kinds = events.iter().map(|it| format!("{} {}", it.kind.as_str(), it.origin.as_str()));
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&here),
        ["logout here", "subject_revoked here", "claims_reload here", "logins_revoked here"]
    );
    let mut sorted = kinds(&learned);
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "claims_reload store",
            "logins_revoked store",
            "session_revoked store",
            "subject_revoked store"
        ]
    );
    let of = |kind| learned.iter().find(|event| event.kind.as_str() == kind).expect("was learned");
    assert_eq!(here[0].session_id.as_deref(), Some(session.session_id()));
    assert_eq!(here[0].session_id, of("session_revoked").session_id);
    let subject = here[1].subject.clone().expect("a pseudonym");
    assert!(subject.len() == 22 && !subject.contains("alice"), "{subject}");
    for event in [&here[0], &here[2], of("subject_revoked"), of("claims_reload")] {
        assert_eq!(event.subject.as_ref(), Some(&subject), "{event:?}");
    }
    assert_eq!(here[1].effective_at, of("subject_revoked").effective_at);
    assert_eq!(here[0].issuer.as_deref(), Some("https://app.example"));
}

#[tokio::test]
async fn subject_is_omitted_plain_or_under_the_key_of_the_process() {
    let builders = [
        Audit::builder().without_subjects(),
        Audit::builder().plain_subjects(),
        Audit::builder().subject_key(KEY),
        Audit::builder().subject_key([8; 32]),
        Audit::builder(),
        Audit::builder(),
    ];
    let mut found = Vec::new();
    for builder in builders {
        let (trail, _) = Trail::new();
        let audit = builder.sink(trail.clone()).build().unwrap();
        let clock = ManualClock::default();
        let sessions = crate::support::web::builder(&clock).audit(audit).build().unwrap();
        sessions.login(&login()).await.unwrap();
        found.push(trail.events()[0].subject.clone());
        assert_eq!(sessions.audit_subject("alice"), found[found.len() - 1]);
    }
    let [none, plain, keyed, other, process, again] = &found[..] else { panic!("{found:?}") };
    assert_eq!((none.as_deref(), plain.as_deref()), (None, Some("alice")));
    assert!(keyed != other && keyed != process && process.is_some(), "{found:?}");
    assert_eq!(process, again);
    // As the guide writes it down, computed elsewhere.
    assert_eq!(keyed.as_deref(), Some(PSEUDONYM));
    let error = Audit::builder().subject_key([1; 15]).build().unwrap_err().to_string();
    assert!(error.contains("15 bytes") && error.contains("16"), "{error}");
}

#[test]
fn sink_outside_of_a_runtime_is_a_build_error() {
    let error = Audit::builder().sink(Trail::new().0).build().unwrap_err().to_string();
    assert!(error.contains("Tokio runtime"), "{error}");
}

/// 10 minutes of attempts, on Tokio's paused clock.
#[tokio::test(start_paused = true)]
async fn event_that_is_never_recorded_is_counted_as_lost() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let scenario = async || {
        let (trail, is_down) = Trail::new();
        is_down.store(true, Ordering::Relaxed);
        let audit = Audit::builder().sink(trail.clone()).build().unwrap();
        let clock = ManualClock::default();
        let sessions = crate::support::web::builder(&clock).audit(audit.clone()).build().unwrap();
        sessions.issue(&login()).unwrap();
        let began = tokio::time::Instant::now();
        audit.flush().await;
        assert!(began.elapsed() <= seconds(600) && began.elapsed() > seconds(500));
        assert!(trail.events().is_empty());
    };
    let events = Events::of(scenario, |events| events.count("lost an audit event") == 1).await;
    let all = events.all();
    let lost = all.iter().find(|it| it.message == "lost an audit event").expect("is logged");
    assert_eq!((lost.level, &*lost.fields["kind"]), (tracing::Level::ERROR, "\"login\""));
    assert_eq!(events.count("the audit sink failed"), 1, "once, until it succeeds");
    let counted = |outcome| recorder.counter("fixed", "audit_records_total", outcome);
    assert!(counted("lost") > 0 && counted("retried") > 50 && counted("recorded") == 0);
}

/// After a valid signature alone: it is the ID of the audit events, and no text of a stranger.
#[tokio::test]
async fn refusal_has_the_session_id_of_the_audit_events() {
    let ids = std::sync::Mutex::new(Vec::new());
    let scenario = async || {
        let service = Service::new().await;
        let [ended, expired] = [service.token(), service.token()];
        let id = |token: &str| service.sessions.validate(token).unwrap().session_id().to_owned();
        let [ended_id, expired_id] = [id(&ended), id(&expired)];
        service.sessions.revoke_session(&ended_id).await.unwrap();
        *ids.lock().unwrap() = vec![format!("{ended_id:?}"), format!("{expired_id:?}")];
        let (signed, _) = ended.rsplit_once('.').unwrap();
        for token in [&ended, &format!("{signed}.{}", "A".repeat(86))] {
            assert_eq!(send(&service.app, get("/me").bearer(token)).await.status, 401);
        }
        service.clock.advance(LIFE * 2);
        service.sessions.revocations().unwrap().refresh().await.unwrap();
        let error = service.sessions.validate(&expired).unwrap_err();
        assert_eq!(error.session_id().map(str::len), Some(22));
        assert_eq!(send(&service.app, get("/me").bearer(&expired)).await.status, 401);
    };
    let enough = |events: &Events| events.count("rejected a request") == 3;
    let events = Events::of(scenario, enough).await.all();
    let ids = ids.into_inner().unwrap();
    let refusals = events.iter().filter(|event| event.message == "rejected a request");
    let found: Vec<_> = refusals
        .map(|event| (&*event.fields["kind"], event.fields.get("session_id").cloned()))
        .collect();
    let expected = [
        ("\"revoked\"", Some(ids[0].clone())),
        ("\"bad_signature\"", None),
        ("\"expired\"", Some(ids[1].clone())),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn refusals_of_a_kind_are_logged_so_many_a_minute_and_their_rest_counted() {
    let scenario = async || {
        let clock = ManualClock::default();
        let sessions = crate::support::web::builder(&clock);
        let sessions = sessions.log_failures(tracing::Level::WARN, 3).build().unwrap();
        let app = app(&sessions);
        for (pause, requests) in [(0, 10), (60, 2), (60, 1)] {
            clock.advance(seconds(pause));
            for _ in 0..requests {
                assert_eq!(send(&app, get("/me")).await.status, 401);
            }
        }
        assert_eq!(send(&app, get("/me").bearer("x")).await.status, 401);
    };
    let enough = |events: &Events| events.count("rejected a request") == 7;
    let events = Events::of(scenario, enough).await.all();
    let lines = events.iter().map(|event| {
        assert_eq!(event.level, tracing::Level::WARN);
        let count = event.fields.get("suppressed").cloned().unwrap_or_default();
        format!("{} {count}", event.fields["kind"].trim_matches('"'))
    });
    let missing = "missing ";
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [missing, missing, missing, "missing 7", missing, missing, missing, "malformed "]
    );
    let zero = crate::support::web::builder(&ManualClock::default());
    let error = zero.log_failures(tracing::Level::WARN, 0).build().unwrap_err().to_string();
    assert!(error.contains("log_failures"), "{error}");
}

/// Also where the token itself is valid.
#[tokio::test]
async fn refusal_of_a_valid_token_has_the_session_id() {
    let service = Service::new().await;
    let strict = service.sessions.validate_layer().require_scope("orders:write");
    let strict = Router::new().route("/", on_get(async || "in")).layer(strict);
    let check = |answer: &Answer, kind: RejectionKind, id: &str| {
        assert_eq!(answer.kind(), Some(kind));
        assert_eq!(answer.rejection().unwrap().session_id(), Some(id), "{kind}");
    };
    let (token, used) = (service.token(), service.used().await);
    let session = service.sessions.validate(&token).unwrap();
    let answer = send(&strict, get("/").bearer(&token)).await;
    check(&answer, RejectionKind::InsufficientScope, session.session_id());
    service.sessions.reload_claims("alice").await.unwrap();
    let answer = send(&service.app, get("/me").bearer(&token)).await;
    check(&answer, RejectionKind::StaleClaims, session.session_id());
    service.settle().await;
    service.clock.advance(seconds(200));
    let error = service.sessions.refresh(&used).await.unwrap_err();
    let [reused] = &service.trail.events()[..] else { panic!("{:?}", service.trail.events()) };
    assert_eq!(reused.kind.as_str(), "refresh_token_reused");
    assert_eq!(error.rejection().unwrap().session_id(), reused.session_id.as_deref());
    assert!(reused.session_id.is_some());
}
