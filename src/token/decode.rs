//! Takes a compact JWS apart: segments, header, payload. Nothing here is trusted yet.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed as _, Deserializer as _, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::checks::Observer;
use crate::base64url::Buffer;
use crate::claims::strict::{Names, Strict, Text, twice};
use crate::crypto::algorithm::{Algorithm, MAX_SIGNATURE_BYTES};
use crate::error::detail::of_message;
use crate::error::rejection::{Rejection, RejectionKind};

/// The three segments of a compact JWS, as they came.
#[derive(Clone, Copy)]
pub(crate) struct Segments<'t> {
    pub(crate) header: &'t [u8],
    pub(crate) payload: &'t [u8],
    pub(crate) signature: &'t [u8],
    /// The signed bytes: header, dot, payload.
    pub(crate) signed: &'t [u8],
}

impl<'t> Segments<'t> {
    /// Splits at exactly two dots; `None` also if the signature is longer than that of any key.
    pub(crate) fn split(token: &'t [u8]) -> Option<Self> {
        Self::behind(token, memchr::memchr(b'.', token)?)
    }

    /// The same, if the first dot is at `first`.
    pub(crate) fn behind(token: &'t [u8], first: usize) -> Option<Self> {
        let (header, rest) = (token.get(..first)?, token.get(first + 1..)?);
        let length = memchr::memchr(b'.', rest)?;
        let (payload, signature) = (&rest[..length], &rest[length + 1..]);
        let signed = &token[..first + 1 + length];
        let three = memchr::memchr(b'.', signature).is_none();
        (three && signature.len() <= LONGEST_SIGNATURE).then_some(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

/// Why a token could not be split.
#[cold]
#[inline(never)]
pub(crate) fn not_split(token: &[u8]) -> Rejection {
    let parts = memchr::memchr_iter(b'.', token).count() + 1;
    if parts == 3 {
        let signature = token.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        let found = format_args!("{} characters", signature.len());
        let expected = format_args!("at most {LONGEST_SIGNATURE}");
        return RejectionKind::Malformed.about("signature", found, expected);
    }
    let found = match parts {
        1 => format_args!("1 part: not a JWT"),
        5 => format_args!("5 parts: an encrypted token (JWE)"),
        _ => format_args!("{parts} parts"),
    };
    RejectionKind::Malformed.about("token", found, "3 parts (RFC 7515, section 7.1)")
}

/// Why a segment could not be decoded.
#[cold]
#[inline(never)]
pub(crate) fn not_decoded(about: &'static str, segment: &[u8]) -> Rejection {
    let is_foreign = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-_".contains(byte);
    let found = match segment.iter().find(|byte| is_foreign(byte)) {
        Some(b'=') => "padding (`=`)",
        Some(b'+' | b'/') => "base64 with `+` or `/`",
        Some(_) => "a character of another alphabet",
        None if segment.len() % 4 == 1 => "a length that no bytes have",
        None => "bits after the last byte",
    };
    let expected = "base64url without padding (RFC 7515, section 2)";
    RejectionKind::Malformed.about(about, found, expected)
}

/// The content of a segment of a token, to be shown: an object, if it is one.
pub(crate) fn readable(segment: &[u8]) -> Option<Value> {
    let mut buffer = Buffer::new();
    let json = buffer.decode(segment)?;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Strict(PhantomData::<Value>).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    value.is_object().then_some(value)
}

/// An encoded signature's.
const LONGEST_SIGNATURE: usize = (MAX_SIGNATURE_BYTES * 4).div_ceil(3);

/// The members of a header that is not one that the ring's keys write.
#[derive(Default)]
pub(crate) struct Header<'h> {
    alg: Option<Text<'h>>,
    pub(crate) typ: Option<Text<'h>>,
    pub(crate) kid: Option<Text<'h>>,
}

impl<'h> Header<'h> {
    /// Parses an encoded header; its algorithm beside it.
    pub(crate) fn parse(
        segment: &[u8],
        buffer: &'h mut Buffer,
        ignores_embedded_keys: bool,
        observer: &mut impl Observer,
    ) -> Result<(Algorithm, Self), Rejection> {
        // Nothing is signed yet: what is read has to be little.
        let longest = if ignores_embedded_keys { MAX_WITH_KEYS } else { MAX_HEADER_BYTES };
        if segment.len() > longest {
            let found = format_args!("{} characters", segment.len());
            let expected = format_args!("at most {longest}");
            return Err(RejectionKind::Malformed.about("header", found, expected));
        }
        let json = buffer.decode(segment).ok_or_else(|| not_decoded("header", segment))?;
        let json = str::from_utf8(json)
            .map_err(|_| RejectionKind::Malformed.about("header", "bytes", "UTF-8"))?;
        let mut reading = "header";
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let header = deserializer
            .deserialize_map(HeaderVisitor { reading: &mut reading, ignores_embedded_keys })
            .and_then(|header| deserializer.end().map(|()| header));
        let header = header.map_err(|error| unreadable(reading, &error))?;
        let missing = || RejectionKind::Malformed.about("header alg", "none", "an algorithm");
        let name = header.alg.as_deref().ok_or_else(missing)?;
        observer.passed("header", || format!("{} characters", segment.len()));
        // `none` is no algorithm here.
        let algorithm = name.parse().map_err(|_| {
            let expected = "the name of an algorithm of this crate, such as EdDSA";
            RejectionKind::WrongAlgorithm.about("header alg", format_args!("{name:?}"), expected)
        })?;
        observer.passed("algorithm", || format!("{name:?}"));
        Ok((algorithm, header))
    }
}

/// Members that change what a token means. No extension is understood here, so that `crit` in itself is
/// a reason to refuse (RFC 7515, section 4.1.11), and the others would be wrong to ignore: RFC 7797 and
/// RFC 7516.
const REFUSED: [(&str, &str); 4] =
    [("crit", "header crit"), ("b64", "header b64"), ("enc", "header enc"), ("zip", "header zip")];

/// Members that bring a key of the sender's (RFC 7515, sections 4.1.2 to 4.1.6). A key is never taken from a
/// token: they are refused, or ignored where the application says so.
const EMBEDDED_KEYS: [(&str, &str); 4] =
    [("jwk", "header jwk"), ("jku", "header jku"), ("x5u", "header x5u"), ("x5c", "header x5c")];

/// Why a header could not be read: the member, and the parser's message.
#[cold]
#[inline(never)]
fn unreadable(reading: &'static str, error: &serde_json::Error) -> Rejection {
    let message = error.to_string();
    let (found, expected) = of_message(&message);
    let expected = expected.unwrap_or("an object in JSON, without repeated names");
    RejectionKind::Malformed.about(reading, found, expected)
}

/// The longest encoded header: several times what issuers write.
const MAX_HEADER_BYTES: usize = 1024;

/// The longest encoded header with a key that is ignored: several certificates.
const MAX_WITH_KEYS: usize = 8 * 1024;

/// More than any header has, and few enough that nobody makes the search for a double costly.
const MAX_MEMBERS: usize = 16;

/// Reads the members of a header, and keeps the place for the case that it fails.
struct HeaderVisitor<'r> {
    reading: &'r mut &'static str,
    ignores_embedded_keys: bool,
}

impl HeaderVisitor<'_> {
    /// The member of that name, if it is a reason to refuse.
    fn refused(&self, name: &str) -> Option<&'static (&'static str, &'static str)> {
        let embedded = EMBEDDED_KEYS.iter().filter(|_| !self.ignores_embedded_keys);
        REFUSED.iter().chain(embedded).find(|(refused, _)| *refused == name)
    }
}

impl<'de> Visitor<'de> for HeaderVisitor<'_> {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut names = Names::default();
        let mut header = Header::default();
        for _ in 0..=MAX_MEMBERS {
            *self.reading = "header";
            let Some(Text(name)) = access.next_key()? else { return Ok(header) };
            let member = match &*name {
                "alg" => Some(("header alg", &mut header.alg)),
                "typ" => Some(("header typ", &mut header.typ)),
                "kid" => Some(("header kid", &mut header.kid)),
                _ => None,
            };
            if let Some((place, member)) = member {
                *self.reading = place;
                *member = Some(access.next_value()?);
            } else if let Some((_, refused)) = self.refused(&name) {
                *self.reading = refused;
                return Err(A::Error::custom("this member, expected a header without it"));
            } else {
                _ = access.next_value_seed(Strict(PhantomData::<IgnoredAny>))?;
            }
            *self.reading = "header";
            if !names.insert(name.clone()) {
                return Err(twice(&name));
            }
        }
        Err(A::Error::custom(format_args!(
            "more than {MAX_MEMBERS} members, expected at most {MAX_MEMBERS}"
        )))
    }
}
