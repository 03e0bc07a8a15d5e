//! The whole verifier against `jsonwebtoken`: a signed header and payload, divided by the byte 0xff,
//! or a token's text. Wherever the two differ, one of the reasons below has to be there.
#![no_main]

use std::collections::BTreeMap;

use fuzz::{Json, SECRET, key, sessions};
use jsonwebtoken::{DecodingKey, Validation};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_jwt_session::RejectionKind::*;
use tower_jwt_session::testing::mint;

type Claims = BTreeMap<String, Value>;

fuzz_target!(|input: &[u8]| {
    // The oracle reads the system's clock.
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time of this age");
    let mut halves = input.splitn(2, |byte| *byte == 0xff);
    let (header, payload) = (halves.next().unwrap_or_default(), halves.next());
    let token = match payload {
        // Times in seeds are relative to 1,800,000,000.
        Some(payload) => mint(&key(), header, shifted(payload, now)),
        None => String::from_utf8_lossy(header).into_owned(),
    };
    let ours = sessions::<()>(now).validate(&token);
    let theirs = oracle(&token);
    if ours.is_ok() == theirs.is_ok() {
        return;
    }
    let payload = payload.map(|payload| shifted(payload, now)).unwrap_or_default();
    let read = (Json::read(header), Json::read(&payload));
    let (Some(header_read), Some(payload_read)) = &read else {
        panic!("ours {ours:?}, theirs {theirs:?}: not JSON");
    };
    let Err(rejection) = &ours else { panic!("accepted here alone: {theirs:?}") };
    let text = |name: &str| header_read.get(name).and_then(Json::text);
    let seconds = |name: &str| payload_read.get(name).and_then(Json::number);
    let explained = match rejection.kind() {
        // A longest token, which the oracle has not.
        TooLong => token.len() > 8192,
        // Explicit typing (RFC 8725, section 3.11); the oracle does not look.
        WrongType => text("typ") != Some("session+jwt"),
        // The key is chosen by its ID; the oracle is given its key.
        UnknownKey => text("kid") != Some("k"),
        // Members that change a token's meaning or bring a key, names that stand twice, headers of
        // more than 16 members or a kilobyte, and members that the oracle does not read and that
        // are of a wrong type.
        Malformed => {
            let refused = ["crit", "b64", "enc", "zip", "jwk", "jku", "x5u", "x5c"];
            refused.iter().any(|name| header_read.get(name).is_some())
                || header_read.has_doubled_name()
                || payload_read.has_doubled_name()
                || header_read.members().len() > 16
                || header.len() > 1024 / 4 * 3
                || ["typ", "kid"].iter().any(|name| text(name).is_none())
        }
        // A name that stands twice inside of an application's claim.
        InvalidApplicationClaims => payload_read.has_doubled_name(),
        // The oracle requires neither.
        MissingClaim(name) => ["iat", "jti"].contains(&name) && payload_read.get(name).is_none(),
        // A type or a value that the oracle does not look at.
        InvalidClaim(name @ ("sub" | "jti" | "sid" | "scope")) => {
            let text = payload_read.get(name).and_then(Json::text);
            text.is_none_or(str::is_empty)
        }
        InvalidClaim(name @ ("rv" | "rg" | "rc")) => payload_read.get(name).is_some(),
        InvalidClaim("exp") => {
            // It has to come after `iat`, and a time of this age.
            seconds("exp").zip(seconds("iat")).is_some_and(|(exp, iat)| exp <= iat + 0.001)
                || seconds("exp").is_none_or(|exp| !(0.0..=253_402_300_799.0).contains(&exp))
        }
        InvalidClaim("auth_time") => {
            let is_past = |time: f64| (0.0..now as f64 + 60.0).contains(&time);
            // The login is not later than the token.
            let times = seconds("auth_time").zip(seconds("iat"));
            times.is_some_and(|(login, issued)| login > issued + 59.0)
                || payload_read.get("auth_time").is_some()
                    && !seconds("auth_time").is_some_and(is_past)
        }
        InvalidClaim(name @ ("iat" | "nbf")) => {
            let is_time = |time: f64| (0.0..=253_402_300_799.0).contains(&time);
            payload_read.get(name).is_some() && !seconds(name).is_some_and(is_time)
        }
        // An audience among others that are no text.
        InvalidClaim("aud") => matches!(payload_read.get("aud"), Some(Json::List(_))),
        // The oracle has no longest lifetime, and takes what was issued in the future.
        LifetimeTooLong => {
            seconds("exp").zip(seconds("iat")).is_some_and(|(exp, iat)| exp - iat > 86_399.9)
        }
        IssuedInFuture => seconds("iat").is_some_and(|iat| iat > now as f64 + 59.0),
        // "On or after" (RFC 7519, section 4.1.4): the oracle takes the very second, and rounds.
        Expired => seconds("exp").is_some_and(|exp| (exp + 60.0 - now as f64).abs() <= 1.5),
        NotYetValid => seconds("nbf").is_some_and(|nbf| (nbf - 60.0 - now as f64).abs() <= 1.5),
        _ => false,
    };
    assert!(explained, "ours {ours:?}, theirs accepted: {token}");
});

fn oracle(token: &str) -> Result<Claims, jsonwebtoken::errors::Error> {
    let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_issuer(&["https://issuer.test"]);
    validation.set_audience(&["app"]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    validation.validate_nbf = true;
    let key = DecodingKey::from_secret(SECRET);
    jsonwebtoken::decode(token, &key, &validation).map(|token| token.claims)
}

/// Writes the time of now where the seeds' own stands: its first seven digits.
fn shifted(payload: &[u8], now: i64) -> Vec<u8> {
    let (seed, now) = (b"1800000", &now.to_string().into_bytes()[..7]);
    let mut shifted = payload.to_vec();
    for place in 0..shifted.len().saturating_sub(seed.len()) {
        if shifted[place..].starts_with(seed) {
            shifted[place..place + seed.len()].copy_from_slice(now);
        }
    }
    shifted
}
