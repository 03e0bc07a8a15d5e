//! Why a token is accepted or refused, check by check: for a developer's log, and for tools.

use serde_json::Value;

use crate::claims::values::LAST_SECOND;
use crate::clock::Timestamp;
use crate::error::detail::shown;
use crate::error::rejection::Rejection;
use crate::sessions::explanation::{CheckOutcome, ExplainedCheck, Explanation};
use crate::sessions::fix;
use crate::sessions::handle::{ReadClaims, Sessions};
use crate::token;
use crate::token::checks::{CHECKS, Observer};
use crate::token::verified::Verified;

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
            Err(rejection) => return of_unknown_issuer(token, rejection, now),
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

    /// Explains a token whose key is not at hand: every check of [`explain`](Self::explain) but those of the
    /// key, the signature and the revocations, which are [not checked](CheckOutcome::NotChecked). It shows
    /// what else is wrong with a token of an unknown key, and what a token of any other service says.
    ///
    /// # Security
    ///
    /// Anyone may have written the token: whatever the explanation says, it is not valid. What
    /// [`explain`](Self::explain) says of personal data applies.
    pub fn explain_without_key(&self, token: &str) -> Explanation {
        let (now, token) = (self.now(), token.as_bytes());
        let judge = match self.0.others.is_empty() {
            true => Ok(self),
            false => self.judge_by_issuer(token),
        };
        match judge {
            Ok(judge) => {
                let mut checks = Checks(Vec::new());
                let checked =
                    token::without_key::check::<C>(token, &judge.0.policy, now, &mut checks);
                if checked.is_ok() {
                    checks.not_checked("revocation");
                }
                judge.explanation(token, now, checks, checked.err(), None)
            }
            Err(rejection) => of_unknown_issuer(token, rejection, now),
        }
    }

    /// Explains a token with the keys of these sessions' own issuer.
    fn explain_alone(&self, token: &[u8], now: Timestamp) -> Explanation {
        let keys = self.0.keys.keys(now);
        let (mut checks, mut revocation) = (Checks(Vec::new()), None);
        let verified = token::verify::verify::<C>(token, &keys, &self.0.policy, now, &mut checks);
        let checked = verified.and_then(|verified| {
            self.check_revocation(&verified, now).inspect_err(|_| {
                revocation = self.revocation_of(&verified);
            })?;
            checks.passed("revocation", || match self.revocations() {
                Some(_) => "not revoked".to_owned(),
                None => "no revocations are configured".to_owned(),
            });
            Ok(())
        });
        self.explanation(token, now, checks, checked.err(), revocation)
    }

    /// The revocation that refuses a session.
    fn revocation_of(&self, verified: &Verified<C>) -> Option<String> {
        let (revocations, candidate) = self.candidate(verified)?;
        revocations.describe(&candidate)
    }

    /// The explanation of these checks. `found` is what the one that has failed found, if the rejection does
    /// not say it.
    fn explanation(
        &self,
        token: &[u8],
        now: Timestamp,
        checks: Checks,
        rejection: Option<Rejection>,
        found: Option<String>,
    ) -> Explanation {
        // Text longer than any token is not parsed.
        let [header, claims] = match token.len() <= self.0.policy.max_token_bytes {
            true => readable(token),
            false => [None, None],
        };
        let signature_verified = checks.has_passed("signature");
        let outcome = match &rejection {
            Some(rejection) => rejection.kind().as_str(),
            None if signature_verified => "valid",
            None => "not_verified",
        };
        let times = claims.as_ref().map(times).unwrap_or_default();
        let checks = checks.explained(rejection.as_ref(), found);
        let failed = checks.iter().find(|check| check.outcome == CheckOutcome::Failed);
        let is_followed = self.0.keys.followed_issuer().is_some();
        let fix = failed.zip(rejection.as_ref());
        let fix = fix.map(|(check, it)| fix::fix(check.name, it, is_followed));
        Explanation {
            at: now,
            rejection,
            outcome,
            fix,
            signature_verified,
            header,
            claims,
            times,
            checks,
        }
    }
}

/// Header and claims, as far as they can be read.
fn readable(token: &[u8]) -> [Option<Value>; 2] {
    [0, 1].map(|part| token.split(|byte| *byte == b'.').nth(part).and_then(token::decode::readable))
}

/// A token whose issuer is not accepted: no key is asked about it.
fn of_unknown_issuer(token: &[u8], rejection: Rejection, now: Timestamp) -> Explanation {
    // It is looked at before all others.
    let others = CHECKS.into_iter().filter(|name| *name != "issuer");
    let checks = ["issuer"].into_iter().chain(others).map(|name| {
        let is_failed = name == "issuer";
        let shown = |text: Option<&str>| text.filter(|_| is_failed).map(Box::from);
        let (found, expected) = (shown(rejection.found()), shown(rejection.expected()));
        let outcome = if is_failed { CheckOutcome::Failed } else { CheckOutcome::NotReached };
        ExplainedCheck { name, outcome, found, expected }
    });
    let checks = checks.collect();
    let [header, claims] = readable(token);
    Explanation {
        at: now,
        outcome: rejection.kind().as_str(),
        fix: Some(fix::fix("issuer", &rejection, false)),
        rejection: Some(rejection),
        signature_verified: false,
        header,
        times: claims.as_ref().map(times).unwrap_or_default(),
        claims,
        checks,
    }
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

/// The checks that a token has passed, and those that were not made.
struct Checks(Vec<ExplainedCheck>);

impl Observer for Checks {
    fn passed(&mut self, name: &'static str, found: impl FnOnce() -> String) {
        self.push(name, CheckOutcome::Passed, Some(shown(found())));
    }

    fn not_checked(&mut self, name: &'static str) {
        self.push(name, CheckOutcome::NotChecked, None);
    }
}

impl Checks {
    fn push(&mut self, name: &'static str, outcome: CheckOutcome, found: Option<Box<str>>) {
        debug_assert_eq!(CHECKS.get(self.0.len()), Some(&name), "in their order");
        self.0.push(ExplainedCheck { name, outcome, found, expected: None });
    }

    fn has_passed(&self, name: &str) -> bool {
        self.0.iter().any(|check| check.name == name && check.outcome == CheckOutcome::Passed)
    }

    /// All checks: these, the one that has failed, and those that were not reached.
    fn explained(
        mut self,
        rejection: Option<&Rejection>,
        found: Option<String>,
    ) -> Vec<ExplainedCheck> {
        let mut others = CHECKS.into_iter().skip(self.0.len());
        if let (Some(rejection), Some(name)) = (rejection, others.next()) {
            let of_rejection = || rejection.found().map_or_else(|| shown(rejection), Box::from);
            self.0.push(ExplainedCheck {
                name,
                outcome: CheckOutcome::Failed,
                found: Some(found.map_or_else(of_rejection, shown)),
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
