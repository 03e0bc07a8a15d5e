//! The values of registered claims: a time, an audience, a scope.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::strict::Text;
use crate::clock::Timestamp;

/// RFC 7519, section 2: seconds since the Unix epoch, perhaps with a fraction. Not before the
/// epoch, and not past the year 9999, so that no arithmetic with it can overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumericDate(pub(crate) Timestamp);

/// The last second of the year 9999.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumericDateVisitor;
        impl Visitor<'_> for NumericDateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of seconds from 0 to {LAST_SECOND}")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<NumericDate, E> {
                match i64::try_from(seconds) {
                    Ok(whole) if seconds <= LAST_SECOND => {
                        Ok(NumericDate(Timestamp::from_unix_seconds(whole)))
                    }
                    _ => Err(E::invalid_value(Unexpected::Unsigned(seconds), &self)),
                }
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<NumericDate, E> {
                Err(E::invalid_value(Unexpected::Signed(seconds), &self))
            }

            // SECURITY: no comparison holds for NaN, and none for an infinity here.
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
                if !(0.0..=LAST_SECOND as f64).contains(&seconds) {
                    return Err(E::invalid_value(Unexpected::Float(seconds), &self));
                }
                Ok(NumericDate(Timestamp::from_unix_millis((seconds * 1000.0) as i64)))
            }
        }
        deserializer.deserialize_f64(NumericDateVisitor)
    }
}

/// The `aud` claim: one audience or several (RFC 7519, section 4.1.3).
pub(crate) enum Audience<'de> {
    One(Cow<'de, str>),
    Several(Vec<Cow<'de, str>>),
}

/// As the claim says it.
impl fmt::Debug for Audience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(one) => one.fmt(f),
            Self::Several(several) => several.fmt(f),
        }
    }
}

impl Audience<'_> {
    pub(crate) fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

impl<'de> Deserialize<'de> for Audience<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSeveral("a string or an array of strings"))
    }
}

/// Reads a string or an array of strings; with the description of what is expected.
struct OneOrSeveral(&'static str);

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = Audience<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_borrowed_str<E: Error>(self, one: &'de str) -> Result<Self::Value, E> {
        Ok(Audience::One(Cow::Borrowed(one)))
    }

    fn visit_str<E: Error>(self, one: &str) -> Result<Self::Value, E> {
        Ok(Audience::One(Cow::Owned(one.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut several = Vec::new();
        while let Some(Text(one)) = access.next_element()? {
            several.push(one);
        }
        Ok(Audience::Several(several))
    }
}

/// The `scope` claim of another issuer: a string (RFC 8693, section 4.2), or an array of strings, as
/// IdentityServer and Spring Authorization Server write it by default.
#[derive(Debug)]
pub(crate) struct Scope<'de>(pub(crate) Text<'de>);

impl<'de> Deserialize<'de> for Scope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a string, an array of strings without spaces, or null";
        let several = match deserializer.deserialize_any(OneOrSeveral(expected))? {
            Audience::One(scope) => return Ok(Self(Text(scope))),
            Audience::Several(several) => several,
        };
        let mut scope = String::new();
        for one in several {
            // SECURITY: joined it would be two scopes (RFC 6749, section 3.3).
            if one.contains(' ') {
                return Err(D::Error::invalid_value(Unexpected::Str(&one), &expected));
            }
            if !scope.is_empty() {
                scope.push(' ');
            }
            scope.push_str(&one);
        }
        Ok(Self(Text(Cow::Owned(scope))))
    }
}
