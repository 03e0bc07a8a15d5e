//! Opening: URLs, discovery, settings, and what the first fetch may fail with.

use super::*;
use std::error::Error;
use tower_jwt_session::KeyState;

fn one_key() -> String {
    set([jwk(Algorithm::EdDSA, "a")])
}

#[tokio::test]
async fn an_issuers_keys_verify_and_do_not_sign() {
    let (client, clock) = (FakeClient::new(one_key()), ManualClock::default());
    let keys = following(&client, &clock).open().await.unwrap();

    let session = validate(&keys, &clock, Algorithm::EdDSA, "a").unwrap();
    assert_eq!((session.subject(), session.key_id()), ("alice", "a"));
    keys.ready().unwrap();
    // Another's keys are not ours to promise.
    let jwks = keys.jwks_response(&::http::HeaderMap::new());
    assert_eq!(jwks.headers()["cache-control"], "public, max-age=0");
    let status = keys.status();
    assert_eq!((status.ring.as_str(), status.generation), (ISSUER, None));
    assert_eq!(status.keys[0].state, KeyState::Verifying);
    assert_eq!(status.refreshed_at, Some(clock.now()));
    assert_eq!(client.requests(), [URL]);
}

#[tokio::test]
async fn only_https_is_taken_or_http_on_loopback_where_allowed() {
    const NEVER: [&str; 11] = [
        "",
        "keys",
        "/keys",
        "https:///keys",
        "ftp://login.example/keys",
        "http://login.example/keys",
        "http://10.0.0.1/keys",
        "http://localhost.example/keys",
        "http://127.0.0.1.example/keys",
        "https://user@login.example/keys",
        "https://login.example/keys#a",
    ];
    const LOOPBACK: [&str; 3] =
        ["http://127.0.0.1:8080/keys", "http://[::1]/keys", "http://localhost/keys"];
    let (client, clock) = (FakeClient::new(""), ManualClock::default());
    let open = async |url: &str, loopback: bool| {
        let ring = KeyRing::jwks_url(ISSUER, url).client(client.clone()).clock(clock.clone());
        let ring = if loopback { ring.allow_http_on_loopback() } else { ring };
        ring.open().await
    };
    for (url, loopback) in
        NEVER.map(|url| (url, true)).into_iter().chain(LOOPBACK.map(|url| (url, false)))
    {
        let error = open(url, loopback).await.unwrap_err();
        assert!(error.setting() == Some("url"), "{url}: {error}");
        let help = "for a test, set `allow_http_on_loopback`";
        assert_eq!(error.to_string().contains(help), !loopback, "{url}: {error}");
    }
    assert_eq!(client.count(), 0, "nothing was asked");
    for url in LOOPBACK {
        client.answers(url, Answer::Says(200, "", one_key()));
        open(url, true).await.unwrap();
    }
}

