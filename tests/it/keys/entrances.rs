//! One JWK at every entrance: an issuer's JWKS, `from_jwk`, `from_private_jwk`, and a directory.

use axum::body::Body;
use axum::http::{Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_jwt_session::http_client::{ClientBody, ClientFuture, HttpClient};
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, Sessions};

use crate::token::{with, without};

#[derive(Debug)]
struct Issuer(String);

impl HttpClient for Issuer {
    fn send(&self, _: Request<()>) -> ClientFuture<'_> {
        Box::pin(async { Ok(Response::new(ClientBody::new(Body::from(self.0.clone())))) })
    }
}

/// What came of a key at an entrance: its ring, or why there is none.
type Came = (&'static str, Result<KeyRing, String>);

/// At each entrance for a public key.
async fn public(jwk: &Value) -> [Came; 3] {
    let fixed = Key::from_jwk(jwk.to_string()).map_err(|error| error.to_string());
    let fixed = fixed.map(|key| KeyRing::fixed([key]).build().unwrap());
    let document = json!({ "keys": [jwk] }).to_string();
    let followed = KeyRing::jwks_url("https://issuer.test", "https://issuer.test/keys")
        .client(Issuer(document));
    let followed = followed.open().await.map_err(|error| error.to_string());
    [("from_jwk", fixed), ("follower", followed), ("directory", directory(jwk).await)]
}

/// At each entrance for a private key.
async fn private(jwk: &Value) -> [Came; 2] {
    let fixed = Key::from_private_jwk(jwk.to_string()).map_err(|error| error.to_string());
    let fixed = fixed.map(|key| KeyRing::fixed([key]).build().unwrap());
    [("from_private_jwk", fixed), ("directory", directory(jwk).await)]
}

async fn directory(jwk: &Value) -> Result<KeyRing, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.jwk"), jwk.to_string()).unwrap();
    let ring = KeyRing::directory(directory.path()).open().await;
    ring.map_err(|error| {
        assert!(error.to_string().contains("a.jwk"), "the file is named: {error}");
        error.to_string()
    })
}

fn jwk(algorithm: Algorithm) -> Value {
    let jwk = serde_json::to_value(fixed_key(algorithm).to_jwk().unwrap()).unwrap();
    with(jwk, "kid", "k")
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn p256() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": "k",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" })
}

/// The numbers of the fixed RSA key, in the order of its PKCS#1 document.
fn rsa() -> Value {
    let pem = include_str!("pem/rsa-2048.pkcs1.pem");
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let mut rest = &der[4..];
    let mut numbers = Vec::new();
    while let [2, length, ..] = rest {
        let (start, length) = match length {
            0x82 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
            0x81 => (3, usize::from(rest[2])),
            short => (2, usize::from(*short)),
        };
        let number = &rest[start..start + length];
        numbers.push(encode(number.strip_prefix(&[0]).unwrap_or(number)));
        rest = &rest[start + length..];
    }
    let mut jwk = json!({ "kty": "RSA", "alg": "RS256", "kid": "k" });
    for (name, number) in ["n", "e", "d", "p", "q", "dp", "dq", "qi"].iter().zip(&numbers[1..]) {
        jwk[*name] = json!(number);
    }
    jwk
}

const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

#[tokio::test]
async fn private_member_in_any_form_disqualifies_a_public_key() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        for (entrance, came) in public(&jwk(algorithm)).await {
            came.unwrap_or_else(|error| panic!("{entrance}: {error}"));
        }
        for member in PRIVATE {
            for value in [json!("AQAB"), json!(""), json!("A="), json!(1), json!([]), json!({})] {
                let jwk = with(jwk(algorithm), member, value);
                for (entrance, came) in public(&jwk).await {
                    let error = came.err().unwrap_or_else(|| panic!("{entrance} took {jwk}"));
                    if entrance != "directory" {
                        let reason = format!("`{member}` is private");
                        assert!(error.contains(&reason), "{entrance}: {error}");
                    }
                }
            }
        }
    }
}

