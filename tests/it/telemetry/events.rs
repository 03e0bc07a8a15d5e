//! Events: all that are emitted are in the table, with their levels and fields, and all of the table
//! are in the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{any, get as on_get};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tower_jwt_session::audit::Audit;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{CookieTransport, Transport};
use tower_jwt_session::{KeyRing, Login, Logout, RefreshTokens, Revocations, Session};

use crate::support::PLACE;
use crate::support::recorder::{Event, Events};
use crate::support::replicas::{RING, Replica, START, seconds};
use crate::support::stores::{Reach, TestStore};
use crate::support::web::{Credentials, User, get, send};

/// Level, message and fields, as the table has them.
type Row = (String, String, BTreeSet<String>);

fn table() -> BTreeSet<Row> {
    let rows = super::table("Events").into_iter().map(|row| {
        let fields = row[2].split(", ").filter(|field| !field.is_empty());
        (row[0].clone(), row[1].clone(), fields.map(str::to_owned).collect())
    });
    rows.collect()
}

/// Emits every event that needs no server.
async fn emit_everything() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = FileStore::open(place.path().join("keys")).expect("opens");
    KeyRing::builder(RING).store(file).found_now().open().await.expect("opens");
    let shared = TestStore::shared(Reach::Notifying);
    KeyRing::builder(RING).store(shared).open().await.expect("opens");

    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.purge().await;
    replica.refresh().await;
    store.put("nonsense", b"nonsense").await;
    replica.refresh().await;
    // No successor is made in time, and then it is.
    store.down();
    replica.clock.set(replica.times(1).signs_until);
    replica.ring.refresh().await.expect_err("the store is down");
    store.up();
    replica.refresh().await;
    replica.refresh_at(replica.times(3).signs_from).await;
    replica.ring.rotate_now().await.expect("rotates");
    replica.ring.replace_all().await.expect("replaces");
    let resumes = replica.ring.status().issuing_paused.and_then(|paused| paused.until);
    replica.refresh_at(resumes.expect("a new key signs then")).await;

    // A clock that is wrong, and right again.
    let store = TestStore::new();
    store.show_time(START);
    let replica = Replica::open(store, START).await;
    replica.clock.advance(seconds(90));
    let token = replica.issue();
    for _ in 0..3 {
        replica.refresh().await;
    }
    replica.refresh_at(START).await;
    replica.judge(&token).expect_err("is of the future");

    let clock = ManualClock::default();
    let sessions = crate::support::web::sessions(&clock);
    let login = crate::support::web::login;
    let nobody = || Login::new("", User { role: "reader".into() });
    let app = Router::new()
        .route("/me", on_get(async |session: Session<User>| session.subject().to_owned()))
        .route("/in", any(async move || (login(), Redirect::to("/"))))
        .route("/nobody", on_get(async move || nobody()))
        .route("/out", on_get(async || Logout::new()));
    let token = crate::support::web::token(&sessions);
    // Without a layer.
    send(&app, get("/me")).await;
    send(&app, get("/in")).await;
    send(&app, get("/out")).await;
    let app = app.layer(sessions.layer());
    send(&app, get("/me")).await;
    send(&app, get("/nobody")).await;
    let elsewhere = || crate::support::web::post("/me").header("origin", "https://else.example");
    send(&app, elsewhere()).await;
    send(&app, elsewhere().header("sec-fetch-site", "same-site")).await;
    send(&app, get("/me").cookie("x").bearer("x")).await;
    send(&app, get("/out").bearer(&token)).await;
    send(&app, get("/out").cookie(&token)).await;
    let plain = Request::post("/in").header("host", "192.168.1.7");
    send(&app, plain.header("origin", "http://192.168.1.7")).await;

    let guarded = crate::support::web::builder(&clock).login_page("/login").build();
    let app = Router::new().route("/login", on_get(async || "a form"));
    let guarded = guarded.expect("sessions");
    let app = app.layer(guarded.validate_layer());
    send(&app, get("/login").header("accept", "text/html")).await;
    send(
        &Router::new().fallback(on_get(async || StatusCode::NOT_FOUND)).layer(guarded.layer()),
        get("/login"),
    )
    .await;

    let local = Transport::cookie(CookieTransport::for_local_development());
    let _ = sessions.validate_layer().require_scope("");
    let _ = sessions.token_router::<()>();
    crate::support::web::builder(&clock).transports([local]).build().expect("sessions");

    let few = crate::support::web::builder(&clock).log_failures(tracing::Level::DEBUG, 1);
    let few = few.build().expect("sessions");
    let app = Router::new().route("/", on_get(async |_: Session<User>| ())).layer(few.layer());
    for pause in [0, 0, 60] {
        clock.advance(seconds(pause));
        send(&app, get("/")).await;
    }
    let (sink, is_down) = crate::support::trail::Trail::new();
    let audit = Audit::builder().sink(sink.clone()).build().expect("good settings");
    let audited = crate::support::web::builder(&clock).audit(audit).build().expect("sessions");
    for down in [true, false] {
        is_down.store(down, Ordering::Relaxed);
        let _ = audited.login(&crate::support::web::login()).await;
    }

    let store = TestStore::new();
    let revocations = Revocations::builder(RING).store(store.clone()).clock(clock.clone());
    let revocations = revocations.open().await.expect("opens");
    let sessions = crate::support::web::builder(&clock).revocations(revocations.clone());
    let sessions = sessions
        .on_renewal(async |_: Session<User>| Err("the database is down".into()))
        .refresh_tokens(RefreshTokens::new().store(store.clone()))
        .build()
        .expect("sessions");
    let issued = sessions.issue_with_refresh_token(&crate::support::web::login()).expect("a login");
    let first = issued.refresh_token.as_str();
    let next = sessions.refresh(first).await.expect("its successor");
    sessions.refresh(next.refresh_token.as_str()).await.expect("the next");
    let mut headers = HeaderMap::new();
    let form = "application/x-www-form-urlencoded";
    headers.insert("content-type", HeaderValue::from_static(form));
    sessions.revocation_response(&headers, b"token=x").await;
    let without_revocations = crate::support::web::sessions(&clock);
    without_revocations.revocation_response(&headers, b"token=x").await;
    let redeem = format!("grant_type=refresh_token&refresh_token={first}");
    sessions.token_response(&headers, redeem.as_bytes()).await;
    store.purge_feed(PLACE).await;
    revocations.refresh().await.expect("the store is up");
    let issued = sessions.issue_with_refresh_token(&crate::support::web::login()).expect("a login");
    let redeem =
        format!("grant_type=refresh_token&refresh_token={}", issued.refresh_token.as_str());
    store.down();
    sessions.token_response(&headers, redeem.as_bytes()).await;
    let revoke = format!("token={}", issued.refresh_token.as_str());
    sessions.revocation_response(&headers, revoke.as_bytes()).await;
    sessions.revoke_session("s").await.expect_err("the store is down");
    sessions.login(&crate::support::web::login()).await.expect("under the last known cutoffs");
}

