//! Claims that are reloaded: the next request of each session of the subject is renewed, on every replica.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::StatusCode;
use tower_jwt_session::{Logout, OperationErrorKind, RefreshTokens, Rejection, Renewal};

use super::*;
use crate::support::stores::TestStore;
use crate::support::web::{self, Answer, Credentials as _, User, claims_of, get, post, send};

/// The application's database of roles: one role for everyone.
#[derive(Clone)]
struct Roles {
    /// `Err` while it is down.
    role: Arc<Mutex<Result<&'static str, &'static str>>>,
    reads: Arc<Mutex<usize>>,
}

impl Roles {
    fn new() -> Self {
        Self { role: Arc::new(Mutex::new(Ok("reader"))), reads: Arc::default() }
    }

    fn set(&self, role: Result<&'static str, &'static str>) {
        *self.role.lock().unwrap() = role;
    }

    /// How often it was read since this was last asked.
    fn reads(&self) -> usize {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }
}

/// One replica of an application whose roles are in a database.
struct Service {
    clock: ManualClock,
    revocations: Revocations,
    sessions: Sessions<User>,
    app: Router,
}

impl Service {
    async fn open(store: &TestStore, roles: &Roles, now: Timestamp) -> Self {
        Self::with(store, roles, now, false).await
    }

    async fn with(
        store: &TestStore,
        roles: &Roles,
        now: Timestamp,
        has_refresh_tokens: bool,
    ) -> Self {
        let (store, clock) = (store.sibling(), ManualClock::new(now));
        let revocations = builder(store.clone(), &clock).open().await.unwrap();
        let roles = roles.clone();
        let mut sessions = web::builder(&clock).revocations(revocations.clone()).on_renewal(
            async move |_: Session<User>| {
                *roles.reads.lock().unwrap() += 1;
                let role = *roles.role.lock().unwrap();
                Ok(Renewal::Replace(User { role: role?.into() }))
            },
        );
        if has_refresh_tokens {
            sessions = sessions.refresh_tokens(RefreshTokens::new().store(store));
        }
        let sessions = sessions.build().unwrap();
        let app = Router::new()
            .route("/", on_get(async |session: Session<User>| session.claims().role.clone()))
            .route("/logout", on_post(async || Logout::new()))
            .layer(sessions.layer());
        Self { clock, revocations, sessions, app }
    }

    async fn refresh(&self) {
        self.revocations.refresh().await.unwrap();
    }

