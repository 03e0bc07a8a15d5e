//! Wycheproof's vectors: edge cases on which implementations of cryptography have failed.

mod primitives;
mod tokens;

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;

/// A file of vectors, in groups that each have a key or its parameters.
#[derive(Deserialize)]
struct Suite {
    #[serde(rename = "numberOfTests")]
    announced: usize,
    #[serde(rename = "testGroups")]
    groups: Vec<Value>,
}

impl Suite {
    /// Runs `check` over all vectors with their groups, and reports all that come out otherwise.
    fn check(&self, check: impl Fn(&Value, &Vector) -> Result<(), String>) -> Result<(), Failed> {
        let (mut failures, mut checked) = (Vec::new(), 0);
        for group in &self.groups {
            for vector in Vec::<Vector>::deserialize(&group["tests"])? {
                checked += 1;
                if let Err(failure) = check(group, &vector) {
                    failures.push(format!("{} ({}): {failure}", vector.id, vector.comment));
                }
            }
        }
        conformance::count(checked);
        if checked != self.announced {
            failures.push(format!("{checked} vectors where the file says {}", self.announced));
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
    }
}

/// What all vectors have; the rest is the kind's own.
#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "tcId")]
    id: u64,
    comment: String,
    result: String,
    #[serde(flatten)]
    members: Value,
}

impl Vector {
    fn is_valid(&self) -> bool {
        self.result == "valid"
    }

    fn bytes(&self, member: &str) -> Result<Vec<u8>, String> {
        hex(&self.members[member])
    }
}

fn hex(text: &Value) -> Result<Vec<u8>, String> {
    let text = text.as_str().ok_or("not a string")?;
    let digits = |at| text.get(at..at + 2).ok_or("an odd number of digits");
    let byte = |at| u8::from_str_radix(digits(at)?, 16).map_err(|error| error.to_string());
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What came out has to be what was to come out.
fn expect(expected: bool, accepted: bool) -> Result<(), String> {
    match (expected, accepted) {
        (true, false) => Err("refused, and is valid".to_owned()),
        (false, true) => Err("accepted, and is not valid".to_owned()),
        _ => Ok(()),
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    [tokens::trials(), primitives::trials()].into_iter().flatten().collect()
}
