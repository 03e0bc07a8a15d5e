//! Claims that nobody wants to have, looked at without a parser where they are as plain as most are:
//! texts without escapes, whole numbers, and arrays of these.
//!
//! Nothing is found good here that the parser would refuse; to it all else is left.

use smallvec::SmallVec;

use crate::claims::names::REGISTERED;

/// Whether `json` is a plain object: no name stands in it twice, and none is a registered claim's.
pub(crate) fn is_object(json: &str) -> bool {
    json == "{}" || members(json.as_bytes()) == Some(b"}")
}

/// Reads an object's members: what stands behind the last.
fn members(json: &[u8]) -> Option<&[u8]> {
    let mut names = SmallVec::<[&[u8]; 8]>::new();
    let mut rest = json.strip_prefix(b"{")?;
    loop {
        let (name, after) = text(rest)?;
        let is_registered = REGISTERED.iter().any(|registered| registered.as_bytes() == name);
        if is_registered || names.contains(&name) {
            return None;
        }
        names.push(name);
        rest = value(after.strip_prefix(b":")?)?;
        match rest.strip_prefix(b",") {
            Some(next) => rest = next,
            None => return Some(rest),
        }
    }
}

fn value(json: &[u8]) -> Option<&[u8]> {
    let Some(mut rest) = json.strip_prefix(b"[") else { return scalar(json) };
    if let Some(rest) = rest.strip_prefix(b"]") {
        return Some(rest);
    }
    loop {
        rest = scalar(rest)?;
        match rest.strip_prefix(b",") {
            Some(next) => rest = next,
            None => return rest.strip_prefix(b"]"),
        }
    }
}

fn scalar(json: &[u8]) -> Option<&[u8]> {
    match json.first()? {
        b'"' => Some(text(json)?.1),
        b'1'..=b'9' => {
            let digits = json.iter().take_while(|byte| byte.is_ascii_digit()).count();
            // So many digits fit every reader's numbers.
            (digits <= 15).then(|| &json[digits..])
        }
        _ => [&b"true"[..], b"false", b"null"].iter().find_map(|word| json.strip_prefix(*word)),
    }
}

/// Reads a text: what it says, and what follows.
fn text(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let json = json.strip_prefix(b"\"")?;
    let length = json.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'))?;
    let (text, rest) = json.split_at(length);
    Some((text, rest.strip_prefix(b"\"")?))
}
