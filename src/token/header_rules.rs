//! The rules for a token's header.

use std::fmt;

use crate::claims::names::{REFRESH_TOKEN_TYPE, SESSION_TOKEN_TYPE};

/// The rules for a token's header (RFC 8725, section 3).
#[derive(Clone, Debug)]
pub(crate) struct HeaderRules {
    pub(crate) token_type: TokenType,
    /// Whether a token without `kid` is verified by the only key of its algorithm.
    pub(crate) without_key_id: bool,
    /// Whether a key, or the URL of one, is ignored rather than refused.
    pub(crate) ignores_embedded_keys: bool,
}

impl HeaderRules {
    pub(crate) fn of_type(token_type: TokenType) -> Self {
        Self { token_type, without_key_id: false, ignores_embedded_keys: false }
    }
}

/// The required `typ` of a token (RFC 8725, section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    /// Our own, exactly as we write it.
    Session,
    /// That of our refresh tokens, exactly as we write it.
    Refresh,
    /// Another issuer's: a media type, of which `application/` may be left out (RFC 7515, section
    /// 4.1.9), in upper or lower case (RFC 9068, section 4; RFC 2045, section 5.1).
    Other {
        name: Option<Box<str>>,
        /// Whether a token without `typ` is accepted.
        or_none: bool,
    },
}

impl TokenType {
    pub(crate) fn accepts(&self, typ: Option<&str>) -> bool {
        match (self, typ) {
            (Self::Session, typ) => typ == Some(SESSION_TOKEN_TYPE),
            (Self::Refresh, typ) => typ == Some(REFRESH_TOKEN_TYPE),
            (Self::Other { or_none, .. }, None) => *or_none,
            (Self::Other { name, .. }, Some(typ)) => {
                name.as_deref().is_some_and(|name| subtype(typ).eq_ignore_ascii_case(name))
            }
        }
    }
}

/// As what a type is expected.
impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session => write!(f, "{SESSION_TOKEN_TYPE:?}"),
            Self::Refresh => write!(f, "{REFRESH_TOKEN_TYPE:?}"),
            Self::Other { name: Some(name), or_none: false } => write!(f, "{name:?}"),
            Self::Other { name: Some(name), or_none: true } => write!(f, "{name:?} or none"),
            Self::Other { name: None, .. } => f.write_str("none"),
        }
    }
}

/// A media type without `application/`.
pub(crate) fn subtype(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    }
}
