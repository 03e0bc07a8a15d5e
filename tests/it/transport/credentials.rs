//! The transports: what is read from the `Authorization` header and from cookies, byte by byte.

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use http::request::Builder;
use http::{HeaderValue, Request};
use tower_jwt_session::Transport;
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring};
use tower_jwt_session::{
    Algorithm, BuildError, CookieTransport, KeyRing, Login, Logout, RefreshTokens, RejectionKind,
    Session, Sessions,
};

use crate::support::web::*;

/// What a request with these fields is to the sessions: alice's, anyone's, or refused.
async fn seen(sessions: &Sessions<User>, fields: &[(&str, &[u8])]) -> Seen {
    let greet = async |session: Option<Session<User>>| {
        session.map_or("anyone".into(), |session| session.subject().to_owned())
    };
    let app = Router::new().route("/", on_get(greet)).layer(sessions.layer());
    let request = fields.iter().fold(get("/"), |request: Builder, (name, value)| {
        request.header(*name, HeaderValue::from_bytes(value).unwrap())
    });
    let answer = send(&app, request).await;
    match answer.kind() {
        Some(kind) => Seen::Refused(kind, answer.status.as_u16()),
        None if answer.body == "alice" => Seen::Alice,
        None if answer.headers.contains_key("set-cookie") => Seen::Cleared,
        None => Seen::Anyone,
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Alice,
    Anyone,
    /// Anyone's, with an invalid cookie that is cleared.
    Cleared,
    Refused(RejectionKind, u16),
}

const BAD_BEARER: Seen = Seen::Refused(RejectionKind::Malformed, 401);
const AMBIGUOUS: Seen = Seen::Refused(RejectionKind::Ambiguous, 400);

#[tokio::test]
async fn an_authorization_header_is_read_as_its_rfc_writes_it() {
    let sessions = sessions(&ManualClock::default());
    let token = token(&sessions);
    let cases: [(String, Seen); 21] = [
        // Schemes have no case, and one or more spaces follow (RFC 9110, section 11.4).
        (format!("Bearer {token}"), Seen::Alice),
        (format!("bearer {token}"), Seen::Alice),
        (format!("BEARER {token}"), Seen::Alice),
        (format!("bEaReR {token}"), Seen::Alice),
        (format!("Bearer    {token}"), Seen::Alice),
        // An empty bearer is a credential, and invalid.
        ("Bearer".into(), BAD_BEARER),
        ("Bearer ".into(), BAD_BEARER),
        ("Bearer    ".into(), BAD_BEARER),
        // One token and nothing else.
        (format!("Bearer {token} "), BAD_BEARER),
        (format!("Bearer {token} {token}"), BAD_BEARER),
        (format!("Bearer {token}, Bearer {token}"), BAD_BEARER),
        (format!("Bearer {token},Basic YTpi"), BAD_BEARER),
        (format!("Bearer \"{token}\""), BAD_BEARER),
        (format!("Bearer token={token}"), BAD_BEARER),
        (format!("Bearer \t{token}"), BAD_BEARER),
        // Other schemes are not ours, nor are near misses of this one.
        (format!("Bearer{token}"), Seen::Anyone),
        (format!("Bearer:{token}"), Seen::Anyone),
        (format!("Bearer\t{token}"), Seen::Anyone),
        (format!(" Bearer {token}"), Seen::Anyone),
        (format!("Basic YTpi, Bearer {token}"), Seen::Anyone),
        (token.clone(), Seen::Anyone),
    ];
    for (value, expected) in cases {
        let fields: [(&str, &[u8]); 1] = [("authorization", value.as_bytes())];
        assert_eq!(seen(&sessions, &fields).await, expected, "{value:?}");
    }
}

#[tokio::test]
async fn other_schemes_are_not_ours_and_leave_the_cookie_to_speak() {
    let sessions = sessions(&ManualClock::default());
    let cookie = format!("__Host-fixed={}", token(&sessions));
    for scheme in ["Basic YTpi", "Digest username=\"a\"", "DPoP x.y.z", "Bearers x", ""] {
        let alone: [(&str, &[u8]); 1] = [("authorization", scheme.as_bytes())];
        assert_eq!(seen(&sessions, &alone).await, Seen::Anyone, "{scheme}");
        let beside = [alone[0], ("cookie", cookie.as_bytes())];
        assert_eq!(seen(&sessions, &beside).await, Seen::Alice, "{scheme}");
    }
}

#[tokio::test]
async fn no_bytes_in_either_place_are_more_than_a_bad_token() {
    let sessions = sessions(&ManualClock::default());
    for bytes in [&b"\xff\xfe\xfd"[..], b"\x80.\x81.\x82", "tökén".as_bytes(), b"%00", b"a\tb"] {
        let bearer = [b"Bearer ", bytes].concat();
        assert_eq!(seen(&sessions, &[("authorization", &bearer)]).await, BAD_BEARER);
        let cookie = [b"__Host-fixed=", bytes].concat();
        assert_eq!(seen(&sessions, &[("cookie", &cookie)]).await, Seen::Cleared);
        assert_eq!(seen(&sessions, &[("authorization", bytes)]).await, Seen::Anyone);
        assert_eq!(seen(&sessions, &[("cookie", bytes)]).await, Seen::Anyone);
    }
}

#[tokio::test]
async fn two_authorization_headers_are_ambiguous_in_either_order() {
    let sessions = sessions(&ManualClock::default());
    let bearer = format!("Bearer {}", token(&sessions));
    for other in [&b"Basic YTpi"[..], b"Bearer x", bearer.as_bytes(), b""] {
        let (ours, theirs) = (("authorization", bearer.as_bytes()), ("authorization", other));
        assert_eq!(seen(&sessions, &[ours, theirs]).await, AMBIGUOUS);
        assert_eq!(seen(&sessions, &[theirs, ours]).await, AMBIGUOUS);
    }
}

#[tokio::test]
async fn the_cookie_is_found_by_its_exact_name_and_nothing_like_it() {
    let sessions = sessions(&ManualClock::default());
    let token = token(&sessions);
    let cases: [(String, Seen); 28] = [
        (format!("__Host-fixed={token}"), Seen::Alice),
        (format!("a=1; __Host-fixed={token}; b=2"), Seen::Alice),
        (format!("a=1;__Host-fixed={token};b=2"), Seen::Alice),
        (format!(";; __Host-fixed={token};"), Seen::Alice),
        (format!(" \t__Host-fixed={token}\t "), Seen::Alice),
        (format!("\t;\t__Host-fixed={token} ;"), Seen::Alice),
        (format!("$Version=1; __Host-fixed={token}; $Path=/"), Seen::Alice),
        (format!("theme; __Host-fixed={token}"), Seen::Alice),
        (format!("a=\"; __Host-fixed={token}"), Seen::Alice),
        // Names are compared byte by byte, and never decoded.
        (format!("__host-session={token}"), Seen::Anyone),
        (format!("__HOST-SESSION={token}"), Seen::Anyone),
        (format!("__Host%2Dsession={token}"), Seen::Anyone),
        (format!("%5F_Host-session={token}"), Seen::Anyone),
        (format!("x__Host-fixed={token}"), Seen::Anyone),
        (format!("__Host-fixed2={token}"), Seen::Anyone),
        (format!("__Host-fixed ={token}"), Seen::Anyone),
        (format!("=__Host-fixed={token}"), Seen::Anyone),
        (format!("a=__Host-fixed={token}"), Seen::Anyone),
        (format!("={token}"), Seen::Anyone),
        // White space is spaces and tabs, and nothing else that Unicode calls so.
        (format!("\u{a0}__Host-fixed={token}"), Seen::Anyone),
        (format!("a=1;\u{2003}__Host-fixed={token}"), Seen::Anyone),
        (format!("\u{feff}__Host-fixed={token}"), Seen::Anyone),
        (format!("__Host-fixed\u{3000}={token}"), Seen::Anyone),
        ("__Host-fixed".into(), Seen::Anyone),
        // Values are taken as they are.
        ("__Host-fixed=".into(), Seen::Cleared),
        (format!("__Host-fixed=\"{token}\""), Seen::Cleared),
        (format!("__Host-fixed= {token}"), Seen::Cleared),
        (format!("__Host-fixed={}", token.replace('.', "%2E")), Seen::Cleared),
    ];
    for (value, expected) in cases {
        assert_eq!(seen(&sessions, &[("cookie", value.as_bytes())]).await, expected, "{value:?}");
    }
}

#[tokio::test]
async fn cookies_may_stand_in_several_header_fields() {
    let sessions = sessions(&ManualClock::default());
    let ours = format!("__Host-fixed={}", token(&sessions));
    let (ours, theirs) = (("cookie", ours.as_bytes()), ("cookie", &b"a=1; b=2"[..]));
    for fields in [[theirs, ours, theirs], [ours, theirs, theirs], [theirs, theirs, ours]] {
        assert_eq!(seen(&sessions, &fields).await, Seen::Alice);
    }
}

#[tokio::test]
async fn a_cookie_that_comes_twice_is_ambiguous_equal_or_not() {
    let sessions = sessions(&ManualClock::default());
    let ours = format!("__Host-fixed={}", token(&sessions));
    for other in [&*ours, "__Host-fixed=", "__Host-fixed=x"] {
        let one_field = format!("{ours}; a=1; {other}");
        assert_eq!(seen(&sessions, &[("cookie", one_field.as_bytes())]).await, AMBIGUOUS);
        let fields = [("cookie", other.as_bytes()), ("cookie", ours.as_bytes())];
        assert_eq!(seen(&sessions, &fields).await, AMBIGUOUS);
    }
}

#[tokio::test]
async fn a_bearer_token_and_a_cookie_together_are_ambiguous() {
    let sessions = sessions(&ManualClock::default());
    let token = token(&sessions);
    for (bearer, cookie) in [(&*token, &*token), (&token, "x"), ("x", &token), ("", "")] {
        let (bearer, cookie) = (format!("Bearer {bearer}"), format!("__Host-fixed={cookie}"));
        let fields = [("authorization", bearer.as_bytes()), ("cookie", cookie.as_bytes())];
        assert_eq!(seen(&sessions, &fields).await, AMBIGUOUS);
    }
}

#[tokio::test]
async fn many_other_cookies_do_not_hide_ours() {
    let sessions = sessions(&ManualClock::default());
    let others: String = (0..2000).map(|n| format!("cookie-{n}=value; ")).collect();
    assert!(others.len() > 30 * 1024);
    let cookie = format!("{others}__Host-fixed={}; {others}", token(&sessions));
    assert_eq!(seen(&sessions, &[("cookie", cookie.as_bytes())]).await, Seen::Alice);
    assert_eq!(seen(&sessions, &[("cookie", others.as_bytes())]).await, Seen::Anyone);
}

#[tokio::test]
async fn a_token_in_the_query_or_in_another_header_is_nothing() {
    let sessions = sessions(&ManualClock::default());
    let token = token(&sessions);
    let app = Router::new()
        .route("/", on_get(async |session: Option<Session<User>>| session.is_some().to_string()))
        .layer(sessions.layer());
    for request in [
        get(&format!("/?access_token={token}")),
        get(&format!("/?__Host-fixed={token}")),
        get("/").header("proxy-authorization", format!("Bearer {token}")),
        get("/").header("x-access-token", &token),
        get("/").header("cookie2", format!("__Host-fixed={token}")),
    ] {
        assert_eq!(send(&app, request).await.body, "false");
    }
}

#[tokio::test]
async fn what_a_proxy_may_say_of_user_and_path_is_nothing() {
    let sessions = sessions(&ManualClock::default());
    let greet = async |session: Session<User>| session.subject().to_owned();
    let open = Router::new().route("/open", on_get(async || "open"));
    let app = Router::new()
        .route("/", on_get(greet))
        .layer(sessions.validate_layer())
        .merge(open)
        .layer(sessions.layer());
    let token = token(&sessions);
    for name in [
        "x-forwarded-user",
        "x-remote-user",
        "remote-user",
        "x-user-id",
        "x-auth-request-user",
        "x-jwt-payload",
        "x-amzn-oidc-data",
        "forwarded",
    ] {
        let spoofed = get("/").header(name, "admin");
        assert_eq!(send(&app, spoofed).await.status, 401, "{name}");
        let beside = get("/").header(name, "admin").bearer(&token);
        assert_eq!(send(&app, beside).await.body, "alice", "{name}");
    }
    for name in ["x-original-url", "x-rewrite-url", "x-envoy-original-path", "x-forwarded-uri"] {
        let spoofed = get("/").header(name, "/open");
        assert_eq!(send(&app, spoofed).await.status, 401, "{name}");
    }
    for name in ["x-http-method-override", "x-method-override"] {
        let spoofed = get("/").header(name, "OPTIONS");
        assert_eq!(send(&app, spoofed).await.status, 401, "{name}");
    }
}

#[tokio::test]
async fn cookie_only_ignores_authorization_header() {
    let cookies =
        builder(&ManualClock::default()).transports([Transport::cookie(CookieTransport::new())]);
    let sessions = cookies.build().unwrap();
    let (bearer, cookie) =
        (format!("Bearer {}", token(&sessions)), format!("__Host-fixed={}", token(&sessions)));
    let bearer = ("authorization", bearer.as_bytes());
    assert_eq!(seen(&sessions, &[bearer]).await, Seen::Anyone);
    assert_eq!(seen(&sessions, &[bearer, bearer]).await, Seen::Anyone);
    assert_eq!(seen(&sessions, &[bearer, ("cookie", cookie.as_bytes())]).await, Seen::Alice);
}

#[tokio::test]
async fn bearer_only_ignores_cookies_and_has_no_guard() {
    let sessions =
        builder(&ManualClock::default()).transports([Transport::bearer()]).build().unwrap();
    let token = token(&sessions);
    let cookie = format!("__Host-fixed={token}");
    let bearer = format!("Bearer {token}");
    assert_eq!(seen(&sessions, &[("cookie", cookie.as_bytes())]).await, Seen::Anyone);
    assert_eq!(seen(&sessions, &[("cookie", b"__Host-fixed=x")]).await, Seen::Anyone);
    let both = [("cookie", cookie.as_bytes()), ("authorization", bearer.as_bytes())];
    assert_eq!(seen(&sessions, &both).await, Seen::Alice);

    let app = Router::new().route("/", on_post(async || "in")).layer(sessions.layer());
    let cross_site = post("/").header("origin", "https://else.example").cookie(&token);
    assert_eq!(send(&app, cross_site.header("sec-fetch-site", "cross-site")).await.body, "in");
}

/// What the cookie is set by, and the sessions that set it.
async fn set_by(cookie: CookieTransport) -> (String, Sessions<User>) {
    let sessions = builder(&ManualClock::default())
        .transports([Transport::cookie(cookie), Transport::bearer()])
        .build()
        .unwrap();
    let app = Router::new().route("/", on_post(async || login())).layer(sessions.layer());
    let request = Request::post("/").header("host", "localhost:3000");
    (send(&app, request).await.all("set-cookie")[0].to_owned(), sessions)
}

#[tokio::test]
async fn a_cookie_of_another_name_is_set_and_read_under_that_name() {
    let (field, sessions) = set_by(CookieTransport::new().name("__Host-app")).await;
    assert!(field.starts_with("__Host-app=ey"), "{field}");
    let pair = field.split(';').next().unwrap();
    assert_eq!(seen(&sessions, &[("cookie", pair.as_bytes())]).await, Seen::Alice);
    let old = format!("__Host-fixed={}", token(&sessions));
    assert_eq!(seen(&sessions, &[("cookie", old.as_bytes())]).await, Seen::Anyone);
}

#[tokio::test]
async fn the_attributes_of_the_cookie_follow_its_settings() {
    let (field, _) = set_by(CookieTransport::new().same_site_strict()).await;
    assert!(field.ends_with("; HttpOnly; SameSite=Strict; Secure; Path=/"), "{field}");
    let (field, sessions) = set_by(CookieTransport::for_local_development().name("dev")).await;
    assert!(field.starts_with("dev=ey"), "{field}");
    assert!(field.ends_with("; HttpOnly; SameSite=Lax; Path=/"), "{field}");
    let pair = field.split(';').next().unwrap();
    assert_eq!(seen(&sessions, &[("cookie", pair.as_bytes())]).await, Seen::Alice);
}

#[test]
fn a_cookie_name_that_cannot_be_used_is_refused_and_named() {
    let build = |cookie| {
        builder(&ManualClock::default())
            .transports([Transport::cookie(cookie), Transport::bearer()])
            .build()
    };
    for name in ["session", "__Secure-session", "__host-session", "", "__Host-a b", "__Host-é"] {
        let error = build(CookieTransport::new().name(name)).unwrap_err();
        assert_eq!(error.setting(), Some("cookie name"), "{error}");
        assert_eq!(error.value(), Some(&*format!("{name:?}")));
    }
    for name in ["", "a=b", "a;b", "a b", "a\r\nset-cookie: x"] {
        assert!(build(CookieTransport::for_local_development().name(name)).is_err(), "{name:?}");
    }
}

#[test]
fn transports_none_or_twice_are_refused_with_fix() {
    let two = [Transport::bearer(), Transport::bearer()];
    for (transports, value, fix) in [
        (&two[..0], "empty", "`Transport::bearer()`, or leave the setting out"),
        (&two[..], "two of the kind bearer", "give each kind once"),
    ] {
        let clock = ManualClock::default();
        let error = builder(&clock).transports(transports.to_vec()).build().unwrap_err();
        assert_eq!((error.setting(), error.value()), (Some("transports"), Some(value)));
        assert!(error.help().unwrap().contains(fix), "{error}");
    }
}

#[test]
fn trusted_origin_no_browser_sends_is_refused_with_fix() {
    for (origin, fix) in [
        ("app.example", "`https://host`"),
        ("//app.example", "`https://host`"),
        ("null", "`https://host`"),
        ("", "`https://host`"),
        ("https:app.example", "`https://host`"),
        ("file:///x", "`https://` or `http://`"),
        ("wss://app.example", "`https://` or `http://`"),
        ("chrome://app", "`https://` or `http://`"),
        ("https://app.example/", "no path"),
        ("https://app.example/a", "no path"),
        ("https://app.example?a", "no path"),
        ("https://app.example#a", "no path"),
        ("https://user@app.example", "user name"),
        ("https://user:word@app.example", "user name"),
        ("https://*.app.example", "no wildcards"),
        ("https://*", "no wildcards"),
        ("https://app.example:99999", "1 to 65535"),
        ("https://app.example:0", "1 to 65535"),
        ("https://app.example:", "1 to 65535"),
        ("https://app.example:+80", "1 to 65535"),
        ("https://app.example:80:80", "letters"),
        ("https://é.example", "Punycode"),
        ("https://", "letters"),
        ("https://.example", "letters"),
        ("https://app..example", "letters"),
        ("https://app%2eexample", "letters"),
        ("https://app example", "letters"),
        ("https://127.1", "IPv4"),
        ("https://256.0.0.1", "IPv4"),
        ("https://[::1", "letters"),
        ("https://[app]", "IPv6"),
        ("https://::1", "letters"),
    ] {
        let cookie = CookieTransport::new().trusted_origin("https://fine.example");
        let cookie = cookie.trusted_origin(origin);
        let error = builder(&ManualClock::default())
            .transports([Transport::cookie(cookie), Transport::bearer()])
            .build()
            .unwrap_err();
        assert_eq!(error.setting(), Some("trusted_origin"), "{error}");
        assert_eq!(error.value(), Some(&*format!("{origin:?}")));
        assert!(error.help().is_some_and(|help| help.contains(fix)), "{error}");
    }
}

#[test]
fn cookie_without_room_for_a_token_is_a_build_error() {
    let long = "n".repeat(4000);
    let cookie = |name: String| CookieTransport::new().name(name);
    let build = |issuer: &str, audience: &str, cookie: Option<CookieTransport>| {
        let ring = fixed_ring(ManualClock::default());
        let sessions = Sessions::<()>::builder(ring, issuer, audience);
        match cookie {
            Some(cookie) => sessions.transports([Transport::cookie(cookie), Transport::bearer()]),
            None => sessions.transports([Transport::bearer()]),
        }
    };
    let refused = |built: Result<_, BuildError>| {
        let error = built.map(drop).unwrap_err();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        (error.setting().unwrap_or_default(), text(error.value()), text(error.help()))
    };
    let (field, value, help) =
        refused(build("https://i", "a", Some(cookie(format!("__Host-{long}")))).build());
    assert_eq!(field, "cookie name");
    assert!(value.ends_with("\"... (4007 bytes)") && value.len() < 64, "{value}");
    assert!(help.contains("browsers accept 4096"), "{help}");
    let default = CookieTransport::new;
    assert_eq!(refused(build(&long, "a", Some(default())).build()).0, "issuer");
    assert_eq!(refused(build("i", &long, Some(default())).build()).0, "audience");
    // A bearer token has more room, and not any.
    assert!(build(&long, "a", None).build().is_ok());
    let (field, _, help) = refused(build(&long, "a", None).max_token_bytes(4096).build());
    assert!(field == "issuer" && help.contains("max_token_bytes is 4096"), "{field}: {help}");
    let (field, ..) =
        refused(build("i", &"a".repeat(70_000), None).max_token_bytes(65_536).build());
    assert_eq!(field, "audience");

    // Where the algorithm alone takes more than there is.
    let keys = KeyRing::fixed([fixed_key(Algorithm::RS512)]).build().unwrap();
    let sessions = || Sessions::<()>::builder(keys.clone(), "https://i", "a");
    let (field, value, help) = refused(sessions().max_token_bytes(512).build());
    assert_eq!((field, &*value), ("max_token_bytes", "512"));
    let least: usize =
        help.split("at least ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();

    // The bounds are exact: with one byte more the shortest login succeeds.
    assert!(sessions().max_token_bytes(least - 1).build().is_err());
    let built = sessions().max_token_bytes(least).build().unwrap();
    assert_eq!(built.issue(&Login::new("a", ())).unwrap().as_str().len(), least);
    let shortest = build("i", "a", None).build().unwrap();
    let bytes = shortest.issue(&Login::new("a", ())).unwrap().as_str().len();
    let named = |length: usize| {
        let name = format!("__Host-{}", "n".repeat(length - "__Host-".len()));
        build("i", "a", Some(cookie(name))).build()
    };
    let built = named(4096 - bytes).unwrap();
    let token = built.issue(&Login::new("a", ())).unwrap();
    assert!(built.set_cookie(&token).is_ok());
    assert_eq!(refused(named(4097 - bytes)).0, "cookie name");
}

#[test]
fn a_refresh_token_without_room_is_refused_too() {
    let sessions = || {
        let ring = fixed_ring(ManualClock::default());
        Sessions::<()>::builder(ring, "i".repeat(100), "a".repeat(100))
            .transports([Transport::bearer()])
    };
    let shortest = sessions().build().unwrap().issue(&Login::new("a", ())).unwrap();
    let limit = shortest.as_str().len();
    assert!(limit >= 512 && sessions().max_token_bytes(limit).build().is_ok());
    let refreshing = sessions()
        .max_token_bytes(limit)
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection());
    assert!(refreshing.build().unwrap_err().to_string().contains("max_token_bytes"));
}

/// What a request has in place of a credential is in the log, and nothing of its value.
#[tokio::test]
async fn missing_credential_says_what_is_there_instead() {
    let both = [Transport::cookie(CookieTransport::new()), Transport::bearer()];
    let [cookie, bearer] = both.clone().map(|transport| vec![transport]);
    let with = |list| builder(&ManualClock::default()).transports(list).build().unwrap();
    let [both, cookie, bearer] = [both.to_vec(), cookie, bearer].map(with);
    let secret = token(&both);
    let bare = secret.clone();
    for (sessions, field, value, found, expected) in [
        (
            &both,
            "authorization",
            &bare,
            "Authorization without the scheme Bearer",
            "the cookie __Host-fixed, or a bearer token",
        ),
        (
            &both,
            "cookie",
            &format!("session={secret}"),
            "cookies of other names",
            "the cookie __Host-fixed, or a bearer token",
        ),
        (
            &cookie,
            "authorization",
            &format!("Bearer {secret}"),
            "a bearer token",
            "the cookie __Host-fixed: the sessions have no bearer transport",
        ),
        (
            &bearer,
            "cookie",
            &format!("__Host-fixed={secret}"),
            "a cookie",
            "a bearer token: the sessions have no cookie transport",
        ),
    ] {
        let handler = on_get(async |_: Session<User>| "in");
        let strict = Router::new().route("/", handler.clone()).layer(sessions.validate_layer());
        for app in [strict, Router::new().route("/", handler).layer(sessions.layer())] {
            let answer = send(&app, get("/").header(field, value)).await;
            let rejection = answer.rejection().expect("a rejection");
            assert!(rejection.is_missing() && answer.status == 401);
            assert_eq!((rejection.found(), rejection.expected()), (Some(found), Some(expected)));
        }
    }
    let app = Router::new().route("/", on_get(async |_: Session<User>| "in"));
    let answer = send(&app.layer(both.layer()), get("/")).await;
    assert_eq!(answer.rejection().map(|it| (it.is_missing(), it.found())), Some((true, None)));
}

/// A client of bearer tokens that forgot to send one is still logged in.
#[tokio::test]
async fn logout_without_a_token_is_no_success_where_there_is_no_cookie() {
    let sessions = builder(&ManualClock::default()).transports([Transport::bearer()]).build();
    let out = on_post(async || Logout::new());
    let app = Router::new().route("/out", out).layer(sessions.unwrap().layer());
    for request in [post("/out"), post("/out").header("authorization", "Token x")] {
        let answer = send(&app, request).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (401, Some(RejectionKind::Missing)));
    }
}
