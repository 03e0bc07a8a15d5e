//! From an issuer's JWKS (RFC 7517, section 5) to keys: one JWK at a time, so that a bad one hurts
//! no other.

use std::sync::Arc;

use serde::Deserialize;

use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::CryptoBackend;
use crate::crypto::error::KeyErrorKind;
use crate::keyring::issuer::fetch::Cause;
use crate::keyring::issuer::found::{Answer, Expected, cut};
use crate::keys::jwk::Jwk;
use crate::keys::key::Key;
use crate::store::contract::Skipped;

/// The keys of a JWKS that can verify, in the order of their IDs, and what was skipped.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) keys: Vec<Key>,
    pub(crate) skipped: Vec<Skipped>,
    /// Keys for encryption, which are no fault.
    pub(crate) not_for_signatures: Vec<Skipped>,
}

/// The algorithm of RSA keys that name none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RsaAlgorithm {
    /// The application's setting.
    pub(crate) set: Option<Algorithm>,
    /// The only one that the issuer's metadata lists. It is that of keys that are for signatures.
    pub(crate) described: Option<Algorithm>,
}

/// More than any issuer publishes, and few enough that checking them takes no time worth naming.
const MOST_KEYS: usize = 128;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// Reads a JWKS.
///
/// # Errors
///
/// If it is none as a whole, or holds too many keys, or none that can be used.
pub(crate) fn parse(
    answer: &Answer,
    rsa_algorithm: RsaAlgorithm,
    backend: CryptoBackend,
) -> Result<Parsed, Cause> {
    let document: Document = serde_json::from_slice(&answer.body)
        .map_err(|_| Cause::Document(answer.is_not(Expected::Jwks)))?;
    if document.keys.len() > MOST_KEYS {
        let count = document.keys.len();
        let reason = format!("found {count} keys; expected at most {MOST_KEYS}");
        return Err(Cause::Document(reason));
    }
    let mut parsed = Parsed::default();
    for (place, jwk) in document.keys.into_iter().enumerate() {
        let name = match jwk.key_id() {
            Ok(Some(key_id)) => quoted(key_id),
            _ => format!("key {} of the set", place + 1),
        };
        let bound = |key: Key| key.with_backend(backend).map_err(|error| error.to_string());
        match key(&jwk, rsa_algorithm).and_then(bound) {
            Ok(key) => parsed.keys.push(key),
            Err(reason) if jwk.is_for_encryption() => {
                parsed.not_for_signatures.push(Skipped { name, reason });
            }
            Err(reason) => parsed.skipped.push(Skipped { name, reason }),
        }
    }
    parsed.keys.sort_by(|one, other| names(one).cmp(&names(other)));
    refuse_doubled(&mut parsed);
    if parsed.keys.is_empty() {
        let mut others = parsed.skipped.iter().chain(&parsed.not_for_signatures);
        let Some(Skipped { name, reason }) = others.next() else {
            return Err(Cause::NoKeys);
        };
        let reason = format!("the JWKS holds no key that can be used: {name}: {reason}");
        return Err(Cause::Document(reason));
    }
    Ok(parsed)
}

/// The `kid` and the `alg`, by which a token names its key.
fn names(key: &Key) -> (&str, &'static str) {
    (key.key_id(), key.algorithm().canonical().as_str())
}

/// One key ID may be that of several keys if their algorithms differ (RFC 7517, section 4.5). Of two
/// different keys with the same `kid` and `alg` a token can't say which it means: neither is taken.
fn refuse_doubled(parsed: &mut Parsed) {
    let mut keys = Vec::new();
    for alike in parsed.keys.chunk_by(|one, other| names(one) == names(other)) {
        let (first, others) = (&alike[0], &alike[1..]);
        if others.iter().all(|other| first.is_pair_of(other)) {
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

/// One JWK as a key, or why it can't verify anything here. Without `kid` its ID is its thumbprint.
fn key(jwk: &Jwk, rsa_algorithm: RsaAlgorithm) -> Result<Key, String> {
    let described = rsa_algorithm.described.filter(|_| jwk.is_for_signatures());
    let key = jwk.public(rsa_algorithm.set.or(described)).map_err(|error| match error.kind() {
        KeyErrorKind::SharedSecret => {
            "JWK member `kty` is \"oct\", a shared secret, which cannot be published".to_owned()
        }
        KeyErrorKind::AmbiguousAlgorithm => {
            let fix = "set `rsa_algorithm`";
            match rsa_algorithm.described {
                Some(_) => format!(
                    "{error}, and `use` is not \"sig\", so that metadata do not count: {fix}"
                ),
                None => format!("{error}, and no metadata lists exactly one for RSA: {fix}"),
            }
        }
        _ => error.to_string(),
    })?;
    let issuer = jwk.issuer().map_err(|error| error.to_string())?;
    Ok(key.bound_to(issuer.map(Arc::new)))
}

/// The name of a JWK in logs and in the ring's status.
fn quoted(key_id: &str) -> String {
    format!("kid {}", cut(key_id))
}
