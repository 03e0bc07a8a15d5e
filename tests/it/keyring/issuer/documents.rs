//! JWKS as they come: one bad key hurts no other, and none is taken that could be misused.

use super::*;
use crate::support::recorder::Events;
use tower_jwt_session::RejectionKind;

/// A good key with one member changed.
fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

fn without(mut jwk: Value, member: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(member);
    jwk
}

async fn open(document: String) -> (KeyRing, ManualClock) {
    let clock = ManualClock::default();
    (following(&FakeClient::new(document), &clock).open().await.unwrap(), clock)
}

#[tokio::test]
async fn bad_key_is_reported_and_hurts_no_other() {
    let ed = || jwk(Algorithm::EdDSA, "bad");
    let ec = || jwk(Algorithm::ES256, "bad");
    let rsa = || jwk(Algorithm::RS256, "bad");
    let cases = [
        (json!(null), "found null, expected one JWK"),
        (json!("key"), "found a string, expected one JWK"),
        (json!([]), "found a list, expected one JWK"),
        (json!({}), "`kty` is missing"),
        (with(ed(), "kid", json!("")), "`kid` is an empty string"),
        (with(ed(), "kid", json!(5)), "`kid` is a number"),
        (json!({ "kid": "bad" }), "`kty` is missing"),
        (with(ed(), "kty", json!("new")), "`kty` is \"new\""),
        (with(ed(), "use", json!("encryption")), "`use` is \"encryption\""),
        (with(with(rsa(), "use", json!("enc")), "d", json!("AAAA")), "`d` is private"),
        (with(ed(), "use", json!(["sig"])), "`use` is [\"sig\"]"),
        (with(ed(), "key_ops", json!(["sign"])), "`key_ops` is [\"sign\"]"),
        (with(ed(), "key_ops", json!([])), "`key_ops` is []"),
        (with(ed(), "key_ops", json!(["encrypt", "sign"])), "`key_ops`"),
        (with(ed(), "key_ops", json!("verify")), "`key_ops` is \"verify\""),
        (with(ed(), "alg", json!(8)), "`alg` is a number"),
        (with(ed(), "crv", json!("X25519")), "`crv` is \"X25519\", expected Ed25519"),
        (with(ed(), "x", json!("AAAA")), "`x` is 3 bytes long, expected 32"),
        (with(ed(), "x", json!("A".repeat(43))), "small order"),
        (with(ed(), "alg", json!("RS256")), "`alg` is \"RS256\", expected EdDSA"),
        (with(ed(), "alg", json!("ES512")), "`alg` is \"ES512\""),
        (with(ed(), "d", json!("A".repeat(43))), "`d` is private"),
        (with(rsa(), "d", json!("AAAA")), "private key"),
        (with(ec(), "crv", json!("P-521")), "`crv` is \"P-521\""),
        (with(ec(), "crv", json!("secp256k1")), "`crv` is \"secp256k1\""),
        (with(ec(), "y", json!("A".repeat(43))), "not a point"),
        (with(ec(), "y", json!(null)), "`y` is null"),
        (with(ec(), "alg", json!("ES384")), "`alg` is \"ES384\", expected ES256"),
        (with(rsa(), "n", json!("AQAB")), "17 bits"),
        // 1,032 and 16,392 bits.
        (with(rsa(), "n", json!("_".repeat(172))), "1032 bits, expected 2048"),
        (with(rsa(), "n", json!("_".repeat(2732))), "16392 bits"),
        // 1, and an even number.
        (with(rsa(), "e", json!("AQ")), "exponent is 1,"),
        (with(rsa(), "e", json!("AQAC")), "exponent is 65538,"),
        (with(rsa(), "alg", json!("RSA-OAEP")), "`alg` is \"RSA-OAEP\""),
        (with(rsa(), "alg", json!("HS256")), "`alg` is \"HS256\""),
        (with(rsa(), "alg", json!("none")), "`alg` is \"none\""),
        (without(rsa(), "alg"), "`rsa_algorithm`"),
        (
            json!({ "kty": "oct", "k": "A".repeat(43), "alg": "HS256", "kid": "bad" }),
            "shared secret",
        ),
    ];
    for (bad, reason) in cases {
        for document in [
            set([bad.clone(), jwk(Algorithm::EdDSA, "good")]),
            set([jwk(Algorithm::EdDSA, "good"), bad.clone()]),
        ] {
            let (keys, clock) = open(document).await;
            assert!(validate(&keys, &clock, Algorithm::EdDSA, "good").is_ok(), "{bad}");
            let status = keys.status();
            assert_eq!(status.keys.len(), 1, "{bad}");
            let [skipped] = status.skipped.as_slice() else { panic!("{bad}: {status:?}") };
            assert!(skipped.contains(reason), "{bad}: {skipped}");
        }
    }
}