/// The second of two members of one name hides nothing.
#[tokio::test]
async fn private_member_given_twice_disqualifies_a_public_key() {
    let text = jwk(Algorithm::EdDSA).to_string();
    let text = text.replacen('{', r#"{"d":"AQAB","d":null,"#, 1);
    assert!(Key::from_jwk(&text).is_err());
    assert!(Key::from_private_jwk(&text).is_err());
    let document = format!(r#"{{"keys":[{text}]}}"#);
    let ring = KeyRing::jwks_url("https://issuer.test", "https://issuer.test/keys");
    assert!(ring.client(Issuer(document)).open().await.is_err());
}

#[tokio::test]
async fn private_key_is_read_at_every_entrance_for_one() {
    for jwk in [ed25519(), p256(), rsa()] {
        for (entrance, came) in private(&jwk).await {
            let ring = came.unwrap_or_else(|error| panic!("{entrance}: {error}"));
            assert_eq!(ring.status().signing_key_id.as_deref(), Some("k"), "{entrance}");
        }
    }
}

#[tokio::test]
async fn damaged_private_key_is_an_error_with_member_and_reason() {
    let text = |jwk: &Value, member: &str| jwk[member].as_str().unwrap().to_owned();
    let mut cases = Vec::new();
    for jwk in [ed25519(), p256(), rsa()] {
        let members: &[&str] =
            if jwk["kty"] == "RSA" { &["d", "p", "q", "dp", "dq", "qi"] } else { &["d"] };
        for member in members {
            let value = text(&jwk, member);
            let named = format!("`{member}` is ");
            for (damaged, found) in [
                (json!(format!("{value}=")), "padded base64url"),
                (json!(format!("+{}", &value[1..])), "standard base64"),
                (json!(format!("{value}\n")), "text with white space"),
                (json!(7), "a number"),
                (json!(null), "null"),
                (json!([value]), "a list"),
            ] {
                cases.push((with(jwk.clone(), member, damaged), format!("{named}{found}")));
            }
            let found = if jwk["kty"] == "RSA" { "empty" } else { "0 bytes long" };
            cases.push((with(jwk.clone(), member, ""), format!("{named}{found}")));
            if jwk["kty"] == "RSA" {
                let missing = format!("JWK members [{member:?}] are missing");
                cases.push((without(jwk.clone(), member), missing));
            }
        }
        let crossed = with(jwk, "d", encode(&[9; 32]));
        cases.push((crossed, "private key".to_owned()));
    }
    let bare = ["p", "q", "dp", "dq", "qi"].iter().fold(rsa(), |jwk, member| without(jwk, member));
    let missing = r#"JWK members ["p", "q", "dp", "dq", "qi"] are missing"#;
    cases.push((bare, missing.to_owned()));
    cases.push((with(rsa(), "oth", json!([])), "`oth` is given".to_owned()));
    for (jwk, reason) in cases {
        for (entrance, came) in private(&jwk).await {
            let error = came.err().unwrap_or_else(|| panic!("{entrance} took {jwk}"));
            assert!(error.contains(&reason), "{entrance} {jwk}: {error}");
            for member in PRIVATE {
                let hidden = jwk[member].as_str().filter(|secret| secret.len() > 8);
                assert!(hidden.is_none_or(|secret| !error.contains(secret)), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn alg_ed25519_is_known_at_every_entrance() {
    for (entrance, came) in public(&with(jwk(Algorithm::EdDSA), "alg", "Ed25519")).await {
        let ring = came.unwrap_or_else(|error| panic!("{entrance}: {error}"));
        assert_eq!(ring.status().keys[0].algorithm, Algorithm::Ed25519, "{entrance}");
    }
    for (alg, header) in [("Ed25519", "Ed25519"), ("EdDSA", "EdDSA")] {
        for (entrance, came) in private(&with(ed25519(), "alg", alg)).await {
            let ring = came.unwrap_or_else(|error| panic!("{entrance}: {error}"));
            let sessions = Sessions::<()>::builder(ring, "https://issuer.test", "app");
            let sessions = sessions.build().unwrap();
            let token = sessions.issue(&Login::new("alice", ())).unwrap();
            let encoded = json!(token.as_str().split('.').next());
            let read: Value = serde_json::from_slice(&decode(&encoded)).unwrap();
            assert_eq!(read["alg"], header, "{entrance}");
            assert!(sessions.validate(token.as_str()).is_ok());
        }
    }
}

#[tokio::test]
async fn key_ops_are_for_verifying_a_public_and_signing_a_private_key() {
    // As Web Crypto exports the two.
    let verify = with(with(jwk(Algorithm::EdDSA), "key_ops", json!(["verify"])), "ext", true);
    for (entrance, came) in public(&verify).await {
        came.unwrap_or_else(|error| panic!("{entrance}: {error}"));
    }
    for operations in [json!(["sign"]), json!(["sign", "verify"])] {
        for key in [ed25519(), p256(), rsa()] {
            let sign = with(with(key, "key_ops", operations.clone()), "ext", true);
            for (entrance, came) in private(&sign).await {
                came.unwrap_or_else(|error| panic!("{entrance}: {error}"));
            }
        }
    }
    let not_for_signing =
        [("key_ops", json!(["verify"])), ("key_ops", json!("sign")), ("use", json!("enc"))];
    for (member, value) in not_for_signing {
        for (entrance, came) in private(&with(ed25519(), member, value)).await {
            let error = came.err().unwrap_or_else(|| panic!("{entrance}"));
            assert!(error.contains(&format!("`{member}` is ")), "{entrance}: {error}");
        }
    }
}

#[tokio::test]
async fn number_with_sign_byte_or_short_is_normalized() {
    let signed = |algorithm: Algorithm, member: &str| {
        let number = decode(&jwk(algorithm)[member]);
        with(jwk(algorithm), member, encode(&[&[0], &*number].concat()))
    };
    let mut cases = vec![
        (signed(Algorithm::RS256, "n"), jwk(Algorithm::RS256)),
        (signed(Algorithm::RS256, "e"), jwk(Algorithm::RS256)),
        (signed(Algorithm::ES256, "x"), jwk(Algorithm::ES256)),
        (signed(Algorithm::ES384, "y"), jwk(Algorithm::ES384)),
    ];
    // RFC 7517, appendix A.1 has none that begins with a zero; this point of P-256 does.
    let short = json!({ "kty": "EC", "crv": "P-256", "kid": "k",
        "x": SHORT.0, "y": SHORT.1 });
    let cut = decode(&short["x"]);
    assert_eq!((cut.len(), cut[0]), (32, 0));
    cases.push((with(short.clone(), "x", encode(&cut[1..])), short));
    for (varied, plain) in cases {
        let thumbprint = |jwk: Value| {
            let key = Key::from_jwk(without(jwk, "kid").to_string()).unwrap();
            key.key_id().to_owned()
        };
        assert_eq!(thumbprint(varied.clone()), thumbprint(plain.clone()), "{varied}");
        let ring = public(&plain).await.map(|(_, came)| came.unwrap().jwks());
        for ((entrance, came), plain) in public(&varied).await.into_iter().zip(ring) {
            let ring = came.unwrap_or_else(|error| panic!("{entrance} {varied}: {error}"));
            assert_eq!(ring.jwks(), plain, "{entrance}");
        }
    }
}

#[tokio::test]
async fn member_that_decides_nothing_is_ignored_whatever_it_is() {
    let mut odd = jwk(Algorithm::RS256);
    for member in ["x5c", "x5t", "x5t#S256", "x5u", "ext", "exp", "y"] {
        for value in [json!("text"), json!(5), json!({}), json!([1]), json!(null)] {
            odd[member] = value.clone();
            for (entrance, came) in public(&odd).await {
                came.unwrap_or_else(|error| panic!("{entrance} {member} {value}: {error}"));
            }
        }
    }
    // Serializers write null for what is not there.
    for member in ["use", "key_ops", "issuer"] {
        for (entrance, came) in public(&with(jwk(Algorithm::EdDSA), member, json!(null))).await {
            came.unwrap_or_else(|error| panic!("{entrance} {member}: {error}"));
        }
    }
}

#[tokio::test]
async fn text_that_is_not_one_jwk_is_named_as_what_it_is() {
    for (text, reason) in [
        (r#"{"keys":[]}"#, "a JWK Set"),
        ("[]", "found a list"),
        (r#""text""#, "found a string"),
        ("{", "no JSON object at line 1"),
        ("", "no JSON object at line 1"),
    ] {
        for read in [|text| Key::from_jwk(text), |text: &str| Key::from_private_jwk(text)] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
    let marked = format!("\u{feff}{}", jwk(Algorithm::EdDSA));
    Key::from_jwk(marked).unwrap();
}

/// A point of P-256 whose x begins with a zero byte.
const SHORT: (&str, &str) =
    ("AHKSjG5u7uMU6kZbptva-GaBJWDZeI8N62RWxkcH4sI", "sNwQ1h5MwB7v3WD8I7OlAW8fbwRprhwuYHH3uZ3BKL8");
