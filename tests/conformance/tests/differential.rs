//! Against `jsonwebtoken`: every algorithm both ways, and mutated tokens on which the two may differ
//! only where it is said why.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use tower_jwt_session::testing::primitives::sign;
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, Sessions, Timestamp};

/// All but the last, which is `EdDSA` under another name.
const ALGORITHMS: [Algorithm; 12] = *Algorithm::ALL.first_chunk().unwrap();

type Claims = BTreeMap<String, Value>;

/// The oracle reads the system's clock, so both do: the manual one is set to it.
fn now() -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time of this age")
}

fn sessions(key: Key) -> Sessions<Claims> {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(now()));
    let ring = KeyRing::fixed([key]).clock(clock).build().expect("a ring");
    Sessions::builder(ring, "https://issuer.test", "app").build().expect("good settings")
}

/// What the fixed HMAC keys are made of: the tests' own, as a fixed key does not show its secret.
const SECRET: &[u8; 64] = b"another secret for tests, sixty-four bytes long and never used!!";

fn key(algorithm: Algorithm) -> Key {
    Key::hmac_from_text(algorithm, SECRET).unwrap_or_else(|_| fixed_key(algorithm))
}

fn decoding_key(key: &Key) -> DecodingKey {
    match key.to_jwk() {
        Some(jwk) => DecodingKey::from_jwk(&jwk).expect("a public key"),
        None => DecodingKey::from_secret(SECRET),
    }
}

fn encoding_key(algorithm: Algorithm) -> EncodingKey {
    let rsa: &[u8] = include_bytes!("../../../src/testing/rsa-2048.pk8");
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(SECRET),
        Algorithm::EdDSA => {
            EncodingKey::from_ed_der(include_bytes!("../../../src/testing/ed25519.pk8"))
        }
        Algorithm::ES256 => {
            EncodingKey::from_ec_der(include_bytes!("../../../src/testing/p-256.pk8"))
        }
        Algorithm::ES384 => {
            EncodingKey::from_ec_der(include_bytes!("../../../src/testing/p-384.pk8"))
        }
        // The oracle takes PKCS#1 from DER: what a PKCS#8 document of RSA holds from byte 26 on.
        _ => EncodingKey::from_rsa_der(&rsa[26..]),
    }
}

/// The oracle's name of an algorithm.
fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.as_str().parse().expect("known to the oracle")
}

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(theirs(algorithm));
    validation.set_issuer(&["https://issuer.test"]);
    validation.set_audience(&["app"]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    validation.validate_nbf = true;
    validation
}

fn oracle(token: &str, key: &Key) -> Result<jsonwebtoken::TokenData<Claims>, String> {
    jsonwebtoken::decode(token, &decoding_key(key), &validation(key.algorithm()))
        .map_err(|error| error.to_string())
}

fn header(key: &Key) -> Value {
    json!({ "alg": format!("{:?}", key.algorithm()), "typ": "session+jwt", "kid": key.key_id() })
}

fn payload() -> Value {
    json!({
        "iss": "https://issuer.test", "sub": "alice", "aud": "app", "jti": "token-1",
        "iat": now(), "exp": now() + 600, "role": ["admin", { "since": 2020 }],
    })
}

#[test]
fn oracle_verifies_issued_tokens_of_every_algorithm() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let claims = Claims::from([("role".into(), json!(["admin", 1.5, null]))]);
        let token = sessions(key.clone()).issue(&Login::new("alice", claims)).expect("issued");
        let read =
            oracle(token.as_str(), &key).unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        assert_eq!(read.header.alg, theirs(algorithm));
        assert_eq!(read.header.typ.as_deref(), Some("session+jwt"));
        assert_eq!(read.header.kid.as_deref(), Some(key.key_id()));
        assert_eq!(read.claims["sub"], "alice");
        assert_eq!(read.claims["role"], json!(["admin", 1.5, null]));
        assert_eq!(read.claims["exp"], token.expires_at().as_unix_seconds());
    }
}

#[test]
fn what_the_oracle_issues_is_verified_by_every_algorithm() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let mut header = Header::new(theirs(algorithm));
        header.typ = Some("session+jwt".into());
        header.kid = Some(key.key_id().into());
        let token = jsonwebtoken::encode(&header, &payload(), &encoding_key(algorithm))
            .unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        let session = sessions(key)
            .validate(&token)
            .unwrap_or_else(|rejection| panic!("{algorithm:?}: {rejection}"));
        assert_eq!(session.subject(), "alice");
        assert_eq!(session.claims()["role"], payload()["role"]);
    }
}

