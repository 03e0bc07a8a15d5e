//! The registered claims of a token, and the times at which it is good.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{Clock as _, Login, RejectionKind, Sessions, SystemClock, Timestamp};

use crate::token::{
    NOW, accepted, issued, payload, refused, sessions, sessions_of, spliced, token, with, without,
};

/// The ring's clock skew, and so the leeway.
const LEEWAY: i64 = 60;
/// The ring's longest lifetime of a token.
const LONGEST: i64 = 24 * 60 * 60;

#[track_caller]
fn good(payload: impl std::fmt::Display) {
    accepted(&sessions::<()>(), &token(payload));
}

#[track_caller]
fn bad(payload: impl std::fmt::Display, expected: RejectionKind) {
    refused(&sessions::<()>(), &token(payload), expected);
}

/// A payload with a claim's JSON text as it is.
fn with_text(name: &str, text: &str) -> String {
    let object = payload();
    let rest = if object.get(name).is_some() { without(object, name) } else { object };
    spliced(&rest, &format!(r#""{name}":{text}"#))
}

#[test]
fn a_required_claim_is_there() {
    for name in ["iss", "sub", "aud", "iat", "exp", "jti"] {
        bad(without(payload(), name), RejectionKind::MissingClaim(name));
    }
}

#[test]
fn other_claims_may_be_missing() {
    let session =
        accepted(&sessions::<()>(), &token(without(without(payload(), "sid"), "auth_time")));
    assert_eq!(session.session_id(), session.token_id());
    assert_eq!(session.authenticated_at(), None);
}

#[test]
fn a_claim_of_text_is_text() {
    for name in ["iss", "sub", "jti", "sid", "scope"] {
        for value in [json!(null), json!(42), json!(true), json!(["alice"]), json!({ "a": "b" })] {
            bad(with(payload(), name, value), RejectionKind::InvalidClaim(name));
        }
    }
}

#[test]
fn a_claim_of_time_is_a_number() {
    for name in ["iat", "nbf", "exp", "auth_time"] {
        let numeral = (NOW + 800).to_string();
        for value in [
            json!(null),
            json!(numeral),
            json!(true),
            json!([NOW]),
            json!({ "$serde_json::private::Number": numeral }),
            json!("2027-01-15T08:00:00Z"),
        ] {
            bad(with(payload(), name, value), RejectionKind::InvalidClaim(name));
        }
    }
}

#[test]
fn a_time_is_between_the_epoch_and_the_year_9999() {
    for name in ["iat", "nbf", "exp", "auth_time"] {
        for text in [
            "-1",
            "-1.5",
            "-1e-3",
            "-1800000000",
            "-9223372036854775808",
            "-9223372036854775809",
            "253402300800",
            "253402300799.5",
            // Milliseconds of far away, and all limits of integers.
            "1800000000000000",
            "9223372036854775807",
            "9223372036854775808",
            "9223372036854775",
            "18446744073709551615",
            "18446744073709551616",
            "1e30",
            "1e308",
            "-1e308",
            "1.7976931348623157e308",
        ] {
            bad(with_text(name, text), RejectionKind::InvalidClaim(name));
        }
        // No number of this machine.
        for text in ["1e400", "-1e400", "1e999999999999", "NaN", "Infinity", "+1", "01", "1."] {
            bad(with_text(name, text), RejectionKind::Malformed);
        }
    }
}

#[test]
fn milliseconds_are_not_taken_for_seconds() {
    bad(with_text("exp", "1800000890000"), RejectionKind::InvalidClaim("exp"));
    bad(with_text("iat", "1799999990000"), RejectionKind::InvalidClaim("iat"));
    bad(with_text("nbf", "1799999990000"), RejectionKind::InvalidClaim("nbf"));
}

#[test]
fn a_time_may_have_a_fraction_or_an_exponent() {
    for exp in ["1800000890.25", "18000008.9e2", "1.80000089E+9", "1800000890.0"] {
        good(with_text("exp", exp));
    }
    let session = accepted(&sessions::<()>(), &token(with_text("exp", "1800000890.25")));
    assert_eq!(session.expires_at().as_unix_millis(), 1_800_000_890_250);
    for zero in ["0", "-0", "0.0", "-0.0", "0e0", "1e-400"] {
        good(with_text("nbf", zero));
        good(with_text("auth_time", zero));
        // So small a time of issue makes the lifetime too long.
        bad(with_text("iat", zero), RejectionKind::LifetimeTooLong);
    }
}

#[test]
fn a_subject_and_an_id_are_not_empty() {
    for name in ["sub", "jti"] {
        bad(with(payload(), name, ""), RejectionKind::InvalidClaim(name));
        good(with(payload(), name, " "));
    }
}

#[test]
fn the_issuer_is_exact() {
    for issuer in [
        "",
        "https://issuer.test/",
        "https://issuer.test.evil.example",
        "https://issuer.tes",
        "HTTPS://issuer.test",
        "https://Issuer.test",
        "https://issuer.test:443",
        " https://issuer.test",
        "https://issuer.test\0",
        "http://issuer.test",
    ] {
        bad(with(payload(), "iss", issuer), RejectionKind::WrongIssuer);
    }
    good(with_text("iss", r#""https:\/\/issuer\u002etest""#));
}

#[test]
fn the_audience_is_exact_or_among_several() {
    for audience in [json!("app"), json!(["app"]), json!(["a", "app", "b"]), json!(["app", "app"])]
    {
        good(with(payload(), "aud", audience));
    }
    good(with_text("aud", r#"["\u0061pp"]"#));
    for audience in [
        json!(""),
        json!("app2"),
        json!("ap"),
        json!("App"),
        json!("app "),
        json!("a app"),
        json!("app,b"),
        json!("[\"app\"]"),
        json!([]),
        json!([""]),
        json!(["app2", "ap"]),
    ] {
        bad(with(payload(), "aud", audience), RejectionKind::WrongAudience);
    }
    for audience in [
        json!(null),
        json!(7),
        json!(true),
        json!({ "app": "app" }),
        json!([null]),
        json!(["app", null]),
        json!(["app", 7]),
        json!(["app", ["app"]]),
        json!([["app"]]),
    ] {
        bad(with(payload(), "aud", audience), RejectionKind::InvalidClaim("aud"));
    }
}

#[test]
fn a_revocation_version_is_a_whole_number() {
    for version in [json!(0), json!((1_u64 << 53) - 1)] {
        good(with(payload(), "rv", version));
    }
    for version in [json!(null), json!(-1), json!(1.5), json!("1"), json!([1]), json!(u64::MAX)] {
        bad(with(payload(), "rv", version), RejectionKind::InvalidClaim("rv"));
    }
}

/// RFC 7519, section 4.1.4: "on or after which" it is refused.
#[test]
fn a_token_expires_to_the_second() {
    let exp_at = |exp: i64| with(with(payload(), "exp", exp), "iat", NOW - 1000);
    good(exp_at(NOW));
    good(exp_at(NOW - LEEWAY + 1));
    bad(exp_at(NOW - LEEWAY), RejectionKind::Expired);
    bad(exp_at(NOW - LEEWAY - 1), RejectionKind::Expired);

    let clock = ManualClock::default();
    let sessions = sessions_of::<()>(fixed_ring(clock.clone()));
    let token = token(payload());
    let end = Timestamp::from_unix_seconds(NOW + 890 + LEEWAY);
    clock.set(end - Duration::from_millis(1));
    accepted(&sessions, &token);
    clock.set(end);
    refused(&sessions, &token, RejectionKind::Expired);
    clock.set(end + Duration::from_secs(1_000_000_000));
    refused(&sessions, &token, RejectionKind::Expired);
}

#[test]
fn a_fraction_of_a_second_counts() {
    let text = with_text("exp", "1799999940.001")
        .replace(&format!("\"iat\":{}", NOW - 10), &format!("\"iat\":{}", NOW - 1000));
    good(&text);
    bad(text.replace("1799999940.001", "1799999940.000"), RejectionKind::Expired);
    // Finer than a millisecond is dropped.
    bad(text.replace("1799999940.001", "1799999940.0009"), RejectionKind::Expired);
}

#[test]
fn a_token_may_be_issued_ahead_by_the_leeway() {
    let iat_at = |iat: i64| with(payload(), "iat", iat);
    good(iat_at(NOW));
    good(iat_at(NOW + LEEWAY));
    bad(iat_at(NOW + LEEWAY + 1), RejectionKind::IssuedInFuture);
    bad(with_text("iat", "1800000060.001"), RejectionKind::IssuedInFuture);

    let clock = ManualClock::new(Timestamp::from_unix_seconds(NOW - 10 - LEEWAY - 1));
    let sessions = sessions_of::<()>(fixed_ring(clock.clone()));
    refused(&sessions, &token(payload()), RejectionKind::IssuedInFuture);
    clock.advance(Duration::from_secs(1));
    accepted(&sessions, &token(payload()));
}

#[test]
fn a_token_is_good_from_its_nbf_on_less_the_leeway() {
    let nbf_at = |nbf: i64| with(payload(), "nbf", nbf);
    good(nbf_at(NOW));
    good(nbf_at(NOW + LEEWAY));
    bad(nbf_at(NOW + LEEWAY + 1), RejectionKind::NotYetValid);
    bad(nbf_at(NOW + 100_000), RejectionKind::NotYetValid);
}

#[test]
fn nobody_logs_in_in_the_future() {
    let at = |iat, auth_time| with(with(payload(), "iat", iat), "auth_time", auth_time);
    good(at(NOW, NOW + LEEWAY));
    bad(at(NOW + 10, NOW + LEEWAY + 1), RejectionKind::InvalidClaim("auth_time"));
}

#[test]
fn login_time_later_than_iat_and_leeway_is_refused() {
    let at = |auth_time| with(payload(), "auth_time", auth_time);
    good(at(NOW - 10 + LEEWAY));
    bad(at(NOW - 10 + LEEWAY + 1), RejectionKind::InvalidClaim("auth_time"));
}

#[test]
fn a_token_expires_after_it_was_issued() {
    for (iat, exp) in [(NOW, NOW), (NOW, NOW - 1), (NOW + 30, NOW + 30), (NOW + 30, NOW)] {
        let payload = with(with(payload(), "iat", iat), "exp", exp);
        bad(payload, RejectionKind::InvalidClaim("exp"));
    }
    good(with(with(payload(), "iat", NOW), "exp", NOW + 1));
}

#[test]
fn a_token_lives_at_most_as_long_as_its_key_verifies() {
    let of = |iat: i64, lifetime: i64| with(with(payload(), "iat", iat), "exp", iat + lifetime);
    good(of(NOW, LONGEST));
    bad(of(NOW, LONGEST + 1), RejectionKind::LifetimeTooLong);
    good(of(NOW - LONGEST, LONGEST));
    bad(of(NOW - LONGEST, LONGEST + 1), RejectionKind::LifetimeTooLong);
    bad(of(NOW, 253_402_300_799 - NOW), RejectionKind::LifetimeTooLong);
    bad(with_text("exp", "1800086390.001"), RejectionKind::LifetimeTooLong);
}

#[test]
fn identity_is_checked_before_time() {
    let expired = with(with(payload(), "exp", NOW - 500), "iat", NOW - 1000);
    bad(expired.clone(), RejectionKind::Expired);
    bad(with(expired.clone(), "iss", "other"), RejectionKind::WrongIssuer);
    bad(with(expired, "aud", "other"), RejectionKind::WrongAudience);
}

#[test]
fn issued_token_lives_for_idle_lifetime_in_whole_seconds() {
    let clock = ManualClock::new(Timestamp::from_unix_millis(NOW * 1000 + 999));
    let sessions = Sessions::<()>::builder(fixed_ring(clock.clone()), "https://issuer.test", "app")
        .idle_lifetime(Duration::from_millis(90_700))
        .build()
        .unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    assert_eq!(token.expires_at().as_unix_millis(), (NOW + 90) * 1000);
    assert_eq!(token.lifetime(), Duration::from_secs(90));
    let session = accepted(&sessions, token.as_str());
    assert_eq!(session.issued_at().as_unix_millis(), NOW * 1000);
    assert_eq!(session.expires_at(), token.expires_at());
    clock.set(Timestamp::from_unix_seconds(NOW + 90 + LEEWAY));
    let rejection = sessions.validate(token.as_str()).err().unwrap();
    assert!(rejection.is_expired() && !rejection.is_missing());
}

#[test]
fn tokens_of_other_sessions_are_refused() {
    let build = |issuer: &str, audience: &str| {
        let ring = fixed_ring(ManualClock::default());
        Sessions::<()>::builder(ring, issuer, audience).build().unwrap()
    };
    let token = issued(&build("https://issuer.test", "app"), ());
    accepted(&build("https://issuer.test", "app"), &token);
    refused(&build("https://issuer.test/", "app"), &token, RejectionKind::WrongIssuer);
    refused(&build("https://issuer.test", "ap"), &token, RejectionKind::WrongAudience);
}

#[test]
fn settings_that_can_not_be_used_are_refused_by_name() {
    let builder = |issuer: &str, audience: &str| {
        Sessions::<()>::builder(fixed_ring(ManualClock::default()), issuer, audience)
    };
    let day = Duration::from_secs(24 * 3600);
    let millisecond = Duration::from_millis(1);
    let second = Duration::from_secs(1);
    for (builder, expected) in [
        (builder("", "app"), "issuer"),
        (builder("iss", ""), "audience"),
        (builder("iss", "app").idle_lifetime(Duration::ZERO), "idle_lifetime"),
        (builder("iss", "app").idle_lifetime(second - millisecond), "idle_lifetime"),
        (builder("iss", "app").idle_lifetime(day + millisecond), "idle_lifetime"),
        (builder("iss", "app").idle_lifetime(Duration::MAX), "idle_lifetime"),
        (builder("iss", "app").absolute_lifetime(Duration::ZERO), "absolute_lifetime"),
        (builder("iss", "app").max_token_bytes(511), "max_token_bytes"),
        (builder("iss", "app").max_token_bytes(65_537), "max_token_bytes"),
    ] {
        match builder.build() {
            Err(error) => assert_eq!(error.setting(), Some(expected)),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let widest = builder("iss", "app").idle_lifetime(day).absolute_lifetime(Duration::MAX);
    accepted_by(&widest.build().unwrap());
    accepted_by(&builder("iss", "app").idle_lifetime(second).build().unwrap());
}

#[track_caller]
fn accepted_by(sessions: &Sessions<()>) {
    accepted(sessions, &issued(sessions, ()));
}

#[test]
fn a_payload_may_bring_claims_that_nobody_knows() {
    let more: Value = json!({ "amr": ["pwd"], "cnf": { "jkt": "x" }, "a": null, "act": {} });
    let members = more.as_object().unwrap().iter();
    good(members.fold(payload(), |payload, (name, value)| with(payload, name, value.clone())));
}

#[test]
fn system_clock_returns_the_current_time() {
    let (now, precise) = (SystemClock.now(), Timestamp::from(SystemTime::now()));
    let second = Duration::from_secs(1);
    assert!((now - second..now + second).contains(&precise), "{now} is not {precise}");
}
