//! The log of everything at any level, in a whole run: logins, requests good and bad, renewals,
//! rotations, revocations, damage. No token, no signature and no secret is in it.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_jwt_session::store::{Entry, EntryName, MemoryStore, Store as _};
use tower_jwt_session::testing::{ManualClock, mint};
use tower_jwt_session::{
    Algorithm, Key, KeyRing, Login, RefreshTokens, Revocations, Root, SealingKey, Session, Sessions,
};

/// Every line that is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Lines {
    fn write(&self, name: &str, record: impl FnOnce(&mut dyn tracing::field::Visit)) {
        let mut line = format!("{name} ");
        record(&mut |field: &tracing::field::Field, value: &dyn Debug| {
            write!(line, "{field}={value:?} ").expect("a string");
        });
        writeln!(self.0.lock().expect("unpoisoned"), "{line}").expect("a string");
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.write(event.metadata().target(), |visitor| event.record(visitor));
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.write(span.metadata().name(), |visitor| span.record(visitor));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        self.write("", |visitor| values.record(visitor));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Secrets that must not be logged: bytes, in any of the usual ways of writing them.
#[derive(Default)]
struct Hidden(Vec<Vec<u8>>);

impl Hidden {
    /// A token: its payload and its signature. Its header says nothing.
    fn token(&mut self, token: &str) {
        let mut segments = token.split('.').skip(1);
        self.0.extend(segments.by_ref().filter(|text| text.len() > 8).map(|text| text.into()));
    }

    fn show_in(&self, log: &str) -> Option<String> {
        let log: String = log.split_whitespace().collect();
        let lower = log.to_lowercase();
        self.0.iter().find_map(|bytes| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{bytes:?}").replace(' ', "");
            let list = list.trim_matches(['[', ']']);
            let text = String::from_utf8_lossy(bytes).split_whitespace().collect::<String>();
            let forms = [URL_SAFE_NO_PAD.encode(bytes), STANDARD.encode(bytes), text, list.into()];
            let shown = forms.into_iter().find(|form| log.contains(form));
            shown.or_else(|| lower.contains(&hex).then_some(hex))
        })
    }
}

