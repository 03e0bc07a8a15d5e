//! The bearer token in the `Authorization` header (RFC 6750, section 2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::transport::credential::{Found, one};

/// Finds a bearer token, perhaps an empty one. Other schemes are not ours.
pub(crate) fn read(headers: &HeaderMap) -> Found<'_> {
    let Some(value) = one(headers.get_all(AUTHORIZATION))? else { return Ok(None) };
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
