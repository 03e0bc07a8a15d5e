//! From claims to a token: the encoded header of the key, the payload, the signature.

use std::borrow::Cow;

use base64::Engine as _;
use serde::Serialize;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::base64url::BASE64URL;
use crate::claims::{self, Payload, REFRESH_TOKEN_TYPE};
use crate::error::IssueError;
use crate::keys::RingKey;

pub(crate) use crate::claims::Payload as TokenClaims;

/// Writes and signs a token: a refresh token if it has a sequence, else a session token.
pub(crate) fn encode<C: Serialize>(
    payload: &Payload<'_, C>,
    ring_key: &RingKey,
) -> Result<Zeroizing<String>, IssueError> {
    let signer = ring_key.key.signer().ok_or(IssueError::NoSigningKey)?;
    let json = claims::write(payload)?;
    let header = match payload.seq {
        None => Cow::Borrowed(&*ring_key.header),
        Some(_) => ring_key.key.encoded_headers(REFRESH_TOKEN_TYPE).swap_remove(0).into(),
    };
    // Room for the whole, so that growing leaves no copy of it behind.
    let encoded_length = |bytes: usize| (bytes * 4).div_ceil(3);
    let signature_length = encoded_length(signer.signature_length());
    let room = header.len() + encoded_length(json.len()) + signature_length + 2;
    let mut token = Zeroizing::new(String::with_capacity(room));
    token.push_str(&header);
    token.push('.');
    BASE64URL.encode_string(&json, &mut token);
    let signature = signer.sign(token.as_bytes(), SmallVec::<[u8; 64]>::from_slice);
    token.push('.');
    BASE64URL.encode_string(signature.map_err(|_| IssueError::RandomGenerator)?, &mut token);
    Ok(token)
}
