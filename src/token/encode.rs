//! From claims to a token: the encoded header of the key, the payload, the signature.

use std::borrow::Cow;
use std::mem;
use std::ops::Deref;

use base64::Engine as _;
use serde::Serialize;
use smallvec::SmallVec;
use zeroize::Zeroize as _;

use crate::base64url::BASE64URL;
use crate::claims::{self, Payload, REFRESH_TOKEN_TYPE};
use crate::error::IssueError;
use crate::keys::RingKey;

pub(crate) use crate::claims::Payload as TokenClaims;

/// Writes and signs a token: a refresh token if it has a sequence, else a session token.
pub(crate) fn encode<C: Serialize>(
    payload: &Payload<'_, C>,
    ring_key: &RingKey,
) -> Result<Compact, IssueError> {
    let signer = ring_key.key.signer().ok_or(IssueError::NoSigningKey)?;
    let json = claims::write(payload)?;
    let header = match payload.seq {
        None => Cow::Borrowed(&*ring_key.header),
        Some(_) => ring_key.key.encoded_headers(REFRESH_TOKEN_TYPE).swap_remove(0).into(),
    };
    // Room for the whole, so that growing leaves no copy of it behind.
    let lengths = [json.len(), signer.signature_length()].map(encoded_length);
    let mut token = Vec::with_capacity(header.len() + lengths[0] + lengths[1] + 2);
    token.extend_from_slice(header.as_bytes());
    append(&mut token, &json);
    let signature = signer.sign(&token, SmallVec::<[u8; 64]>::from_slice);
    append(&mut token, &signature.map_err(|_| IssueError::RandomGenerator)?);
    // It is ASCII.
    Ok(Compact(String::from_utf8(token).unwrap_or_default()))
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
fn append(token: &mut Vec<u8>, bytes: &[u8]) {
    token.push(b'.');
    let start = token.len();
    token.resize(start + encoded_length(bytes.len()), 0);
    let written = BASE64URL.encode_slice(bytes, &mut token[start..]);
    debug_assert!(written.is_ok(), "the room is exact");
}

fn encoded_length(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}
