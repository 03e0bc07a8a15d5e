//! The signs of a fault in a status, in metrics and in a log: what is there and was not before.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// Signs, each with the seconds between the beginning of the fault and its first sight.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Signs {
    /// Fields of `/health/status`.
    pub status: BTreeMap<String, f64>,
    /// Metrics, with their outcome.
    pub metric: BTreeMap<String, f64>,
    /// The fixed phrases of events, from `warn` on.
    pub log: BTreeMap<String, f64>,
    /// What the status, the readiness and the log say in words.
    pub words: BTreeSet<String>,
}

/// Fields that are null, false or empty while all is well.
const FIELDS: [&str; 11] = [
    "/reasons",
    "/ring/failure",
    "/ring/write_failure",
    "/ring/rotation_overdue",
    "/ring/issuing_paused",
    "/ring/skipped",
    "/revocations/failure",
    "/revocations/write_failure",
    "/revocations/skipped",
    "/revocations/newer_format",
    "/ring/task_panics",
];
/// A clock that is off by less shows nothing.
const OFFSET_MILLIS: i64 = 5000;

/// The fields of a status that say something, each with its words.
pub(crate) fn of_status(status: &Value) -> BTreeMap<String, String> {
    let fields = FIELDS.iter().filter_map(|field| {
        let value = status.pointer(field)?;
        let silent = match value {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(number) => number.as_u64() == Some(0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(_) => false,
        };
        (!silent).then(|| ((*field).to_owned(), value.to_string()))
    });
    let offset = status.pointer("/ring/clock_offset/offset_ms").and_then(Value::as_i64);
    let offset = offset.filter(|offset| offset.abs() > OFFSET_MILLIS);
    let offset = offset.map(|offset| ("/ring/clock_offset".to_owned(), format!("{offset} ms")));
    fields.chain(offset).collect()
}

/// Metrics that rise when something is wrong, and by how much they have to.
const RISING: [(&str, f64); 15] = [
    ("refreshes_total failed", 0.5),
    ("refreshes_total unwritten", 0.5),
    ("refresh_failures", 0.5),
    ("refresh_lag_seconds", 3.0),
    ("store_writes_total failed", 0.5),
    ("audit_events_total ring_restored", 0.5),
    ("audit_events_total revocations_restored", 0.5),
    ("write_lag_seconds", 20.0),
    ("revocations_recorded_total failed", 0.5),
    ("rejections_total stale_revocations", 0.5),
    ("validations_total issued_in_future", 0.5),
    ("validations_total unknown_key", 0.5),
    ("validations_total expired", 0.5),
    ("issued_total no_signing_key", 0.5),
    ("task_panics_total", 0.5),
];

/// The metrics that are watched, by their name and outcome or kind, all rings added.
pub(crate) fn of_metrics(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("tower_jwt_session_") else { continue };
        let Some((series, value)) = rest.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let label = |name: &str| labels.split_once(name).and_then(|(_, it)| it.split('"').next());
        let outcome = label("outcome=\"").or_else(|| label("kind=\""));
        let name = match outcome {
            Some(outcome) => format!("{name} {outcome}"),
            None => name.to_owned(),
        };
        *found.entry(name).or_default() += value;
    }
    found
}

/// Those that are worse than they were at this replica before the fault.
pub(crate) fn worse(now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>) -> Vec<String> {
    let was = |name: &str| before.get(name).copied().unwrap_or_default();
    let is = |name: &str| now.get(name).copied().unwrap_or_default();
    let rising = RISING.iter().filter(|(name, by)| is(name) > was(name) + by);
    let mut found: Vec<_> = rising.map(|(name, _)| (*name).to_owned()).collect();
    if now.contains_key("ready") && is("ready") < was("ready") {
        found.push("ready".to_owned());
    }
    let offset = is("clock_offset_seconds").abs() - was("clock_offset_seconds").abs();
    if offset * 1000.0 > OFFSET_MILLIS as f64 {
        found.push("clock_offset_seconds".to_owned());
    }
    found
}

/// The phrase of an event from `warn` on, and the whole line.
pub(crate) fn of_log(line: &str) -> Option<String> {
    let (_, event) = line.split_once(" WARN ").or_else(|| line.split_once(" ERROR "))?;
    let (_, said) = event.split_once(": ")?;
    // Fields follow the phrase: `name=value`.
    let is_field = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| name.chars().all(|it| it.is_ascii_lowercase() || it == '_'))
    };
    let words: Vec<_> = said.split(' ').take_while(|word| !is_field(word)).collect();
    Some(words.join(" "))
}
