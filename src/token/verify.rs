//! From a token to a verified one: length, header, key, signature, claims, in this order.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::checks::Observer;
use super::decode::{Header, Segments, not_decoded, not_split};
use super::header_rules::{HeaderRules, TokenType};
use super::policy::Policy;
use super::verified::{Texts, Verified};
use crate::base64url::{self, Buffer};
use crate::claims;
use crate::claims::extra::Extra;
use crate::claims::read::{ReadError, Registered, Unread};
use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend;
use crate::error::detail::{List, of_message, without_quotes};
use crate::error::rejection::{Rejection, RejectionKind};
use crate::keys::key_set::{KeySet, RingKey};
use crate::revocation::digest::{self, Digests};
use crate::revocation::versions::Versions;

/// Verifies `token` at `now`. The payload is not read before the signature is verified.
// Out of the way of requests whose token is in the cache.
#[inline(never)]
pub(crate) fn verify<C: DeserializeOwned>(
    token: &[u8],
    keys: &KeySet,
    policy: &Policy,
    now: Timestamp,
    observer: &mut impl Observer,
) -> Result<Arc<Verified<C>>, Rejection> {
    check_length(token, policy, observer)?;
    let mut buffer = Buffer::new();
    let (segments, ring_key) =
        authenticate(token, keys, &policy.header, &mut buffer, now, observer)?;
    let payload =
        buffer.decode(segments.payload).ok_or_else(|| not_decoded("payload", segments.payload))?;
    let mut registered = Registered::default();
    let mut extra = Extra::new(&policy.extra);
    let claims = claims::read::read(payload, policy.dialect, &mut registered, &mut extra)
        .map_err(|error| unreadable::<C>(&error))?;
    observer.passed("payload", || "claims that can be read".to_owned());
    if let Some(others) = &policy.others {
        others.fill(&mut registered, &extra);
    }
    let key = (&ring_key.scheduled.times, ring_key.key.issuer());
    let required = policy
        .check(&registered, &extra, key, now, observer)
        .map_err(|rejection| of_session(rejection, policy, &registered))?;
    let token_id = match required.token_id {
        Some(token_id) => Cow::Borrowed(token_id),
        // What is signed names it: an ECDSA signature can be written in two ways.
        None => Cow::Owned(base64url::encode(backend::sha256([segments.signed]))),
    };
    // A token of another issuer may have neither: then it is a session of its own.
    let session_id = policy.session_id(&registered).unwrap_or(&token_id);
    let (is_own_id, subject) = (policy.has_own_session_ids, required.subject);
    let digests =
        policy.is_revocable.then(|| Digests::of(required.issuer, session_id, is_own_id, subject));
    Ok(Arc::new(Verified {
        texts: Texts::new(
            [required.issuer, required.subject, &token_id, session_id, ring_key.key.key_id()],
            registered.scope.as_deref(),
        ),
        authenticated_at: registered.auth_time.map(|at| at.0),
        persistent_until: registered.pu.map(|at| at.0),
        issued_at: required.issued_at,
        expires_at: required.expires_at,
        valid: required.valid.start..required.valid.end.min(keys.limit()),
        algorithm: ring_key.key.algorithm(),
        versions: Versions {
            subject: registered.rv.unwrap_or_default(),
            all: registered.rg.unwrap_or_default(),
            claims: registered.rc.unwrap_or_default(),
        },
        digests,
        sequence: registered.seq,
        roles: extra.texts_at(&policy.roles),
        claims,
    }))
}

#[inline(always)]
pub(super) fn check_length(
    token: &[u8],
    policy: &Policy,
    observer: &mut impl Observer,
) -> Result<(), Rejection> {
    if token.len() > policy.max_token_bytes {
        let found = format_args!("{} bytes", token.len());
        let expected = format_args!("at most {} (max_token_bytes)", policy.max_token_bytes);
        return Err(RejectionKind::TooLong.about("token", found, expected));
    }
    observer.passed("length", || format!("{} bytes", token.len()));
    Ok(())
}