#[tokio::test]
async fn emitted_events_are_in_the_table() {
    let table = table();
    let enough = table.len() - NOT_SEEN_HERE.len();
    let events = Events::of(emit_everything, |events| rows(events).len() >= enough).await;
    let seen = rows(&events);
    for row in &seen {
        assert!(table.contains(row), "{row:?} is not in the table");
    }
    let not_seen: BTreeSet<_> = table.difference(&seen).map(|(_, message, _)| &**message).collect();
    assert_eq!(not_seen, NOT_SEEN_HERE.into());
}

fn rows(events: &Events) -> BTreeSet<Row> {
    let row = |Event { level, message, names, .. }: Event| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        (level.to_string().to_lowercase(), message, names)
    };
    events.all().into_iter().map(row).collect()
}

/// What needs a server, another issuer, or a store that is hardly ever so.
const NOT_SEEN_HERE: [&str; 27] = [
    "refresh failed; nothing was read yet",
    "lost an audit event",
    "a background task panicked; restarting it",
    "a replica announced a restoration and restored nothing; asking again",
    "a session could not be renewed",
    "ignored an entry that contradicts a known one",
    "another server of the store answers",
    "cannot delete expired revocations in PostgreSQL",
    "cannot publish a change of the feed",
    "cannot read maxmemory-policy of Redis; set it to noeviction",
    "cannot remove expired revocations",
    "deleted expired revocations",
    "the new server of the store may evict entries",
    "cannot listen for changes; polling only",
    "found an unreadable entry under the name of a new one",
    "still cannot listen for changes",
    "a logout was not recorded",
    "an operation of a handler failed",
    "no protected resource is described",
    "cannot revoke a session that the renewal hook ended",
    "cannot revoke the session before a login",
    "the issuer replaced the key of a key ID",
    "the clock was set back; reading all revocations",
    "the issuer's keys changed",
    "ignored a key for encryption",
    "the store cannot report changes now",
    "writes to the store succeed again",
];

