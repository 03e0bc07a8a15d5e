//! Multi-tenant issuers: whose tokens are accepted, keys that are bound to an issuer, and revocations.

use std::sync::{Arc, Mutex as StdMutex};

use super::*;
use crate::support::stores::TestStore;
use tower_jwt_session::{OperationErrorKind, RejectionKind, Revocations, SessionsBuilder};

const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";
const ONE: &str = "https://login.example/one/v2.0";
const TWO: &str = "https://login.example/two/v2.0";

fn bound(key_id: &str, issuer: Value) -> Value {
    let mut key = jwk(Algorithm::EdDSA, key_id);
    key["issuer"] = issuer;
    key
}

async fn ring(document: String) -> (KeyRing, ManualClock) {
    let (client, clock) = (FakeClient::new(document), ManualClock::default());
    let ring = KeyRing::jwks_url(TEMPLATE, URL).client(client).clock(clock.clone());
    (ring.open().await.unwrap(), clock)
}

async fn open() -> (KeyRing, ManualClock) {
    ring(set([jwk(Algorithm::EdDSA, "a")])).await
}

fn builder(keys: &KeyRing) -> SessionsBuilder<Value> {
    Sessions::builder(keys.clone(), TEMPLATE, "orders")
}

fn of(clock: &ManualClock, key_id: &str, iss: &str, tid: Option<Value>) -> String {
    token_with(clock, Algorithm::EdDSA, key_id, |_, claims| {
        claims["iss"] = iss.into();
        claims["auth_time"] = claims["iat"].clone();
        if let Some(tid) = tid {
            claims["tid"] = tid;
        }
    })
}

fn judge(sessions: &Sessions<Value>, token: &str) -> Result<(), RejectionKind> {
    let explained = sessions.explain(token).rejection;
    let judged = sessions.validate(token).map(drop);
    assert_eq!(judged.as_ref().err(), explained.as_ref());
    judged.map_err(|rejection| rejection.kind())
}

const WRONG: Result<(), RejectionKind> = Err(RejectionKind::WrongIssuer);

#[tokio::test]
async fn token_of_an_allowed_tenant_alone_is_accepted() {
    let (keys, clock) = open().await;
    let listed = builder(&keys).tenants(["one"]).build().unwrap();
    let asked = builder(&keys).tenants_where(|tenant| tenant == "one").build().unwrap();
    for sessions in [listed, asked] {
        let judge = |iss: &str, tid| judge(&sessions, &of(&clock, "a", iss, tid));
        assert_eq!(judge(ONE, None), Ok(()));
        assert_eq!(judge(ONE, Some(json!("one"))), Ok(()));
        assert_eq!(judge(ONE, Some(json!(null))), Ok(()));
        // The claim and the issuer name one tenant.
        for tid in [json!("two"), json!(1), json!(["one"]), json!("")] {
            assert_eq!(judge(ONE, Some(tid)), WRONG);
        }
        assert_eq!(judge(TWO, None), WRONG);
        for iss in [
            TEMPLATE,
            "https://login.example//v2.0",
            "https://login.example/v2.0",
            "https://login.example/one/v2.0/",
            "https://login.example/one/one/v2.0",
            "https://login.example/evil.example/one/v2.0",
            "https://login.example/one?x=/v2.0",
            "https://login.example.evil.example/one/v2.0",
            "http://login.example/one/v2.0",
        ] {
            assert_eq!(judge(iss, None), WRONG, "{iss}");
        }
        let session = sessions.validate(&of(&clock, "a", ONE, Some(json!("one")))).unwrap();
        assert_eq!((session.issuer(), session.claims()["tid"].as_str()), (ONE, Some("one")));
    }
}

#[tokio::test]
async fn tenant_that_is_no_longer_allowed_is_refused_from_the_cache_too() {
    let (keys, clock) = open().await;
    let allowed = Arc::new(StdMutex::new(true));
    let allows = allowed.clone();
    let sessions = builder(&keys).tenants_where(move |_| *allows.lock().unwrap());
    let sessions = sessions.build().unwrap();
    let token = of(&clock, "a", ONE, None);
    assert_eq!((judge(&sessions, &token), judge(&sessions, &token)), (Ok(()), Ok(())));
    *allowed.lock().unwrap() = false;
    assert_eq!(judge(&sessions, &token), WRONG);
}

#[tokio::test]
async fn key_that_is_bound_to_another_issuer_verifies_no_token_of_this_one() {
    let (keys, clock) = ring(set([
        bound("all", json!(TEMPLATE)),
        bound("one", json!(ONE)),
        bound("elsewhere", json!("https://other.example/{tenantid}/v2.0")),
        bound("free", json!(null)),
        bound("odd", json!(5)),
    ]))
    .await;
    let sessions = builder(&keys).tenants(["one", "two"]).build().unwrap();
    for (key_id, one, two) in [
        ("all", Ok(()), Ok(())),
        ("one", Ok(()), WRONG),
        ("elsewhere", WRONG, WRONG),
        ("free", Ok(()), Ok(())),
    ] {
        assert_eq!(judge(&sessions, &of(&clock, key_id, ONE, None)), one, "{key_id}");
        assert_eq!(judge(&sessions, &of(&clock, key_id, TWO, None)), two, "{key_id}");
    }
    let skipped = keys.status().skipped.concat();
    assert!(skipped.contains("`issuer` is a number"), "{skipped}");
    // Sessions of one tenant, on the ring of all.
    let single = Sessions::<Value>::builder(keys, TWO, "orders").build().unwrap();
    assert_eq!(judge(&single, &of(&clock, "all", TWO, None)), Ok(()));
    assert_eq!(judge(&single, &of(&clock, "one", TWO, None)), WRONG);
    assert_eq!(judge(&single, &of(&clock, "all", ONE, None)), WRONG);
}

