//! A logout of all other sessions of a subject: they end everywhere, and the one at hand goes on.

use tower_jwt_session::OperationErrorKind;

use super::*;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::claims_of;

impl Replica {
    /// Logs out the others of that token's session; the new token.
    async fn log_out_others(&self, token: &str) -> String {
        let token = self.sessions.logout_others(&self.session(token)).await.unwrap();
        token.as_str().to_owned()
    }
}

#[tokio::test]
async fn logout_others_ends_all_but_this_session_on_every_replica() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    let (this, here, there, bob) =
        (one.login("alice"), one.login("alice"), two.login("alice"), two.login("bob"));
    pass(&[&one, &two], seconds(600));
    let young = two.login("alice");
    let new = one.log_out_others(&this).await;
    for replica in [&one, &two] {
        assert_eq!(replica.judge(&new), Ok(()), "also where the cutoff is not known yet");
    }
    two.refresh().await;
    let three = Replica::open_at(store.sibling(), one.clock.now()).await;
    for replica in [&one, &two, &three] {
        for token in [&this, &here, &there, &young] {
            assert_eq!(replica.judge(token), Err(RejectionKind::Revoked));
        }
        assert_eq!((replica.judge(&new), replica.judge(&bob)), (Ok(()), Ok(())));
        let later = replica.sessions.login(&Login::new("alice", ())).await.unwrap();
        assert_eq!(one.judge(later.as_str()), Ok(()));
    }
    let (old, renewed) = (claims_of(&this), claims_of(&new));
    assert_eq!((&old["auth_time"], &old["sub"]), (&renewed["auth_time"], &renewed["sub"]));
    assert_ne!(old["sid"], renewed["sid"]);
    // Of two such logouts the later one wins.
    let another = two.sessions.login(&Login::new("alice", ())).await.unwrap();
    two.log_out_others(another.as_str()).await;
    one.refresh().await;
    assert_eq!(one.judge(&new), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn logout_others_with_store_down_changes_nothing() {
    for failing in [Operation::ReadFeed, Operation::Advance] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let two = Replica::open(store.sibling()).await;
        let (this, other) = (one.login("alice"), two.login("alice"));
        store.fail(&[failing]);
        let error = one.sessions.logout_others(&one.session(&this)).await.unwrap_err();
        assert_eq!((error.kind(), error.status().as_u16()), (OperationErrorKind::Store, 503));
        store.up();
        for replica in [&one, &two] {
            replica.refresh().await;
            assert_eq!((replica.judge(&this), replica.judge(&other)), (Ok(()), Ok(())));
        }
        let new = one.log_out_others(&this).await;
        assert_eq!((one.judge(&new), one.judge(&other)), (Ok(()), Err(RejectionKind::Revoked)));
    }
}

/// As if the replica had died between the cutoff and the new token: nobody else stays.
#[tokio::test]
async fn logout_others_whose_answer_is_lost_leaves_no_other_session() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let (this, other) = (one.login("alice"), one.login("alice"));
    store.lose_answers();
    one.sessions.logout_others(&one.session(&this)).await.unwrap_err();
    store.up();
    one.refresh().await;
    for token in [&this, &other] {
        assert_eq!(one.judge(token), Err(RejectionKind::Revoked));
    }
}

/// It would rise above the cutoff that ended it.
#[tokio::test]
async fn session_logged_out_elsewhere_cannot_log_out_others() {
    for place in 0..4 {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let two = Replica::open(store.sibling()).await;
        let (this, other) = (one.login("alice"), two.login("alice"));
        let session = one.session(&this);
        match place {
            0 => two.sessions.logout(&two.session(&this)).await.unwrap(),
            1 => two.sessions.logout_everywhere(&two.session(&other)).await.unwrap(),
            2 => two.sessions.revoke_logins_before(two.clock.now()).await.unwrap(),
            _ => _ = two.log_out_others(&other).await,
        }
        assert_eq!(one.judge(&this), Ok(()), "it has not heard of it");
        let error = one.sessions.logout_others(&session).await.unwrap_err();
        assert_eq!(error.rejection().map(|it| it.kind()), Some(RejectionKind::Revoked), "{place}");
        let expected = if place == 0 { Ok(()) } else { Err(RejectionKind::Revoked) };
        assert_eq!(two.judge(&other), expected, "{place}");
    }
}

#[tokio::test]
async fn logout_others_without_revocations_names_the_setting() {
    let clock = ManualClock::new(START);
    let sessions = Sessions::<()>::builder(fixed_ring(clock), "https://app.example", "app");
    let sessions = sessions.build().unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    let session = sessions.validate(token.as_str()).unwrap();
    let error = sessions.logout_others(&session).await.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    assert!(error.to_string().contains("add `.revocations(..)`"), "{error}");
}

