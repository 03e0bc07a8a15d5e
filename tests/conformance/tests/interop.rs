//! With the libraries that others use: PyJWT, joserfc, jwcrypto and Authlib of Python, jose and fast-jwt of
//! JavaScript. Each verifies our tokens by our JWKS, refuses a forged one, and signs tokens by keys
//! of its own that we verify by its JWK; for every algorithm, of which all have all, and for the newer
//! name of one, which three know.
//!
//! `.ci/interop` installs them into `target/interop`. Where they are absent the trials are reported
//! as ignored, and fail where `REQUIRE_INTEROP` is set.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conformance::{count, followed, report};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, Sessions};

/// Names of algorithms. Ed25519 has two: that of RFC 8037, and that of RFC 9864, section 2.2.
const ALGORITHMS: [(&str, Algorithm); 13] = [
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("EdDSA", Algorithm::EdDSA),
    (FULLY_SPECIFIED, Algorithm::Ed25519),
];

const FULLY_SPECIFIED: &str = "Ed25519";

/// The libraries that know the newer name.
const KNOW_FULLY_SPECIFIED: [&str; 3] = ["joserfc", "jwcrypto", "jose"];

const SECRET: &[u8; 64] = b"a secret that is shared with other libraries, 64 bytes in length";
const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "app";

/// The results of a library, by algorithm.
type Done = BTreeMap<String, Outcome>;

#[derive(Clone, Deserialize)]
struct Outcome {
    /// The claims of our token, or an error.
    verified: Value,
    /// The same of a token that we did not sign.
    forged: Value,
    /// A token of its own, with its public key if that is no secret; or an error.
    signed: Value,
}

fn key(algorithm: Algorithm) -> Key {
    Key::hmac_from_text(algorithm, SECRET).unwrap_or_else(|_| fixed_key(algorithm))
}

fn sessions(ring: KeyRing) -> Sessions<()> {
    Sessions::builder(ring, ISSUER, AUDIENCE).build().expect("good settings")
}

/// A ring that writes the newer name.
fn fully_specified(clock: ManualClock) -> KeyRing {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let ring = KeyRing::builder("app").store(MemoryStore::new()).clock(clock);
    let ring = ring.algorithm(Algorithm::Ed25519).open();
    runtime.expect("a runtime").block_on(ring).expect("an empty store")
}

/// The input of the libraries: a token, a forged one and the JWKS for each algorithm.
fn task() -> Value {
    // The libraries read the system's clock.
    let clock = ManualClock::new(SystemTime::now().into());
    let mut ours = serde_json::Map::new();
    for (name, algorithm) in ALGORITHMS {
        let ring = match name {
            FULLY_SPECIFIED => fully_specified(clock.clone()),
            _ => KeyRing::fixed([key(algorithm)]).clock(clock.clone()).build().expect("a ring"),
        };
        let jwks = key(algorithm).to_jwk().map(|_| ring.jwks());
        let token = sessions(ring).issue(&Login::new("alice", ())).expect("issued");
        let (signed, signature) = token.as_str().rsplit_once('.').expect("a signature");
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{signed}.{first}{}", &signature[1..]);
        let of_algorithm = json!({ "token": token.as_str(), "forged": forged, "jwks": jwks });
        ours.insert(name.to_owned(), of_algorithm);
    }
    let now = tower_jwt_session::Clock::now(&clock).as_unix_seconds();
    let claims = json!({
        "iss": ISSUER, "sub": "bob", "aud": AUDIENCE, "iat": now, "exp": now + 900, "jti": "1",
    });
    json!({ "ours": ours, "secret": URL_SAFE_NO_PAD.encode(SECRET), "claims": claims })
}

/// Our token and its forgery, as a library has seen them.
fn theirs_of_ours(outcome: &Outcome) -> Result<(), Failed> {
    count(1);
    if outcome.verified["sub"] != "alice" || outcome.verified["iss"] != ISSUER {
        return Err(format!("our token is {}", outcome.verified).into());
    }
    // Its own words for it, but it is the signature that is bad.
    match outcome.forged["error"].as_str().map(str::to_lowercase) {
        Some(error) if error.contains("signature") => Ok(()),
        _ => Err(format!("a forged token is {}", outcome.forged).into()),
    }
}

