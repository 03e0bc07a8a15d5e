//! The cookies of a test's client, as a browser on https keeps them: names and values, `Max-Age`, and the
//! conditions of the prefixes.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::clock::Timestamp;

/// Cookies by their names.
#[derive(Clone, Default)]
pub(crate) struct Cookies(BTreeMap<String, Kept>);

#[derive(Clone)]
struct Kept {
    value: String,
    max_age: Option<Duration>,
    set_at: Option<Timestamp>,
}

impl Cookies {
    /// Stores what a response sets.
    pub(crate) fn read(&mut self, headers: &HeaderMap, now: Option<Timestamp>) {
        for field in headers.get_all(SET_COOKIE) {
            self.set(field, now);
        }
    }

    /// Stores one `Set-Cookie` field (RFC 6265, section 5.2).
    ///
    /// # Panics
    ///
    /// Panics if a browser would refuse it (RFC 6265bis, section 5.7).
    pub(crate) fn set(&mut self, field: &HeaderValue, now: Option<Timestamp>) {
        let field = field.to_str().expect("a Set-Cookie field of visible ASCII");
        let mut parts = field.split(';').map(str::trim);
        let (name, value) = parts
            .next()
            .and_then(|pair| pair.split_once('='))
            .unwrap_or_else(|| panic!("a browser refuses this cookie without a name: {field}"));
        let attributes: Vec<_> =
            parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
        let attribute = |name: &str| {
            let mut found = attributes.iter().rev();
            found.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let is_secure = attribute("Secure").is_some();
        let is_of_host = attribute("Path") == Some("/") && attribute("Domain").is_none();
        let starts = |prefix: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        assert!(
            !starts("__Secure-") || is_secure,
            "a browser refuses the cookie {name}: `__Secure-` needs `Secure`"
        );
        assert!(
            !starts("__Host-") || (is_secure && is_of_host),
            "a browser refuses the cookie {name}: `__Host-` needs `Secure`, `Path=/` and no `Domain`"
        );
        let max_age = attribute("Max-Age").and_then(|seconds| seconds.parse::<i64>().ok());
        if max_age.is_some_and(|seconds| seconds <= 0) {
            self.0.remove(name);
            return;
        }
        let max_age = max_age.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
        let kept = Kept { value: value.to_owned(), max_age, set_at: now };
        self.0.insert(name.to_owned(), kept);
    }

    /// The `Cookie` field of a request at `now`, if there is a cookie. A time that is not known lets none
    /// expire.
    pub(crate) fn field(&mut self, now: Option<Timestamp>) -> Option<HeaderValue> {
        self.0.retain(|_, kept| match (kept.max_age, kept.set_at, now) {
            (Some(max_age), Some(set_at), Some(now)) => now < set_at + max_age,
            _ => true,
        });
        let pairs = self.0.iter().map(|(name, kept)| format!("{name}={}", kept.value));
        let pairs = pairs.collect::<Vec<_>>().join("; ");
        (!pairs.is_empty()).then(|| HeaderValue::try_from(pairs).expect("values of headers"))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|kept| &*kept.value)
    }

    /// Drops the cookies without `Max-Age`.
    pub(crate) fn end_browser_session(&mut self) {
        self.0.retain(|_, kept| kept.max_age.is_some());
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
