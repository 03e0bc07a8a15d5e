//! The test suite of JSON parsers, as payloads, as headers, and as values inside of them: `y_` is
//! JSON, `n_` is none, and what `i_` is each parser may decide.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::{count, published};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;
use tower_jwt_session::RejectionKind::{self, Malformed};
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{Algorithm, KeyRing, SessionClaims, Sessions};

#[derive(Deserialize)]
struct Suite {
    files: BTreeMap<String, String>,
}

pub(crate) fn trials() -> Vec<Trial> {
    published("json_test_suite.json", |suite: Suite| {
        let trial = |(name, text): (String, String)| {
            let test = format!("json::{}", name.trim_end_matches(".json"));
            Trial::test(test, move || run(&name, &STANDARD.decode(text)?))
        };
        let listed: Vec<_> = suite.files.keys().cloned().collect();
        let decided = Trial::test("json: every i_ that is decided is in the suite", move || {
            let is_listed = |name: &&str| listed.iter().any(|listed| listed == name);
            match TAKEN.iter().find(|name| !is_listed(name)) {
                Some(name) => Err(format!("{name} is not").into()),
                None => Ok(()),
            }
        });
        suite.files.into_iter().map(trial).chain([decided]).collect()
    })
}

/// What of `i_` is taken: numbers that round to zero or to the nearest that there is, as any parser
/// of doubles reads them. All others are refused: numbers that overflow, lone surrogates, what is
/// not UTF-8, a byte order mark, and 500 arrays in each other.
const TAKEN: [&str; 5] = [
    "i_number_double_huge_neg_exp.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
];

/// Stricter than JSON has to be: a name that stands twice (RFC 8259, section 4 leaves it open).
const DOUBLED: [&str; 2] =
    ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

fn run(name: &str, text: &[u8]) -> Result<(), Failed> {
    count(1);
    let is_json = match name.split_once('_') {
        Some(("y", _)) => !DOUBLED.contains(&name),
        Some(("i", _)) => TAKEN.contains(&name),
        _ => false,
    };
    let payload = [&PAYLOAD[..PAYLOAD.len() - 1], b",\"x\":", text, b"}"].concat();
    let header = [&HEADER[..HEADER.len() - 1], b",\"x\":", text, b"}"].concat();
    // As a value inside of a payload: for claims of any type, read or ignored.
    let refused =
        if DOUBLED.contains(&name) { RejectionKind::InvalidApplicationClaims } else { Malformed };
    let expected = if is_json { Ok(()) } else { Err(refused) };
    let is_so = |verdict: Result<(), RejectionKind>, expected, place: &str| {
        let other = || format!("{verdict:?} {place}, and not {expected:?}").into();
        if verdict == expected { Ok(()) } else { Err::<(), Failed>(other()) }
    };
    is_so(validate::<()>(HEADER, &payload), expected, "in a payload that is ignored")?;
    is_so(validate::<Value>(HEADER, &payload), expected, "in a payload that is read")?;
    let expected = if is_json { Ok(()) } else { Err(Malformed) };
    is_so(validate::<()>(&header, PAYLOAD), expected, "in a header")?;
    // As the whole: none of them has the claims that a session needs, or an algorithm.
    let is_object = is_json && text.trim_ascii().starts_with(b"{");
    let expected = if is_object { RejectionKind::MissingClaim("iss") } else { Malformed };
    is_so(validate::<()>(HEADER, text), Err(expected), "as a payload")?;
    is_so(validate::<()>(text, PAYLOAD), Err(Malformed), "as a header")
}

const HEADER: &[u8] = br#"{"alg":"HS256","typ":"session+jwt","kid":"k"}"#;
const PAYLOAD: &[u8] = br#"{"iss":"https://issuer.test","sub":"alice","aud":"app","iat":1800000000,"exp":1800000900,"jti":"1"}"#;

fn validate<C: SessionClaims>(header: &[u8], payload: &[u8]) -> Result<(), RejectionKind> {
    let key = fixed_key(Algorithm::HS256).with_key_id("k");
    let ring = KeyRing::fixed([key.clone()]).clock(ManualClock::default()).build();
    let sessions = Sessions::<C>::builder(ring.expect("a ring"), "https://issuer.test", "app");
    let sessions = sessions.build().expect("good settings");
    let token = mint(&key, header, payload);
    sessions.validate(&token).map(|_| ()).map_err(|rejection| rejection.kind())
}
