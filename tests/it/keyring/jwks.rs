//! The served JWKS: what is in it, what never is, and how it is cached.

use axum::body::{Body, to_bytes};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, Key, KeyRing};

use crate::support::replicas::{
    FULL_LEAD, LEAD, LIFE, RING, Replica, SKEW, START, pass, pass_until, policy,
};
use crate::support::stores::TestStore;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn document(&self) -> Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }

    fn key_ids(&self) -> Vec<String> {
        let document = self.document();
        let keys = document["keys"].as_array().expect("a list of keys");
        keys.iter().map(|key| key["kid"].as_str().expect("a key ID").to_owned()).collect()
    }

    fn header(&self, name: axum::http::HeaderName) -> &str {
        self.headers[name].to_str().expect("is ASCII")
    }
}

async fn ask(replica: &Replica, method: Method, if_none_match: &[&str]) -> Answer {
    let mut request = Request::builder().method(method).uri("/.well-known/jwks.json");
    for tags in if_none_match {
        request = request.header(IF_NONE_MATCH, *tags);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = replica.sessions.jwks_router().oneshot(request).await.expect("answers");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body").to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(replica: &Replica) -> Answer {
    ask(replica, Method::GET, &[]).await
}

async fn ring_of(algorithm: Algorithm, store: TestStore) -> Replica {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder(RING).store(store).clock(clock.clone()).rotation(policy());
    let ring = builder.algorithm(algorithm).open().await.expect("opens");
    Replica::of(ring, clock, LIFE)
}

#[tokio::test]
async fn the_document_is_a_jwk_set_that_caches_may_keep() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let answer = get(&replica).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header(CONTENT_TYPE), "application/jwk-set+json");
    assert_eq!(answer.header(CACHE_CONTROL), "public, max-age=300");
    let tag = answer.header(ETAG);
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20, "{tag}");
    let served = serde_json::to_value(replica.ring.jwks()).expect("serializes");
    assert_eq!(answer.document(), served);
}

#[tokio::test]
async fn the_signer_and_the_next_key_are_published() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let expected = [replica.key(0).key_id, replica.key(1).key_id];
    assert_eq!(get(&replica).await.key_ids(), expected);
}

#[tokio::test]
async fn key_is_published_from_full_lead_before_signing_to_its_end() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let third = replica.times(1).signs_until;
    pass_until(&[&replica], third - FULL_LEAD).await;
    let next = replica.key(2).key_id;
    assert!(get(&replica).await.key_ids().contains(&next));

    let first = replica.key(1);
    replica.clock.set(first.times.verifies_until - SKEW);
    assert!(get(&replica).await.key_ids().contains(&first.key_id));
    replica.clock.set(first.times.verifies_until);
    assert!(!get(&replica).await.key_ids().contains(&first.key_id));
}

#[tokio::test]
async fn retired_key_is_published_and_revoked_key_is_not() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    pass_until(&[&replica], retired).await;
    assert_eq!(replica.signs(), Some(1));
    assert!(get(&replica).await.key_ids().contains(&replica.key(0).key_id));
    replica.revoke(0).await;
    replica.revoke(2).await;
    let served = get(&replica).await.key_ids();
    assert_eq!(served, [replica.key(1).key_id, replica.key(3).key_id]);
}

#[tokio::test]
async fn no_document_ever_holds_a_secret() {
    let allowed = ["alg", "crv", "kid", "kty", "use", "x", "y"];
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::HS256] {
        let store = TestStore::new();
        let replica = ring_of(algorithm, store.clone()).await;
        let answer = get(&replica).await;
        for key in answer.document()["keys"].as_array().expect("keys") {
            for member in key.as_object().expect("an object").keys() {
                assert!(allowed.contains(&member.as_str()), "{algorithm:?}: {member}");
            }
            assert_eq!(key["use"], "sig");
        }
        let text = String::from_utf8(answer.body).expect("is text");
        for (name, value) in store.entries().await {
            let record: Value = serde_json::from_slice(&value).expect("is JSON");
            if name.starts_with("key-") {
                let material = record["material"]["unsealed"].as_str().expect("a private key");
                assert!(!text.contains(material), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_ring_of_shared_secrets_publishes_nothing() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let answer = get(&ring_of(algorithm, TestStore::new()).await).await;
        assert_eq!((answer.status, answer.document()), (StatusCode::OK, json!({"keys": []})));
    }
}

#[tokio::test]
async fn what_a_service_verifies_with_is_what_the_ring_signs_with() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384] {
        let issuer = ring_of(algorithm, TestStore::new()).await;
        let token = issuer.issue();
        let document = get(&issuer).await.document();
        let keys = document["keys"]
            .as_array()
            .expect("keys")
            .iter()
            .map(|key| Key::from_jwk(key.to_string()).expect("is a good key"));
        let ring = KeyRing::fixed(keys).clock(issuer.clock.clone()).build().expect("verifies");
        let follower = Replica::of(ring, issuer.clock.clone(), LIFE);
        assert_eq!(follower.judge(&token), Ok(()));
        follower.try_issue().expect_err("has public keys alone");
    }
}

