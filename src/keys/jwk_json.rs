//! The JSON of a JWK as it was written: which members are there, how often, and of what type.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// The parts of a JSON value that a JWK needs.
pub(super) enum Json {
    Missing,
    Null,
    /// A boolean or a number, by its type.
    Other(&'static str),
    Text(Zeroizing<String>),
    /// Of strings alone, or of other things.
    List(Option<Vec<String>>),
    Object(Vec<(&'static str, Json)>),
    /// A member that is there more than once.
    Repeated,
}

impl Json {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its type, without its value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Other(kind) => kind,
            Self::Text(text) if text.is_empty() => "an empty string",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Repeated => "given more than once",
        }
    }

    /// Its value, for a member that is public in every key: escaped, and cut.
    pub(super) fn shown(&self) -> String {
        let cut = |text: &str| text.chars().take(32).collect::<String>();
        match self {
            Self::Text(text) => format!("{:?}", cut(text)),
            Self::List(Some(texts)) => {
                format!("{:?}", texts.iter().take(8).map(|text| cut(text)).collect::<Vec<_>>())
            }
            other => other.kind().to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(json) = list.next_element::<Json>()? {
            match (json.text(), &mut texts) {
                (Some(text), Some(texts)) => texts.push(text.to_owned()),
                _ => texts = None,
            }
        }
        Ok(Json::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut members: Vec<(&'static str, Json)> = Vec::new();
        while let Some(name) = object.next_key::<String>()? {
            let Some(known) = KNOWN.into_iter().find(|known| *known == name) else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let json = object.next_value()?;
            match members.iter_mut().find(|(held, _)| *held == known) {
                Some((_, held)) => *held = Json::Repeated,
                None => members.push((known, json)),
            }
        }
        Ok(Json::Object(members))
    }
}

/// The members that are read; others are ignored.
const KNOWN: [&str; 20] = [
    "kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq",
    "qi", "oth", "k", "keys", "issuer",
];
