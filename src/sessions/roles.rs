//! Where the roles of a session are: a claim's name, or a path to it.

use crate::claims::names::REGISTERED;
use crate::error::build::BuildError;

/// The names of the members that lead to the roles, one in the other; none if no roles are read.
pub(crate) fn path(claim: Option<&str>) -> Result<Box<[Box<str>]>, BuildError> {
    let Some(claim) = claim else { return Ok(Box::default()) };
    let invalid = |help: &str| BuildError::invalid("roles_claim", format_args!("{claim:?}"), help);
    let path: Box<[Box<str>]> = match claim.strip_prefix('/') {
        None => [claim.into()].into(),
        Some(rest) => rest.split('/').map(unescaped).collect::<Option<_>>().ok_or_else(|| {
            invalid("a JSON Pointer writes `~` as `~0` and `/` as `~1` (RFC 6901, section 3)")
        })?,
    };
    match path.first() {
        Some(first) if first.is_empty() => Err(invalid("give the name of a claim")),
        Some(first) if REGISTERED.contains(&&**first) => {
            Err(invalid("that is a registered claim: give the claim that holds the roles"))
        }
        _ => Ok(path),
    }
}

/// A reference token of a JSON Pointer (RFC 6901, section 4).
fn unescaped(token: &str) -> Option<Box<str>> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        match part.as_bytes().first()? {
            b'0' => text.push('~'),
            b'1' => text.push('/'),
            _ => return None,
        }
        text.push_str(&part[1..]);
    }
    Some(text.into())
}
