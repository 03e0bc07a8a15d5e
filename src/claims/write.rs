//! Writes a payload: the registered claims, then the application's beside them.

use std::borrow::Cow;

use serde::ser::{Error, Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};

use super::REGISTERED;
use super::strict::Names;
use crate::clock::Timestamp;

/// The claims of a token that is issued.
#[derive(Debug)]
pub(crate) struct Payload<'a, C> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) iat: Timestamp,
    pub(crate) exp: Timestamp,
    pub(crate) jti: &'a str,
    pub(crate) sid: &'a str,
    pub(crate) auth_time: Timestamp,
    pub(crate) scope: Option<&'a str>,
    /// 0 for none.
    pub(crate) rv: u64,
    /// Of a refresh token alone: it is what makes it one.
    pub(crate) seq: Option<u32>,
    pub(crate) claims: &'a C,
}

/// Writes the payload as JSON.
///
/// # Errors
///
/// If the application's claims are no struct, map or unit, use a registered claim's name, or use a
/// name twice.
pub(crate) fn write<C: Serialize>(payload: &Payload<'_, C>) -> serde_json::Result<Vec<u8>> {
    // Room for what most applications have.
    let mut json = Vec::with_capacity(512);
    text(&mut json, r#"{"iss":"#, payload.iss)?;
    text(&mut json, r#","sub":"#, payload.sub)?;
    text(&mut json, r#","aud":"#, payload.aud)?;
    number(&mut json, r#","iat":"#, payload.iat.as_unix_seconds())?;
    number(&mut json, r#","exp":"#, payload.exp.as_unix_seconds())?;
    text(&mut json, r#","jti":"#, payload.jti)?;
    text(&mut json, r#","sid":"#, payload.sid)?;
    number(&mut json, r#","auth_time":"#, payload.auth_time.as_unix_seconds())?;
    if let Some(scope) = payload.scope {
        text(&mut json, r#","scope":"#, scope)?;
    }
    if payload.rv > 0 {
        number(&mut json, r#","rv":"#, payload.rv)?;
    }
    if let Some(seq) = payload.seq {
        number(&mut json, r#","seq":"#, seq)?;
    }
    let start = json.len();
    serde_json::to_writer(&mut json, &Application(payload.claims))?;
    // They are an object: its brace becomes the comma between, unless it is empty.
    match json[start + 1] {
        b'}' => drop(json.remove(start)),
        _ => json[start] = b',',
    }
    Ok(json)
}

/// Writes a member: its name with what stands around it, and its value.
fn text(json: &mut Vec<u8>, name: &str, text: &str) -> serde_json::Result<()> {
    json.extend_from_slice(name.as_bytes());
    let is_escaped = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    // Without a way out of the loop, it looks at many bytes at once.
    if text.bytes().fold(0, |found, byte| found | u8::from(is_escaped(byte))) != 0 {
        return serde_json::to_writer(json, text);
    }
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
    Ok(())
}

fn number(json: &mut Vec<u8>, name: &str, number: impl Serialize) -> serde_json::Result<()> {
    json.extend_from_slice(name.as_bytes());
    serde_json::to_writer(json, &number)
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

/// Serialises the members of a struct or map into an object that is already begun.
struct Beside<'a, M> {
    members: &'a mut M,
    /// A validator refuses a name that stands twice, so none is issued.
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
            return Err(M::Error::custom(format_args!("`{name}` stands twice")));
        }
        Ok(())
    }
}

fn no_object<T, E: Error>() -> Result<T, E> {
    Err(E::custom("they have to be a struct, a map with string keys, or `()`"))
}

macro_rules! refuse {
    ($($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $method(self, $($argument: $type),*) -> Result<$result, M::Error> {
            $(let _ = $argument;)*
            no_object()
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

    fn serialize_none(self) -> Result<(), M::Error> {
        no_object()
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
        no_object()
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
        self.members.serialize_entry(name, value)
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
            _ => return no_object(),
        }
        self.members.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), M::Error> {
        self.members.serialize_value(value)
    }

    fn end(self) -> Result<(), M::Error> {
        Ok(())
    }
}