    /// The role that the handler has seen, and the next token.
    async fn visit(&self, token: &str) -> (String, Option<String>) {
        let answer: Answer = send(&self.app, get("/").cookie(token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let is_set = answer.headers.contains_key("set-cookie");
        let next = is_set.then(|| answer.cookie_token().to_owned());
        (answer.body, next)
    }

    /// The next token of a session whose claims are stale.
    async fn renewed(&self, token: &str) -> String {
        self.visit(token).await.1.expect("a new token")
    }

    async fn assert_not_renewed(&self, token: &str) {
        assert_eq!(self.visit(token).await.1, None);
    }
}

#[tokio::test]
async fn reloaded_claims_reach_each_session_of_the_subject_on_every_replica() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::open(&store, &roles, START).await;
    let two = Service::open(&store, &roles, START).await;
    let tokens = [web::token(&one.sessions), web::token(&two.sessions)];
    let bob = one.sessions.issue(&Login::new("bob", User { role: "reader".into() })).unwrap();
    one.assert_not_renewed(&tokens[0]).await;
    roles.set(Ok("admin"));
    one.sessions.reload_claims("alice").await.unwrap();
    for token in &tokens {
        two.assert_not_renewed(token).await;
    }
    two.refresh().await;
    for (token, [here, there]) in tokens.iter().zip([[&one, &two], [&two, &one]]) {
        let (role, next) = here.visit(token).await;
        assert_eq!(role, "reader", "the request goes on with the old claims");
        let next = next.expect("a new token");
        let (old, new) = (claims_of(token), claims_of(&next));
        for name in ["sub", "sid", "auth_time"] {
            assert_eq!(old[name], new[name], "{name}");
        }
        for service in [here, there, here] {
            assert_eq!(service.visit(&next).await, ("admin".to_owned(), None));
        }
        assert_eq!(roles.reads(), 1);
        assert!(here.sessions.validate(token).is_ok(), "nobody is logged out");
    }
    for service in [&one, &two] {
        service.assert_not_renewed(bob.as_str()).await;
    }
    // A second call is another reload, and one that starts later knows of it.
    two.sessions.reload_claims("alice").await.unwrap();
    let three = Service::open(&store, &roles, START).await;
    three.renewed(&tokens[0]).await;
    let register = store.feed(PLACE).await.registers.last().unwrap().1;
    assert_eq!(register.until, START + RETENTION, "kept as long as a cutoff");
}

/// Two clocks as different as they may be: a call is neither missed nor done twice, whichever replica
/// calls, issues and renews.
#[tokio::test]
async fn clocks_that_differ_neither_hide_a_reload_nor_repeat_it() {
    for times in [[START, START + SKEW], [START + SKEW, START]] {
        let (store, roles) = (TestStore::new(), Roles::new());
        let one = Service::open(&store, &roles, times[0]).await;
        let two = Service::open(&store, &roles, times[1]).await;
        let services = [&one, &two];
        for (issuer, renewer) in [(&one, &one), (&one, &two), (&two, &one), (&two, &two)] {
            let token = web::token(&issuer.sessions);
            one.sessions.reload_claims("alice").await.unwrap();
            two.refresh().await;
            let next = renewer.renewed(&token).await;
            for service in services.into_iter().chain(services) {
                service.assert_not_renewed(&next).await;
                service.renewed(&token).await;
            }
            // The same within one second, and in the next.
            one.sessions.reload_claims("alice").await.unwrap();
            two.refresh().await;
            let last = renewer.renewed(&next).await;
            for service in services {
                service.clock.advance(seconds(1));
                service.assert_not_renewed(&last).await;
            }
        }
    }
}

#[tokio::test]
async fn reload_with_failing_hook_is_tried_again_by_the_next_request() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::open(&store, &roles, START).await;
    let token = web::token(&one.sessions);
    roles.set(Err("the database is down"));
    one.sessions.reload_claims("alice").await.unwrap();
    for _ in 0..3 {
        one.assert_not_renewed(&token).await;
        assert_eq!(roles.reads(), 1);
    }
    roles.set(Ok("admin"));
    let next = one.renewed(&token).await;
    assert_eq!(one.visit(&next).await, ("admin".to_owned(), None));
}

/// The hook has read the old role, and the new one was written and announced before it answered.
#[tokio::test]
async fn reload_while_the_hook_runs_is_not_missed() {
    let clock = ManualClock::new(START);
    let revocations = builder(TestStore::new(), &clock).open().await.unwrap();
    let ours: Arc<Mutex<Option<Sessions<User>>>> = Arc::default();
    let once = ours.clone();
    let sessions = web::builder(&clock)
        .revocations(revocations)
        .on_renewal(async move |_: Session<User>| {
            let sessions = once.lock().unwrap().take();
            let Some(sessions) = sessions else {
                return Ok(Renewal::Replace(User { role: "admin".into() }));
            };
            sessions.reload_claims("alice").await?;
            Ok(Renewal::Replace(User { role: "reader".into() }))
        })
        .build()
        .unwrap();
    let handler = async |session: Session<User>| session.claims().role.clone();
    let app = Router::new().route("/", on_get(handler)).layer(sessions.layer());
    let token = web::token(&sessions);
    sessions.reload_claims("alice").await.unwrap();
    *ours.lock().unwrap() = Some(sessions.clone());
    let answer = send(&app, get("/").cookie(&token)).await;
    let answer = send(&app, get("/").cookie(answer.cookie_token())).await;
    assert_eq!(claims_of(answer.cookie_token())["role"], "admin");
    let answer = send(&app, get("/").cookie(answer.cookie_token())).await;
    assert_eq!((&*answer.body, answer.headers.get("set-cookie")), ("admin", None));
}

/// The handler of a login may have read the claims just before the call.
#[tokio::test]
async fn login_soon_after_a_reload_is_renewed_once_more_and_a_later_one_is_not() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::open(&store, &roles, START).await;
    one.sessions.reload_claims("alice").await.unwrap();
    one.clock.advance(SKEW + seconds(60));
    let early = web::token(&one.sessions);
    one.clock.advance(seconds(1));
    let late = web::token(&one.sessions);
    one.assert_not_renewed(&late).await;
    let next = one.renewed(&early).await;
    one.assert_not_renewed(&next).await;
    let login = one.sessions.login(&web::login()).await.unwrap();
    one.assert_not_renewed(login.as_str()).await;
}

