//! From an issuer's JWKS (RFC 7517, section 5) to keys: one JWK at a time, so that a bad one hurts
//! no other.

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

use super::found::{Answer, Expected, cut};
use crate::keys::algorithm::{self, FULLY_SPECIFIED_ED25519};
use crate::keys::key::{Key, KeyError};
use crate::store::Skipped;

/// The keys of a JWKS that can verify, in the order of their IDs, and what was skipped.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) keys: Vec<Key>,
    pub(super) skipped: Vec<Skipped>,
}

/// More than any issuer publishes, and few enough that checking them takes no time worth naming.
const MOST_KEYS: usize = 128;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// Reads a JWKS.
///
/// # Errors
///
/// If it is none as a whole, or holds too many keys.
pub(super) fn parse(answer: &Answer, rsa_algorithm: Option<Algorithm>) -> Result<Parsed, String> {
    let document: Document =
        serde_json::from_slice(&answer.body).map_err(|_| answer.is_not(Expected::Jwks))?;
    if document.keys.len() > MOST_KEYS {
        let count = document.keys.len();
        return Err(format!("found {count} keys; expected at most {MOST_KEYS}"));
    }
    let mut parsed = Parsed::default();
    for (place, jwk) in document.keys.into_iter().enumerate() {
        let name = name(place, &jwk);
        match key(jwk, rsa_algorithm) {
            Ok(key) => parsed.keys.push(key),
            Err(reason) => parsed.skipped.push(Skipped { name, reason }),
        }
    }
    parsed.keys.sort_by(|one, other| names(one).cmp(&names(other)));
    refuse_doubled(&mut parsed);
    Ok(parsed)
}

/// Whether both are the same public key for the same algorithm.
pub(super) fn is_same(one: &Key, other: &Key) -> bool {
    one.to_jwk() == other.to_jwk()
}

/// What a token names a key by: its `kid` and its `alg`.
fn names(key: &Key) -> (&str, &'static str) {
    (key.key_id(), algorithm::specification(key.algorithm()).map_or("", |known| known.name))
}

/// One key ID may be that of several keys if their algorithms differ (RFC 7517, section 4.5). Of two
/// different keys with the same `kid` and `alg` a token can't say which it means: neither is taken.
fn refuse_doubled(parsed: &mut Parsed) {
    let mut keys = Vec::new();
    for alike in parsed.keys.chunk_by(|one, other| names(one) == names(other)) {
        let (first, others) = (&alike[0], &alike[1..]);
        let different = others.iter().filter(|other| !is_same(first, other)).count();
        if different == 0 {
            keys.push(first.clone());
            continue;
        }
        let (key_id, algorithm) = names(first);
        parsed.skipped.push(Skipped {
            name: quoted(key_id),
            reason: format!(
                "different keys have this `kid` and the same `alg`, {algorithm:?}: expected one key \
                 for each `kid` and `alg`"
            ),
        });
    }
    parsed.keys = keys;
}

/// The members of a JWK that say which key it is and what it is for (RFC 7517, section 4; RFC 7518,
/// section 6; RFC 8037, section 2).
const NEEDED: [&str; 11] = ["kty", "kid", "use", "key_ops", "alg", "crv", "x", "y", "n", "e", "k"];

/// One JWK as a key, or why it can't verify anything here.
fn key(mut jwk: Value, rsa_algorithm: Option<Algorithm>) -> Result<Key, String> {
    let members = jwk.as_object_mut().ok_or("it is no object")?;
    if members.get("kid").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("it has no `kid`, by which a token could mean it".to_owned());
    }
    if members.get("kty").is_some_and(|kty| kty != "oct") && members.contains_key("d") {
        return Err(
            "it is a private key, and no secret any more: the issuer must replace it".into()
        );
    }
    // The others decide nothing, so that nothing depends on their shape: `x5c`, for example.
    members.retain(|name, _| NEEDED.contains(&name.as_str()));
    // RFC 9864, section 2.2; the type of a JWK knows only the older name.
    if let Some(name) = members.get_mut("alg").filter(|name| *name == FULLY_SPECIFIED_ED25519) {
        *name = "EdDSA".into();
    }
    // Without the parser's own words: they may quote a member, and that may be a secret.
    let mut jwk: Jwk = serde_json::from_value(jwk)
        .map_err(|_| "it is no JWK: a member is missing or has a wrong type")?;
    let key = match (Key::from_jwk(&jwk), rsa_algorithm) {
        (Err(KeyError::AmbiguousAlgorithm), Some(algorithm)) => {
            jwk.common.key_algorithm = Some(algorithm.into());
            Key::from_jwk(&jwk)
        }
        (key, _) => key,
    };
    key.map_err(|error| match error {
        KeyError::Symmetric => "it is a shared secret, which can't be published".to_owned(),
        KeyError::AmbiguousAlgorithm => {
            "it names no `alg`, and its type allows several: say which by `rsa_algorithm`"
                .to_owned()
        }
        other => other.to_string(),
    })
}

/// What a JWK is called in logs and in the ring's status.
fn name(place: usize, jwk: &Value) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(key_id) => quoted(key_id),
        None => format!("key {} of the set", place + 1),
    }
}

fn quoted(key_id: &str) -> String {
    format!("kid {}", cut(key_id))
}
