//! The explanation of a token as an operator reads it, and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use tower_jwt_session::{CheckOutcome, ExplainedCheck, Explanation, Timestamp};

use crate::commands::token::explain::Settings;
use crate::commands::token::keys::Found;
use crate::credential::Credential;
use crate::time;

/// Whether the token's own names were taken for those that the service expects.
#[derive(Serialize)]
pub(crate) struct Assumed {
    pub(crate) issuer: bool,
    pub(crate) audience: bool,
    /// Whether no profile was given: what it requires was not checked.
    #[serde(skip)]
    pub(crate) settings: bool,
}

/// What is known of a token.
#[derive(Serialize)]
pub(crate) struct Report {
    /// `accepted`, `refused`, or `not_verified`: nothing is wrong, as far as can be said without the key.
    verdict: &'static str,
    /// The kind of the rejection, `valid` or `not_verified`.
    outcome: &'static str,
    /// What has to change for it to be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Box<str>>,
    /// What else has to change, where no later check was reached for want of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    also: Option<Also>,
    at: Timestamp,
    /// `verified`, `invalid`, or `not_checked`.
    signature: &'static str,
    keys: String,
    /// Names that were taken from the token, and not checked.
    assumed: Assumed,
    taken_from: &'static str,
    header: Option<Value>,
    claims: Option<Value>,
    times: Vec<Time>,
    checks: Vec<ExplainedCheck>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Also {
    outcome: &'static str,
    check: ExplainedCheck,
    fix: Option<Box<str>>,
}

#[derive(Serialize)]
struct Time {
    claim: &'static str,
    at: Timestamp,
    relative: String,
}

impl Report {
    pub(crate) fn new(
        explanation: Explanation,
        also: Option<Explanation>,
        found: &Found,
        assumed: Assumed,
        credential: &Credential,
        settings: &Settings,
    ) -> Self {
        let Explanation { at, outcome, fix, header, claims, times, mut checks, .. } = explanation;
        let failed = checks.iter().find(|check| check.outcome == CheckOutcome::Failed);
        let failed = failed.map(|check| check.name);
        let signature = match (explanation.signature_verified, failed) {
            (true, _) => "verified",
            (false, Some("signature")) if found.has_keys => "invalid",
            _ => "not_checked",
        };
        let verdict = match failed {
            Some(_) => "refused",
            None if explanation.signature_verified => "accepted",
            None => "not_verified",
        };
        for check in &mut checks {
            let is_assumed = (check.name == "issuer" && assumed.issuer)
                || (check.name == "audience" && assumed.audience)
                || (check.name == "revocation" && found.revocations.is_none());
            if is_assumed && check.outcome == CheckOutcome::Passed {
                check.outcome = CheckOutcome::NotChecked;
                if check.name == "revocation" {
                    check.found = None;
                }
            }
        }
        let mut notes = found.notes.clone();
        for (is_assumed, check, option, what) in [
            (assumed.issuer, "issuer", "--issuer", "iss"),
            (assumed.audience, "audience", "--audience", "aud"),
        ] {
            if is_assumed && claims.as_ref().is_some_and(|claims| !claims[what].is_null()) {
                notes.push(format!(
                    "the {check} is the token's own, not checked: give {option} or set SESSIONCTL_{}",
                    check.to_uppercase()
                ));
            }
        }
        if found.has_keys && !found.is_stored {
            notes.push("whether the session is revoked was not checked: give --store".to_owned());
            let unchecked = match assumed.settings {
                true => {
                    "a profile and required claims were not checked: it may refuse this token, such as an ID token"
                }
                false => "those beside the profile were not checked",
            };
            notes.push(format!("of the service's settings, {unchecked}"));
        }
        if credential.was_wrapped {
            notes.push("white space inside of the token was removed".to_owned());
        }
        notes.push(format!(
            "with a clock_skew of {} and, where the key does not say it, a lifetime of at most {}",
            time::words(settings.clock_skew),
            time::words(settings.max_token_lifetime),
        ));
        let times = times.into_iter().map(|(claim, time)| Time {
            claim,
            at: time,
            relative: time::relative(time, at),
        });
        let also = also.and_then(|also| {
            let check = also.failed()?.clone();
            Some(Also { outcome: also.outcome, check, fix: also.fix })
        });
        Self {
            verdict,
            outcome,
            fix,
            also,
            at,
            signature,
            keys: found.place.clone(),
            assumed,
            taken_from: credential.source,
            header,
            claims,
            times: times.collect(),
            checks,
            notes,
        }
    }
}

impl Report {
    /// Notes that the token is of another issuer, where an earlier check has failed.
    pub(crate) fn note_issuer(&mut self, other: &str) {
        if self.outcome != "wrong_issuer" {
            let other: String = other.chars().take(200).collect();
            self.notes
                .push(format!("the token is of the issuer {other:?}, which is none of --issuer"));
        }
    }

