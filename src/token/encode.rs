//! From claims to a token: the encoded header of the key, the payload, the signature.

use std::borrow::Cow;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroize as _;

use crate::base64url;
use crate::claims;
use crate::claims::names::{ID_LENGTH, REFRESH_TOKEN_TYPE};
use crate::claims::write::Payload;
use crate::clock::Timestamp;
use crate::error::operation::{OperationError, OperationErrorKind};
use crate::keys::key_set::RingKey;
use crate::store::feed::Register;

/// Writes and signs a token: a refresh token if it has a sequence, else a session token.
pub(crate) fn encode<C: Serialize + DeserializeOwned>(
    payload: &Payload<'_, C>,
    ring_key: &RingKey,
) -> Result<Compact, OperationError> {
    let signer = ring_key.key.signer().ok_or_else(OperationError::no_signing_key)?;
    let mut json = Vec::new();
    claims::write::write(payload, &mut json).map_err(|error| {
        let text = "the claims cannot be written";
        OperationError::with_source(OperationErrorKind::InvalidClaims, text, Arc::new(error))
    })?;
    let header = header(ring_key, payload.seq);
    // Room for the whole, so that growing leaves no copy of it behind.
    let [of_json, of_signature] =
        [json.len(), signer.signature_length()].map(base64url::encoded_length);
    let mut token = String::with_capacity(header.len() + of_json + of_signature + 2);
    token.push_str(&header);
    append(&mut token, &json);
    let signature = signer.sign(token.as_bytes());
    append(&mut token, &signature.map_err(|_| OperationError::random_generator())?);
    Ok(Compact(token))
}

/// How many characters a later token of the same session may have more than one with these claims:
/// its `seq` may be longer.
pub(crate) fn room<C>(payload: &Payload<'_, C>) -> usize {
    let digits = |number: u32| number.checked_ilog10().unwrap_or_default() as usize + 1;
    match payload.seq.map_or(0, |seq| digits(u32::MAX) - digits(seq)) {
        0 => 0,
        // Beside a character of what is there.
        bytes => base64url::encoded_length(bytes) + 1,
    }
}

/// How many characters the `rc` claim adds to a token without it, at most.
pub(crate) fn room_for_claims_version() -> usize {
    let longest = format!(r#","rc":{}"#, Register::MAX_VERSION);
    // Beside a character of what is there.
    base64url::encoded_length(longest.len()) + 1
}

/// How long the shortest token of this issuer and audience is that the key can sign, with the room that a login
/// leaves: for a subject of one character, without claims of the application, with the longest versions of
/// cutoffs where there are revocations, and with the end of a persistent login where there are such. A
/// refresh token if `seq` is given; without a key, what any has at least.
pub(crate) fn shortest(
    iss: &str,
    aud: &str,
    ring_key: Option<&RingKey>,
    seq: Option<u32>,
    has_revocations: bool,
    has_persistent: bool,
) -> Option<usize> {
    let (header, signature) = match ring_key {
        Some(ring_key) => (header(ring_key, seq).len(), ring_key.key.signer()?.signature_length()),
        None => (0, 0),
    };
    let at = Timestamp::from_unix_seconds(1_000_000_000);
    let id = "-".repeat(ID_LENGTH);
    let (jti, sid) = (&*id, &*id);
    let version = if has_revocations { Register::MAX_VERSION } else { 0 };
    let payload = Payload {
        iss,
        sub: "a",
        aud,
        iat: at,
        exp: at,
        jti,
        sid,
        auth_time: at,
        scope: None,
        rv: version,
        rg: version,
        rc: 0,
        pu: has_persistent.then_some(at),
        seq,
        claims: &(),
    };
    let mut json = Vec::new();
    claims::write::write(&payload, &mut json).ok()?;
    let [of_json, of_signature] = [json.len(), signature].map(base64url::encoded_length);
    Some(header + of_json + of_signature + 2 + room(&payload))
}

/// The encoded header: of a refresh token if it has a sequence, else of a session token.
fn header(ring_key: &RingKey, seq: Option<u32>) -> Cow<'_, str> {
    match seq {
        None => Cow::Borrowed(&*ring_key.header),
        Some(_) => ring_key.key.encoded_headers(REFRESH_TOKEN_TYPE).swap_remove(0).into(),
    }
}

/// A token in its compact serialization (RFC 7515, section 7.1); wiped when dropped.
pub(crate) struct Compact(String);

impl Deref for Compact {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Compact {
    fn drop(&mut self) {
        // As a slice, all at once: a string or vector is wiped byte by byte.
        mem::take(&mut self.0).into_bytes().as_mut_slice().zeroize();
    }
}

/// Appends a segment: a dot, and the bytes as base64url.
fn append(token: &mut String, bytes: &[u8]) {
    token.push('.');
    base64url::encode_append(bytes, token);
}