/// As every realm of Keycloak publishes one.
#[tokio::test]
async fn key_for_encryption_is_no_fault_and_verifies_nothing() {
    let rsa = || jwk(Algorithm::RS256, "enc-1");
    for other in [
        with(with(rsa(), "use", json!("enc")), "alg", json!("RSA-OAEP")),
        with(rsa(), "use", json!("enc")),
        with(rsa(), "key_ops", json!(["encrypt", "wrapKey"])),
        with(jwk(Algorithm::ES256, "enc-1"), "key_ops", json!(["deriveBits"])),
        json!({ "kid": "enc-1", "kty": "new", "use": "enc" }),
    ] {
        let events = Events::capture();
        let (keys, clock) = open(set([other.clone(), jwk(Algorithm::EdDSA, "a")])).await;
        assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok(), "{other}");
        for algorithm in [Algorithm::RS256, Algorithm::ES256] {
            let refused = validate(&keys, &clock, algorithm, "enc-1").unwrap_err();
            assert_eq!(refused.kind(), RejectionKind::UnknownKey, "{other}");
        }
        let status = keys.status();
        assert_eq!((status.keys.len(), &status.skipped[..]), (1, &[][..]), "{other}");
        assert!(events.warnings().is_empty(), "{other}: {:?}", events.all());
        // With no other key it is the reason.
        let alone = following(&FakeClient::new(set([other.clone()])), &clock);
        let error = alone.start_without_keys().open().await.unwrap_err().to_string();
        assert!(error.contains("\"enc-1\": "), "{other}: {error}");
    }
}

#[tokio::test]
async fn skipped_key_is_reported_without_secret_and_shortened() {
    let secret = "c2VjcmV0".repeat(8);
    let odd = json!({ "kty": "oct", "k": [secret], "alg": secret, "kid": "s\n".repeat(1000) });
    let (keys, _) = open(set([odd, jwk(Algorithm::EdDSA, "a")])).await;
    let skipped = keys.status().skipped.concat();
    assert!(!skipped.contains(&secret) && !skipped.contains('\n'), "{skipped}");
    assert!(skipped.len() < 600, "{skipped}");
}

#[tokio::test]
async fn keys_of_every_public_algorithm_verify() {
    use Algorithm::*;
    for algorithm in [EdDSA, ES256, ES384, RS256, RS384, RS512, PS256, PS384, PS512] {
        let (keys, clock) = open(set([jwk(algorithm, "a")])).await;
        assert!(validate(&keys, &clock, algorithm, "a").is_ok(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn an_algorithm_may_be_left_out_where_only_one_is_possible() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384] {
        let (keys, clock) = open(set([without(jwk(algorithm, "a"), "alg")])).await;
        assert!(validate(&keys, &clock, algorithm, "a").is_ok(), "{algorithm:?}");
    }
    // RFC 9864's name.
    let named = with(jwk(Algorithm::EdDSA, "a"), "alg", json!("Ed25519"));
    let (keys, clock) = open(set([named])).await;
    assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
}

#[tokio::test]
async fn an_rsa_key_without_an_algorithm_takes_the_one_that_is_set() {
    let clock = ManualClock::default();
    let rsa = without(jwk(Algorithm::RS256, "a"), "alg");
    let stated = jwk(Algorithm::PS512, "b");
    let client = FakeClient::new(set([rsa, stated]));
    let keys = following(&client, &clock).rsa_algorithm(Algorithm::RS256).open().await.unwrap();
    assert!(validate(&keys, &clock, Algorithm::RS256, "a").is_ok());
    assert!(validate(&keys, &clock, Algorithm::PS512, "b").is_ok());
    for (algorithm, key_id) in [(Algorithm::PS256, "a"), (Algorithm::RS256, "b")] {
        let refused = validate(&keys, &clock, algorithm, key_id).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::WrongAlgorithm);
    }
}

/// Someone who has the public key signs with it as if it were a secret.
#[tokio::test]
async fn a_public_key_is_no_secret_for_hmac() {
    let (keys, clock) = open(set([jwk(Algorithm::RS256, "a")])).await;
    let refused = validate(&keys, &clock, Algorithm::HS256, "a").unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::WrongAlgorithm);
}