#[cfg(all(feature = "axum", feature = "cookie"))]
mod routes {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::{get, post as on_post};
    use http::StatusCode;
    use tower_jwt_session::testing::Client;
    use tower_jwt_session::{Logout, RefreshTokens};

    use super::*;
    use crate::support::web::{Credentials as _, post, send};

    fn app(sessions: &Sessions<()>) -> Router {
        let others = || Logout::new().others();
        let routes = Router::new()
            .route("/whole", on_post(async move || others()))
            .route("/part", on_post(async move || (others(), Redirect::to("/me"))));
        let strict = routes.clone().layer(sessions.validate_layer());
        routes.layer(sessions.layer()).nest("/strict", strict)
    }

    #[tokio::test]
    async fn logout_others_in_a_handler_replaces_the_cookie() {
        for path in ["/whole", "/part", "/strict/whole", "/strict/part"] {
            let one = Replica::open(TestStore::new()).await;
            let app = app(&one.sessions);
            let (this, other) = (one.login("alice"), one.login("alice"));
            // Past half of its life: the logout beats the renewal.
            pass(&[&one], seconds(1801));
            let answer = send(&app, post(path).cookie(&this)).await;
            let is_part = path.ends_with("part");
            let expected = if is_part { StatusCode::SEE_OTHER } else { StatusCode::NO_CONTENT };
            assert_eq!(answer.status, expected, "{path}");
            assert_eq!(answer.all("cache-control"), ["no-store"]);
            let new = answer.cookie_token().to_owned();
            assert_eq!(one.judge(&new), Ok(()));
            for token in [&this, &other] {
                assert_eq!(one.judge(token), Err(RejectionKind::Revoked));
            }
            assert_eq!(one.session(&new).expires_at() - one.clock.now(), seconds(3600));
        }
    }

    #[tokio::test]
    async fn persistent_session_that_logs_out_others_stays_persistent() {
        let clock = ManualClock::new(START);
        let revocations = builder(TestStore::new(), &clock).open().await.unwrap();
        let life = seconds(12 * 60 * 60);
        let sessions = Sessions::<()>::builder(fixed_ring(clock), "https://app.example", "app")
            .revocations(revocations)
            .persistent_lifetime(life)
            .build()
            .unwrap();
        let token = sessions.issue(&Login::new("alice", ()).persistent(life)).unwrap();
        let answer = send(&app(&sessions), post("/whole").cookie(token.as_str())).await;
        let new = sessions.validate(answer.cookie_token()).unwrap();
        assert_eq!(new.expires_at(), START + life);
    }

    #[tokio::test]
    async fn bearer_logout_others_answers_the_new_token() {
        let one = Replica::open(TestStore::new()).await;
        let app = app(&one.sessions);
        let (this, other) = (one.login("alice"), one.login("alice"));
        // Beside another response there is no room for it, and nothing happens.
        let answer = send(&app, post("/part").bearer(&this)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.body.contains("return `Logout::new().others()` by itself"), "{answer:?}");
        assert_eq!((one.judge(&this), one.judge(&other)), (Ok(()), Ok(())));

        let answer = send(&app, post("/whole").bearer(&this)).await;
        assert_eq!((answer.status, answer.all("set-cookie").len()), (StatusCode::OK, 0));
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(one.judge(body["access_token"].as_str().unwrap()), Ok(()));
        for token in [&this, &other] {
            assert_eq!(one.judge(token), Err(RejectionKind::Revoked));
        }
    }