#[tokio::test]
async fn revocation_of_a_subject_holds_in_its_tenant() {
    let (keys, clock) = open().await;
    let store = TestStore::new();
    let revocations = Revocations::builder("orders").store(store).clock(clock.clone());
    let revocations = revocations.open().await.unwrap();
    let tokens = [ONE, TWO].map(|iss| of(&clock, "a", iss, None));
    let build = |sessions: SessionsBuilder<Value>| {
        sessions.require_auth_time().revocations(revocations.clone()).build().unwrap()
    };
    let asked = build(builder(&keys).tenants_where(|_| true));
    let listed = build(builder(&keys).tenants(["one", "two"]));
    // With any number of tenants, somebody has to say which.
    let error = asked.revoke_subject("alice").await.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    assert!(error.to_string().contains("revoke_subject_of"), "{error}");
    let error = asked.revoke_subject_of("https://other.example", "alice").await.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    asked.revoke_subject_of(ONE, "alice").await.unwrap();
    for sessions in [&asked, &listed] {
        assert_eq!(judge(sessions, &tokens[0]), Err(RejectionKind::Revoked));
        assert_eq!(judge(sessions, &tokens[1]), Ok(()));
    }
    let session = asked.validate(&tokens[1]).unwrap();
    asked.logout_everywhere(&session).await.unwrap();
    assert_eq!(judge(&listed, &tokens[1]), Err(RejectionKind::Revoked));
    clock.advance(Duration::from_secs(100));
    let tokens = [ONE, TWO].map(|iss| of(&clock, "a", iss, None));
    listed.revoke_subject("alice").await.unwrap();
    for token in &tokens {
        assert_eq!(judge(&asked, token), Err(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn multi_tenant_setting_that_cannot_work_is_a_build_error() {
    let (keys, _) = open().await;
    let error = builder(&keys).build().unwrap_err().to_string();
    assert!(error.starts_with("issuer is \"https://login.example/{tenantid}/v2.0\""), "{error}");
    assert!(error.contains("tenants([..])"), "{error}");
    let single = || Sessions::<Value>::builder(keys.clone(), ONE, "orders");
    for (sessions, setting) in [
        (single().tenants(["one"]), "tenants"),
        (single().also_accept_issuer(TEMPLATE), "issuer"),
        (builder(&keys).tenants([""; 0]), "tenants"),
        (builder(&keys).tenants(["one/two"]), "tenants"),
        (Sessions::builder(keys.clone(), "https://login.example/one", "orders"), "issuer"),
    ] {
        assert_eq!(sessions.build().unwrap_err().setting(), Some(setting));
    }
    let own = testing::fixed_ring(ManualClock::default());
    let error = Sessions::<()>::builder(own, TEMPLATE, "orders").build().unwrap_err();
    assert_eq!(error.setting(), Some("issuer"));
}

#[tokio::test]
async fn discovery_of_a_multi_tenant_issuer_is_at_the_url_of_a_tenant() {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let describes = |issuer: &str| {
        let document = json!({ "issuer": issuer, "jwks_uri": URL }).to_string();
        let url = "https://login.example/common/v2.0/.well-known/openid-configuration";
        client.answers(url, Answer::Says(200, "", document));
    };
    let open = async |issuer: &str, tenant: Option<&str>| {
        let ring = KeyRing::discover(issuer).client(client.clone()).clock(ManualClock::default());
        let ring = match tenant {
            Some(tenant) => ring.discovery_tenant(tenant),
            None => ring,
        };
        ring.open().await
    };
    describes(TEMPLATE);
    let keys = open(TEMPLATE, Some("common")).await.unwrap();
    builder(&keys).tenants(["one"]).build().unwrap();
    // What it describes is compared as it is.
    let error = open("https://login.example/common/v2.0", None).await.unwrap_err().to_string();
    assert!(error.contains("it describes another issuer"), "{error}");
    describes(ONE);
    assert!(open(TEMPLATE, Some("common")).await.is_err());
    let error = open(TEMPLATE, None).await.unwrap_err();
    assert!(error.to_string().contains("discovery_tenant"), "{error}");
    for (issuer, tenant) in [(ONE, "common"), (TEMPLATE, "a/b"), (TEMPLATE, "")] {
        let error = open(issuer, Some(tenant)).await.unwrap_err();
        assert_eq!(error.setting(), Some("discovery_tenant"), "{error}");
    }
}