/// Why the two may differ on a token. All but one are cases where this crate is the stricter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Difference {
    /// They have to agree: both accept it, or both refuse it.
    None,
    /// Refused here: RFC 8725, section 3.11, explicit typing. The oracle does not look at `typ`.
    Typed,
    /// Refused here: `kid` chooses the key. The oracle is given its key.
    KeyById,
    /// Refused here: names that stand twice (RFC 7519, section 4 lets a parser take the last). The
    /// oracle refuses those that it reads.
    DoubledName,
    /// Refused here: members that no rule of this crate understands (RFC 7515, section 4.1.11), or
    /// that bring a key. The oracle ignores them.
    RefusedMember,
    /// Refused here: `jti` and `iat` are required, and a lifetime is bounded.
    Required,
    /// Refused here: a claim of a wrong type. The oracle reads what it does not use as it comes.
    WrongType,
    /// Accepted here: RFC 9864 names Ed25519 so. The oracle knows RFC 8037's `EdDSA` alone.
    FullySpecified,
}

/// A token's name, the token, and why the two may differ on it.
type Mutant = (String, String, Difference);

fn mutants(key: &Key) -> Vec<Mutant> {
    use Difference::*;
    let mut mutants = Vec::new();
    let set = |object: &Value, name: &str, value: Value| {
        let mut object = object.clone();
        object[name] = value;
        object.to_string()
    };
    let unset = |object: &Value, name: &str| {
        let mut object = object.clone();
        object.as_object_mut().expect("an object").remove(name);
        object.to_string()
    };
    let splice = |object: &Value, text: &str| {
        let object = object.to_string();
        format!("{},{text}}}", &object[..object.len() - 1])
    };
    let (h, p) = (header(key), payload());

    let headers = [
        ("unchanged", h.to_string(), None),
        ("white space", format!(" \n{h}\t"), None),
        ("no typ", unset(&h, "typ"), Typed),
        ("typ JWT", set(&h, "typ", json!("JWT")), Typed),
        ("no kid", unset(&h, "kid"), KeyById),
        ("other kid", set(&h, "kid", json!("other")), KeyById),
        ("null kid", set(&h, "kid", json!(null)), KeyById),
        ("no alg", unset(&h, "alg"), None),
        ("alg none", set(&h, "alg", json!("none")), None),
        ("alg null", set(&h, "alg", json!(null)), None),
        ("alg in lower case", set(&h, "alg", json!("eddsa")), None),
        (
            "alg Ed25519",
            set(&h, "alg", json!("Ed25519")),
            match key.algorithm() {
                Algorithm::EdDSA => FullySpecified,
                _ => None,
            },
        ),
        ("unknown member", set(&h, "x", json!({ "a": [1] })), None),
        ("crit", set(&h, "crit", json!(["exp"])), RefusedMember),
        ("b64", set(&h, "b64", json!(false)), RefusedMember),
        ("enc", set(&h, "enc", json!("A256GCM")), RefusedMember),
        ("zip", set(&h, "zip", json!("DEF")), RefusedMember),
        ("jku", set(&h, "jku", json!("https://a.test")), RefusedMember),
        ("x5u", set(&h, "x5u", json!("https://a.test")), RefusedMember),
        ("x5c", set(&h, "x5c", json!(["AAAA"])), RefusedMember),
        ("doubled alg", splice(&h, &format!(r#""alg":{}"#, h["alg"])), None),
        ("doubled unknown", splice(&h, r#""x":1,"x":1"#), DoubledName),
        ("array", "[]".into(), None),
        ("text", "\"EdDSA\"".into(), None),
        ("empty", String::new(), None),
        ("trailing text", format!("{h}x"), None),
    ];
    for (name, header, difference) in headers {
        mutants.push((format!("header: {name}"), mint(key, header, p.to_string()), difference));
    }

    let payloads = [
        ("unchanged", p.to_string(), None),
        ("white space", format!(" \n{p}\t"), None),
        ("expired", set(&p, "exp", json!(now() - 1000)), None),
        ("not yet valid", set(&p, "nbf", json!(now() + 1000)), None),
        ("valid already", set(&p, "nbf", json!(now() - 1000)), None),
        ("exp as text", set(&p, "exp", json!((now() + 600).to_string())), None),
        ("exp null", set(&p, "exp", json!(null)), None),
        ("exp missing", unset(&p, "exp"), None),
        ("exp negative", set(&p, "exp", json!(-1)), None),
        ("exp huge", splice(&json!(without(&p, "exp")), r#""exp":1e400"#), None),
        ("exp with a fraction", set(&p, "exp", json!(now() as f64 + 600.5)), None),
        ("iss missing", unset(&p, "iss"), None),
        ("iss with a slash", set(&p, "iss", json!("https://issuer.test/")), None),
        ("iss null", set(&p, "iss", json!(null)), None),
        ("sub missing", unset(&p, "sub"), None),
        ("aud missing", unset(&p, "aud"), None),
        ("aud longer", set(&p, "aud", json!("app2")), None),
        ("aud among others", set(&p, "aud", json!(["a", "app"])), None),
        ("aud empty", set(&p, "aud", json!([])), None),
        ("aud null", set(&p, "aud", json!(null)), None),
        ("nbf null", set(&p, "nbf", json!(null)), None),
        ("nbf as text", set(&p, "nbf", json!("0")), None),
        ("sub a number", set(&p, "sub", json!(42)), None),
        ("iat as text", set(&p, "iat", json!("0")), WrongType),
        ("iat missing", unset(&p, "iat"), Required),
        ("jti missing", unset(&p, "jti"), Required),
        ("a year's lifetime", set(&p, "exp", json!(now() + 31_536_000)), Required),
        ("iat in the future", set(&p, "iat", json!(now() + 300)), Required),
        ("doubled sub", splice(&p, r#""sub":"mallory""#), None),
        ("doubled jti", splice(&p, r#""jti":"token-2""#), DoubledName),
        ("doubled deep", splice(&p, r#""x":[{"a":1,"\u0061":1}]"#), DoubledName),
        ("array", "[]".into(), None),
        ("null", "null".into(), None),
        ("empty", String::new(), None),
        ("trailing text", format!("{p}x"), None),
        ("comment", format!("/**/{p}"), None),
        ("byte order mark", format!("\u{feff}{p}"), None),
        ("lone surrogate", splice(&p, r#""x":"\ud800""#), None),
        ("deep", splice(&p, &format!(r#""x":{}{}"#, "[".repeat(500), "]".repeat(500))), None),
    ];
    for (name, payload, difference) in payloads {
        mutants.push((format!("payload: {name}"), mint(key, h.to_string(), payload), difference));
    }
    mutants.extend(text_mutants(key));
    mutants
}

fn without(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().expect("an object").remove(name);
    object
}

/// A good token whose text was changed. On all of them the two agree.
fn text_mutants(key: &Key) -> Vec<Mutant> {
    let good = mint(key, header(key).to_string(), payload().to_string());
    let [head, body, tail] = *good.split('.').collect::<Vec<_>>() else { panic!("a token") };
    let signed_as_it_is = |head: &str, body: &str| {
        let signature = sign(key, format!("{head}.{body}").as_bytes());
        format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let mut texts = vec![
        ("empty".to_owned(), String::new()),
        ("dots".to_owned(), "..".to_owned()),
        ("two segments".to_owned(), format!("{head}.{body}")),
        ("four segments".to_owned(), format!("{good}.{tail}")),
        ("no signature".to_owned(), format!("{head}.{body}.")),
        ("no payload".to_owned(), format!("{head}..{tail}")),
        ("no header".to_owned(), format!(".{body}.{tail}")),
        ("space before".to_owned(), format!(" {good}")),
        ("line feed after".to_owned(), format!("{good}\n")),
        ("padded signature".to_owned(), format!("{good}=")),
        ("padded header".to_owned(), signed_as_it_is(&format!("{head}="), body)),
        ("padded payload".to_owned(), signed_as_it_is(head, &format!("{body}=="))),
        ("segments swapped".to_owned(), format!("{body}.{head}.{tail}")),
        ("signature of nothing".to_owned(), {
            format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(sign(key, b"")))
        }),
    ];
    for place in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        texts.push((format!("letter {place}"), String::from_utf8(bytes).expect("ASCII")));
    }
    let named = |(name, token)| (format!("text: {name}"), token, Difference::None);
    texts.into_iter().map(named).collect()
}

#[test]
fn the_two_agree_on_mutants_or_it_is_known_why_not() {
    // One key of each kind: the parsing is one, the signatures are not.
    for algorithm in [Algorithm::HS256, Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let key = key(algorithm);
        let sessions = sessions(key.clone());
        let mut seen = Vec::new();
        for (name, token, difference) in mutants(&key) {
            let ours = sessions.validate(&token);
            let theirs = oracle(&token, &key);
            let context = format!(
                "{algorithm:?} {name} ({difference:?}): ours {:?}, theirs {:?}",
                ours.as_ref().err(),
                theirs.as_ref().err()
            );
            match difference {
                Difference::None => assert_eq!(ours.is_ok(), theirs.is_ok(), "{context}"),
                Difference::FullySpecified => assert!(ours.is_ok() && theirs.is_err(), "{context}"),
                _ => assert!(ours.is_err() && theirs.is_ok(), "{context}"),
            }
            if ours.is_ok() && theirs.is_ok() {
                seen.push(name);
            }
        }
        // Not all agreement is on refusal.
        assert!(seen.len() >= 6, "{seen:?}");
    }
}
