//! An issuer that is down when the service starts.

use ::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use ::http::{Response, StatusCode};
use tower_jwt_session::{NotReadyKind, RejectionKind};

use super::*;

const COOLDOWN: Duration = Duration::from_secs(30);

fn one_key() -> String {
    set([jwk(Algorithm::EdDSA, "a")])
}

#[tokio::test]
async fn ring_started_without_keys_becomes_ready_when_they_come() {
    for failure in [
        Answer::Fails("connection refused"),
        Answer::Hangs,
        Answer::Says(503, "", String::new()),
        Answer::Says(429, "", String::new()),
        Answer::Says(200, "", r#"{"keys":[]}"#.to_owned()),
    ] {
        let (client, clock) = (FakeClient::new(""), ManualClock::default());
        client.answers(URL, failure.clone());
        let ring = following(&client, &clock).refresh_timeout(Duration::from_millis(10));
        let keys = ring.start_without_keys().open().await.unwrap();
        let unready = keys.ready().unwrap_err();
        assert_eq!(unready.kind(), NotReadyKind::NoKeysYet, "{failure:?}");
        let status = keys.status();
        let failure = status.failure.unwrap();
        assert!(failure.contains(URL), "{failure}");
        assert!(unready.to_string().contains(&failure), "{unready}");
        assert_eq!((status.failures, status.refreshed_at), (1, None));

        let refused = validate(&keys, &clock, Algorithm::EdDSA, "a").unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::KeysUnavailable);
        assert!(refused.is_temporary());
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        // Text that is no token is not an issuer's to judge.
        let refused = sessions(&keys).validate("no.token.atall").unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Malformed);

        client.says(one_key());
        keys.refresh().await.unwrap();
        keys.ready().unwrap();
        assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
        let refused = validate(&keys, &clock, Algorithm::EdDSA, "b").unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::UnknownKey);
    }
}

#[tokio::test]
async fn token_of_an_issuer_without_keys_causes_one_fetch_per_cooldown() {
    let (client, clock) = (FakeClient::new(""), ManualClock::default());
    client.answers(URL, Answer::Fails("connection refused"));
    let keys = following(&client, &clock).start_without_keys().open().await.unwrap();
    for round in 1..4 {
        for _ in 0..3 {
            let refused = validate(&keys, &clock, Algorithm::EdDSA, "a").unwrap_err();
            assert_eq!(refused.kind(), RejectionKind::KeysUnavailable);
            settle().await;
        }
        assert_eq!(client.count(), round);
        clock.advance(COOLDOWN);
    }
    client.says(one_key());
    _ = validate(&keys, &clock, Algorithm::EdDSA, "a");
    client.reaches(4).await;
    settle().await;
    assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
}

#[tokio::test(start_paused = true)]
async fn fetch_of_a_ring_without_keys_is_retried_in_the_background() {
    let (client, clock) = (FakeClient::new(""), ManualClock::default());
    client.answers(URL, Answer::Fails("connection refused"));
    let keys = following(&client, &clock).start_without_keys().open().await.unwrap();
    settle().await;
    tokio::time::advance(COOLDOWN - Duration::from_millis(1)).await;
    settle().await;
    assert_eq!(client.count(), 1);
    client.says(one_key());
    // With the jitter of an eighth.
    tokio::time::advance(COOLDOWN / 8 + Duration::from_secs(1)).await;
    settle().await;
    assert_eq!(client.count(), 2);
    keys.ready().unwrap();
}

