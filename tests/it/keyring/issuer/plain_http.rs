//! Keys over plain http, from hosts that the application names.

use super::*;

const HOST: &str = "keycloak.auth.svc.cluster.local";

fn ring(client: &FakeClient, url: &str) -> IssuerRingBuilder {
    KeyRing::jwks_url(ISSUER, url).client(client.clone())
}

#[tokio::test]
async fn plain_http_is_taken_from_the_named_host_alone() {
    let client = FakeClient::new("");
    let keys = set([jwk(Algorithm::EdDSA, "a")]);
    for url in [
        "http://keycloak.auth.svc.cluster.local/keys",
        "http://keycloak.auth.svc.cluster.local:8080/keys",
        "http://KEYCLOAK.auth.svc.cluster.local/keys",
    ] {
        client.answers(url, Answer::Says(200, "", keys.clone()));
        ring(&client, url).dangerous_allow_http(HOST).open().await.unwrap();
        let error = ring(&client, url).open().await.unwrap_err();
        assert_eq!(error.setting(), Some("url"), "{url}");
    }
    let asked = client.count();
    for url in [
        "http://auth.svc.cluster.local/keys",
        "http://evil.keycloak.auth.svc.cluster.local/keys",
        "http://keycloak.auth.svc.cluster.local.evil.example/keys",
        "http://keycloak.auth.svc.cluster.local@evil.example/keys",
        "http://login.example/keys",
        "http://127.0.0.1/keys",
        "http://localhost/keys",
        "ftp://keycloak.auth.svc.cluster.local/keys",
    ] {
        let opened = ring(&client, url).dangerous_allow_http(HOST).open().await;
        assert_eq!(opened.unwrap_err().setting(), Some("url"), "{url}");
    }
    assert_eq!(client.count(), asked);
}

#[tokio::test]
async fn plain_http_of_a_description_leads_to_the_named_host_alone() {
    let issuer = format!("http://{HOST}/realms/a");
    let description = format!("{issuer}/.well-known/openid-configuration");
    let good = format!("http://{HOST}/realms/a/certs");
    for (jwks_uri, is_taken) in
        [(&*good, true), ("http://login.example/keys", false), ("http://localhost/keys", false)]
    {
        let client = FakeClient::new("");
        let document = json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string();
        client.answers(&description, Answer::Says(200, "", document));
        client.answers(jwks_uri, Answer::Says(200, "", set([jwk(Algorithm::EdDSA, "a")])));
        let ring = KeyRing::discover(&issuer).client(client.clone()).dangerous_allow_http(HOST);
        let opened = ring.open().await;
        assert_eq!(opened.is_ok(), is_taken, "{jwks_uri}: {opened:?}");
        assert_eq!(client.count(), if is_taken { 2 } else { 1 }, "{jwks_uri}");
        // A redirect is not followed, wherever it leads.
        client.answers(jwks_uri, Answer::Says(302, "", String::new()));
        let ring = KeyRing::discover(&issuer).client(client).dangerous_allow_http(HOST);
        assert!(ring.open().await.is_err());
    }
}

#[tokio::test]
async fn host_that_is_no_host_is_refused_by_name() {
    let client = FakeClient::new("");
    for host in [
        "",
        "http://keycloak",
        "keycloak:8080",
        "keycloak/",
        "*.svc.cluster.local",
        "*",
        "user@keycloak",
        "keycloak ",
    ] {
        let opened = ring(&client, URL).dangerous_allow_http(host).open().await;
        let error = opened.unwrap_err();
        assert_eq!(error.setting(), Some("dangerous_allow_http"), "{host}: {error}");
        assert_eq!(error.value(), Some(&*format!("{host:?}")));
    }
    assert_eq!(client.count(), 0);
}