/// A library's token, by its JWK as an issuer's that is followed, or by the shared secret.
fn ours_of_theirs(algorithm: Algorithm, outcome: &Outcome) -> Result<(), Failed> {
    count(1);
    let token = outcome.signed["token"].as_str();
    let token = token.ok_or_else(|| format!("no token: {}", outcome.signed))?;
    let clock = ManualClock::new(SystemTime::now().into());
    let ring = match &outcome.signed["jwk"] {
        Value::Null => {
            let key = Key::hmac_from_text(algorithm, SECRET)?.with_key_id("theirs");
            KeyRing::fixed([key]).clock(clock).build()?
        }
        jwk => followed(json!({ "keys": [jwk] }).to_string(), clock)?,
    };
    let sessions = sessions(ring);
    let session = sessions.validate(token)?;
    if session.subject() != "bob" || session.key_id() != "theirs" {
        return Err(format!("another session: {session:?}").into());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("no signature")?;
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    match sessions.validate(&format!("{signed}.{first}{}", &signature[1..])) {
        Ok(_) => Err("a forged token was taken".into()),
        Err(_) => Ok(()),
    }
}

fn run(mut command: Command) -> Result<BTreeMap<String, Done>, Failed> {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = process.stdin.take().ok_or("no stdin")?;
    stdin.write_all(task().to_string().as_bytes())?;
    drop(stdin);
    let output = process.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{command:?} has failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn trials(language: &str, libraries: &[&str], installed: &Path, command: Command) -> Vec<Trial> {
    if !installed.exists() {
        let reason = format!("{language} libraries are absent: `.ci/interop` installs them");
        let required = std::env::var_os("REQUIRE_INTEROP").is_some();
        let absent = Trial::test(reason.clone(), move || Err(reason.into()));
        return vec![absent.with_ignored_flag(!required)];
    }
    let mut done = match run(command) {
        Ok(done) => done,
        Err(error) => {
            let name = format!("{language} libraries can be run");
            return vec![Trial::test(name, move || Err(error))];
        }
    };
    let mut trials = Vec::new();
    for library in libraries {
        let mut of_library = done.remove(*library).unwrap_or_default();
        for (name, algorithm) in ALGORITHMS {
            if name == FULLY_SPECIFIED && !KNOW_FULLY_SPECIFIED.contains(library) {
                continue;
            }
            let outcome = of_library.remove(name);
            let named = |way: &str| format!("{library}::{name}::{way}");
            let Some(outcome) = outcome else {
                trials.push(Trial::test(named("is missing"), || Err("nothing was done".into())));
                continue;
            };
            let theirs = outcome.clone();
            trials.push(Trial::test(named("verifies ours"), move || theirs_of_ours(&theirs)));
            let verify = move || ours_of_theirs(algorithm, &outcome);
            trials.push(Trial::test(named("is verified here"), verify));
        }
    }
    trials
}

fn main() -> ExitCode {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let scripts = project.join("tests/conformance/tests/interop");
    let interop = project.join("target/interop");

    let python = interop.join("venv/bin/python");
    let mut with_python = Command::new(&python);
    with_python.args(["-W", "ignore"]).arg(scripts.join("interop.py"));
    let mut with_node = Command::new("node");
    with_node.arg(scripts.join("interop.mjs")).arg(&interop);

    let of_python = ["PyJWT", "joserfc", "jwcrypto", "Authlib"];
    let of_node = ["jose", "fast-jwt"];
    let mut all = trials("Python's", &of_python, &python, with_python);
    all.extend(trials("JavaScript's", &of_node, &interop.join("node_modules/jose"), with_node));
    report(all, "interop pairs: a library and an algorithm, each way")
}