#[tokio::test]
async fn a_first_fetch_that_fails_names_the_url_and_the_cause() {
    let no_key = set([json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" })]);
    let mut long = one_key();
    long.push_str(&" ".repeat(256 * 1024));
    let cases = [
        (Answer::Fails("connection refused"), "connection refused"),
        (Answer::Hangs, "within 10ms"),
        (Answer::Says(503, "", one_key()), "found status 503 Service Unavailable"),
        (Answer::Says(404, "", one_key()), "found status 404 Not Found"),
        (Answer::Says(302, "", one_key()), "redirects are not followed"),
        (Answer::Says(204, "", one_key()), "204"),
        (Answer::Says(200, "", String::new()), "found an empty body"),
        (Answer::Says(200, "", "<html>".to_owned()), "found an HTML page"),
        (Answer::Says(200, "", "{}".to_owned()), "a JSON object with a list `keys`"),
        (Answer::Says(200, "", r#"{"keys":{}}"#.to_owned()), "`keys` is an object"),
        (Answer::Says(200, "", r#"{"keys":[]}"#.to_owned()), "`keys` is empty"),
        (Answer::Says(200, "", no_key), r#"kid "s": JWK member `kty` is "oct", a shared secret"#),
        (Answer::Says(200, "", long), "longer than 262144 bytes"),
    ];
    for (answer, cause) in cases {
        let (client, clock) = (FakeClient::new(""), ManualClock::default());
        client.answers(URL, answer.clone());
        let ring = following(&client, &clock).refresh_timeout(Duration::from_millis(10));
        let error = ring.open().await.unwrap_err();
        assert!(error.is_issuer_unavailable(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(URL) && text.contains(cause), "{answer:?}: {text}");
        let is_redirect = matches!(answer, Answer::Says(302, ..));
        assert_eq!(text.contains("redirect"), is_redirect, "{answer:?}: {text}");
        let is_unreachable = matches!(answer, Answer::Fails(_) | Answer::Hangs);
        let sources = std::iter::successors(Error::source(&error), |&source| source.source());
        let mut clients = sources.filter(|source| source.is::<ClientError>());
        assert_eq!(clients.next().is_some(), is_unreachable, "{answer:?}");
    }
}

#[tokio::test]
async fn the_longest_document_is_the_last_that_is_read() {
    let clock = ManualClock::default();
    let mut document = one_key();
    document.push_str(&" ".repeat(1024 - document.len()));
    let open = async |document: &str| {
        following(&FakeClient::new(document), &clock).max_document_bytes(1024).open().await
    };
    open(&document).await.unwrap();
    document.push(' ');
    open(&document).await.unwrap_err();
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_asked() {
    let (client, clock) = (FakeClient::new(one_key()), ManualClock::default());
    let ring = || following(&client, &clock);
    let seconds = Duration::from_secs;
    let cases = [
        ("refresh_timeout", ring().refresh_timeout(Duration::ZERO)),
        ("refresh_timeout", ring().refresh_timeout(seconds(61))),
        ("refresh_interval_bounds", ring().refresh_interval_bounds(Duration::ZERO, seconds(60))),
        ("refresh_interval_bounds", ring().refresh_interval_bounds(seconds(61), seconds(60))),
        (
            "refresh_interval_bounds",
            ring().refresh_interval_bounds(seconds(60), seconds(24 * 60 * 60 + 1)),
        ),
        ("unknown_key_cooldown", ring().unknown_key_cooldown(seconds(4))),
        ("max_staleness", ring().max_staleness(seconds(60 * 60))),
        ("max_document_bytes", ring().max_document_bytes(0)),
        ("max_document_bytes", ring().max_document_bytes(usize::MAX)),
        ("max_token_lifetime", ring().max_token_lifetime(Duration::ZERO)),
        ("clock_skew", ring().clock_skew(seconds(601))),
        ("rsa_algorithm", ring().rsa_algorithm(Algorithm::HS256)),
        ("rsa_algorithm", ring().rsa_algorithm(Algorithm::ES256)),
        ("issuer", KeyRing::jwks_url("", URL).client(client.clone())),
    ];
    for (setting, ring) in cases {
        let error = ring.open().await.unwrap_err();
        let named = error.setting() == Some(setting);
        assert!(named, "{setting}: {error}");
    }
    assert_eq!(client.count(), 0);
}

#[tokio::test]
async fn settings_at_their_bounds_are_taken() {
    let (client, clock) = (FakeClient::new(one_key()), ManualClock::default());
    let ring = || following(&client, &clock);
    let seconds = Duration::from_secs;
    let day = seconds(24 * 60 * 60);
    // A refresh and its jitter of an eighth, and the fetch itself.
    let least = seconds(3600 + 450 + 5);
    for ring in [
        ring().refresh_timeout(Duration::from_millis(10)),
        ring().refresh_timeout(seconds(60)).unknown_key_cooldown(seconds(60)),
        ring().refresh_interval_bounds(seconds(1), seconds(1)),
        ring().refresh_interval_bounds(seconds(1), day).max_staleness(2 * day),
        ring().unknown_key_cooldown(seconds(5)),
        ring().max_staleness(least + Duration::from_millis(1)),
        ring().max_document_bytes(1024),
        ring().max_document_bytes(16 * 1024 * 1024),
        ring().max_token_lifetime(seconds(1)),
        ring().clock_skew(seconds(600)),
    ] {
        ring.open().await.unwrap();
    }
    for ring in [
        ring().max_staleness(least),
        ring().max_document_bytes(1023),
        ring().max_document_bytes(16 * 1024 * 1024 + 1),
        ring().refresh_timeout(Duration::from_micros(9999)),
    ] {
        let error = ring.open().await.unwrap_err();
        assert!(error.setting().is_some(), "{error}");
    }
}

#[cfg(not(feature = "jwks-client"))]
#[tokio::test]
async fn without_the_bundled_client_one_has_to_be_given() {
    let error = KeyRing::jwks_url(ISSUER, URL).open().await.unwrap_err();
    assert!(error.to_string().contains("`jwks-client`"), "{error}");
}
