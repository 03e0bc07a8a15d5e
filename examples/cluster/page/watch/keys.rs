//! The keys of a ring over time, as its status reports them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tower_jwt_session::Timestamp;

/// One key. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Key {
    generation: u64,
    kid: String,
    state: String,
    published: f64,
    signs_from: f64,
    signs_until: f64,
    verifies_until: f64,
    retire_at: Option<f64>,
    /// When it was first seen to sign, which may be ahead of its time.
    signed_at: Option<f64>,
    /// When it was first seen revoked.
    revoked_at: Option<f64>,
    /// How many users hold a session that it signed.
    pub(crate) users: usize,
}

/// The keys as they were last seen.
#[derive(Default)]
pub(crate) struct Keys {
    last: Vec<Key>,
    /// When keys were first seen in a state, by state and ID.
    since: BTreeMap<(&'static str, String), f64>,
}

impl Keys {
    /// Takes over the status of a ring, the value of `ring` in `GET /health/status`, at a time.
    pub(crate) fn see(&mut self, ring: &Value, now: f64) {
        let Some(keys) = ring["keys"].as_array() else { return };
        self.last = keys.iter().filter_map(|key| self.read(key, now)).collect();
        self.since.retain(|(_, kid), _| self.last.iter().any(|key| key.kid == *kid));
    }

    /// The keys; `kids` are those of the users' sessions.
    pub(crate) fn with_users(&self, kids: &[String]) -> Vec<Key> {
        let users = |kid: &str| kids.iter().filter(|it| *it == kid).count();
        self.last.iter().map(|key| Key { users: users(&key.kid), ..key.clone() }).collect()
    }

    fn read(&mut self, key: &Value, now: f64) -> Option<Key> {
        let (kid, state) = (key["key_id"].as_str()?, key["state"].as_str()?);
        let times = &key["times"];
        for known in ["signing", "revoked"].into_iter().filter(|it| *it == state) {
            self.since.entry((known, kid.to_owned())).or_insert(now);
        }
        let since = |state| self.since.get(&(state, kid.to_owned())).copied();
        Some(Key {
            generation: key["generation"].as_u64()?,
            kid: kid.to_owned(),
            state: state.to_owned(),
            published: seconds(&times["published"])?,
            signs_from: seconds(&times["signs_from"])?,
            signs_until: seconds(&times["signs_until"])?,
            verifies_until: seconds(&times["verifies_until"])?,
            retire_at: seconds(&key["retire_at"]),
            signed_at: since("signing"),
            revoked_at: since("revoked"),
            users: 0,
        })
    }
}

/// Seconds since 1970, of a time as the status writes it.
fn seconds(time: &Value) -> Option<f64> {
    let time: Timestamp = serde_json::from_value(time.clone()).ok()?;
    Some(time.as_unix_millis() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ring(state: &str) -> Value {
        let times = json!({
            "published": "1970-01-01T00:00:01Z", "signs_from": "1970-01-01T00:00:03Z",
            "signs_until": "1970-01-01T00:00:04Z", "verifies_until": "1970-01-01T00:00:05.5Z",
        });
        let key = json!({
            "generation": 7, "key_id": "a", "state": state, "times": times, "retire_at": null,
        });
        json!({ "keys": [key] })
    }

    #[test]
    fn a_key_keeps_the_times_at_which_it_was_first_seen_so() {
        let mut keys = Keys::default();
        keys.see(&ring("signing"), 3.5);
        let [key] = &keys.with_users(&["a".into(), "b".into(), "a".into()])[..] else { panic!() };
        assert_eq!((key.generation, key.signs_from, key.verifies_until), (7, 3.0, 5.5));
        assert_eq!((key.users, key.revoked_at, key.retire_at), (2, None, None));
        keys.see(&ring("revoked"), 3.75);
        keys.see(&ring("revoked"), 4.0);
        let key = &keys.with_users(&[])[0];
        assert_eq!((key.signed_at, key.revoked_at), (Some(3.5), Some(3.75)));
        // A status that could not be read changes nothing.
        keys.see(&Value::Null, 5.0);
        assert_eq!(keys.with_users(&[]).len(), 1);
    }
}
