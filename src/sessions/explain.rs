//! Why a token is accepted or refused, check by check: for a developer's log, and for tools.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::claims::values::LAST_SECOND;
use crate::clock::Timestamp;
use crate::error::detail::{bounded, shown};
use crate::error::rejection::Rejection;
use crate::sessions::handle::{ReadClaims, Sessions};
use crate::token;
use crate::token::checks::{CHECKS, Observer};

impl<C: ReadClaims> Sessions<C> {
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
    /// assert_eq!(failed.name, "audience");
    /// assert_eq!(failed.found.as_deref(), Some(r#""billing""#));
    /// assert_eq!(failed.expected.as_deref(), Some(r#""orders""#));
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
        if self.0.others.is_empty() {
            return self.explain_alone(token, now);
        }
        let judge = match self.judge_of(token, now) {
            Ok(judge) => judge,
            Err(rejection) => {
                let checks = of_unknown_issuer(&rejection);
                let [header, claims] = readable(token);
                let times = claims.as_ref().map(times).unwrap_or_default();
                let (rejection, signature_verified) = (Some(rejection), false);
                return Explanation {
                    at: now,
                    rejection,
                    signature_verified,
                    header,
                    claims,
                    times,
                    checks,
                };
            }
        };
        let explanation = judge.explain_alone(token, now);
        let other = match &explanation.rejection {
            Some(rejection) if judge.0.id == self.0.id => {
                self.other_judge_of(token, rejection.kind())
            }
            _ => None,
        };
        other.map_or(explanation, |other| other.explain_alone(token, now))
    }

    /// Explains a token with the keys of these sessions' own issuer.
    fn explain_alone(&self, token: &[u8], now: Timestamp) -> Explanation {
        let keys = self.0.keys.keys(now);
        let mut passed = Passed(Vec::new());
        let verified = token::verify::verify::<C>(token, &keys, &self.0.policy, now, &mut passed);
        let checked = verified.and_then(|verified| {
            self.check_revocation(&verified, now).map_err(Rejection::new)?;
            passed.passed("revocation", || match self.revocations() {
                Some(_) => "not revoked".to_owned(),
                None => "no revocations are configured".to_owned(),
            });
            Ok(())
        });
        let rejection = checked.err();
        // Text longer than any token is not parsed.
        let [header, claims] = match token.len() <= self.0.policy.max_token_bytes {
            true => readable(token),
            false => [None, None],
        };
        let signature_verified = passed.0.iter().any(|check| check.name == "signature");
        let times = claims.as_ref().map(times).unwrap_or_default();
        let checks = passed.explained(rejection.as_ref());
        Explanation { at: now, rejection, signature_verified, header, claims, times, checks }
    }
}

/// Header and claims, as far as they can be read.
fn readable(token: &[u8]) -> [Option<Value>; 2] {
    [0, 1].map(|part| token.split(|byte| *byte == b'.').nth(part).and_then(token::decode::readable))
}

/// All checks of a token whose issuer is not accepted: no key is asked about it.
fn of_unknown_issuer(rejection: &Rejection) -> Vec<ExplainedCheck> {
    let checks = CHECKS.into_iter().map(|name| {
        let is_failed = name == "issuer";
        let shown = |text: Option<&str>| text.filter(|_| is_failed).map(Box::from);
        let (found, expected) = (shown(rejection.found()), shown(rejection.expected()));
        let outcome = if is_failed { CheckOutcome::Failed } else { CheckOutcome::NotReached };
        ExplainedCheck { name, outcome, found, expected }
    });
    checks.collect()
}

/// The times among the claims.
fn times(claims: &Value) -> Vec<(&'static str, Timestamp)> {
    let times = ["iat", "nbf", "exp", "auth_time"].into_iter().filter_map(|name| {
        let seconds = claims.get(name)?.as_f64()?;
        let is_time = (0.0..=LAST_SECOND as f64).contains(&seconds);
        is_time.then(|| (name, Timestamp::from_unix_millis((seconds * 1000.0) as i64)))
    });
    times.collect()
}

/// The checks that a token has passed.
struct Passed(Vec<ExplainedCheck>);

impl Observer for Passed {
    fn passed(&mut self, name: &'static str, found: impl FnOnce() -> String) {
        debug_assert_eq!(CHECKS.get(self.0.len()), Some(&name), "in their order");
        self.0.push(ExplainedCheck {
            name,
            outcome: CheckOutcome::Passed,
            found: Some(shown(found())),
            expected: None,
        });
    }
}

impl Passed {
    /// All checks: those that were passed, the one that has failed, and those that were not reached.
    fn explained(mut self, rejection: Option<&Rejection>) -> Vec<ExplainedCheck> {
        let mut others = CHECKS.into_iter().skip(self.0.len());
        if let (Some(rejection), Some(name)) = (rejection, others.next()) {
            self.0.push(ExplainedCheck {
                name,
                outcome: CheckOutcome::Failed,
                found: Some(rejection.found().map_or_else(|| shown(rejection), Box::from)),
                expected: rejection.expected().or_else(|| expected(name)).map(Box::from),
            });
        }
        self.0.extend(others.map(|name| ExplainedCheck {
            name,
            outcome: CheckOutcome::NotReached,
            found: None,
            expected: None,
        }));
        self.0
    }
}

/// The expected value, if a rejection's kind says all.
fn expected(check: &str) -> Option<&'static str> {
    match check {
        "signature" => Some("the signature of the key over the bytes as they came"),
        "revocation" => Some("a session that is not revoked"),
        _ => None,
    }
}

/// Why a token is accepted or refused: made by [`Sessions::explain`]. `Display` writes it as text of
/// several lines, and it serializes as an object.
///
/// # Security
///
/// It shows claims: for developers and operators, not for clients.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The time for which it was checked.
    pub at: Timestamp,
    /// Why the token is refused; `None` if it is valid. The same as [`Sessions::validate`] answers.
    #[serde(rename = "outcome", serialize_with = "write_outcome")]
    pub rejection: Option<Rejection>,
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

fn outcome(rejection: &Option<Rejection>) -> &'static str {
    rejection.as_ref().map_or("valid", |rejection| rejection.kind().as_str())
}

fn write_outcome<S: Serializer>(
    rejection: &Option<Rejection>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome(rejection))
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
}

/// The longest header and the longest claims that are displayed, in characters.
const LONGEST: usize = 4096;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "outcome: {} at {}", outcome(&self.rejection), self.at)?;
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