/// Splits a token and verifies its signature: all steps before its claims.
///
/// SECURITY: the algorithm is the key's. Where the header is not one that the ring's own keys
/// write, it is parsed to find the key, and its `alg` is only compared. The signature is over the
/// bytes as they came.
#[inline(always)]
pub(crate) fn authenticate<'t, 'k>(
    token: &'t [u8],
    keys: &'k KeySet,
    rules: &HeaderRules,
    buffer: &mut Buffer,
    now: Timestamp,
    observer: &mut impl Observer,
) -> Result<(Segments<'t>, &'k RingKey), Rejection> {
    // The encoded headers are those of our own type.
    let ours = rules.token_type == TokenType::Session;
    let known = ours.then(|| keys.by_beginning(token)).flatten();
    let segments = match known {
        Some(ring_key) => Segments::behind(token, ring_key.header.len()),
        None => Segments::split(token),
    };
    let segments = segments.ok_or_else(|| not_split(token))?;
    observer.passed("parts", || "3 parts".to_owned());
    let by_header = || ours.then(|| keys.by_encoded_header(segments.header)).flatten();
    let ring_key = match known.or_else(by_header) {
        Some(ring_key) => {
            let key = &ring_key.key;
            observer.passed("header", || "the header of a key of the ring".to_owned());
            observer.passed("algorithm", || format!("{:?}", key.algorithm()));
            observer.passed("type", || rules.token_type.to_string());
            observer.passed("key", || key_text(key.key_id()));
            ring_key
        }
        None => key_of_header(segments.header, buffer, keys, rules, now, observer)?,
    };
    if !keys.verifies(ring_key, now) {
        return Err(key_is_over(ring_key, keys, now));
    }
    observer.passed("key times", || format!("a key that verifies at {now}"));
    let signature = buffer
        .decode(segments.signature)
        .ok_or_else(|| not_decoded("signature", segments.signature))?;
    if !ring_key.key.verify(segments.signed, signature) {
        return Err(Rejection::new(RejectionKind::BadSignature));
    }
    observer.passed("signature", || "the signature of the key".to_owned());
    Ok((segments, ring_key))
}

/// A refusal of a token whose signature is valid, with its session's ID for the log.
#[cold]
#[inline(never)]
fn of_session(rejection: Rejection, policy: &Policy, claims: &Registered<'_>) -> Rejection {
    match (claims.iss.as_deref(), policy.session_id(claims)) {
        (Some(issuer), Some(id)) if !id.is_empty() => {
            let is_own_id = policy.has_own_session_ids;
            rejection.of_session(digest::shown_session(issuer, id, is_own_id))
        }
        _ => rejection,
    }
}

/// Why a payload is refused that could not be read.
#[cold]
#[inline(never)]
pub(super) fn unreadable<C>(error: &ReadError) -> Rejection {
    let (found, expected) = of_message(&error.message);
    match error.what {
        Unread::Malformed => {
            let expected = expected.unwrap_or("an object in JSON, without repeated names");
            RejectionKind::Malformed.about("payload", found, expected)
        }
        Unread::Claim(name) => {
            let expected = expected.unwrap_or("a value that the claim can have");
            RejectionKind::InvalidClaim(name).about(name, found, expected)
        }
        Unread::Application => {
            let found = match expected {
                Some(expected) => format!("{found}, expected {expected}"),
                None => found.to_owned(),
            };
            let found = without_quotes(&found);
            let expected = format_args!("claims of the type {}", std::any::type_name::<C>());
            RejectionKind::InvalidApplicationClaims.about("application claims", found, expected)
        }
    }
}

/// Why a key is refused that the ring holds.
#[cold]
#[inline(never)]
fn key_is_over(ring_key: &RingKey, keys: &KeySet, now: Timestamp) -> Rejection {
    let key_id = ring_key.key.key_id();
    if !ring_key.scheduled.revoked && keys.is_out_of_date(now) {
        return keys_unavailable(key_id, keys);
    }
    let until = ring_key.scheduled.times.verifies_until.min(keys.limit());
    let found = match ring_key.scheduled.revoked {
        true => format!("{key_id:?}, which is revoked"),
        false => format!("{key_id:?}, which verifies until {until}"),
    };
    let expected = format_args!("a key that verifies at {now}");
    RejectionKind::UnknownKey.about("header kid", found, expected)
}

/// Why no key of an issuer can be asked about a token, which may be valid.
#[cold]
#[inline(never)]
fn keys_unavailable(key_id: &str, keys: &KeySet) -> Rejection {
    let expected = match keys.keys() {
        [] => "the keys of the issuer, which were never fetched".to_owned(),
        _ => format!("keys of the issuer that verify after {}", keys.limit()),
    };
    RejectionKind::KeysUnavailable.about("header kid", format_args!("{key_id:?}"), expected)
}

