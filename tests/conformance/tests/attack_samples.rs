//! Tokens of known attacks, from a file: asked for their verdict in every way.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conformance::{Service, Verdict, published, report};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, Key, KeyRing, Sessions, SessionsBuilder, Timestamp};

#[derive(Deserialize)]
struct Samples {
    profile: Profile,
    cases: Vec<Case>,
}

#[derive(Clone, Deserialize)]
struct Profile {
    now: i64,
    max_token_bytes: usize,
    iss: String,
    aud: String,
    cookie: String,
    ring: Ring,
}

#[derive(Clone, Deserialize)]
struct Ring {
    keys: Vec<Value>,
    hmac: Vec<SharedSecret>,
}

#[derive(Clone, Deserialize)]
struct SharedSecret {
    k: String,
    kid: String,
    alg: Algorithm,
}

#[derive(Clone, Deserialize)]
struct Case {
    id: String,
    expected: String,
    /// Absent where a case needs what not every implementation has.
    request: Option<Vec<(String, String)>>,
    note: Option<String>,
}

impl Profile {
    fn sessions(&self) -> Result<SessionsBuilder<()>, Failed> {
        let mut keys = Vec::new();
        for jwk in &self.ring.keys {
            keys.push(Key::from_jwk(jwk.to_string())?);
        }
        for secret in &self.ring.hmac {
            let bytes = URL_SAFE_NO_PAD.decode(&secret.k)?;
            keys.push(Key::hmac_from_text(secret.alg, &bytes)?.with_key_id(&*secret.kid));
        }
        let clock = ManualClock::new(Timestamp::from_unix_seconds(self.now));
        let ring = KeyRing::fixed(keys).clock(clock).build()?;
        let sessions = Sessions::builder(ring, &*self.iss, &*self.aud);
        Ok(sessions.max_token_bytes(self.max_token_bytes))
    }
}

impl Case {
    /// The token of its one header field.
    fn token(&self) -> Result<&str, Failed> {
        match self.request.as_deref().unwrap_or_default() {
            [(name, value)] if name.eq_ignore_ascii_case("Authorization") => {
                value.strip_prefix("Bearer ").ok_or_else(|| "no bearer token".into())
            }
            _ => Err("a request of another form than was known".into()),
        }
    }

    fn expected(&self) -> Result<Verdict, Failed> {
        match &*self.expected {
            "200" => Ok(Verdict::Accepted),
            refused if refused.starts_with("401") => Ok(Verdict::Refused),
            other => Err(format!("an expectation of another form than was known: {other}").into()),
        }
    }

    fn run(&self, profile: &Profile) -> Result<(), Failed> {
        let service = Service::new(|| profile.sessions(), &*profile.cookie)?;
        service.check(self.token()?, self.expected()?)
    }
}

fn trials(Samples { profile, cases }: Samples) -> Vec<Trial> {
    let count = cases.len();
    let any = move || if count == 0 { Err("the file holds none".into()) } else { Ok(()) };
    let mut trials = vec![Trial::test("there are attack samples", any)];
    for case in cases {
        if case.request.is_none() {
            let reason = case.note.as_deref().unwrap_or("it has no request");
            let name = format!("{}: not applicable: {reason}", case.id);
            let run = || Err("it has no request".into());
            trials.push(Trial::test(name, run).with_ignored_flag(true));
            continue;
        }
        let profile = profile.clone();
        trials.push(Trial::test(case.id.clone(), move || case.run(&profile)));
    }
    trials
}

fn main() -> ExitCode {
    report(published("attack_samples.json", trials), "answers to attack samples")
}