    /// Sessions with refresh tokens.
    async fn refreshing(clock: &ManualClock) -> Sessions<()> {
        let store = TestStore::new();
        let revocations = builder(store.clone(), clock).open().await.unwrap();
        Sessions::builder(fixed_ring(clock.clone()), "https://app.example", "app")
            .revocations(revocations)
            .refresh_tokens(RefreshTokens::new().store(store))
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn logout_others_with_refresh_tokens_answers_the_new_pair() {
        let sessions = refreshing(&ManualClock::new(START)).await;
        let login = || sessions.issue_with_refresh_token(&Login::new("alice", ())).unwrap();
        let (this, other) = (login(), login());
        let this = sessions.refresh(this.refresh_token.as_str()).await.unwrap();
        let request = post("/whole").bearer(this.access_token.as_str());
        let answer = send(&app(&sessions), request).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let new = sessions.refresh(body["refresh_token"].as_str().unwrap()).await.unwrap();
        assert!(sessions.validate(new.access_token.as_str()).is_ok());
        for tokens in [&this, &other] {
            let error = sessions.refresh(tokens.refresh_token.as_str()).await.unwrap_err();
            assert_eq!(error.rejection().map(|it| it.kind()), Some(RejectionKind::Revoked));
        }
    }

    #[tokio::test]
    async fn logout_others_that_cannot_be_done_changes_nothing_and_says_so() {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let app = app(&one.sessions);
        let (this, other) = (one.login("alice"), one.login("alice"));
        let unchanged = || assert_eq!((one.judge(&this), one.judge(&other)), (Ok(()), Ok(())));
        assert_eq!(send(&app, post("/whole")).await.status, StatusCode::UNAUTHORIZED);
        let answer = send(&app, post("/whole").cookie("garbage")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

        store.down();
        for path in ["/whole", "/part"] {
            let answer = send(&app, post(path).cookie(&this)).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!((answer.all("retry-after"), answer.all("set-cookie").len()), (vec!["5"], 0));
            assert!(answer.body.contains("the other sessions was not recorded, and they are"));
        }
        store.up();
        unchanged();
        let only = Router::new()
            .route("/", on_post(async || Logout::new().others()))
            .layer(one.sessions.validate_only_layer());
        let answer = send(&only, post("/").cookie(&this)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.body.contains("use `layer()` or `validate_layer()`"), "{answer:?}");
        unchanged();
    }

    /// A page calls while its session gets a new ID: the calls that the service answers later still have the old
    /// cookie, and their responses may reach the browser last.
    #[tokio::test]
    async fn late_response_to_the_old_cookie_does_not_clear_the_new_one() {
        let one = Replica::open(TestStore::new()).await;
        let me = async |session: Session<()>| session.subject().to_owned();
        let maybe = async |session: Option<Session<()>>| session.is_some().to_string();
        let app = Router::new()
            .route("/others", on_post(async || Logout::new().others()))
            .route("/login", on_post(async || Login::new("alice", ())))
            .route("/me", get(me))
            .route("/maybe", get(maybe))
            .route("/strict", get(async || "in").layer(one.sessions.validate_layer()))
            .layer(one.sessions.layer());
        for change in ["/others", "/login"] {
            let mut page = Client::new(app.clone());
            page.login_as(&one.sessions, "alice", ()).await;
            let mut in_flight = page.clone();
            assert_eq!(page.post(change).await.status(), StatusCode::NO_CONTENT);
            for path in ["/me", "/strict", "/maybe"] {
                let late = in_flight.get(path).await;
                let is_refused = late.status() == StatusCode::UNAUTHORIZED;
                assert!(is_refused || late.body() == "false", "{change} {path}");
                assert!(!late.headers().contains_key("set-cookie"), "{change} {path}");
            }
            assert_eq!(page.get("/me").await.body(), "alice");
        }
    }

    /// The client still has a refresh token, or a newer access token: nothing has ended.
    #[tokio::test]
    async fn logout_by_an_invalid_bearer_token_is_401_so_that_the_client_refreshes() {
        let clock = ManualClock::new(START);
        let sessions = refreshing(&clock).await;
        let app = Router::new()
            .route("/this", on_post(async || Logout::new()))
            .route("/part", on_post(async || (Logout::new(), Redirect::to("/"))))
            .route("/everywhere", on_post(async || Logout::new().everywhere()))
            .route("/others", on_post(async || Logout::new().others()))
            .layer(sessions.layer());
        for path in ["/this", "/part", "/everywhere", "/others"] {
            let pair = sessions.issue_with_refresh_token(&Login::new("alice", ())).unwrap();
            clock.advance(seconds(10 * 60));
            let (access, refresh) = (pair.access_token.as_str(), pair.refresh_token.as_str());
            for token in [access, refresh, &access[1..], "garbage"] {
                let answer = send(&app, post(path).bearer(token)).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {token}");
                assert_eq!(answer.all("www-authenticate"), [r#"Bearer error="invalid_token""#]);
                assert_eq!(answer.all("location"), [""; 0]);
            }
            let pair = sessions.refresh(refresh).await.unwrap();
            let answer = send(&app, post(path).bearer(pair.access_token.as_str())).await;
            assert!(answer.status.is_success() || answer.status.is_redirection(), "{path}");
            let error = sessions.refresh(pair.refresh_token.as_str()).await.unwrap_err();
            assert_eq!(error.rejection().map(|it| it.kind()), Some(RejectionKind::Revoked));
            // Its session is over, and stays so.
            let answer = send(&app, post(path).bearer(pair.access_token.as_str())).await;
            let is_over = answer.status != StatusCode::UNAUTHORIZED;
            assert_eq!(is_over, ["/this", "/part"].contains(&path), "{path}");
        }
    }
}