/// What needs a server to happen, too.
#[test]
fn table_equals_events_in_the_code() {
    let mut sources = Vec::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let macros = ["error", "warn", "info", "debug", "trace"];
    let mut found = BTreeSet::new();
    for source in &sources {
        let macros = macros.map(|level| (level, format!("tracing::{level}!(")));
        // At the level that the application chooses; by default this.
        for (level, name) in macros.into_iter().chain([("debug", "log_at!(".to_owned())]) {
            for call in source.split(&name).skip(1) {
                // The message is the last thing in it.
                let call = call.split(");").next().expect("a first part");
                let call = call.split("),\n").next().expect("a first part");
                let message = call.trim_end().trim_end_matches(',').trim_end_matches('"');
                let message = message.rsplit('"').next().expect("a last part");
                found.insert((level.to_owned(), message.to_owned()));
            }
        }
    }
    let table = table().into_iter().map(|(level, message, _)| (level, message));
    assert_eq!(found, table.collect());
}

fn read_sources(directory: &Path, sources: &mut Vec<String>) {
    for item in fs::read_dir(directory).expect("lists") {
        let path = item.expect("lists").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(fs::read_to_string(path).expect("reads"));
        }
    }
}

/// What can't be read stands in the place of generation 2.
#[tokio::test]
async fn unplaced_key_is_not_logged_as_published() {
    let scenario = async || {
        let store = TestStore::new();
        let replica = Replica::open(store.clone(), START).await;
        let names = store.names().await;
        let first = names.iter().find(|name| name.ends_with("-0000000000")).expect("a key");
        store.put(&first.replace("-0000000000", "-0000000002"), b"damaged").await;
        replica.revoke(1).await;
        assert_eq!(replica.generations(), [0, 1, 3]);
    };
    let generations = |events: &Events| {
        let all = events.audited("key_published").into_iter();
        all.map(|event| event.fields["generation"].clone()).collect::<Vec<_>>()
    };
    let events = Events::of(scenario, |events| generations(events).len() > 2).await;
    assert_eq!(generations(&events), ["0", "1", "3"]);
}

