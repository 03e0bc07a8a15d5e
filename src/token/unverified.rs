//! The issuer that a token names, read before its signature is verified.
//!
//! SECURITY: nothing here is trusted. It only chooses who validates the token, with keys of its own, and that
//! one checks the verified `iss` again.

use std::borrow::Cow;

use serde::Deserialize;

use crate::base64url::Buffer;
use crate::claims::strict::Strict;
use crate::token::decode::Segments;

/// The `iss` of a token's payload; `None` if the payload cannot be read as strictly as a verified one, or has no
/// such text.
pub(crate) fn issuer<'b>(token: &[u8], buffer: &'b mut Buffer) -> Option<Cow<'b, str>> {
    #[derive(Deserialize)]
    struct Payload<'t> {
        #[serde(borrow)]
        iss: Cow<'t, str>,
    }
    let json = str::from_utf8(buffer.decode(Segments::split(token)?.payload)?).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let payload = Payload::deserialize(Strict(&mut deserializer)).ok()?;
    deserializer.end().ok()?;
    Some(payload.iss)
}