/// It gains no time, and gets the new claims all the same.
#[tokio::test]
async fn last_token_of_a_session_gets_reloaded_claims() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let clock = ManualClock::new(START);
    let revocations = builder(store, &clock).open().await.unwrap();
    let hook = roles.clone();
    let sessions = web::builder(&clock)
        .absolute_lifetime(seconds(3600))
        .revocations(revocations)
        .on_renewal(async move |_: Session<User>| {
            *hook.reads.lock().unwrap() += 1;
            Ok(Renewal::Replace(User { role: "admin".into() }))
        })
        .build()
        .unwrap();
    let app = Router::new().route("/", on_get(async || "hello")).layer(sessions.validate_layer());
    let token = web::token(&sessions);
    clock.advance(seconds(3000));
    assert_eq!(send(&app, get("/").cookie(&token)).await.headers.get("set-cookie"), None);
    assert_eq!(roles.reads(), 0);
    sessions.reload_claims("alice").await.unwrap();
    let answer = send(&app, get("/").cookie(&token)).await;
    let (old, new) = (claims_of(&token), claims_of(answer.cookie_token()));
    assert_eq!((&new["role"], &new["exp"]), (&"admin".into(), &old["exp"]));
    let answer = send(&app, get("/").cookie(answer.cookie_token())).await;
    assert_eq!((answer.headers.get("set-cookie"), roles.reads()), (None, 1));
}

#[tokio::test]
async fn bearer_token_with_stale_claims_is_refused_until_it_is_refreshed() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::with(&store, &roles, START, true).await;
    let two = Service::with(&store, &roles, START, true).await;
    let tokens = one.sessions.issue_with_refresh_token(&web::login()).unwrap();
    let visit =
        async |service: &Service, token: &str| send(&service.app, get("/").bearer(token)).await;
    roles.set(Ok("admin"));
    let old = tokens.access_token.as_str();
    assert_eq!(visit(&one, old).await.status, StatusCode::OK);
    one.sessions.reload_claims("alice").await.unwrap();
    two.refresh().await;
    for service in [&one, &two] {
        let answer = visit(service, old).await;
        assert_eq!(answer.kind(), Some(RejectionKind::StaleClaims));
        let rejection = answer.extensions.get::<Rejection>().unwrap();
        assert_eq!(
            (rejection.about(), rejection.found()),
            (Some("rc"), Some("claims of version 0"))
        );
        assert!(rejection.expected().unwrap().contains("by `reload_claims`; the client refreshes"));
        assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, web::UNAUTHORIZED));
        assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_token""#]);
        let answer = send(&service.app, post("/logout").bearer(old)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "refresh first");
    }
    assert_eq!(roles.reads(), 0);
    let new = two.sessions.refresh(tokens.refresh_token.as_str()).await.unwrap();
    for service in [&one, &two] {
        let answer = visit(service, new.access_token.as_str()).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "admin"));
    }
    assert_eq!(roles.reads(), 1);
}

/// Otherwise its client would refresh for ever.
#[tokio::test]
async fn refresh_with_failing_hook_after_a_reload_is_accepted_with_the_old_claims() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::with(&store, &roles, START, true).await;
    let tokens = one.sessions.issue_with_refresh_token(&web::login()).unwrap();
    roles.set(Err("the database is down"));
    one.sessions.reload_claims("alice").await.unwrap();
    let visit = async |token: &str| send(&one.app, get("/").bearer(token)).await;
    let refused = visit(tokens.access_token.as_str()).await;
    assert_eq!(refused.kind(), Some(RejectionKind::StaleClaims));
    let new = one.sessions.refresh(tokens.refresh_token.as_str()).await.unwrap();
    assert_eq!(visit(new.access_token.as_str()).await.body, "reader");
    // The next refresh asks again.
    roles.set(Ok("admin"));
    let new = one.sessions.refresh(new.refresh_token.as_str()).await.unwrap();
    assert_eq!(visit(new.access_token.as_str()).await.body, "admin");
}

#[tokio::test]
async fn bearer_token_without_refresh_tokens_keeps_its_claims() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::open(&store, &roles, START).await;
    let token = web::token(&one.sessions);
    one.sessions.reload_claims("alice").await.unwrap();
    let answer = send(&one.app, get("/").bearer(&token)).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "reader"));
    assert_eq!((answer.headers.get("set-cookie"), roles.reads()), (None, 0));
}

