//! Takes a compact JWS apart: segments, header, payload. Nothing here is trusted yet.

use std::fmt;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::base64url::Buffer;
use crate::claims::strict::{Names, Strict, Text, twice};
use crate::error::RejectionKind;
use crate::keys::algorithm::{self, MAX_SIGNATURE_BYTES};

/// The three segments of a compact JWS, as they came.
#[derive(Clone, Copy)]
pub(crate) struct Segments<'t> {
    pub(crate) header: &'t [u8],
    pub(crate) payload: &'t [u8],
    pub(crate) signature: &'t [u8],
    /// What the signature is over: header, dot, payload.
    pub(crate) signed: &'t [u8],
}

impl<'t> Segments<'t> {
    /// Splits at exactly two dots; `None` also if the signature is longer than that of any key.
    pub(crate) fn split(token: &'t [u8]) -> Option<Self> {
        Self::behind(token, memchr::memchr(b'.', token)?)
    }

    /// The same, where the first dot stands at `first`.
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

/// An encoded signature's.
const LONGEST_SIGNATURE: usize = (MAX_SIGNATURE_BYTES * 4).div_ceil(3);

/// What a header has to say, where it is not one that the ring's keys write.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) token_type: Option<String>,
    pub(crate) key_id: Option<String>,
}

impl Header {
    /// Parses an encoded header.
    pub(crate) fn parse(segment: &[u8], buffer: &mut Buffer) -> Result<Self, RejectionKind> {
        // Nothing is signed yet: what is read has to be little.
        if segment.len() > MAX_HEADER_BYTES {
            return Err(RejectionKind::Malformed);
        }
        let json = buffer.decode(segment).and_then(|json| str::from_utf8(json).ok());
        let members: Option<Members<'_>> = json.and_then(|json| serde_json::from_str(json).ok());
        let members = members.ok_or(RejectionKind::Malformed)?;
        let name = members.alg.ok_or(RejectionKind::Malformed)?;
        Ok(Self {
            // `none` is no algorithm here.
            algorithm: algorithm::named(&name.0).ok_or(RejectionKind::WrongAlgorithm)?,
            token_type: members.typ.map(|typ| typ.0.into_owned()),
            key_id: members.kid.map(|kid| kid.0.into_owned()),
        })
    }
}

#[derive(Default)]
struct Members<'de> {
    alg: Option<Text<'de>>,
    typ: Option<Text<'de>>,
    kid: Option<Text<'de>>,
}

/// Members that change what a token means, or bring a key of the sender's. No extension is
/// understood here, so that `crit` in itself is a reason to refuse (RFC 7515, section 4.1.11), and
/// the others would be wrong to ignore: RFC 7797, RFC 7516 and RFC 7515, sections 4.1.2 to 4.1.6.
const REFUSED: [&str; 8] = ["crit", "b64", "enc", "zip", "jwk", "jku", "x5u", "x5c"];

/// The longest encoded header: several times what issuers write.
const MAX_HEADER_BYTES: usize = 1024;

/// More than any header has, and few enough that nobody makes the search for a double costly.
const MAX_MEMBERS: usize = 16;

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut names = Names::default();
                let mut members = Members::default();
                for _ in 0..=MAX_MEMBERS {
                    let Some(Text(name)) = access.next_key()? else { return Ok(members) };
                    match &*name {
                        "alg" => members.alg = Some(access.next_value()?),
                        "typ" => members.typ = Some(access.next_value()?),
                        "kid" => members.kid = Some(access.next_value()?),
                        refused if REFUSED.contains(&refused) => {
                            return Err(A::Error::custom("a header member that is not taken"));
                        }
                        _ => {
                            _ = access
                                .next_value_seed(Strict(std::marker::PhantomData::<IgnoredAny>))?
                        }
                    }
                    if !names.insert(name.clone()) {
                        return Err(twice(&name));
                    }
                }
                Err(A::Error::custom("too many header members"))
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}
