//! The layers' own answers, in the body type of whatever service they stand around.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{AppendHeaders, Redirect};
use axum::routing::{get as on_get, post as on_post};
use bytes::Bytes;
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_jwt_session::layer::HeadersOnly;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Login, Logout, Rejection, RejectionKind, Revocations, Session, Sessions};

use crate::support::stores::TestStore;
use crate::support::web::*;

/// An application's own answers: a page in place of a 401, the reason where it may be known.
fn own(answer: Response<Bytes>, _: Option<&Parts>) -> Response<Body> {
    let Some(rejection) = answer.extensions().get::<Rejection>() else {
        return answer.map(Body::from);
    };
    let text = format!("own: {rejection}");
    let mut answer = answer.map(|_| Body::from(text));
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/login"));
    answer
}

#[tokio::test]
async fn an_applications_own_answers_replace_the_layers() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let strict = sessions.validate_layer().authorize(|_| false).respond_with(own);
    let app = Router::new().route("/", on_get(async || "in")).layer(strict);
    for (request, body) in [
        (get("/"), "own: no credential"),
        (get("/").bearer("garbage"), "own: malformed token"),
        (get("/").bearer(&token(&sessions)), "own: forbidden"),
    ] {
        let answer = send(&app, request).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::SEE_OTHER, body));
        assert_eq!(answer.all("location"), ["/login"]);
        assert!(answer.kind().is_some());
    }
    // The cookie is taken away from them too.
    assert_eq!(send(&app, get("/").cookie("garbage")).await.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn own_answers_replace_those_of_extractor_and_guard() {
    let sessions = sessions(&ManualClock::default());
    let app = Router::new()
        .route("/", on_get(async |session: Session<User>| session.subject().to_owned()))
        .route(
            "/any",
            on_get(async |session: Option<Session<User>>| {
                session.map(|_| ()).is_some().to_string()
            }),
        )
        .layer(sessions.layer().respond_with(own));
    assert_eq!(send(&app, get("/")).await.body, "own: no credential");
    assert_eq!(send(&app, get("/any").bearer("garbage")).await.body, "own: malformed token");
    assert_eq!(
        send(&app, get("/any").cookie("a").bearer("b")).await.body,
        "own: more than one credential"
    );
    let cross_site = post("/").header("origin", "https://else.example").cookie("x");
    assert_eq!(send(&app, cross_site).await.body, "own: cross-site request");
    assert_eq!(send(&app, get("/any")).await.body, "false");
}

#[tokio::test]
async fn own_answers_replace_those_of_the_issue_layer() {
    let sessions = sessions(&ManualClock::default());
    let teapot = |answer: Response<Bytes>, _: Option<&Parts>| {
        let mut answer = answer.map(Body::from);
        if answer.status().is_server_error() {
            *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        }
        answer
    };
    let nobody = async || (Login::new("", User { role: String::new() }), "welcome");
    let app = Router::new().route("/", on_get(nobody));
    let answer = send(&app.layer(sessions.issue_layer().respond_with(teapot)), get("/")).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
}

/// A body that can't be made from bytes.
#[derive(Debug, Default, PartialEq)]
struct Opaque(u8);

#[derive(Debug, PartialEq)]
struct Broken;

/// What [`plain`] answers.
#[derive(Clone, Copy)]
enum Word {
    Hello,
    Login,
    BearerLogin,
    Fail,
}

async fn plain(request: Request<Word>) -> Result<Response<Opaque>, Broken> {
    let mut response = Response::new(Opaque(7));
    match request.into_body() {
        Word::Hello => {}
        Word::Login => login().insert_into(response.extensions_mut()),
        Word::BearerLogin => login().bearer().replace(response.extensions_mut()),
        Word::Fail => return Err(Broken),
    }
    Ok(response)
}

#[tokio::test]
async fn body_that_is_only_default_gets_status_and_headers() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let strict = sessions.validate_layer().respond_with(HeadersOnly).layer(service_fn(plain));
    let answer = strict.clone().oneshot(Request::new(Word::Hello)).await.unwrap();
    assert_eq!((answer.status(), answer.body()), (StatusCode::UNAUTHORIZED, &Opaque(0)));
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert_eq!(answer.extensions().get::<Rejection>().unwrap().kind(), RejectionKind::Missing);
    let request = get("/").bearer(&token(&sessions)).body(Word::Hello).unwrap();
    assert_eq!(strict.oneshot(request).await.unwrap().body(), &Opaque(7));

    let all = sessions.layer().respond_with(HeadersOnly).layer(service_fn(plain));
    let answer = all.clone().oneshot(Request::new(Word::Login)).await.unwrap();
    assert_eq!((answer.status(), answer.body()), (StatusCode::OK, &Opaque(7)));
    assert!(answer.headers().contains_key("set-cookie"));
    // A bearer token needs a body that arrives.
    let answer = all.oneshot(Request::new(Word::BearerLogin)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_inner_services_error_comes_out_as_it_was() {
    let sessions = sessions(&ManualClock::default());
    let all = sessions.layer().respond_with(HeadersOnly).layer(service_fn(plain));
    let error: Broken = all.oneshot(Request::new(Word::Fail)).await.unwrap_err();
    assert_eq!(error, Broken);
    let optional = sessions.validate_layer().optional().respond_with(HeadersOnly);
    let failed = optional.layer(service_fn(plain)).oneshot(Request::new(Word::Fail)).await;
    assert_eq!(failed.unwrap_err(), Broken);
}

/// A service without axum: logs in, logs out, or greets.
async fn without_axum(request: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    let session = Session::<User>::from_extensions(request.extensions());
    let name = session.map_or("anyone", Session::subject).to_owned();
    let mut response = Response::new(Full::new(Bytes::from(name)));
    match request.uri().path() {
        "/login" => login().insert_into(response.extensions_mut()),
        "/token" => login().bearer().replace(response.extensions_mut()),
        "/logout" => Logout::new().insert_into(response.extensions_mut()),
        _ => {}
    }
    Ok(response)
}

#[tokio::test]
async fn a_service_without_axum_has_sessions_too() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let service = sessions.layer().layer(service_fn(without_axum));
    let call = async |request: http::request::Builder| {
        let response = service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        Answer::of(response.map(Body::new)).await
    };
    assert_eq!(call(get("/")).await.body, "anyone");
    let answer = call(post("/login")).await;
    assert_eq!(answer.body, "anyone");
    let token = answer.cookie_token().to_owned();
    assert_eq!(call(get("/").cookie(&token)).await.body, "alice");
    assert_eq!(call(post("/logout").cookie(&token)).await.all("set-cookie"), [CLEARED]);
    assert!(call(post("/token")).await.body.starts_with(r#"{"access_token":""#));
    clock.advance(Duration::from_secs(1801));
    assert!(!call(get("/").cookie(&token)).await.cookie_token().is_empty());
}

#[tokio::test]
async fn a_redirect_in_place_of_a_401_still_takes_the_cookie_away() {
    let to_login =
        |_: Response<Bytes>, _: Option<&Parts>| Response::new(Body::from("please log in"));
    let sessions = sessions(&ManualClock::default());
    let app = Router::new()
        .route("/", on_get(async |_: Session<User>| Redirect::to("/home")))
        .layer(sessions.layer().respond_with(to_login));
    let answer = send(&app, get("/").cookie("garbage")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "please log in"));
    assert_eq!(answer.all("set-cookie"), [CLEARED]);
}

#[tokio::test]
async fn respond_gets_the_rejected_request() {
    let back = |answer: Response<Bytes>, request: Option<&Parts>| {
        let path = request.map_or("none", |request| request.uri.path()).to_owned();
        answer.map(|_| Body::from(path))
    };
    let sessions = sessions(&ManualClock::default());
    let extractor = Router::new().route("/mine", on_get(async |_: Session<User>| "in"));
    let app = extractor.layer(sessions.layer().respond_with(back));
    assert_eq!(send(&app, get("/mine")).await.body, "/mine");
    let strict = Router::new().route("/strict", on_get(async || "in"));
    let app = strict.layer(sessions.validate_layer().respond_with(back));
    assert_eq!(send(&app, get("/strict")).await.body, "/strict");
    assert_eq!(send(&app, post("/strict").header("origin", "null")).await.body, "/strict");
    // The request of a login is the handler's.
    let app = Router::new().route("/", on_get(async || Login::new("", User { role: "".into() })));
    let app = app.layer(sessions.layer().respond_with(back));
    assert_eq!(send(&app, get("/")).await.body, "none");
}

/// The cookies of a handler that gives a visitor's cart a new ID, and sets the session's cookie itself.
const OF_HANDLER: AppendHeaders<[(&str, &str); 5]> = AppendHeaders([
    ("set-cookie", "cart=new; Path=/"),
    ("set-cookie", "theme=dark"),
    ("set-cookie", "__Host-fixed=x; Path=/"),
    ("cache-control", "public, max-age=60"),
    ("x-request-id", "7"),
]);

/// A login that cannot be issued, and logouts.
fn with_cart() -> Router {
    let nobody = || Login::new("", User { role: String::new() });
    Router::new()
        .route("/login", on_post(async move || (OF_HANDLER, nobody())))
        .route("/logout", on_post(async || (OF_HANDLER, Logout::new())))
        .route("/everywhere", on_post(async || (OF_HANDLER, Logout::new().everywhere(), "bye")))
}

/// Sessions whose logouts cannot be recorded, and a token of theirs.
async fn with_store_down() -> (Sessions<User>, String) {
    let (clock, store) = (ManualClock::default(), TestStore::new());
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.open().await.unwrap();
    let sessions = builder(&clock).revocations(revocations).build().unwrap();
    let token = token(&sessions);
    store.down();
    (sessions, token)
}

#[tokio::test]
async fn refused_login_or_logout_keeps_the_other_cookies_of_the_handler() {
    let (sessions, token) = with_store_down().await;
    let app = with_cart().layer(sessions.layer());
    let inside = sessions.validate_layer().optional();
    let apart = with_cart().layer(sessions.issue_layer()).layer(inside);
    for app in [app, apart] {
        for (path, status) in [("/login", 500), ("/logout", 503), ("/everywhere", 503)] {
            let answer = send(&app, post(path).cookie(&token)).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.all("set-cookie"), ["cart=new; Path=/", "theme=dark"], "{path}");
            assert_eq!(answer.all("cache-control"), ["no-store"], "{path}");
            assert_eq!(answer.all("x-request-id"), [""; 0], "{path}");
        }
        // Without a session, the subject is not known.
        let answer = send(&app, post("/everywhere")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.all("set-cookie"), ["cart=new; Path=/", "theme=dark"]);
    }
}

#[tokio::test]
async fn own_answer_to_a_refused_login_or_logout_sets_each_cookie_once() {
    let (sessions, token) = with_store_down().await;
    let own = |_: Response<Bytes>, _: Option<&Parts>| {
        let answer = Response::builder().header("set-cookie", "theme=light");
        let answer = answer.header("cache-control", "max-age=60").header("expires", "0");
        answer.body(Body::from("try again")).unwrap()
    };
    let app = with_cart().layer(sessions.layer().respond_with(own));
    for path in ["/login", "/logout"] {
        let answer = send(&app, post(path).cookie(&token)).await;
        assert_eq!(&*answer.body, "try again");
        assert_eq!(answer.all("set-cookie"), ["theme=light", "cart=new; Path=/"], "{path}");
        assert_eq!(answer.all("cache-control"), ["no-store"], "{path}");
        assert_eq!(answer.all("expires"), [""; 0], "{path}");
    }
}

#[tokio::test]
async fn login_from_another_site_sets_no_cookie_of_the_handler() {
    let (sessions, _) = with_store_down().await;
    for app in [with_cart().layer(sessions.layer()), with_cart().layer(sessions.issue_layer())] {
        let answer = send(&app, post("/login").header("origin", "https://else.example")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
    }
}