#[tokio::test]
async fn start_without_keys_still_refuses_a_wrong_setting() {
    for wrong in [
        Answer::Says(404, "", String::new()),
        Answer::Says(401, "", String::new()),
        Answer::Says(302, "", String::new()),
        Answer::Says(200, "", "<html>".to_owned()),
        Answer::Says(200, "", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"s"}]}"#.to_owned()),
    ] {
        let (client, clock) = (FakeClient::new(""), ManualClock::default());
        client.answers(URL, wrong.clone());
        let opened = following(&client, &clock).start_without_keys().open().await;
        assert!(opened.unwrap_err().is_issuer_unavailable(), "{wrong:?}");
    }
    let client = FakeClient::new(one_key());
    let place = "https://login.example/.well-known/openid-configuration";
    let document = json!({ "issuer": "https://evil.example", "jwks_uri": URL }).to_string();
    client.answers(place, Answer::Says(200, "", document));
    let ring = KeyRing::discover(ISSUER).client(client).start_without_keys();
    assert!(ring.open().await.is_err());
    let ring = KeyRing::jwks_url(ISSUER, "http://login.example/keys").start_without_keys();
    assert_eq!(ring.open().await.unwrap_err().setting(), Some("url"));
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn request_with_a_token_that_no_key_can_judge_is_answered_503() {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    let (client, clock) = (FakeClient::new(""), ManualClock::default());
    client.answers(URL, Answer::Fails("connection refused"));
    let keys = following(&client, &clock).start_without_keys().open().await.unwrap();
    let open = get(async |session: Option<Session<()>>| session.is_some().to_string());
    let app = axum::Router::new().route("/", get(async || ())).route("/open", open);
    let strict = app.clone().layer(sessions(&keys).validate_layer());
    let optional = app.layer(sessions(&keys).validate_layer().optional());
    let ask = async |app: &axum::Router, path: &str, token: &str| -> Response<Body> {
        let request = ::http::Request::get(path).header("authorization", token);
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    let token = format!("Bearer {}", token(&clock, Algorithm::EdDSA, "a"));
    for answer in [ask(&strict, "/", &token).await, ask(&optional, "/open", &token).await] {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[RETRY_AFTER], "5");
        assert!(!answer.headers().contains_key(WWW_AUTHENTICATE));
    }
    client.says(one_key());
    keys.refresh().await.unwrap();
    assert_eq!(ask(&strict, "/", &token).await.status(), StatusCode::OK);
    assert_eq!(ask(&optional, "/open", &token).await.status(), StatusCode::OK);
}

/// Each of two issuers may be down at the start; none of them is this service.
#[cfg(feature = "axum")]
#[tokio::test]
async fn replica_is_ready_with_the_keys_of_one_issuer_where_none_is_waited_for() {
    use crate::support::web::{get, send};

    const PARTNER: (&str, &str) = ("https://partner.example", "https://partner.example/keys");
    let (client, clock) = (FakeClient::new(""), ManualClock::default());
    let set_up = |url: &str, is_up: bool| match is_up {
        true => client.answers(url, Answer::Says(200, "", one_key())),
        false => client.answers(url, Answer::Fails("connection refused")),
    };
    let document = async |health: &axum::Router| {
        let answer = send(health, get("/health/ready")).await;
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status.as_u16(), document["reasons"].as_array().unwrap().len())
    };
    for (main_up, partner_up, waits_for_main, expected) in [
        (true, true, false, (200, 0)),
        (true, false, false, (200, 0)),
        (false, true, false, (200, 0)),
        (false, true, true, (503, 1)),
        (false, false, false, (503, 1)),
    ] {
        set_up(URL, main_up);
        set_up(PARTNER.1, partner_up);
        let main = following(&client, &clock).start_without_keys().open().await.unwrap();
        let partner = KeyRing::jwks_url(PARTNER.0, PARTNER.1).client(client.clone());
        let partner = partner.clock(clock.clone()).start_without_keys().open().await.unwrap();
        let partner = Sessions::<()>::builder(partner, PARTNER.0, "orders").ready_without_keys();
        let sessions = Sessions::builder(main.clone(), ISSUER, "orders")
            .also_accept_sessions(partner.build().unwrap());
        let sessions = if waits_for_main { sessions } else { sessions.ready_without_keys() };
        let health = sessions.build().unwrap().status_router();
        assert_eq!(document(&health).await, expected, "{main_up} {partner_up} {waits_for_main}");
        if !main_up {
            set_up(URL, true);
            main.refresh().await.unwrap();
            assert_eq!(document(&health).await, (200, 0), "{partner_up} {waits_for_main}");
        }
    }
}

/// Old keys of the main issuer count as much as none: replicas that start later would differ.
#[cfg(feature = "axum")]
#[tokio::test]
async fn stale_keys_of_the_main_issuer_are_spared_only_while_another_issuer_is_ready() {
    use crate::support::web::{get, send};

    let (client, clock) = (FakeClient::new(one_key()), ManualClock::default());
    let ring = KeyRing::fixed([testing::fixed_key(Algorithm::ES256)]).clock(clock.clone());
    let own = Sessions::<()>::builder(ring.build().unwrap(), "https://app.example", "app");
    for (own, expected) in [(None, 503), (Some(own.build().unwrap()), 200)] {
        let main = following(&client, &clock).start_without_keys().open().await.unwrap();
        let mut sessions = Sessions::builder(main, ISSUER, "orders").ready_without_keys();
        if let Some(own) = own {
            sessions = sessions.also_accept_sessions(own);
        }
        let health = sessions.build().unwrap().status_router();
        assert_eq!(send(&health, get("/health/ready")).await.status, 200);
        clock.advance(Duration::from_secs(24 * 60 * 60));
        assert_eq!(send(&health, get("/health/ready")).await.status, expected);
    }
}
