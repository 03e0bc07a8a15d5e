//! Tokens of known attacks, from a file: at the codec, in the `Authorization` header and in the
//! cookie. Where the file is absent the cases are reported as ignored, and on a CI that names their
//! place they fail.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use tower::ServiceExt as _;
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, Key, KeyRing, Session, Sessions, Timestamp};

const VARIABLE: &str = "CONFORMANCE_VECTORS";

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
    keys: Vec<Jwk>,
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
    fn sessions(&self) -> Result<Sessions<()>, Failed> {
        let mut keys = Vec::new();
        for jwk in &self.ring.keys {
            keys.push(Key::from_jwk(jwk)?);
        }
        for secret in &self.ring.hmac {
            let bytes = URL_SAFE_NO_PAD.decode(&secret.k)?;
            keys.push(Key::hmac(secret.alg, &bytes)?.with_key_id(&*secret.kid));
        }
        let clock = ManualClock::new(Timestamp::from_unix_seconds(self.now));
        let ring = KeyRing::fixed_with_clock(keys, clock)?;
        let sessions = Sessions::builder(ring, &*self.iss, &*self.aud);
        Ok(sessions.max_token_bytes(self.max_token_bytes).build()?)
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

    fn is_accepted(&self) -> Result<bool, Failed> {
        match &*self.expected {
            "200" => Ok(true),
            refused if refused.starts_with("401") => Ok(false),
            other => Err(format!("an expectation of another form than was known: {other}").into()),
        }
    }
}

/// What every way of asking has to agree on.
fn check(accepted: bool, expected: bool, how: &str) -> Result<(), Failed> {
    match (accepted, expected) {
        (true, false) => Err(format!("accepted {how}, and must not be").into()),
        (false, true) => Err(format!("refused {how}, and must not be").into()),
        _ => Ok(()),
    }
}

fn at_codec(profile: &Profile, case: &Case) -> Result<(), Failed> {
    let verdict = profile.sessions()?.validate(case.token()?);
    check(verdict.is_ok(), case.is_accepted()?, "by the codec")
}

/// A route under each of the layers: the extractor decides, or the strict layer does.
fn routers(sessions: &Sessions<()>) -> [(&'static str, Router); 3] {
    async fn subject(session: Session<()>) -> String {
        session.subject().to_owned()
    }
    async fn maybe(session: Option<Session<()>>) -> StatusCode {
        session.map_or(StatusCode::UNAUTHORIZED, |_| StatusCode::OK)
    }
    [
        ("layer()", Router::new().route("/", get(subject)).layer(sessions.layer())),
        ("layer() with an optional session", {
            Router::new().route("/", get(maybe)).layer(sessions.layer())
        }),
        (
            "validate_layer()",
            Router::new().route("/", get(subject)).layer(sessions.validate_layer()),
        ),
    ]
}

fn ask(router: Router, name: HeaderName, value: &str) -> Result<Response<Body>, Failed> {
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert(name, HeaderValue::from_str(value)?);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(router.oneshot(request))?)
}

fn over_http(profile: &Profile, case: &Case) -> Result<(), Failed> {
    let (sessions, token, accepted) = (profile.sessions()?, case.token()?, case.is_accepted()?);
    let status = if accepted { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    let in_header = (AUTHORIZATION, format!("Bearer {token}"), "Authorization");
    let in_cookie = (COOKIE, format!("{}={token}", profile.cookie), "a cookie");
    for (field, value, place) in [in_header, in_cookie] {
        for (layer, router) in routers(&sessions) {
            let how = format!("in {place} by {layer}");
            let response = ask(router, field.clone(), &value)?;
            check(response.status() == StatusCode::OK, accepted, &how)?;
            if response.status() != status {
                return Err(format!("{} {how}, expected {status}", response.status()).into());
            }
            let is_optional = layer.contains("optional");
            let is_anonymous = field == COOKIE && is_optional;
            if !accepted && !is_anonymous {
                let challenge = response.headers().get(WWW_AUTHENTICATE);
                if challenge.is_none_or(|text| text != r#"Bearer error="invalid_token""#) {
                    return Err(format!("challenge {challenge:?} {how}").into());
                }
            }
            // A cookie that is no good any more is taken away, and no other is touched.
            let cleared = response.headers().get(SET_COOKIE).is_some_and(|cookie| {
                let cookie = cookie.to_str().unwrap_or_default();
                cookie.starts_with(&format!("{}=;", profile.cookie)) && cookie.contains("Max-Age=0")
            });
            if cleared != (!accepted && field == COOKIE) {
                return Err(format!("the cookie is cleared: {cleared}, {how}").into());
            }
        }
    }
    Ok(())
}

fn directory() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join("../shared/vectors"),
        PathBuf::from,
    )
}

fn trials() -> Vec<Trial> {
    let file = directory().join("attack_samples.json");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            let required = std::env::var_os(VARIABLE).is_some()
                && std::env::var_os("CI").is_some_and(|ci| ci == "true");
            let reason = format!("{}: {error}; set {VARIABLE} to their directory", file.display());
            let name = format!("attack samples are absent: {reason}");
            return vec![
                Trial::test(name, move || Err(reason.into())).with_ignored_flag(!required),
            ];
        }
    };
    let Samples { profile, cases } = match serde_json::from_str(&text) {
        Ok(samples) => samples,
        Err(error) => {
            let read = move || Err(format!("{}: {error}", file.display()).into());
            return vec![Trial::test("attack samples can be read", read)];
        }
    };
    let mut trials = Vec::new();
    let count = cases.len();
    trials.push(Trial::test("there are attack samples", move || {
        if count == 0 { Err("the file holds none".into()) } else { Ok(()) }
    }));
    for case in cases {
        if case.request.is_none() {
            let reason = case.note.as_deref().unwrap_or("it has no request");
            let name = format!("{}: not applicable: {reason}", case.id);
            trials.push(
                Trial::test(name, || Err("it has no request".into())).with_ignored_flag(true),
            );
            continue;
        }
        for (level, run) in [("codec", at_codec as fn(&_, &_) -> _), ("http", over_http)] {
            let (profile, case) = (profile.clone(), case.clone());
            let name = format!("{level}::{}", case.id);
            trials.push(Trial::test(name, move || run(&profile, &case)));
        }
    }
    trials
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit_code()
}
