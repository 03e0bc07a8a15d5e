//! Writes a payload: the registered claims, then the application's beside them.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::{Error, Impossible, SerializeMap, SerializeStruct, Serializer};

use super::extra::Extra;
use super::finite::Finite;
use super::names::REGISTERED;
use super::read::{Dialect, ReadError, Registered, read};
use super::strict::Names;
use crate::clock::Timestamp;

/// The claims of a token that is issued.
#[derive(Debug, Serialize)]
pub(crate) struct Payload<'a, C> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a str,
    #[serde(serialize_with = "seconds")]
    pub(crate) iat: Timestamp,
    #[serde(serialize_with = "seconds")]
    pub(crate) exp: Timestamp,
    pub(crate) jti: &'a str,
    pub(crate) sid: &'a str,
    #[serde(serialize_with = "seconds")]
    pub(crate) auth_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<&'a str>,
    /// 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) rv: u64,
    /// 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) rg: u64,
    /// 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) rc: u64,
    /// Of a persistent login alone: when its session ends.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_seconds")]
    pub(crate) pu: Option<Timestamp>,
    /// Of a refresh token alone: it is what makes it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u32>,
    #[serde(skip)]
    pub(crate) claims: &'a C,
}

/// RFC 7519, section 2: `NumericDate`.
fn seconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.as_unix_seconds())
}

fn optional_seconds<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(Timestamp::as_unix_seconds).serialize(serializer)
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Appends the payload as JSON.
///
/// Fails if the application's claims are not a struct, map or unit, use a registered claim's name, or
/// cannot be read back: they have a duplicate name at any depth, NaN, an infinity, a number as a name,
/// more levels than are read, or their type cannot read what it writes.
pub(crate) fn write<C: Serialize + DeserializeOwned>(
    payload: &Payload<'_, C>,
    json: &mut Vec<u8>,
) -> serde_json::Result<()> {
    // Room for what most applications have.
    json.reserve(512);
    serde_json::to_writer(&mut *json, payload)?;
    // The application's claims are an object as well. The second brace of the two between becomes a
    // comma, unless that object is empty.
    json.pop();
    let start = json.len();
    serde_json::to_writer(&mut *json, &Application(payload.claims))?;
    // As validation does.
    let read =
        read::<C>(&json[start..], Dialect::Own, &mut Registered::default(), &mut Extra::new(&[]));
    read.map_err(|ReadError { message, .. }| {
        let refused = "a token with these claims would be refused at validation";
        Error::custom(format_args!("{refused}: {message}"))
    })?;
    match json[start + 1] {
        b'}' => drop(json.remove(start)),
        _ => json[start] = b',',
    }
    Ok(())
}

/// The application's claims, as an object.
struct Application<'a, C>(&'a C);

impl<C: Serialize> Serialize for Application<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        self.0.serialize(Beside { members: &mut members, names: Names::default() })?;
        members.end()
    }
}

/// Serializes the members of a struct or map into an object that is already begun.
struct Beside<'a, M> {
    members: &'a mut M,
    /// A validator refuses duplicate names, so none is issued.
    names: Names<'static>,
}

impl<M: SerializeMap> Beside<'_, M> {
    fn name(&mut self, name: Cow<'static, str>) -> Result<(), M::Error> {
        if REGISTERED.contains(&&*name) {
            return Err(M::Error::custom(format_args!(
                "`{name}` is a registered claim: give the field another name"
            )));
        }
        if !self.names.insert(name.clone()) {
            return Err(M::Error::custom(format_args!("`{name}` occurs twice")));
        }
        Ok(())
    }
}

/// `found` is the method of [`Serializer`] that was called.
fn no_object<T, E: Error>(found: &str) -> Result<T, E> {
    let found = found.trim_start_matches("serialize_");
    Err(E::custom(format_args!(
        "claims must be a struct, a map with string keys, or `()`, and are a `{found}`: put them into a \
         struct"
    )))
}

macro_rules! refuse {
    ($($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $method(self, $($argument: $type),*) -> Result<$result, M::Error> {
            $(let _ = $argument;)*
            no_object(stringify!($method))
        }
    )*};
}

impl<M: SerializeMap> Serializer for Beside<'_, M> {
    type Ok = ();
    type Error = M::Error;
    type SerializeSeq = Impossible<(), M::Error>;
    type SerializeTuple = Impossible<(), M::Error>;
    type SerializeTupleStruct = Impossible<(), M::Error>;
    type SerializeTupleVariant = Impossible<(), M::Error>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), M::Error>;

    refuse! {
        serialize_bool(value: bool) -> ();
        serialize_i8(value: i8) -> ();
        serialize_i16(value: i16) -> ();
        serialize_i32(value: i32) -> ();
        serialize_i64(value: i64) -> ();
        serialize_u8(value: u8) -> ();
        serialize_u16(value: u16) -> ();
        serialize_u32(value: u32) -> ();
        serialize_u64(value: u64) -> ();
        serialize_f32(value: f32) -> ();
        serialize_f64(value: f64) -> ();
        serialize_char(value: char) -> ();
        serialize_str(value: &str) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> ();
        serialize_seq(length: Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(length: usize) -> Self::SerializeTuple;
        serialize_tuple_struct(name: &'static str, length: usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, length: usize
        ) -> Self::SerializeTupleVariant;
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, length: usize
        ) -> Self::SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), M::Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), M::Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), M::Error> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), M::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), M::Error> {
        no_object("newtype_variant")
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self, M::Error> {
        Ok(self)
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self, M::Error> {
        Ok(self)
    }
}

impl<M: SerializeMap> SerializeStruct for Beside<'_, M> {
    type Ok = ();
    type Error = M::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), M::Error> {
        self.name(name.into())?;
        self.members.serialize_entry(name, &Finite(value))
    }

    fn end(self) -> Result<(), M::Error> {
        Ok(())
    }
}

impl<M: SerializeMap> SerializeMap for Beside<'_, M> {
    type Ok = ();
    type Error = M::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), M::Error> {
        // Keys are written by the inner format; here only their text is looked at.
        match serde_json::to_value(key).map_err(M::Error::custom)? {
            serde_json::Value::String(name) => self.name(name.into())?,
            _ => return no_object("map with other keys"),
        }
        self.members.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), M::Error> {
        self.members.serialize_value(&Finite(value))
    }

    fn end(self) -> Result<(), M::Error> {
        Ok(())
    }
}
