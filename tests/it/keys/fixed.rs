//! Keys of the application's own: as PEM and JWK, and replaced by a call.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tower_jwt_session::testing::{fixed_key, fixed_ring};
use tower_jwt_session::{
    Algorithm, Key, KeyErrorKind, KeyRing, KeyState, Login, Sessions, SystemClock,
};

/// The fixed keys as OpenSSL writes them.
const PEM: [(Algorithm, &str, &str); 3] = [
    (Algorithm::EdDSA, include_str!("pem/ed25519.pem"), include_str!("pem/ed25519.pub.pem")),
    (Algorithm::ES256, include_str!("pem/p-256.pem"), include_str!("pem/p-256.pub.pem")),
    (Algorithm::PS256, include_str!("pem/rsa-2048.pem"), include_str!("pem/rsa-2048.pub.pem")),
];

fn sessions(keys: KeyRing) -> Sessions<()> {
    Sessions::builder(keys, "https://app.example", "app").build().unwrap()
}

fn ring(keys: impl IntoIterator<Item = Key>) -> Sessions<()> {
    sessions(KeyRing::fixed(keys).build().unwrap())
}

#[test]
fn a_private_pem_signs_what_its_public_pem_verifies() {
    for (algorithm, private, public) in PEM {
        let private = Key::from_pem(algorithm, private.as_bytes()).unwrap();
        let public = Key::from_pem(algorithm, public.as_bytes()).unwrap();
        assert!(private.can_sign() && !public.can_sign());
        assert_eq!(private.key_id(), fixed_key(algorithm).key_id());
        assert_eq!(public.key_id(), private.key_id());
        assert_eq!(public.to_jwk(), private.to_jwk());
        let token = ring([private]).issue(&Login::new("alice", ())).unwrap();
        assert!(ring([public]).validate(token.as_str()).is_ok());
    }
    let traditional = include_str!("pem/rsa-2048.pkcs1.pem");
    let key = Key::from_pem(Algorithm::RS256, traditional.as_bytes()).unwrap();
    assert!(key.can_sign());
    assert_eq!(key.key_id(), fixed_key(Algorithm::RS256).key_id());
}

#[test]
fn a_pem_of_another_kind_or_none_is_refused() {
    for (algorithm, private, public) in PEM {
        for other in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::RS256] {
            let same_kind =
                algorithm == other || algorithm == Algorithm::PS256 && other == Algorithm::RS256;
            for text in [private, public] {
                assert_eq!(Key::from_pem(other, text.as_bytes()).is_ok(), same_kind, "{other:?}");
            }
        }
        assert_eq!(
            Key::from_pem(Algorithm::HS256, private.as_bytes()).unwrap_err().kind(),
            KeyErrorKind::UnsupportedAlgorithm
        );
    }
    for (text, reason) in [
        ("", "it is empty"),
        ("no key", "no line `-----BEGIN"),
        ("{}", "`Key::from_private_jwk`"),
        ("-----BEGIN PRIVATE KEY-----\nbm8=\n", "no line `-----END"),
        ("-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n", "malformed"),
        ("-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PUBLIC KEY-----\n", "malformed"),
        ("-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n", "no such DER"),
    ] {
        let error = Key::from_pem(Algorithm::EdDSA, text).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the PEM text: "), "{text}: {error}");
        assert!(error.contains(reason), "{text}: {error}");
    }
}

/// An `RSAPublicKey` (RFC 8017, appendix A.1.1) of these numbers, with what follows it.
fn rsa_public_pem(numbers: &[&[u8]], after: &[u8]) -> String {
    let element = |tag: u8, content: &[u8]| {
        let [.., high, low] = content.len().to_be_bytes();
        let length = if content.len() < 128 { vec![low] } else { vec![0x82, high, low] };
        [&[tag], &*length, content].concat()
    };
    // A leading zero: the numbers are positive.
    let numbers = numbers.iter().map(|number| element(0x02, &[&[0], *number].concat()));
    let document = [element(0x30, &numbers.collect::<Vec<_>>().concat()), after.to_vec()].concat();
    let text = STANDARD.encode(document);
    format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n")
}

#[test]
fn an_rsa_public_key_is_two_numbers_and_nothing_else() {
    let expected = fixed_key(Algorithm::RS256);
    let jwk = serde_json::to_value(expected.to_jwk().unwrap()).unwrap();
    let [n, e] =
        ["n", "e"].map(|name| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap());
    let read = |pem: String| Key::from_pem(Algorithm::RS256, pem.as_bytes());
    let key = read(rsa_public_pem(&[&n, &e], &[])).unwrap();
    assert_eq!(key.key_id(), expected.key_id());
    assert!(read(rsa_public_pem(&[&n, &e, &e], &[])).is_err());
    assert!(read(rsa_public_pem(&[&n, &e], &[0x02, 0x01, 0x03])).is_err());
    assert!(read(rsa_public_pem(&[&n], &[])).is_err());
}

