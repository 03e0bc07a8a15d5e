//! From claims to a token: the encoded header of the key, the payload, the signature.

use base64::Engine as _;
use serde::Serialize;
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
    let encoded_length = |bytes: usize| bytes.div_ceil(3) * 4;
    // Room for the whole, so that growing leaves no copy of it behind.
    let room = ring_key.header.len() + encoded_length(json.len()) + encoded_length(64) + 2;
    let mut token = Zeroizing::new(String::with_capacity(room));
    token.push_str(&ring_key.header);
    token.push('.');
    BASE64URL.encode_string(&json, &mut token);
    let signature = signer.sign(token.as_bytes(), |signature| BASE64URL.encode(signature));
    token.push('.');
    token.push_str(&signature.map_err(|_| IssueError::RandomGenerator)?);
    Ok(token)
}
