//! Why a token is accepted or refused, check by check: for a developer's log, and for tools.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::claims::values::LAST_SECOND;
use crate::clock::Timestamp;
use crate::error::detail::{bounded, shown};
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::Sessions;
use crate::token;
use crate::token::checks::{Check, Observer};

impl<C: DeserializeOwned + 'static> Sessions<C> {
    /// Explains the result of [`validate`](Self::validate) for a token: its header, claims and times, and
    /// each check in its order, with the value found and the value expected.
    ///
    /// It runs the checks of `validate` themselves, without the cache, and has no effects: nothing is
    /// counted, and no issuer is asked for a key that is not known.
    ///
    /// ```
    /// # use tower_jwt_session::{Login, Sessions, testing};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let clock = testing::ManualClock::default();
    /// let orders = Sessions::<()>::builder(keys(), "https://app.example", "orders").build()?;
    /// let billing = Sessions::<()>::builder(keys(), "https://app.example", "billing").build()?;
    /// let token = billing.issue(&Login::new("alice", ()))?;
    ///
    /// let explanation = orders.explain(token.as_str());
    /// let failed = explanation.failed().expect("another audience");
    /// assert_eq!(failed.name(), "audience");
    /// assert_eq!(failed.found(), Some(r#""billing""#));
    /// assert_eq!(failed.expected(), Some(r#""orders""#));
    /// println!("{explanation}");
    /// # Ok(())
    /// # }
    /// # fn keys() -> tower_jwt_session::KeyRing {
    /// #     testing::fixed_ring(testing::ManualClock::default())
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// The explanation shows the claims of the token, also those of a token whose signature is not
    /// valid, and what this service expects. It is for developers and operators: send it to no client,
    /// and keep it out of logs that must not hold personal data. It never holds the token or its
    /// signature.
    pub fn explain(&self, token: &str) -> Explanation {
        let (now, token) = (self.now(), token.as_bytes());
        let keys = self.0.keys.keys(now);
        let mut passed = Passed(Vec::new());
        let verified = token::verify::verify::<C>(token, &keys, &self.0.policy, now, &mut passed);
        let checked = verified.and_then(|verified| {
            self.check_revocation(&verified, now).map_err(Rejection::new)?;
            passed.passed(Check::Revocation, || match self.revocations() {
                Some(_) => "not revoked".to_owned(),
                None => "no revocations are configured".to_owned(),
            });
            Ok(())
        });
        let rejection = checked.err();
        // Text longer than any token is not parsed.
        let [header, claims] = match token.len() <= self.0.policy.max_token_bytes {
            true => [0, 1].map(|part| {
                token.split(|byte| *byte == b'.').nth(part).and_then(token::decode::readable)
            }),
            false => [None, None],
        };
        let signature_verified = passed.0.iter().any(|(check, _)| *check == Check::Signature);
        let checks = passed.explained(rejection.as_ref());
        Explanation { at: now, rejection, signature_verified, header, claims, checks }
    }
}

/// The checks that a token has passed, with what was found.
struct Passed(Vec<(Check, Box<str>)>);

impl Observer for Passed {
    fn passed(&mut self, check: Check, found: impl FnOnce() -> String) {
        debug_assert_eq!(Check::ALL.get(self.0.len()), Some(&check), "in their order");
        self.0.push((check, shown(found())));
    }
}

impl Passed {
    /// All checks: those that were passed, the one that has failed, and those that were not reached.
    fn explained(self, rejection: Option<&Rejection>) -> Vec<ExplainedCheck> {
        let reached = self.0.len();
        let passed = self.0.into_iter().map(|(check, found)| ExplainedCheck {
            name: check.name(),
            outcome: CheckOutcome::Passed,
            found: Some(found),
            expected: None,
        });
        let others = Check::ALL.into_iter().skip(reached).enumerate();
        let others = others.map(|(place, check)| match rejection.filter(|_| place == 0) {
            Some(rejection) => ExplainedCheck {
                name: check.name(),
                outcome: CheckOutcome::Failed,
                found: Some(rejection.found().map_or_else(|| shown(rejection), Box::from)),
                expected: rejection.expected().or_else(|| expected(check)).map(Box::from),
            },
            None => ExplainedCheck {
                name: check.name(),
                outcome: CheckOutcome::NotReached,
                found: None,
                expected: None,
            },
        });
        passed.chain(others).collect()
    }
}

