//! The bearer token in the `Authorization` header (RFC 6750, section 2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::error::rejection::RejectionKind;

/// Finds a bearer token, perhaps an empty one. Other schemes are not ours.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<&[u8]>, RejectionKind> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(RejectionKind::Ambiguous);
    }
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    // Schemes are compared without case (RFC 9110, section 11.1).
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Ok(None);
    }
    let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
    Ok(Some(&rest[start..]))
}