/// Keys of different types, and one key for two algorithms (RFC 7517, section 4.5).
#[tokio::test]
async fn keys_with_one_kid_and_different_algs_all_verify() {
    use Algorithm::*;
    let all = [EdDSA, ES256, ES384, RS256, RS512, PS256];
    for listed in [[EdDSA, ES256], [RS256, PS256], [RS256, RS512], [ES256, RS256]] {
        for [one, other] in [listed, [listed[1], listed[0]]] {
            let document = set([jwk(one, "a"), jwk(ES384, "b"), jwk(other, "a")]);
            let (keys, clock) = open(document).await;
            assert!(validate(&keys, &clock, ES384, "b").is_ok());
            for algorithm in all {
                let kind = validate(&keys, &clock, algorithm, "a").map_err(|error| error.kind());
                let expected = listed.contains(&algorithm);
                assert_eq!(kind.is_ok(), expected, "{listed:?}: {algorithm:?}");
                assert!(expected || kind.err() == Some(RejectionKind::WrongAlgorithm));
            }
            let unknown = validate(&keys, &clock, one, "c").unwrap_err();
            assert_eq!(unknown.kind(), RejectionKind::UnknownKey);
            let status = keys.status();
            assert!(status.skipped.is_empty(), "{status:?}");
            let held: Vec<_> = status.keys.iter().map(|key| key.key_id.as_str()).collect();
            assert_eq!(held, ["a", "a", "b"]);
        }
    }
}

/// A token of the one key must not pass for one of the other.
#[tokio::test]
async fn key_of_same_kid_verifies_no_other_algorithm() {
    use Algorithm::*;
    let (keys, clock) = open(set([jwk(RS256, "a"), jwk(ES256, "a")])).await;
    for (signs, says) in [(ES256, RS256), (RS256, ES256)] {
        let now = clock.now().as_unix_seconds();
        let header = json!({ "alg": says, "typ": "session+jwt", "kid": "a" });
        let claims = json!({
            "iss": ISSUER, "sub": "alice", "aud": "orders",
            "iat": now, "exp": now + 300, "jti": "token-1",
        });
        let key = testing::fixed_key(signs);
        let forged = testing::mint(&key, header.to_string(), claims.to_string());
        let refused = sessions(&keys).validate(&forged).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::BadSignature);
    }
}

#[tokio::test]
async fn different_keys_with_one_kid_and_one_alg_are_both_skipped() {
    let other = with(jwk(Algorithm::EdDSA, "a"), "x", json!(RFC_8037_X));
    let document = set([jwk(Algorithm::EdDSA, "a"), jwk(Algorithm::ES256, "a"), other]);
    let (keys, clock) = open(document).await;
    assert!(validate(&keys, &clock, Algorithm::ES256, "a").is_ok());
    let refused = validate(&keys, &clock, Algorithm::EdDSA, "a").unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::WrongAlgorithm);
    let skipped = keys.status().skipped;
    let [skipped] = skipped.as_slice() else { panic!("{skipped:?}") };
    for part in [r#"kid "a""#, "`alg`", r#""EdDSA""#, "expected one key"] {
        assert!(skipped.contains(part), "{part}: {skipped}");
    }
}

/// The public key of RFC 8037, appendix A.
const RFC_8037_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

#[tokio::test]
async fn a_member_that_decides_nothing_may_have_any_shape() {
    let shapes = [json!(null), json!("text"), json!(5), json!([5]), json!({ "a": [] })];
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        for member in ["x5c", "x5t", "x5t#S256", "x5u", "exp", "iat", "nbf", "iss", "other"] {
            for shape in &shapes {
                let (keys, clock) =
                    open(set([with(jwk(algorithm, "a"), member, shape.clone())])).await;
                assert!(validate(&keys, &clock, algorithm, "a").is_ok(), "{member}: {shape}");
                assert!(keys.status().skipped.is_empty(), "{member}: {shape}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_stands_twice_is_one_key() {
    let key = || jwk(Algorithm::EdDSA, "a");
    let encryption = with(jwk(Algorithm::RS256, "a"), "use", json!("enc"));
    let (keys, clock) = open(set([key(), encryption, key()])).await;
    assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
    assert_eq!(keys.status().keys.len(), 1);
}

#[tokio::test]
async fn a_set_of_too_many_keys_is_refused() {
    let document = |count: usize| {
        let keys: Vec<_> = (0..count).map(|n| jwk(Algorithm::EdDSA, &n.to_string())).collect();
        json!({ "keys": keys }).to_string()
    };
    let clock = ManualClock::default();
    let open = async |count| following(&FakeClient::new(document(count)), &clock).open().await;
    assert_eq!(open(128).await.unwrap().status().keys.len(), 128);
    let error = open(129).await.unwrap_err().to_string();
    assert!(error.contains("found 129 keys; expected at most 128"), "{error}");
}

#[tokio::test]
async fn fingerprint_shows_whether_replicas_hold_same_keys() {
    let [a, b] = [jwk(Algorithm::EdDSA, "a"), jwk(Algorithm::ES256, "b")];
    let fingerprint = async |document| open(document).await.0.status().fingerprint;
    let ab = fingerprint(set([a.clone(), b.clone()])).await;
    assert_eq!(ab, fingerprint(set([b.clone(), a.clone()])).await);
    assert_ne!(ab, fingerprint(set([a.clone()])).await);
    assert_ne!(ab, fingerprint(set([a, jwk(Algorithm::ES384, "b")])).await);
}