fn key_text(key_id: &str) -> String {
    format!("kid {key_id:?}")
}

/// The key that a header names which none of the ring's own keys writes.
// Out of the way of those that they write.
#[inline(never)]
fn key_of_header<'k>(
    header: &[u8],
    buffer: &mut Buffer,
    keys: &'k KeySet,
    rules: &HeaderRules,
    now: Timestamp,
    observer: &mut impl Observer,
) -> Result<&'k RingKey, Rejection> {
    let (algorithm, header) = Header::parse(header, buffer, rules.ignores_embedded_keys, observer)?;
    check_type(header.typ.as_deref(), rules, observer)?;
    let key_id = header.kid.as_deref();
    let found = key_id.and_then(|key_id| keys.by_key_id(key_id, algorithm));
    let ring_key = match found {
        Some(ring_key) => ring_key,
        None if rules.without_key_id => {
            let found = keys.only_key(key_id, algorithm, now);
            found.map_err(|count| no_only_key(key_id, algorithm, count, keys, now))?
        }
        None => return Err(no_key(key_id, algorithm, keys, now)),
    };
    observer.passed("key", || key_text(ring_key.key.key_id()));
    Ok(ring_key)
}

/// Checks the `typ` of a header that none of the ring's own keys writes.
pub(super) fn check_type(
    typ: Option<&str>,
    rules: &HeaderRules,
    observer: &mut impl Observer,
) -> Result<(), Rejection> {
    if !rules.token_type.accepts(typ) {
        let setting = match rules.token_type {
            TokenType::Other { .. } => " (accept_token_type)",
            TokenType::Session | TokenType::Refresh => "",
        };
        let expected = format_args!("{}{setting}", rules.token_type);
        return Err(RejectionKind::WrongType.about("header typ", Found(typ), expected));
    }
    observer.passed("type", || Found(typ).to_string());
    Ok(())
}

/// Why no key of the ring is the one that a header names.
#[cold]
#[inline(never)]
fn no_key(key_id: Option<&str>, algorithm: Algorithm, keys: &KeySet, now: Timestamp) -> Rejection {
    if keys.is_out_of_date(now) {
        return keys_unavailable(key_id.unwrap_or("none"), keys);
    }
    let mut others = key_id.into_iter().flat_map(|key_id| keys.of_key_id(key_id));
    if let Some(other) = others.next() {
        let found = format_args!("{algorithm:?}");
        let expected = format_args!("{:?}, the algorithm of the key", other.key.algorithm());
        return RejectionKind::WrongAlgorithm.about("header alg", found, expected);
    }
    let held: Vec<_> = keys.keys().iter().take(4).map(|key| key.key.key_id()).collect();
    let more = if keys.keys().len() > held.len() { " and others" } else { "" };
    let held = format_args!("{}{more}", List(&held));
    let (found, kind) = (Found(key_id), RejectionKind::UnknownKey);
    let Some((fetched, cooldown)) = keys.fetched_ago(now) else {
        return kind.about("header kid", found, format_args!("a key of the ring: {held}"));
    };
    let expected = format_args!(
        "a key of the followed issuer, fetched {}s ago, and again for an unknown key at most every \
         {cooldown:?} (unknown_key_cooldown): {held}",
        fetched.as_secs(),
    );
    kind.about("header kid", found, expected)
}

/// Why no key of the ring can be the only one that a token without the ID of a key may mean.
#[cold]
#[inline(never)]
fn no_only_key(
    key_id: Option<&str>,
    algorithm: Algorithm,
    count: usize,
    keys: &KeySet,
    now: Timestamp,
) -> Rejection {
    if key_id.is_some_and(|key_id| keys.of_key_id(key_id).next().is_some()) || count == 0 {
        return no_key(key_id, algorithm, keys, now);
    }
    let found = format_args!("{}, and {count} keys for {algorithm:?}", Found(key_id));
    RejectionKind::UnknownKey.about("header kid", found, "the `kid` of one of them")
}

/// A text that was found, or that there is none.
struct Found<'a>(Option<&'a str>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, "{text:?}"),
            None => f.write_str("none"),
        }
    }
}
