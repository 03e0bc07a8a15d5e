//! Shared by the targets: a service with one HMAC key, and a reader of JSON that sees doubled names.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, Key, KeyRing, SessionClaims, Sessions, Timestamp};

/// The secret of the one key.
pub const SECRET: &[u8; 32] = b"a secret for fuzzing alone......";

/// The key, by an ID that seeds can hold.
pub fn key() -> Key {
    Key::hmac_from_text(Algorithm::HS256, SECRET).expect("a long secret").with_key_id("k")
}

/// Sessions of that key, at this time.
pub fn sessions<C: SessionClaims>(now: i64) -> Sessions<C> {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(now));
    let ring = KeyRing::fixed([key()]).clock(clock).build().expect("one good key");
    Sessions::builder(ring, "https://issuer.test", "app").build().expect("good settings")
}

/// The header of that key's tokens.
pub const HEADER: &str = r#"{"alg":"HS256","typ":"session+jwt","kid":"k"}"#;

/// The time of the seeds.
pub const NOW: i64 = 1_800_000_000;

/// A payload that is good at [`NOW`].
pub const PAYLOAD: &str = r#"{"iss":"https://issuer.test","sub":"alice","aud":"app","iat":1800000000,"exp":1800000900,"jti":"1"}"#;

/// JSON as it stands, all members in their order: another reader than the one under test.
#[derive(Debug)]
pub enum Json {
    /// What is neither of the others.
    Other,
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text that serde_json takes.
    pub fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// A member by its name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.members().iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The members of an object.
    pub fn members(&self) -> &[(String, Json)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The value of a number.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// Whether a name stands twice in one object, at any depth.
    pub fn has_doubled_name(&self) -> bool {
        let members = self.members();
        let doubled = |(place, (name, _)): (usize, &(String, Json))| {
            members[..place].iter().any(|(other, _)| other == name)
        };
        let inside = match self {
            Self::List(values) => values.iter().any(Self::has_doubled_name),
            _ => members.iter().any(|(_, value)| value.has_doubled_name()),
        };
        inside || members.iter().enumerate().any(doubled)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonVisitor;
        impl<'de> Visitor<'de> for JsonVisitor {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Number(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = access.next_element()? {
                    values.push(value);
                }
                Ok(Json::List(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(JsonVisitor)
    }
}
