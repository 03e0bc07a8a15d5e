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
        let (what, fix) = found(&self.body, expected);
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

/// What a body is, and how to fix it, if that is known.
fn found(body: &[u8], expected: Expected) -> (String, &'static str) {
    if let Some((_, what, fix)) = MAGIC.iter().find(|(magic, ..)| body.starts_with(magic)) {
        return ((*what).to_owned(), fix);
    }
    let text = body.trim_ascii_start();
    if text.starts_with(b"<") {
        let start = text[..text.len().min(1024)].to_ascii_lowercase();
        let is_html = [&b"<!doctype html"[..], b"<html", b"<head", b"<body"]
            .iter()
            .any(|tag| start.windows(tag.len()).any(|window| window == *tag));
        let what = if is_html { "an HTML page" } else { "an XML document" };
        let fix = "check the URL: login and error pages are often sent with status 200";
        return (what.to_owned(), fix);
    }
    let what = match serde_json::from_slice(body) {
        _ if text.is_empty() => "an empty body".to_owned(),
        _ if str::from_utf8(body).is_err() => "bytes that are not UTF-8 text".to_owned(),
        Ok(Value::Object(members)) => return object(&members, expected),
        Ok(Value::Array(values)) => {
            let fix = match expected {
                Expected::Jwks => "the issuer has to send it as the member `keys` of an object",
                Expected::Description => "",
            };
            return (format!("a bare JSON array of {} values", values.len()), fix);
        }
        Ok(value) => format!("JSON that is {}", kind(&value)),
        Err(error) if error.is_eof() => "JSON that ends early".to_owned(),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            format!("text that is not JSON (line {line}, column {column})")
        }
    };
    (what, "")
}

/// A JSON object: which one it is, by the members that it has.
fn object(members: &Map<String, Value>, expected: Expected) -> (String, &'static str) {
    let has = |name| members.contains_key(name);
    let is_jwks = expected == Expected::Jwks;
    if is_jwks && !has("keys") && has("jwks_uri") {
        let fix = "give `KeyRing::jwks_url` the document's `jwks_uri`, or use `KeyRing::discover`";
        return ("an issuer's discovery document".to_owned(), fix);
    }
    if is_jwks && !has("keys") && has("kty") {
        let fix = "the issuer has to send it in the list `keys` of an object";
        return ("a single JWK".to_owned(), fix);
    }
    if !is_jwks && has("keys") && !has("jwks_uri") {
        return ("a JWKS".to_owned(), "use `KeyRing::jwks_url` with the URL of the JWKS");
    }
    let required = if is_jwks { &["keys"][..] } else { &["issuer", "jwks_uri"] };
    for name in required {
        match members.get(*name) {
            Some(Value::Array(_)) if is_jwks => {}
            Some(Value::String(_)) if !is_jwks => {}
            Some(other) => {
                return (format!("a JSON object whose `{name}` is {}", kind(other)), "");
            }
            None => return (without(name, members), ""),
        }
    }
    ("a JSON object with two members of one name".to_owned(), "")
}

/// An object that lacks `name`: only its members' names are shown.
fn without(name: &str, members: &Map<String, Value>) -> String {
    let names: Vec<_> = members.keys().take(8).map(|name| cut(name)).collect();
    let names = match names.is_empty() {
        true => "it is empty".to_owned(),
        false => format!("it begins with {}", names.join(", ")),
    };
    format!("a JSON object without `{name}`: {names}")
}

/// A value's type, as JSON calls it.
fn kind(value: &Value) -> &'static str {
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
