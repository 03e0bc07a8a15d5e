//! Reads a payload: once, strictly, borrowing the registered claims, handing the rest to the
//! application's type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::Error as _;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use super::extra::Extra;
use super::strict::{Name, Names, Strict, Text, twice};
use super::values::{Audience, NumericDate, Scope};

/// Whose tokens are read. Our own are as we write them. Other issuers vary in what decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Those of a ring that issues: every claim has the one type that we write.
    Own,
    /// Another issuer's: `null` is as good as absent, and `scope` may be an array. `seq` is the
    /// issuer's own claim, for the application to read, and so are `rv`, `rg`, `rc` and `pu` unless they are
    /// said to be ours.
    Other {
        /// Whether `rv`, `rg` and `rc` are the versions of registers that this crate writes, and `pu` is its
        /// claim.
        versions: bool,
    },
}

impl Dialect {
    pub(crate) fn reads_versions(self) -> bool {
        matches!(self, Self::Own | Self::Other { versions: true })
    }
}

/// The registered claims of a payload, as they came.
#[derive(Debug, Default)]
pub(crate) struct Registered<'de> {
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
    pub(crate) rg: Option<u64>,
    pub(crate) rc: Option<u64>,
    pub(crate) pu: Option<NumericDate>,
    pub(crate) seq: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct ReadError {
    pub(crate) what: Unread,
    /// The parser's message.
    pub(crate) message: String,
}

/// The part of a payload that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is no object of JSON, or an ambiguous one.
    Malformed,
    /// A registered claim has a wrong type or an impossible value.
    Claim(&'static str),
    /// The application's type refuses the application's claims.
    Application,
}

/// Reads a payload: into the registered claims, and the application's.
pub(crate) fn read<'de, C: DeserializeOwned>(
    json: &'de [u8],
    dialect: Dialect,
    registered: &mut Registered<'de>,
    extra: &mut Extra<'_, 'de>,
) -> Result<C, ReadError> {
    let text = str::from_utf8(json).map_err(|_| ReadError {
        what: Unread::Malformed,
        message: "bytes, expected UTF-8".to_owned(),
    })?;
    let mut reading = Unread::Malformed;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let claims = PhantomData::<C>;
    let payload = Payload { dialect, registered, extra, reading: &mut reading, claims };
    let claims = deserializer
        .deserialize_map(payload)
        .and_then(|claims| deserializer.end().map(|()| claims));
    claims.map_err(|error| ReadError {
        what: if error.is_data() { reading } else { Unread::Malformed },
        message: error.to_string(),
    })
}

struct Payload<'a, 'n, 'de, C> {
    dialect: Dialect,
    registered: &'a mut Registered<'de>,
    extra: &'a mut Extra<'n, 'de>,
    /// The part that is being read, for the error.
    reading: &'a mut Unread,
    claims: PhantomData<C>,
}

impl<'de, C: DeserializeOwned> Visitor<'de> for Payload<'_, '_, 'de, C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<C, A::Error> {
        let Self { dialect, registered, extra, reading, .. } = self;
        let names = Names::default();
        let mut members =
            Members { access, dialect, registered, extra, place: None, reading, names };
        *members.reading = Unread::Application;
        let claims = C::deserialize(ApplicationClaims(&mut members))?;
        members.drain()?;
        Ok(claims)
    }
}

/// The members of a payload: keeps the registered ones and shows the rest.
struct Members<'a, 'n, 'de, A> {
    access: A,
    dialect: Dialect,
    registered: &'a mut Registered<'de>,
    extra: &'a mut Extra<'n, 'de>,
    /// Where the JSON of the claim is kept whose value is read next.
    place: Option<usize>,
    reading: &'a mut Unread,
    /// The names of the application's claims; a repeated registered claim is found by its field. For
    /// another issuer all names, since `null` fills no field.
    names: Names<'de>,
}

impl<'de, A: MapAccess<'de>> Members<'_, '_, 'de, A> {
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
            "scope" => match self.dialect {
                Dialect::Own => self.once("scope", |registered| &mut registered.scope)?,
                Dialect::Other { .. } => self.scope()?,
            },
            "rv" if self.dialect.reads_versions() => {
                self.once("rv", |registered| &mut registered.rv)?;
            }
            "rg" if self.dialect.reads_versions() => {
                self.once("rg", |registered| &mut registered.rg)?;
            }
            "rc" if self.dialect.reads_versions() => {
                self.once("rc", |registered| &mut registered.rc)?;
            }
            "pu" if self.dialect.reads_versions() => {
                self.once("pu", |registered| &mut registered.pu)?;
            }
            "seq" if self.dialect == Dialect::Own => {
                self.once("seq", |registered| &mut registered.seq)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads the value of a claim that may occur once.
    fn once<T: Deserialize<'de>>(
        &mut self,
        name: &'static str,
        place: impl for<'r> FnOnce(&'r mut Registered<'de>) -> &'r mut Option<T>,
    ) -> Result<(), A::Error> {
        let place = place(self.registered);
        let is_other = self.dialect != Dialect::Own;
        if place.is_some() || (is_other && !self.names.insert(Cow::Borrowed(name))) {
            return Err(twice(name));
        }
        *self.reading = Unread::Claim(name);
        *place = match is_other {
            true => self.access.next_value()?,
            false => Some(self.access.next_value()?),
        };
        Ok(())
    }

    fn scope(&mut self) -> Result<(), A::Error> {
        if self.registered.scope.is_some() || !self.names.insert(Cow::Borrowed("scope")) {
            return Err(twice("scope"));
        }
        *self.reading = Unread::Claim("scope");
        let scope: Option<Scope<'de>> = self.access.next_value()?;
        self.registered.scope = scope.map(|Scope(text)| text);
        Ok(())
    }

    /// Keeps the JSON of a claim, and shows it to the application, too.
    #[cold]
    fn keep_and_show<S: DeserializeSeed<'de>>(
        &mut self,
        place: usize,
        seed: S,
    ) -> Result<S::Value, A::Error> {
        let json: &'de RawValue = self.access.next_value()?;
        self.extra.keep(place, json);
        let mut value = serde_json::Deserializer::from_str(json.get());
        let shown = Strict(seed).deserialize(&mut value);
        shown.map_err(|error| {
            // The place is that in the claim.
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(&*message, |(text, _)| text);
            A::Error::custom(message)
        })
    }

    fn drain(&mut self) -> Result<(), A::Error> {
        while self.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, '_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        loop {
            *self.reading = Unread::Malformed;
            let Some(Text(name)) = self.access.next_key()? else {
                *self.reading = Unread::Application;
                return Ok(None);
            };
            if self.keep(&name)? {
                continue;
            }
            if !self.names.insert(name.clone()) {
                return Err(twice(&name));
            }
            *self.reading = Unread::Application;
            self.place = self.extra.place(&name);
            return seed.deserialize(Name::new(name)).map(Some);
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match self.place.take() {
            None => self.access.next_value_seed(Strict(seed)),
            Some(place) => self.keep_and_show(place, seed),
        }
    }
}

/// The deserializer of the application's type: an object, or nothing for a unit.
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
