//! From claims to a token: the encoded header of the key, the payload, the signature.

use base64::Engine as _;
use serde::Serialize;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::base64url::BASE64URL;
use crate::claims::{self, Payload};
use crate::error::IssueError;
use crate::keys::RingKey;

pub(crate) use crate::claims::Payload as TokenClaims;

/// Writes and signs a token.
pub(crate) fn encode<C: Serialize>(
    payload: &Payload<'_, C>,
    ring_key: &RingKey,
) -> Result<Zeroizing<String>, IssueError> {
    let signer = ring_key.key.signer().ok_or(IssueError::NoSigningKey)?;
    let json = claims::write(payload)?;
    // Room for the whole, so that growing leaves no copy of it behind.
    let encoded_length = |bytes: usize| (bytes * 4).div_ceil(3);
    let signature_length = encoded_length(signer.signature_length());
    let room = ring_key.header.len() + encoded_length(json.len()) + signature_length + 2;
    let mut token = Zeroizing::new(String::with_capacity(room));
    token.push_str(&ring_key.header);
    token.push('.');
    BASE64URL.encode_string(&json, &mut token);
    let signature = signer.sign(token.as_bytes(), SmallVec::<[u8; 64]>::from_slice);
    token.push('.');
    BASE64URL.encode_string(signature.map_err(|_| IssueError::RandomGenerator)?, &mut token);
    Ok(token)
}