/// The expected value, if a rejection's kind says all.
fn expected(check: Check) -> Option<&'static str> {
    match check {
        Check::Signature => Some("the signature of the key over the bytes as they came"),
        Check::Revocation => Some("a session that is not revoked"),
        _ => None,
    }
}

/// Why a token is accepted or refused: made by [`Sessions::explain`]. `Display` writes it as text of
/// several lines, and it serializes as an object.
///
/// # Security
///
/// It shows claims: for developers and operators, not for clients.
#[derive(Clone, Debug)]
pub struct Explanation {
    at: Timestamp,
    rejection: Option<Rejection>,
    signature_verified: bool,
    header: Option<Value>,
    claims: Option<Value>,
    checks: Vec<ExplainedCheck>,
}

impl Explanation {
    /// The time for which it was checked.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Why the token is refused; `None` if it is valid. The same as [`Sessions::validate`] answers.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }

    /// Whether the signature is the key's. If not, anyone may have written header and claims.
    pub fn signature_verified(&self) -> bool {
        self.signature_verified
    }

    /// The header, if it can be read.
    pub fn header(&self) -> Option<&Value> {
        self.header.as_ref()
    }

    /// The claims, if they can be read.
    pub fn claims(&self) -> Option<&Value> {
        self.claims.as_ref()
    }

    /// The times among the claims, with their names: `iat`, `nbf`, `exp` and `auth_time`.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, Timestamp)> {
        ["iat", "nbf", "exp", "auth_time"].into_iter().filter_map(|name| {
            let seconds = self.claims.as_ref()?.get(name)?.as_f64()?;
            let is_time = (0.0..=LAST_SECOND as f64).contains(&seconds);
            is_time.then(|| (name, Timestamp::from_unix_millis((seconds * 1000.0) as i64)))
        })
    }

    /// Every check, in the order in which it is made.
    pub fn checks(&self) -> &[ExplainedCheck] {
        &self.checks
    }

    /// The check that has failed, if one has.
    pub fn failed(&self) -> Option<&ExplainedCheck> {
        self.checks.iter().find(|check| check.outcome == CheckOutcome::Failed)
    }

    fn outcome(&self) -> &'static str {
        self.rejection.as_ref().map_or("valid", |rejection| {
            let kind: RejectionKind = rejection.kind();
            kind.as_str()
        })
    }
}

/// One check of an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExplainedCheck {
    name: &'static str,
    outcome: CheckOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Box<str>>,
}

impl ExplainedCheck {
    /// A short name that stays the same, such as `audience`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the outcome.
    pub fn outcome(&self) -> CheckOutcome {
        self.outcome
    }

    /// Returns the value found, if the check was reached.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Returns the value expected, if the check has failed.
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }
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
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Object<'a> {
            at: Timestamp,
            outcome: &'static str,
            signature_verified: bool,
            header: Option<&'a Value>,
            claims: Option<&'a Value>,
            times: BTreeMap<&'static str, Timestamp>,
            checks: &'a [ExplainedCheck],
        }
        let object = Object {
            at: self.at,
            outcome: self.outcome(),
            signature_verified: self.signature_verified,
            header: self.header.as_ref(),
            claims: self.claims.as_ref(),
            times: self.times().collect(),
            checks: &self.checks,
        };
        object.serialize(serializer)
    }
}

/// The longest header and the longest claims that are displayed, in characters.
const LONGEST: usize = 4096;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "outcome: {} at {}", self.outcome(), self.at)?;
        let verified = if self.signature_verified { "verified" } else { "not verified" };
        for (name, object) in [("header", &self.header), ("claims", &self.claims)] {
            match object {
                Some(object) => writeln!(f, "{name} ({verified}): {}", bounded(object, LONGEST))?,
                None => writeln!(f, "{name}: cannot be read")?,
            }
        }
        for (name, time) in self.times() {
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
        Ok(())
    }
}