/// RFC 8037, appendix A: an Ed25519 key, its thumbprint, and nothing else of a JWK.
#[test]
fn a_private_jwk_signs_what_its_public_part_verifies() {
    let json = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let private = Key::from_private_jwk(json).unwrap();
    assert!(private.can_sign());
    assert_eq!(private.key_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let error = Key::from_jwk(json).unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::UnexpectedKey);
    assert!(error.to_string().contains("`d` is private"), "{error}");
    let jwk = serde_json::to_string(&private.to_jwk().unwrap()).unwrap();
    let public = Key::from_jwk(&jwk).unwrap();
    assert!(!public.can_sign());
    let token = ring([private]).issue(&Login::new("alice", ())).unwrap();
    assert!(ring([public]).validate(token.as_str()).is_ok());

    let mixed = json.replace("11qYAYKx", "11qYAYKy");
    assert!(Key::from_private_jwk(&mixed).is_err(), "the parts don't belong together");
    let error = Key::from_private_jwk(&jwk).unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::InvalidMember);
    assert!(error.to_string().contains("`d`"), "{error}");
}

/// RFC 7515, appendix A.3.1.
#[test]
fn a_private_jwk_may_be_of_an_elliptic_curve() {
    let json = r#"{"kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    let private = Key::from_private_jwk(json).unwrap();
    assert_eq!((private.can_sign(), private.algorithm()), (true, Algorithm::ES256));
    let public = serde_json::to_string(&private.to_jwk().unwrap()).unwrap();
    let public = Key::from_jwk(public).unwrap();
    let token = ring([private]).issue(&Login::new("alice", ())).unwrap();
    assert!(ring([public]).validate(token.as_str()).is_ok());

    let mixed = json.replace("jpsQnnGQ", "jpsQnnGR");
    assert!(Key::from_private_jwk(&mixed).is_err(), "the parts don't belong together");
}

#[test]
fn a_shared_secret_as_a_jwk_needs_its_algorithm() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8";
    let json = format!(r#"{{"kty":"oct","k":"{secret}","kid":"one","alg":"HS256"}}"#);
    let key = Key::from_private_jwk(&json).unwrap();
    assert_eq!((key.key_id(), key.algorithm()), ("one", Algorithm::HS256));
    let unnamed = json.replace(r#","alg":"HS256""#, "");
    let error = Key::from_private_jwk(&unnamed).unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::AmbiguousAlgorithm);
}

#[test]
fn a_fixed_ring_is_replaced_whole_or_not_at_all() {
    let old = fixed_key(Algorithm::EdDSA);
    let keys = KeyRing::fixed([old.clone()]).build().unwrap();
    let sessions = sessions(keys.clone());
    let token = sessions.issue(&Login::new("alice", ())).unwrap();

    keys.replace([fixed_key(Algorithm::ES256), old]).unwrap();
    let session = sessions.validate(token.as_str()).unwrap();
    let newer = sessions.issue(&Login::new("alice", ())).unwrap();
    let newer = sessions.validate(newer.as_str()).unwrap();
    assert_ne!(newer.key_id(), session.key_id(), "the first signs, all verify");
    let states: Vec<_> = keys.status().keys.into_iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Signing, KeyState::Verifying]);

    assert!(keys.replace([]).is_err());
    let twice = [fixed_key(Algorithm::RS256), fixed_key(Algorithm::PS256)];
    assert!(keys.replace(twice).is_err(), "one key under two algorithms has one key ID");
    assert!(sessions.validate(token.as_str()).is_ok(), "what it had stays");

    keys.replace([fixed_key(Algorithm::ES256)]).unwrap();
    assert!(sessions.validate(token.as_str()).is_err(), "a key that is gone is gone");
}

#[tokio::test]
async fn only_a_fixed_ring_is_replaced_by_a_call() {
    let store = tower_jwt_session::store::MemoryStore::new();
    let rotated = KeyRing::builder("app").store(store).open().await.unwrap();
    assert!(rotated.replace([fixed_key(Algorithm::EdDSA)]).is_err());
    assert!(fixed_ring(SystemClock).replace([fixed_key(Algorithm::ES256)]).is_ok());
}
