//! Describes an answer that is not the expected document, for the text of the error.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

/// An answer of status 200: its header and its whole body.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A document that an issuer publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// RFC 7517, section 5.
    Jwks,
    /// OpenID Connect Discovery 1.0, section 3.
    Description,
}

impl Answer {
    /// Describes this answer, which is not the `expected` document.
    pub(crate) fn is_not(&self, expected: Expected) -> String {
        let Found { what, fix } = found(&self.body, expected);
        let head = head(StatusCode::OK, &self.headers);
        let expected = match expected {
            Expected::Jwks => "a JWKS: a JSON object with a list `keys` (RFC 7517, section 5)",
            Expected::Description => {
                "a discovery document: a JSON object with the texts `issuer` and `jwks_uri`"
            }
        };
        let fix = if fix.is_empty() { String::new() } else { format!("; {fix}") };
        format!("found {what} ({head}); expected {expected}{fix}")
    }
}

/// Status and type of an answer, as its sender has written them.
pub(crate) fn head(status: StatusCode, headers: &HeaderMap) -> String {
    let field = |name: HeaderName, label: &str| match headers.get(name) {
        Some(value) => format!(", {label} {}", cut(&String::from_utf8_lossy(value.as_bytes()))),
        None => String::new(),
    };
    let of_type = match field(CONTENT_TYPE, "Content-Type") {
        none if none.is_empty() => ", no Content-Type".to_owned(),
        of_type => of_type,
    };
    format!("status {status}{of_type}{}", field(CONTENT_ENCODING, "Content-Encoding"))
}

struct Found {
    what: String,
    /// How to fix it, if that is known.
    fix: &'static str,
}

fn found(body: &[u8], expected: Expected) -> Found {
    let found = |what: &str, fix| Found { what: what.to_owned(), fix };
    for (magic, what, fix) in MAGIC {
        if body.starts_with(magic) {
            return found(what, fix);
        }
    }
    let text = body.trim_ascii_start();
    if text.is_empty() {
        return found("an empty body", "");
    }
    if text[0] == b'<' {
        let start = text[..text.len().min(1024)].to_ascii_lowercase();
        let is_html = [&b"<!doctype html"[..], b"<html", b"<head", b"<body"]
            .iter()
            .any(|tag| start.windows(tag.len()).any(|window| window == *tag));
        let what = if is_html { "an HTML page" } else { "an XML document" };
        return found(what, "check the URL: login and error pages are often sent with status 200");
    }
    if str::from_utf8(body).is_err() {
        return found("bytes that are not UTF-8 text", "");
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => object(&members, expected),
        Ok(Value::Array(values)) => Found {
            what: format!("a bare JSON array of {} values", values.len()),
            fix: match expected {
                Expected::Jwks => r#"the issuer has to send it as the member `keys` of an object"#,
                Expected::Description => "",
            },
        },
        Ok(value) => found(&format!("JSON that is {}", kind(&value)), ""),
        Err(error) if error.is_eof() => found("JSON that ends early", ""),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            found(&format!("text that is not JSON (line {line}, column {column})"), "")
        }
    }
}

/// A JSON object: which one it is, by the members that it has.
fn object(members: &Map<String, Value>, expected: Expected) -> Found {
    let found = |what: &str, fix| Found { what: what.to_owned(), fix };
    let has = |name| members.contains_key(name);
    match expected {
        Expected::Jwks => match members.get("keys") {
            Some(Value::Array(_)) => found("a JSON object with two members `keys`", ""),
            Some(keys) => found(&format!("a JSON object whose `keys` is {}", kind(keys)), ""),
            None if has("jwks_uri") => found(
                "an issuer's discovery document",
                "give `KeyRing::jwks_url` the document's `jwks_uri`, or use `KeyRing::discover`",
            ),
            None if has("kty") => {
                found("a single JWK", "the issuer has to send it in the list `keys` of an object")
            }
            None => others(members, "without `keys`"),
        },
        Expected::Description => {
            if has("keys") && !has("jwks_uri") {
                return found("a JWKS", "use `KeyRing::jwks_url` with the URL of the JWKS");
            }
            for name in ["issuer", "jwks_uri"] {
                match members.get(name) {
                    Some(Value::String(_)) => {}
                    Some(other) => {
                        return found(
                            &format!("a JSON object whose `{name}` is {}", kind(other)),
                            "",
                        );
                    }
                    None => return others(members, &format!("without `{name}`")),
                }
            }
            found("a JSON object with two members of one name", "")
        }
    }
}

/// An object of which only its members' names can be said.
fn others(members: &Map<String, Value>, lacks: &str) -> Found {
    let names: Vec<_> = members.keys().take(8).map(|name| cut(name)).collect();
    let names = match names.is_empty() {
        true => "it is empty".to_owned(),
        false => format!("it begins with {}", names.join(", ")),
    };
    Found { what: format!("a JSON object {lacks}: {names}"), fix: "" }
}

/// A value's type, as JSON calls it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Someone else's text: escaped, and cut where it is longer than it should be.
pub(crate) fn cut(text: &str) -> String {
    let cut: String = text.chars().take(128).collect();
    format!("{cut:?}")
}

/// The first bytes of documents that are not plain JSON.
const MAGIC: [(&[u8], &str, &str); 6] = [
    (
        b"\xef\xbb\xbf",
        "a byte order mark (BOM) before the document",
        "the issuer has to send it without one (RFC 8259, section 8.1)",
    ),
    (b"\xff\xfe", "UTF-16 text", "the issuer has to send UTF-8 (RFC 8259, section 8.1)"),
    (b"\xfe\xff", "UTF-16 text", "the issuer has to send UTF-8 (RFC 8259, section 8.1)"),
    (b"\x1f\x8b", "data compressed with gzip", UNASKED),
    (b"\x28\xb5\x2f\xfd", "data compressed with zstd", UNASKED),
    (b"\x78\x9c", "data compressed with zlib", UNASKED),
];

const UNASKED: &str = "the request had `Accept-Encoding: identity`: turn compression off for it";
