//! [`Explanation`]: the checks of a token, as data and as text.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::error::detail::bounded;
use crate::error::rejection::Rejection;

/// Why a token is accepted or refused: made by [`Sessions::explain`](crate::Sessions::explain). `Display`
/// writes it as text of several lines, and it serializes as an object.
///
/// # Security
///
/// It shows claims: for developers and operators, not for clients.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The time for which it was checked.
    pub at: Timestamp,
    /// Why the token is refused; `None` if it is valid. The same as
    /// [`Sessions::validate`](crate::Sessions::validate) answers. Where the key is
    /// [not at hand](crate::Sessions::explain_without_key), `None` does not mean that it is valid.
    #[serde(skip)]
    pub rejection: Option<Rejection>,
    /// `valid`, the [kind](crate::RejectionKind::as_str) of the rejection, or `not_verified` if all other checks
    /// were passed and the signature was not checked.
    pub outcome: &'static str,
    /// What has to change for the token to be accepted, as one sentence; `None` if no check has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Box<str>>,
    /// Whether the signature is the key's. If not, anyone may have written header and claims.
    pub signature_verified: bool,
    /// The header, if it can be read.
    pub header: Option<Value>,
    /// The claims, if they can be read.
    pub claims: Option<Value>,
    /// The times among the claims, with their names: `iat`, `nbf`, `exp` and `auth_time`.
    #[serde(serialize_with = "write_times")]
    pub times: Vec<(&'static str, Timestamp)>,
    /// Every check, in the order in which it is made.
    pub checks: Vec<ExplainedCheck>,
}

impl Explanation {
    /// The check that has failed, if one has.
    pub fn failed(&self) -> Option<&ExplainedCheck> {
        self.checks.iter().find(|check| check.outcome == CheckOutcome::Failed)
    }
}

/// Writes the times as an object.
fn write_times<S: Serializer>(
    times: &[(&'static str, Timestamp)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(times.iter().copied())
}

/// One check of an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExplainedCheck {
    /// A short name that stays the same, such as `audience`.
    pub name: &'static str,
    /// Its outcome.
    pub outcome: CheckOutcome,
    /// The value found, if the check was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Box<str>>,
    /// The value expected, if the check has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Box<str>>,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckOutcome {
    /// The token has passed it.
    Passed,
    /// The token is refused by it.
    Failed,
    /// An earlier check has failed.
    NotReached,
    /// It needs a key, and none was at hand.
    NotChecked,
}

/// The longest header and the longest claims that are displayed, in characters.
const LONGEST: usize = 4096;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "outcome: {} at {}", self.outcome, self.at)?;
        let verified = if self.signature_verified { "verified" } else { "not verified" };
        for (name, object) in [("header", &self.header), ("claims", &self.claims)] {
            match object {
                Some(object) => writeln!(f, "{name} ({verified}): {}", bounded(object, LONGEST))?,
                None => writeln!(f, "{name}: cannot be read")?,
            }
        }
        for &(name, time) in &self.times {
            match time <= self.at {
                true => writeln!(f, "{name}: {time}, {:?} ago", self.at - time)?,
                false => writeln!(f, "{name}: {time}, in {:?}", time - self.at)?,
            }
        }
        for ExplainedCheck { name, outcome, found, expected } in &self.checks {
            let outcome = match outcome {
                CheckOutcome::Passed => "passed",
                CheckOutcome::Failed => "FAILED",
                CheckOutcome::NotReached => "not reached",
                CheckOutcome::NotChecked => "not checked",
            };
            write!(f, "{name}: {outcome}")?;
            if let Some(found) = found {
                write!(f, ", found {found}")?;
            }
            if let Some(expected) = expected {
                write!(f, ", expected {expected}")?;
            }
            writeln!(f)?;
        }
        self.fix.iter().try_for_each(|fix| writeln!(f, "to be accepted: {fix}"))
    }
}
