//! Claims that the application's type reads, and that a rule needs, too: their JSON is kept as it came.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::values::Audience;

/// The JSON of the claims of these names.
#[derive(Debug)]
pub(crate) struct Extra<'n, 'de> {
    names: &'n [Box<str>],
    values: SmallVec<[Option<&'de RawValue>; 4]>,
}

impl<'n, 'de> Extra<'n, 'de> {
    pub(crate) fn new(names: &'n [Box<str>]) -> Self {
        Self { names, values: SmallVec::new() }
    }

    /// The place of a claim whose JSON is to be kept.
    #[inline(always)]
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        if self.names.is_empty() { None } else { self.position(name) }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|wanted| **wanted == *name)
    }

    pub(super) fn keep(&mut self, place: usize, value: &'de RawValue) {
        self.values.resize(self.names.len(), None);
        self.values[place] = Some(value);
    }

    /// The JSON of a claim; `null` is as good as absent.
    pub(crate) fn json(&self, name: &str) -> Option<&'de str> {
        let value = self.position(name).and_then(|place| *self.values.get(place)?);
        value.map(RawValue::get).filter(|json| *json != "null")
    }

    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'de, str>> {
        match self.texts(name)? {
            Audience::One(text) => Some(text),
            Audience::Several(_) => None,
        }
    }

    /// A claim that is a text, or an array of texts.
    pub(crate) fn texts(&self, name: &str) -> Option<Audience<'de>> {
        serde_json::from_str(self.json(name)?).ok()
    }

    /// The texts at the end of a path of members: one text, or an array of texts. Nothing else is one. `None` if
    /// nothing is there.
    ///
    /// SECURITY: the application's type is read from the same JSON, in which no name occurs twice.
    pub(crate) fn texts_at(&self, path: &[Box<str>]) -> Option<Box<[Box<str>]>> {
        let (first, rest) = path.split_first()?;
        let mut value = serde_json::from_str::<Value>(self.json(first)?).ok()?;
        for name in rest {
            value = value.get_mut(&**name)?.take();
        }
        let text = |value: Value| match value {
            Value::String(text) => Some(text.into()),
            _ => None,
        };
        match value {
            Value::Null => None,
            Value::Array(values) => Some(values.into_iter().filter_map(text).collect()),
            value => Some(text(value).into_iter().collect()),
        }
    }
}
