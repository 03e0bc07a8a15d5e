//! All checks of a token but those of its key and its signature: to explain a token whose key is not at hand.
//!
//! SECURITY: no session is made of it, since anyone may have written the token.

use serde::de::DeserializeOwned;

use super::checks::Observer;
use super::decode::{Header, Segments, not_decoded, not_split};
use super::policy::Policy;
use super::verify::{check_length, check_type, unreadable};
use crate::base64url::Buffer;
use crate::claims;
use crate::claims::extra::Extra;
use crate::claims::read::Registered;
use crate::clock::Timestamp;
use crate::error::rejection::Rejection;
use crate::keys::schedule::KeyTimes;

/// Checks `token` at `now` as `verify` does, in the same order.
pub(crate) fn check<C: DeserializeOwned>(
    token: &[u8],
    policy: &Policy,
    now: Timestamp,
    observer: &mut impl Observer,
) -> Result<(), Rejection> {
    check_length(token, policy, observer)?;
    let segments = Segments::split(token).ok_or_else(|| not_split(token))?;
    observer.passed("parts", || "3 parts".to_owned());
    let (mut buffer, rules) = (Buffer::new(), &policy.header);
    let ignores_keys = rules.ignores_embedded_keys;
    let (_, header) = Header::parse(segments.header, &mut buffer, ignores_keys, observer)?;
    check_type(header.typ.as_deref(), rules, observer)?;
    observer.not_checked("key");
    observer.not_checked("key times");
    if buffer.decode(segments.signature).is_none() {
        return Err(not_decoded("signature", segments.signature));
    }
    observer.not_checked("signature");
    let payload =
        buffer.decode(segments.payload).ok_or_else(|| not_decoded("payload", segments.payload))?;
    let mut registered = Registered::default();
    let mut extra = Extra::new(&policy.extra);
    let _: C = claims::read::read(payload, policy.dialect, &mut registered, &mut extra)
        .map_err(|error| unreadable::<C>(&error))?;
    observer.passed("payload", || "claims that can be read".to_owned());
    if let Some(others) = &policy.others {
        others.fill(&mut registered, &extra);
    }
    // The longest lifetime is then that of the policy.
    let key = (&KeyTimes::fixed(true), None);
    policy.check(&registered, &extra, key, now, observer).map(drop)
}