    /// Adds to the sentence of a type that is not accepted what to give here, if the service accepts it.
    pub(crate) fn name_the_option_of_a_type(&mut self) {
        let header = self.header.as_ref();
        let found = header.and_then(|header| header["typ"].as_str()).filter(|found| {
            let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"+-./".contains(&it);
            !found.is_empty() && found.len() <= 64 && found.bytes().all(is_plain)
        });
        let option = match found {
            Some(found) => format!("`--token-type {found}` or the service's `--profile`"),
            None => "the service's `--profile`".to_owned(),
        };
        let also = self.also.iter_mut().map(|also| (also.outcome, &mut also.fix));
        for (outcome, fix) in also.chain([(self.outcome, &mut self.fix)]) {
            if let Some(fix) = fix.as_mut().filter(|_| outcome == "wrong_type") {
                *fix = format!("{fix}; if the service does, give {option} here").into();
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            "accepted" => "ACCEPTED".to_owned(),
            "refused" => format!("REFUSED: {}", self.outcome),
            _ => "NOT VERIFIED: no check has failed that needs no key".to_owned(),
        };
        writeln!(f, "{verdict}, for {}", self.at)?;
        if let Some(check) = self.checks.iter().find(|it| it.outcome == CheckOutcome::Failed) {
            write_failed(f, check)?;
        }
        if let Some(fix) = &self.fix {
            writeln!(f, "  to be accepted: {fix}")?;
        }
        if let Some(Also { outcome, check, fix }) = &self.also {
            writeln!(f, "ALSO: {outcome}")?;
            write_failed(f, check)?;
            fix.iter().try_for_each(|fix| writeln!(f, "  to be accepted: {fix}"))?;
        }
        let verified = match self.signature {
            "verified" => "verified",
            "invalid" => "INVALID: anyone may have written this token",
            _ => "not checked: anyone may have written this token",
        };
        writeln!(f, "\nsignature  {verified}")?;
        writeln!(f, "keys       {}", self.keys)?;
        writeln!(f, "token      from {}", self.taken_from)?;
        for (name, object) in [("header", &self.header), ("claims", &self.claims)] {
            match object {
                Some(object) => writeln!(f, "{name:<10} {}", shown(object))?,
                None => writeln!(f, "{name:<10} cannot be read")?,
            }
        }
        for Time { claim, at, relative } in &self.times {
            writeln!(f, "{claim:<10} {at}, {relative}")?;
        }
        writeln!(f)?;
        for ExplainedCheck { name, outcome, found, .. } in &self.checks {
            let outcome = match outcome {
                CheckOutcome::Passed => "passed",
                CheckOutcome::Failed => "FAILED",
                CheckOutcome::NotChecked => "not checked",
                _ => "not reached",
            };
            let found = found.as_deref().unwrap_or_default();
            writeln!(f, "{}", format!("{name:<16} {outcome:<12} {found}").trim_end())?;
        }
        writeln!(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

fn write_failed(f: &mut fmt::Formatter<'_>, check: &ExplainedCheck) -> fmt::Result {
    let ExplainedCheck { name, found, expected, .. } = check;
    writeln!(f, "  check          {name}")?;
    found.iter().try_for_each(|found| writeln!(f, "  found          {found}"))?;
    expected.iter().try_for_each(|expected| writeln!(f, "  expected       {expected}"))
}

/// An object on one line, without characters that a terminal would obey.
fn shown(object: &Value) -> String {
    let text = object.to_string();
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(LONGEST) {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if characters.next().is_some() {
        shown.push('\u{2026}');
    }
    shown
}

const LONGEST: usize = 8192;