async fn ask(app: &Router, path: &str, field: Option<(HeaderName, String)>) -> Response<Body> {
    let method = if path == "/me" { "GET" } else { "POST" };
    let mut request = Request::builder().method(method).uri(path).header("host", "app.example");
    if let Some((name, value)) = field {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("a router always answers")
}

/// The texts in which a store holds keys.
async fn materials(store: &MemoryStore, ring: &str) -> Vec<Vec<u8>> {
    let entries = store.load(ring).await.expect("memory").entries;
    let records = entries.iter().filter_map(|entry| serde_json::from_slice(&entry.value).ok());
    let texts = records.flat_map(|record: Value| match &record["material"] {
        Value::Object(kept) => kept.values().filter_map(Value::as_str).map(str::to_owned).collect(),
        text => Vec::from_iter(text.as_str().map(str::to_owned)),
    });
    let decoded = |text: String| {
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap_or_default();
        [text.into_bytes(), bytes]
    };
    texts.flat_map(decoded).filter(|bytes| bytes.len() > 16).collect()
}

/// A service's whole life on one ring.
async fn run(algorithm: Algorithm, sealed: bool, hidden: &mut Hidden) {
    let clock = ManualClock::default();
    let store = MemoryStore::new();
    let mut builder = KeyRing::builder("app").store(store.clone()).clock(clock.clone());
    if sealed {
        let secret: Vec<u8> = (150..182).collect();
        builder = builder.seal_with([SealingKey::new(&secret).expect("32 bytes")]);
        hidden.0.push(secret);
    }
    let ring = builder.algorithm(algorithm).open().await.expect("an empty store");
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.open().await.expect("an empty store");
    let sessions = Sessions::<()>::builder(ring.clone(), "https://issuer.test", "app");
    let refresh_tokens = RefreshTokens::new().store(store.clone());
    let sessions = sessions.revocations(revocations).refresh_tokens(refresh_tokens);
    let sessions = sessions.build().expect("good settings");
    let me = async |session: Session<()>| session.subject().to_owned();
    let app = Router::new()
        .route("/login", post(async || Login::new("alice", ())))
        .route("/bearer", post(async || Login::new("alice", ()).bearer()))
        .route("/broken", post(async || Login::new("", ())))
        .route("/me", get(me))
        .layer(sessions.layer());

    let login = ask(&app, "/login", None).await;
    let cookie = login.headers()[SET_COOKIE].to_str().expect("ASCII");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let (name, token) = pair.split_once('=').expect("a value");
    let token = token.to_owned();
    hidden.token(&token);
    assert_eq!(ask(&app, "/bearer", None).await.status(), 200);
    assert_eq!(ask(&app, "/broken", None).await.status(), 500);
    assert_eq!(ask(&app, "/me", Some((COOKIE, pair.clone()))).await.status(), 200);

    let other_key =
        Key::hmac_from_text(Algorithm::HS256, b"a secret of somebody else, 32 by").expect("a key");
    let forged = mint(
        &other_key,
        json!({ "alg": "HS256", "typ": "session+jwt", "kid": "x" }).to_string(),
        "{}",
    );
    hidden.token(&forged);
    for bad in
        [format!("{token}A"), token[1..].to_owned(), forged, format!("{token}.x"), "x".repeat(9000)]
    {
        let field = Some((AUTHORIZATION, format!("Bearer {bad}")));
        assert_eq!(ask(&app, "/me", field).await.status(), 401);
        let field = Some((COOKIE, format!("{name}={bad}")));
        assert_eq!(ask(&app, "/me", field).await.status(), 401);
    }
    let twice = Some((COOKIE, format!("{pair}; {pair}")));
    assert_eq!(ask(&app, "/me", twice).await.status(), 400);

    clock.advance(Duration::from_secs(40 * 60));
    let renewed = ask(&app, "/me", Some((COOKIE, pair.clone()))).await;
    let renewed = renewed.headers()[SET_COOKIE].to_str().expect("ASCII");
    hidden.token(renewed.split(['=', ';']).nth(1).expect("a value"));
    clock.advance(Duration::from_secs(60 * 60));
    assert_eq!(ask(&app, "/me", Some((COOKIE, pair))).await.status(), 401);

    let mut tokens = Vec::new();
    tokens.push(sessions.issue_with_refresh_token(&Login::new("alice", ())).expect("issued"));
    for round in 0..2 {
        let redeemed: &str = tokens[round].refresh_token.as_str();
        tokens.push(sessions.refresh(redeemed).await.expect("a successor"));
    }
    for pair in &tokens {
        hidden.token(pair.access_token.as_str());
        hidden.token(pair.refresh_token.as_str());
    }
    // One is used again, and one that is none.
    for redeemed in [&tokens[0].refresh_token, &tokens[0].access_token] {
        let form = format!("grant_type=refresh_token&refresh_token={}", redeemed.as_str());
        let mut headers = HeaderMap::new();
        let media_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, media_type);
        let answer = sessions.token_response(&headers, form.as_bytes()).await;
        assert_eq!(answer.status(), 400);
    }

    let token = sessions.issue(&Login::new("alice", ())).expect("issued");
    hidden.token(token.as_str());
    let session = sessions.validate(token.as_str()).expect("a session");
    sessions.logout(&session).await.expect("recorded");
    let damaged = EntryName::parse("key-damaged").expect("a name");
    let value = format!("{{\"version\":2,\"record\":\"{}\"}}", token.as_str());
    let entry = Entry::new(damaged, value.into_bytes());
    store.insert("app", &entry).await.expect("memory");
    ring.refresh().await.expect("memory");
    ring.rotate_now().await.expect("rotated");
    let signer = ring.status().signing_key_id.expect("a signer");
    ring.revoke(&signer).await.expect("revoked");
    hidden.0.extend(materials(&store, "app").await);
    ring.replace_all().await.expect("replaced");
    hidden.0.extend(materials(&store, "app").await);
}

#[test]
fn log_of_whole_run_contains_no_token_or_secret() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).expect("the first");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let mut hidden = Hidden::default();
    runtime.expect("a runtime").block_on(async {
        run(Algorithm::HS256, false, &mut hidden).await;
        run(Algorithm::EdDSA, false, &mut hidden).await;
        run(Algorithm::ES256, true, &mut hidden).await;
        let root: Vec<u8> = (100..140).collect();
        let derived = KeyRing::derived("app", Root::new(&root).expect("random")).build();
        let sessions =
            Sessions::<()>::builder(derived.expect("a ring"), "https://issuer.test", "app");
        let sessions = sessions.build().expect("good settings");
        let token = sessions.issue(&Login::new("alice", ())).expect("issued");
        sessions.validate(&format!("{}A", token.as_str())).expect_err("forged");
        hidden.token(token.as_str());
        hidden.0.push(root);
    });

    let log = lines.0.lock().expect("unpoisoned").clone();
    // Every expected event was logged.
    for expected in [
        "rejected a request",
        "could not be issued",
        "key_published",
        "skipped",
        "kind=\"logout\"",
        "refresh_token_reused",
        "token_endpoint",
    ] {
        assert!(log.contains(expected), "nothing of {expected:?} in\n{log}");
    }
    assert!(hidden.0.len() > 20, "only {} secrets", hidden.0.len());
    assert_eq!(hidden.show_in(&log), None, "in\n{log}");
    // And it would be seen.
    let secret = &hidden.0[0];
    assert!(hidden.show_in(&format!("{log}\nsecret={secret:?}")).is_some());
}
