//! Discovery: where an issuer's description is looked for, and whose it must be.

use super::*;

const DISCOVERY: &str = "https://login.example/.well-known/openid-configuration";

fn one_key() -> String {
    set([jwk(Algorithm::EdDSA, "a")])
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let clock = ManualClock::default();
    for (issuer, description) in [
        (ISSUER, DISCOVERY),
        ("https://login.example/", DISCOVERY),
        ("https://login.example/a", "https://login.example/a/.well-known/openid-configuration"),
        ("https://login.example/a/", "https://login.example/a/.well-known/openid-configuration"),
    ] {
        let client = FakeClient::new("");
        let elsewhere = "https://keys.example/set";
        let document = json!({ "issuer": issuer, "jwks_uri": elsewhere, "other": [1] });
        client.answers(description, Answer::Says(200, "", document.to_string()));
        client.answers(elsewhere, Answer::Says(200, "", one_key()));
        let ring = KeyRing::discover(issuer).client(client.clone()).clock(clock.clone());
        let keys = ring.open().await.unwrap();
        assert_eq!(client.requests(), [description, elsewhere]);
        assert_eq!(keys.status().ring, issuer);
    }
}

#[tokio::test(start_paused = true)]
async fn error_names_the_document_that_does_not_come() {
    let (client, elsewhere) = (FakeClient::new(""), "https://keys.example/set");
    client.answers(DISCOVERY, Answer::Hangs);
    let open = || KeyRing::discover(ISSUER).client(client.clone()).open();
    let error = open().await.unwrap_err().to_string();
    assert!(error.contains(&format!("{DISCOVERY}: no whole answer within")), "{error}");
    let document = json!({ "issuer": ISSUER, "jwks_uri": elsewhere });
    client.answers(DISCOVERY, Answer::Says(200, "", document.to_string()));
    client.answers(elsewhere, Answer::Hangs);
    let error = open().await.unwrap_err().to_string();
    assert!(error.contains(&format!("{elsewhere}: no whole answer within")), "{error}");
}

#[tokio::test]
async fn a_description_of_another_issuer_or_place_is_refused() {
    let cases = [
        (json!({ "issuer": "https://login.example/", "jwks_uri": URL }), "another issuer"),
        (json!({ "issuer": "https://LOGIN.example", "jwks_uri": URL }), "another issuer"),
        (json!({ "issuer": "https://evil.example", "jwks_uri": URL }), "another issuer"),
        (json!({ "issuer": ISSUER, "jwks_uri": "http://login.example/keys" }), "`jwks_uri`"),
        (json!({ "issuer": ISSUER, "jwks_uri": "file:///keys" }), "`jwks_uri`"),
        (json!({ "issuer": ISSUER }), "without `jwks_uri`"),
        (json!({ "jwks_uri": URL }), "without `issuer`"),
        (json!([ISSUER]), "a bare JSON array"),
    ];
    for (document, cause) in cases {
        let client = FakeClient::new(one_key());
        client.answers(DISCOVERY, Answer::Says(200, "", document.to_string()));
        let ring = KeyRing::discover(ISSUER).client(client.clone());
        let error = ring.open().await.unwrap_err().to_string();
        assert!(error.contains(DISCOVERY) && error.contains(cause), "{document}: {error}");
        assert_eq!(client.requests(), [DISCOVERY], "its keys were not asked for");
    }
    for issuer in ["http://login.example", "https://login.example?a=b", "https://login.example#a"] {
        let client = FakeClient::new(one_key());
        let error = KeyRing::discover(issuer).client(client.clone()).open().await.unwrap_err();
        assert!(error.setting() == Some("issuer"), "{error}");
        assert_eq!(client.count(), 0);
    }
}

/// The places of an issuer's description, in the order in which they are asked.
fn places(issuer: &str) -> Vec<String> {
    match issuer.trim_end_matches('/') {
        "https://login.example" => vec![
            DISCOVERY.to_owned(),
            "https://login.example/.well-known/oauth-authorization-server".to_owned(),
        ],
        _ => vec![
            "https://login.example/realms/a/.well-known/openid-configuration".to_owned(),
            "https://login.example/.well-known/oauth-authorization-server/realms/a".to_owned(),
            "https://login.example/.well-known/openid-configuration/realms/a".to_owned(),
        ],
    }
}

#[tokio::test]
async fn discovery_asks_the_next_place_only_after_404() {
    let issuers = [ISSUER, "https://login.example/realms/a", "https://login.example/realms/a/"];
    for issuer in issuers {
        let places = places(issuer);
        for (number, place) in places.iter().enumerate() {
            let client = FakeClient::new(one_key());
            for missing in &places[..number] {
                client.answers(missing, Answer::Says(404, "", String::new()));
            }
            let document = json!({ "issuer": issuer, "jwks_uri": URL, "token_endpoint": "t" });
            client.answers(place, Answer::Says(200, "", document.to_string()));
            let keys = KeyRing::discover(issuer).client(client.clone()).open().await.unwrap();
            let asked = [&places[..=number], &[URL.to_owned()]].concat();
            assert_eq!(client.requests(), asked);
            // A later fetch reads the description again.
            keys.refresh().await.unwrap();
            assert_eq!(client.requests(), [asked.clone(), asked].concat());
        }
        for failure in [
            Answer::Fails("connection refused"),
            Answer::Says(500, "", String::new()),
            Answer::Says(403, "", String::new()),
            Answer::Says(302, "", String::new()),
            Answer::Says(200, "", "<html>".to_owned()),
        ] {
            let client = FakeClient::new(one_key());
            client.answers(&places[0], failure.clone());
            let document = json!({ "issuer": issuer, "jwks_uri": URL }).to_string();
            client.answers(&places[1], Answer::Says(200, "", document));
            let opened = KeyRing::discover(issuer).client(client.clone()).open().await;
            assert!(opened.unwrap_err().is_issuer_unavailable(), "{failure:?}");
            assert_eq!(client.requests(), places[..1], "{failure:?}");
        }
    }
}

#[tokio::test]
async fn oauth_metadata_of_another_issuer_is_refused() {
    let places = places(ISSUER);
    for other in ["https://evil.example", "https://login.example/", "https://login.example/a"] {
        let client = FakeClient::new(one_key());
        client.answers(&places[0], Answer::Says(404, "", String::new()));
        let document = json!({ "issuer": other, "jwks_uri": URL }).to_string();
        client.answers(&places[1], Answer::Says(200, "", document));
        let ring = KeyRing::discover(ISSUER).client(client.clone());
        let error = ring.open().await.unwrap_err().to_string();
        assert!(error.contains(&places[1]) && error.contains("another issuer"), "{error}");
        assert_eq!(client.requests(), places, "its keys were not asked for");
    }
}

#[tokio::test]
async fn issuer_without_description_is_reported_with_every_place() {
    let client = FakeClient::new(one_key());
    let issuer = "https://login.example/realms/a";
    for place in places(issuer) {
        client.answers(&place, Answer::Says(404, "", String::new()));
    }
    let error = KeyRing::discover(issuer).client(client).open().await.unwrap_err();
    assert!(error.is_issuer_unavailable());
    let error = error.to_string();
    assert!(error.contains("found status 404 Not Found"), "{error}");
    for place in places(issuer) {
        assert!(error.contains(&place), "{place}: {error}");
    }
}