#[tokio::test]
async fn reload_lost_by_the_store_is_restored_by_live_replicas() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::open(&store, &roles, START).await;
    let token = web::token(&one.sessions);
    one.sessions.reload_claims("alice").await.unwrap();
    store.purge_feed(PLACE).await;
    one.refresh().await;
    one.refresh().await;
    let two = Service::open(&store, &roles, START).await;
    two.renewed(&token).await;
}

#[tokio::test]
async fn reload_that_cannot_work_is_an_error_that_names_the_setting() {
    let clock = ManualClock::new(START);
    let revocations = builder(TestStore::new(), &clock).open().await.unwrap();
    let without_hook = web::builder(&clock).revocations(revocations).build().unwrap();
    let keep = async |_: Session<User>| Ok(Renewal::Keep);
    let without_revocations = web::builder(&clock).on_renewal(keep).build().unwrap();
    for (sessions, setting) in
        [(without_hook, ".on_renewal("), (without_revocations, ".revocations(")]
    {
        let error = sessions.reload_claims("alice").await.unwrap_err();
        assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
        assert!(error.to_string().contains(setting), "{error}");
    }
}

#[tokio::test]
async fn reload_that_is_not_recorded_is_an_error_and_changes_nothing() {
    let (store, clock) = (TestStore::new(), ManualClock::new(START));
    let revocations = builder(store.clone(), &clock).open().await.unwrap();
    let keep = async |_: Session<User>| Ok(Renewal::Keep);
    let sessions = web::builder(&clock).revocations(revocations).on_renewal(keep).build().unwrap();
    let app = Router::new().route("/", on_get(async || "hello")).layer(sessions.layer());
    let token = web::token(&sessions);
    store.down();
    let error = sessions.reload_claims("alice").await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (OperationErrorKind::Store, 503));
    assert_eq!(send(&app, get("/").cookie(&token)).await.headers.get("set-cookie"), None);
    store.up();
    sessions.reload_claims("alice").await.unwrap();
    assert!(send(&app, get("/").cookie(&token)).await.headers.contains_key("set-cookie"));
}

/// The session that stays is not one more token with the old claims.
#[tokio::test]
async fn logout_of_others_reads_stale_claims_again() {
    let (store, roles) = (TestStore::new(), Roles::new());
    let one = Service::open(&store, &roles, START).await;
    roles.set(Ok("admin"));
    let stays = async || {
        let session = one.sessions.validate(&web::token(&one.sessions)).unwrap();
        roles.reads();
        one.sessions.reload_claims("alice").await.unwrap();
        one.sessions.logout_others(&session).await.map(|token| token.as_str().to_owned())
    };
    let token = stays().await.unwrap();
    assert_eq!((claims_of(&token)["role"].as_str(), roles.reads()), (Some("admin"), 1));
    one.assert_not_renewed(&token).await;
    // The next request asks again.
    roles.set(Err("the database is down"));
    let token = stays().await.unwrap();
    assert_eq!((claims_of(&token)["role"].as_str(), roles.reads()), (Some("reader"), 1));
    roles.set(Ok("guest"));
    let token = one.renewed(&token).await;
    assert_eq!(claims_of(&token)["role"], "guest");
}

/// A session that is logged out while the application reads its claims must not rise above its own cutoff.
#[tokio::test]
async fn logout_while_the_hook_runs_is_not_missed_by_a_logout_of_others() {
    let (store, roles, clock) = (TestStore::new(), Roles::new(), ManualClock::new(START));
    let two = Service::open(&store, &roles, START).await;
    let revocations = builder(store.sibling(), &clock).open().await.unwrap();
    let elsewhere = two.sessions.clone();
    let one = web::builder(&clock).revocations(revocations).on_renewal(
        async move |session: Session<User>| {
            elsewhere.logout_everywhere(&session).await?;
            Ok(Renewal::Keep)
        },
    );
    let one = one.build().unwrap();
    let session = one.validate(&web::token(&one)).unwrap();
    one.reload_claims("alice").await.unwrap();
    let error = one.logout_others(&session).await.unwrap_err();
    assert_eq!(error.rejection().map(Rejection::kind), Some(RejectionKind::Revoked));
}