#[tokio::test]
async fn the_entity_tag_changes_with_the_keys_and_with_nothing_else() {
    let store = MemoryStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store, START + SKEW).await;
    let tag = get(&one).await.header(ETAG).to_owned();
    assert_eq!(get(&two).await.header(ETAG), tag, "the same on every replica");
    pass(&[&one, &two], LEAD).await;
    assert_eq!(get(&one).await.header(ETAG), tag);
    one.revoke(0).await;
    assert_ne!(get(&one).await.header(ETAG), tag);
}

#[tokio::test]
async fn if_none_match_with_current_etag_returns_304() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let tag = get(&replica).await.header(ETAG).to_owned();
    let weak = format!("W/{tag}");
    let list = format!("\"other\", {tag}");
    let weak_list = format!("W/\"other\",{weak} , \"third\"");
    let matching: [&[&str]; 6] =
        [&[&tag], &[&weak], &[&list], &[&weak_list], &["*"], &["\"other\"", &tag]];
    for tags in matching {
        let answer = ask(&replica, Method::GET, tags).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{tags:?}");
        assert_eq!(answer.body, b"");
        assert_eq!(answer.header(ETAG), tag);
        assert_eq!(answer.header(CACHE_CONTROL), "public, max-age=300");
        assert!(!answer.headers.contains_key(CONTENT_TYPE));
    }
    let bare = tag.trim_matches('"');
    let others: [&[&str]; 6] =
        [&["\"other\""], &["W/\"other\""], &[bare], &[""], &["\"*\""], &["\u{e9}"]];
    for tags in others {
        let answer = ask(&replica, Method::GET, tags).await;
        assert_eq!(answer.status, StatusCode::OK, "{tags:?}");
        assert_eq!(answer.key_ids().len(), 2);
    }
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    let got = get(&replica).await;
    let head = ask(&replica, Method::HEAD, &[]).await;
    assert_eq!((head.status, &head.body[..]), (StatusCode::OK, &b""[..]));
    assert_eq!(head.header(CONTENT_LENGTH), got.body.len().to_string());
    for name in [ETAG, CONTENT_TYPE, CACHE_CONTROL] {
        assert_eq!(head.headers[&name], got.headers[&name]);
    }
    let tag = got.header(ETAG);
    let matched = ask(&replica, Method::HEAD, &[tag]).await;
    assert_eq!(matched.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let replica = Replica::open(MemoryStore::new(), START).await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = ask(&replica, method, &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header(ALLOW), "GET,HEAD");
    }
}

fn thumbprint_of(members: &str) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, members.as_bytes()))
}

#[tokio::test]
async fn a_key_id_is_the_thumbprint_of_its_key() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384] {
        let document = get(&ring_of(algorithm, TestStore::new()).await).await.document();
        for key in document["keys"].as_array().expect("keys") {
            // A map of strings, in the order that RFC 7638, section 3.2, asks for.
            let (crv, kty, x, y) = (&key["crv"], &key["kty"], &key["x"], &key["y"]);
            let members = match kty.as_str() {
                Some("OKP") => format!(r#"{{"crv":{crv},"kty":{kty},"x":{x}}}"#),
                _ => format!(r#"{{"crv":{crv},"kty":{kty},"x":{x},"y":{y}}}"#),
            };
            assert_eq!(key["kid"], thumbprint_of(&members));
        }
    }
}

fn key_id_of(jwk: Value) -> String {
    Key::from_jwk(jwk.to_string()).expect("is a good key").key_id().to_owned()
}

/// RFC 7638, section 3.1.
#[test]
fn the_thumbprint_of_an_rsa_key_is_that_of_the_rfc() {
    let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1\
                   L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4\
                   QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO\
                   pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF\
                   Cur-kEgU8awapJzKnqDKgw";
    let jwk = json!({"kty": "RSA", "alg": "RS256", "n": modulus, "e": "AQAB"});
    assert_eq!(key_id_of(jwk.clone()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let mut named = jwk;
    named["kid"] = json!("2011-04-29");
    assert_eq!(key_id_of(named), "2011-04-29");
}

/// RFC 8037, appendix A.3.
#[test]
fn the_thumbprint_of_an_ed25519_key_is_that_of_the_rfc() {
    let point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": point});
    assert_eq!(key_id_of(jwk), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
