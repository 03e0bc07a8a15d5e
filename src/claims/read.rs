//! Reads a payload: once, strictly, borrowing the registered claims, handing the rest to the
//! application's type.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::strict::{Name, Names, Strict, Text, twice};
use super::{Parties, head, plain};
use crate::clock::Timestamp;

/// The registered claims of a payload, as they came.
#[derive(Debug, Default)]
pub(crate) struct Registered<'de> {
    /// The stretch of the payload in which those texts stand that were read without a parser.
    pub(crate) head: &'de str,
    pub(crate) iss: Option<Text<'de>>,
    pub(crate) sub: Option<Text<'de>>,
    pub(crate) aud: Option<Audience<'de>>,
    pub(crate) iat: Option<NumericDate>,
    pub(crate) nbf: Option<NumericDate>,
    pub(crate) exp: Option<NumericDate>,
    pub(crate) jti: Option<Text<'de>>,
    pub(crate) sid: Option<Text<'de>>,
    pub(crate) auth_time: Option<NumericDate>,
    pub(crate) scope: Option<Text<'de>>,
    pub(crate) rv: Option<u64>,
    pub(crate) seq: Option<u32>,
}

/// The `aud` claim: one audience or several (RFC 7519, section 4.1.3).
#[derive(Debug)]
pub(crate) enum Audience<'de> {
    One(Cow<'de, str>),
    Several(Vec<Cow<'de, str>>),
}

impl Audience<'_> {
    pub(crate) fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => is_same(one, audience),
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// Whether two texts are equal; at once, where it is one that was only handed around.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// What of a payload could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// It is no object of JSON, or an ambiguous one.
    Malformed,
    /// A registered claim has a wrong type or an impossible value.
    Claim(&'static str),
    /// The application's type refuses the application's claims.
    Application,
}

/// Reads a payload: into the registered claims, and the application's. Quickly, if it is of these
/// parties.
pub(crate) fn read<'de, C: DeserializeOwned + 'static>(
    json: &'de mut [u8],
    parties: &'de Parties,
    registered: &mut Registered<'de>,
) -> Result<C, ReadError> {
    let text = head::take(json, parties, registered).ok_or(ReadError::Malformed)?;
    // Where the application has no claims, those of another one are only looked at.
    if let Ok(unit) = (Box::new(()) as Box<dyn Any>).downcast()
        && plain::is_object(text)
    {
        return Ok(*unit);
    }
    let mut reading = ReadError::Malformed;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let payload = Payload { registered, reading: &mut reading, claims: PhantomData::<C> };
    let claims = deserializer
        .deserialize_map(payload)
        .and_then(|claims| deserializer.end().map(|()| claims));
    claims.map_err(|error| if error.is_data() { reading } else { ReadError::Malformed })
}

struct Payload<'a, 'de, C> {
    registered: &'a mut Registered<'de>,
    /// What is being read, to be blamed if it fails.
    reading: &'a mut ReadError,
    claims: PhantomData<C>,
}

impl<'de, C: DeserializeOwned> Visitor<'de> for Payload<'_, 'de, C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<C, A::Error> {
        let Self { registered, reading, .. } = self;
        let mut members = Members { access, registered, reading, names: Names::default() };
        *members.reading = ReadError::Application;
        let claims = C::deserialize(ApplicationClaims(&mut members))?;
        members.drain()?;
        Ok(claims)
    }
}

/// The members of a payload: keeps the registered ones and shows the rest.
struct Members<'a, 'de, A> {
    access: A,
    registered: &'a mut Registered<'de>,
    reading: &'a mut ReadError,
    /// The application's; a registered claim that stands twice finds its place taken.
    names: Names<'de>,
}

impl<'de, A: MapAccess<'de>> Members<'_, 'de, A> {
    /// Keeps the claim of that name, if it is a registered one.
    fn keep(&mut self, name: &str) -> Result<bool, A::Error> {
        match name {
            "iss" => self.once("iss", |registered| &mut registered.iss)?,
            "sub" => self.once("sub", |registered| &mut registered.sub)?,
            "aud" => self.once("aud", |registered| &mut registered.aud)?,
            "iat" => self.once("iat", |registered| &mut registered.iat)?,
            "nbf" => self.once("nbf", |registered| &mut registered.nbf)?,
            "exp" => self.once("exp", |registered| &mut registered.exp)?,
            "jti" => self.once("jti", |registered| &mut registered.jti)?,
            "sid" => self.once("sid", |registered| &mut registered.sid)?,
            "auth_time" => self.once("auth_time", |registered| &mut registered.auth_time)?,
            "scope" => self.once("scope", |registered| &mut registered.scope)?,
            "rv" => self.once("rv", |registered| &mut registered.rv)?,
            "seq" => self.once("seq", |registered| &mut registered.seq)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads the value of a claim that may stand once.
    fn once<T: Deserialize<'de>>(
        &mut self,
        name: &'static str,
        place: impl for<'r> FnOnce(&'r mut Registered<'de>) -> &'r mut Option<T>,
    ) -> Result<(), A::Error> {
        let place = place(self.registered);
        if place.is_some() {
            return Err(twice());
        }
        *self.reading = ReadError::Claim(name);
        *place = Some(self.access.next_value()?);
        Ok(())
    }

    fn drain(&mut self) -> Result<(), A::Error> {
        while self.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        loop {
            *self.reading = ReadError::Malformed;
            let Some(Text(name)) = self.access.next_key()? else {
                *self.reading = ReadError::Application;
                return Ok(None);
            };
            if self.keep(&name)? {
                continue;
            }
            if !self.names.insert(name.clone()) {
                return Err(twice());
            }
            *self.reading = ReadError::Application;
            return seed.deserialize(Name::new(name)).map(Some);
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.access.next_value_seed(Strict(seed))
    }
}

/// What the application's type reads from: an object, or nothing for a unit.
struct ApplicationClaims<'m, M>(&'m mut M);

impl<'de, M: MapAccess<'de>> Deserializer<'de> for ApplicationClaims<'_, M> {
    type Error = M::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        visitor.visit_map(self.0)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        // The members are drained when the application's claims are complete.
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// RFC 7519, section 2: seconds since the Unix epoch, perhaps with a fraction. Not before the
/// epoch, and not past the year 9999, so that no arithmetic with it can overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumericDate(pub(crate) Timestamp);

const LAST_SECOND: u64 = 253_402_300_799;

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
                    _ => Err(E::custom("a time past the year 9999")),
                }
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
                if !(0.0..=LAST_SECOND as f64).contains(&seconds) {
                    return Err(E::custom("a time out of range"));
                }
                Ok(NumericDate(Timestamp::from_unix_millis((seconds * 1000.0) as i64)))
            }
        }
        deserializer.deserialize_f64(NumericDateVisitor)
    }
}

impl<'de> Deserialize<'de> for Audience<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudienceVisitor;
        impl<'de> Visitor<'de> for AudienceVisitor {
            type Value = Audience<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
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
        deserializer.deserialize_any(AudienceVisitor)
    }
}
