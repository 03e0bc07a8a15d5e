//! From a token to a verified one: length, header, key, signature, claims, in this order.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::decode::{Header, Segments};
use super::policy::{Policy, TokenType};
use super::verified::{Texts, Verified};
use crate::base64url::{BASE64URL, Buffer};
use crate::claims::{self, ReadError, Registered};
use crate::clock::Timestamp;
use crate::error::RejectionKind;
use crate::keys::algorithm;
use crate::keys::{KeySet, RingKey};

/// Verifies `token` at `now`. Nothing of the payload is looked at before the signature is found good.
// Out of the way of requests whose token is in the cache.
#[inline(never)]
pub(crate) fn verify<C: DeserializeOwned + 'static>(
    token: &[u8],
    keys: &KeySet,
    policy: &Policy,
    now: Timestamp,
) -> Result<Arc<Verified<C>>, RejectionKind> {
    if token.len() > policy.max_token_bytes {
        return Err(RejectionKind::TooLong);
    }
    let mut buffer = Buffer::new();
    let (segments, ring_key) = authenticate(token, keys, &policy.token_type, &mut buffer, now)?;
    let payload = buffer.decode(segments.payload).ok_or(RejectionKind::Malformed)?;
    let mut registered = Registered::default();
    let claims = claims::read(payload, &policy.parties, policy.dialect, &mut registered).map_err(
        |error| match error {
            ReadError::Malformed => RejectionKind::Malformed,
            ReadError::Claim(name) => RejectionKind::InvalidClaim(name),
            ReadError::Application => RejectionKind::ForeignClaims,
        },
    )?;
    let required = policy.check(&registered, &ring_key.scheduled.times, now)?;
    let token_id = match required.token_id {
        Some(token_id) => Cow::Borrowed(token_id),
        None => Cow::Owned(digest(segments.signed)),
    };
    // A token of another issuer may have neither: then it is a session of its own.
    let session_id = registered.sid.as_deref().unwrap_or(&token_id);
    let key_id = ring_key.key.key_id();
    Ok(Arc::new(Verified {
        texts: Texts::new(
            registered.head,
            [required.subject, &token_id, session_id, key_id],
            registered.scope.as_deref(),
        ),
        authenticated_at: registered.auth_time.map(|at| at.0),
        issued_at: required.issued_at,
        expires_at: required.expires_at,
        valid: required.valid.start..required.valid.end.min(keys.limit()),
        algorithm: ring_key.key.algorithm(),
        revocations_version: registered.rv.unwrap_or_default(),
        lifeline: policy.lifelines.of_this_thread().clone(),
        sequence: registered.seq,
        claims,
    }))
}

/// Takes a token apart and finds its signature good: all that comes before its claims.
///
/// SECURITY: the algorithm is the key's. Where the header is not one that the ring's own keys
/// write, it is parsed to find the key, and its `alg` is only compared. The signature is over the
/// bytes as they came.
pub(crate) fn authenticate<'t, 'k>(
    token: &'t [u8],
    keys: &'k KeySet,
    token_type: &TokenType,
    buffer: &mut Buffer,
    now: Timestamp,
) -> Result<(Segments<'t>, &'k RingKey), RejectionKind> {
    // The encoded headers are those of our own type.
    let ours = *token_type == TokenType::Session;
    let known = ours.then(|| keys.by_beginning(token)).flatten();
    let segments = match known {
        Some(ring_key) => Segments::behind(token, ring_key.header.len()),
        None => Segments::split(token),
    };
    let segments = segments.ok_or(RejectionKind::Malformed)?;
    let by_header = || ours.then(|| keys.by_encoded_header(segments.header)).flatten();
    let ring_key = match known.or_else(by_header) {
        Some(ring_key) => ring_key,
        None => key_of_header(&Header::parse(segments.header, buffer)?, keys, token_type)?,
    };
    if !keys.verifies(ring_key, now) {
        return Err(RejectionKind::UnknownKey);
    }
    let signature = buffer.decode(segments.signature).ok_or(RejectionKind::Malformed)?;
    if !ring_key.key.verifier().verify(segments.signed, signature) {
        return Err(RejectionKind::BadSignature);
    }
    Ok((segments, ring_key))
}

/// Names a token that has no `jti`, by what is signed: an ECDSA signature can be written in two ways.
fn digest(signed: &[u8]) -> String {
    BASE64URL.encode_to_string(algorithm::sha256(signed))
}

fn key_of_header<'k>(
    header: &Header,
    keys: &'k KeySet,
    token_type: &TokenType,
) -> Result<&'k RingKey, RejectionKind> {
    if !token_type.accepts(header.token_type.as_deref()) {
        return Err(RejectionKind::WrongType);
    }
    let key_id = header.key_id.as_deref().ok_or(RejectionKind::UnknownKey)?;
    keys.by_key_id(key_id, header.algorithm).ok_or_else(|| match keys.of_key_id(key_id).next() {
        Some(_) => RejectionKind::WrongAlgorithm,
        None => RejectionKind::UnknownKey,
    })
}
