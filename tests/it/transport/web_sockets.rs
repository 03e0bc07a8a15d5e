//! A token among a WebSocket's subprotocols: where it is accepted, and that handlers don't see it.

use axum::Router;
use axum::extract::Request;
use axum::routing::get as on_get;
use http::StatusCode;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{CookieTransport, Transport};
use tower_jwt_session::{RejectionKind, Session, Sessions};

use crate::support::web::*;

fn accepting(name: &str) -> Sessions<User> {
    builder(&ManualClock::default())
        .transports([
            Transport::cookie(CookieTransport::new()),
            Transport::bearer(),
            Transport::web_socket_protocol(name),
        ])
        .build()
        .unwrap()
}

/// Answers who it is, and which protocols are offered.
fn app(sessions: &Sessions<User>) -> Router {
    let handler = async |session: Option<Session<User>>, request: Request| {
        let who = session.map_or("anyone".to_owned(), |session| session.subject().to_owned());
        let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let offered: Vec<_> = offered.map(|field| field.to_str().unwrap()).collect();
        format!("{who} {offered:?}")
    };
    Router::new().route("/", on_get(handler)).layer(sessions.layer())
}

/// What an opening request that offers these protocols, a field each, is answered.
async fn opened(sessions: &Sessions<User>, offered: &[&str]) -> Answer {
    let request = get("/").header("upgrade", "websocket").header("origin", "https://else.example");
    let request = offered
        .iter()
        .fold(request, |request, field| request.header("sec-websocket-protocol", *field));
    send(&app(sessions), request).await
}

#[tokio::test]
async fn a_token_among_the_protocols_is_a_session_and_is_taken_out() {
    let sessions = accepting("session");
    let token = token(&sessions);
    let ours = format!("session.{token}");
    // A page of another site has no token to show, so that where the page is from is no matter.
    for offered in [
        &[&*format!("chat, {ours}, chat.v2")][..],
        &[&format!("{ours},chat ,\tchat.v2")],
        &["chat", &ours, "chat.v2"],
        &["chat", &format!(" ,, {ours}"), "chat.v2"],
    ] {
        let answer = opened(&sessions, offered).await;
        assert_eq!(answer.body, r#"alice ["chat, chat.v2"]"#, "{offered:?}");
    }
    assert_eq!(opened(&sessions, &[&ours]).await.body, "alice []");
}

#[tokio::test]
async fn a_bad_token_there_is_refused_as_a_bearer_token_is() {
    let sessions = accepting("session");
    for bad in ["session.", "session.x", "session.a.b.c"] {
        let answer = opened(&sessions, &["chat", bad]).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
        assert_eq!(answer.kind(), Some(RejectionKind::Malformed), "{bad}");
    }
}

#[tokio::test]
async fn two_credentials_are_ambiguous_there_too() {
    let sessions = accepting("session");
    let token = token(&sessions);
    let ours = format!("session.{token}");
    let with = || get("/").header("sec-websocket-protocol", &ours);
    for request in [
        with().header("sec-websocket-protocol", &ours),
        with().bearer(&token),
        with().cookie(&token).header("sec-fetch-site", "same-origin"),
    ] {
        let answer = send(&app(&sessions), request).await;
        assert_eq!(answer.kind(), Some(RejectionKind::Ambiguous));
    }
}

#[tokio::test]
async fn other_protocols_are_left_as_they_are() {
    let sessions = accepting("session");
    for other in ["session", "sessions.x", "Session.x", "chat.session.x"] {
        let answer = opened(&sessions, &["chat", other]).await;
        assert_eq!(answer.body, format!(r#"anyone ["chat, {other}"]"#));
    }
}

#[tokio::test]
async fn it_is_accepted_only_where_it_is_asked_for() {
    let sessions = sessions(&ManualClock::default());
    let offered = format!("session.{}", token(&sessions));
    let answer = opened(&sessions, &[&offered]).await;
    assert_eq!(answer.body, format!(r#"anyone ["{offered}"]"#));
}

#[test]
fn its_name_has_to_be_one_of_a_protocol() {
    for name in ["", "my session", "a,b", "sess\"ion", "s\u{e9}ssion"] {
        let built = builder(&ManualClock::default())
            .transports([
                Transport::cookie(CookieTransport::new()),
                Transport::bearer(),
                Transport::web_socket_protocol(name),
            ])
            .build();
        let error = built.unwrap_err();
        assert_eq!(error.setting(), Some("web_socket_protocol"), "{error}");
        assert_eq!(error.value(), Some(&*format!("{name:?}")));
    }
}