#[tokio::test]
async fn refusal_event_shows_found_values_and_no_token() {
    const SITE: &str = "a request comes from another origin";
    const REFUSED: &str = "rejected a request";
    let sessions = crate::support::web::builder(&ManualClock::default());
    let sessions = sessions
        .transports([
            Transport::cookie(CookieTransport::new()),
            Transport::bearer(),
            Transport::web_socket_protocol("session"),
        ])
        .build()
        .expect("sessions");
    let app = Router::new().route("/", any(async |_: Option<Session<User>>| "in"));
    let app = app.layer(sessions.layer());
    let token = crate::support::web::token(&sessions);
    let odd = format!("https://{}\t\u{e9}.example", "a".repeat(500));
    let scenario = async || {
        let post = || crate::support::web::post("/").cookie(&token);
        for request in [
            post().header("origin", "https://else.example"),
            post().header("sec-fetch-site", "cross-site"),
            post().header("origin", HeaderValue::from_bytes(odd.as_bytes()).expect("a value")),
            post().header("origin", HeaderValue::from_bytes(b"\xc3\xa9\tx").expect("a value")),
        ] {
            assert_eq!(send(&app, request).await.status, 403);
        }
        let protocol = format!("session.{token}");
        for request in [
            get("/").cookie(&token).bearer(&token),
            get("/").cookie(&token).cookie(&token),
            get("/").bearer(&token).header("authorization", "Basic x"),
            get("/").bearer(&token).header("sec-websocket-protocol", &protocol),
        ] {
            assert_eq!(send(&app, request).await.status, 400);
        }
    };
    let events =
        Events::of(scenario, |events| events.count(SITE) == 4 && events.count(REFUSED) == 8);
    let events = events.await.all();
    let fields = |message: &str| {
        let events = events.iter().filter(|event| event.message == message);
        let fields = events.map(|event| {
            assert_eq!(event.level, tracing::Level::DEBUG);
            let fields = event.fields.iter().map(|(name, value)| format!("{name}={value}"));
            fields.collect::<Vec<_>>().join(" ").replace('"', "")
        });
        fields.collect::<Vec<_>>()
    };
    let [first, second, long, escaped] = &fields(SITE)[..] else { panic!("{events:?}") };
    assert!(first.ends_with("host=app.example origin=https://else.example sec_fetch_site=none"));
    assert!(first.contains("fix=if it is yours, add `.trusted_origin("), "{first}");
    assert_eq!(second, "host=app.example origin=none sec_fetch_site=cross-site");
    assert!(long.len() < 420 && long.contains("aaa... sec"), "{long}");
    assert!(escaped.is_ascii() && escaped.contains("xc3") && !escaped.contains('\t'), "{escaped}");
    let refused = fields(REFUSED);
    let found = refused.iter().filter_map(|fields| fields.split("found=").nth(1));
    let found: Vec<_> = found.filter_map(|rest| rest.split(" kind=").next()).collect();
    assert_eq!(
        found,
        [
            "Authorization; cookie __Host-fixed",
            "cookie __Host-fixed, more than once",
            "Authorization, 2 times",
            "Authorization; Sec-WebSocket-Protocol",
        ]
    );
}

#[tokio::test]
async fn origin_of_the_same_site_is_warned_of_once_and_bounded() {
    const ORIGIN: &str = "a request comes from another origin";
    let origins: Vec<_> = (0..20).map(|port| format!("http://localhost:{}", 3000 + port)).collect();
    let all = || origins.iter().chain(&origins).map(String::as_str);
    let scenario = async || {
        let sessions = crate::support::web::sessions(&ManualClock::default());
        let app = Router::new().route("/", any(async || "in")).layer(sessions.layer());
        let token = crate::support::web::token(&sessions);
        let cross_site = ("https://else.example", "cross-site");
        for (origin, site) in
            all().map(|origin| (origin, "same-site")).chain([cross_site, ("null", "same-site")])
        {
            let request = crate::support::web::post("/").cookie(&token).header("origin", origin);
            assert_eq!(send(&app, request.header("sec-fetch-site", site)).await.status, 403);
        }
    };
    let events = Events::of(scenario, |events| events.count(ORIGIN) == 42).await.all();
    let warnings = events.iter().filter(|event| event.message == ORIGIN);
    let warnings = warnings.filter(|event| event.level == tracing::Level::WARN);
    let warnings = warnings.map(|event| event.fields["origin"].trim_matches('"').to_owned());
    assert_eq!(warnings.collect::<Vec<_>>(), origins[..16]);
}
