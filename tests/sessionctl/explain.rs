//! `token explain` names the reason for broken tokens of every kind, in words and in JSON.

use std::path::Path;

use serde_json::{Value, json};
use tower_jwt_session::testing::{fixed_key, mint};
use tower_jwt_session::{Algorithm, Key, KeyRing};

use crate::run::{Run, sessionctl, sessionctl_with};

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;

fn key() -> Key {
    fixed_key(Algorithm::EdDSA)
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "session+jwt", "kid": key().key_id() })
}

fn claims() -> Value {
    json!({
        "iss": "https://app.example", "aud": "app", "sub": "alice", "jti": "j1", "sid": "s1",
        "iat": NOW - 600, "exp": NOW + 3000, "auth_time": NOW - 600,
    })
}

fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name);
    object
}

fn of(header: Value, claims: Value) -> String {
    mint(&key(), header.to_string(), claims.to_string())
}

/// The file with the public keys of the service.
fn jwks(directory: &Path) -> String {
    let others = [fixed_key(Algorithm::ES256), fixed_key(Algorithm::RS256)];
    let ring = KeyRing::fixed([key()].into_iter().chain(others)).build().expect("a ring");
    let path = directory.join("jwks.json");
    std::fs::write(&path, serde_json::to_vec(&ring.jwks()).expect("JSON")).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn explain(jwks: &str, token: &str, more: &[&str]) -> Run {
    let mut arguments = vec!["token", "explain", "--at", "2027-01-15T08:00:00Z"];
    if !jwks.is_empty() {
        arguments.extend(["--jwks-file", jwks]);
    }
    arguments.extend(more);
    let run = sessionctl(&arguments, token);
    assert_eq!((run.status, &*run.err), (0, ""), "{token}");
    let signature = token.rsplit('.').next().filter(|signature| signature.len() > 20);
    assert!(signature.is_none_or(|it| !run.out.contains(it)), "shows the signature: {run:?}");
    run
}

const NAMES: [&str; 4] = ["--issuer", "https://app.example", "--audience", "app"];

/// A broken token of each kind: its name, the token, the outcome, the check that fails, and a part of the sentence
/// that says what has to change.
fn broken() -> Vec<(&'static str, String, &'static str, &'static str, &'static str)> {
    let good = of(header(), claims());
    let parts: Vec<_> = good.split('.').collect();
    let [head, payload, signature] = parts[..] else { panic!("three parts") };
    let claiming = |name: &str, value: Value| of(header(), with(claims(), name, value));
    let headed = |name: &str, value: Value| of(with(header(), name, value), claims());
    let missing = |name: &str| of(header(), without(claims(), name));
    let text = claims().to_string();
    let twice = format!("{{\"sub\":\"mallory\",{}", &text[1..]);
    let changed = mint(&key(), header().to_string(), with(claims(), "sub", "mallory").to_string());
    let changed = changed.split('.').nth(1).expect("a payload").to_owned();
    let other = fixed_key(Algorithm::HS256).with_key_id("gone");
    let of_other = |claims: Value| {
        mint(
            &other,
            with(with(header(), "kid", "gone"), "alg", "HS256").to_string(),
            claims.to_string(),
        )
    };
    vec![
        (
            "expired",
            of(header(), with(with(claims(), "iat", NOW - 4000), "exp", NOW - 400)),
            "expired",
            "expiry",
            "new token",
        ),
        (
            "not yet valid",
            claiming("nbf", json!(NOW + 500)),
            "not_yet_valid",
            "not before",
            "wait until `nbf`",
        ),
        (
            "issued in the future",
            claiming("iat", json!(NOW + 500)),
            "issued_in_future",
            "issue time",
            "clocks",
        ),
        (
            "login in the future",
            claiming("auth_time", json!(NOW + 500)),
            "invalid_claim",
            "login time",
            "auth_time",
        ),
        (
            "wrong issuer",
            claiming("iss", json!("https://stage.example")),
            "wrong_issuer",
            "issuer",
            "also_accept_issuer",
        ),
        (
            "wrong audience",
            claiming("aud", json!(["admin"])),
            "wrong_audience",
            "audience",
            "audience",
        ),
        ("unknown key", of_other(claims()), "unknown_key", "key", "fingerprint"),
        ("no key ID", of(without(header(), "kid"), claims()), "unknown_key", "key", "hold the key"),
        (
            "algorithm of another key type",
            headed("alg", json!("RS256")),
            "wrong_algorithm",
            "key",
            "algorithm of that key",
        ),
        (
            "shared secret of a public key",
            headed("alg", json!("HS256")),
            "wrong_algorithm",
            "key",
            "algorithm of that key",
        ),
        (
            "alg none",
            headed("alg", json!("none")),
            "wrong_algorithm",
            "algorithm",
            "signed by a key",
        ),
        (
            "no alg",
            of(without(header(), "alg"), claims()),
            "malformed",
            "header",
            "copy the token whole",
        ),
        (
            "changed payload",
            format!("{head}.{changed}.{signature}"),
            "bad_signature",
            "signature",
            "changed or cut",
        ),
        (
            "truncated signature",
            good[..good.len() - 4].to_owned(),
            "malformed",
            "signature",
            "copy the token whole",
        ),
        ("without a signature", format!("{head}.{payload}"), "malformed", "parts", "three parts"),
        ("extra segment", format!("{good}.e30"), "malformed", "parts", "three parts"),
        ("encrypted", format!("{good}.AAAA.AAAA"), "malformed", "parts", "JWE"),
        ("padding", format!("{good}=="), "malformed", "signature", "without padding"),
        (
            "another base64",
            format!("{head}.{payload}.+/{}", &signature[2..]),
            "malformed",
            "signature",
            "base64url",
        ),
        (
            "damaged header",
            format!("{}!{}.{payload}.{signature}", &head[..4], &head[5..]),
            "malformed",
            "header",
            "header must be",
        ),
        (
            "not a JWT",
            "0f8fad5bd9cb469fa16570867728950e".to_owned(),
            "malformed",
            "parts",
            "opaque",
        ),
        (
            "payload is no JSON",
            mint(&key(), header().to_string(), "hello"),
            "malformed",
            "payload",
            "JSON object",
        ),
        (
            "payload is a list",
            mint(&key(), header().to_string(), "[1]"),
            "malformed",
            "payload",
            "JSON object",
        ),
        (
            "repeated name",
            mint(&key(), header().to_string(), twice),
            "malformed",
            "payload",
            "repeated names",
        ),
        ("without sub", missing("sub"), "missing_claim", "identity", "`sub`"),
        ("without exp", missing("exp"), "missing_claim", "times", "`exp`"),
        ("without iat", missing("iat"), "missing_claim", "times", "`iat`"),
        ("without jti", missing("jti"), "missing_claim", "identity", "`jti`"),
        ("without aud", missing("aud"), "missing_claim", "audience", "`aud`"),
        ("exp is a text", claiming("exp", json!("soon")), "invalid_claim", "payload", "`exp`"),
        ("empty sid", claiming("sid", json!("")), "invalid_claim", "identity", "`sid`"),
        ("exp before iat", claiming("exp", json!(NOW - 700)), "invalid_claim", "times", "`exp`"),
        (
            "lives too long",
            claiming("exp", json!(NOW + 100_000_000)),
            "lifetime_too_long",
            "lifetime",
            "shorter lifetime",
        ),
        (
            "refresh token",
            headed("typ", json!("refresh+jwt")),
            "wrong_type",
            "type",
            "refresh token",
        ),
        ("ID token", headed("typ", json!("JWT")), "wrong_type", "type", "ID token"),
        ("no type", of(without(header(), "typ"), claims()), "wrong_type", "type", "expected type"),
        ("crit", headed("crit", json!(["exp"])), "malformed", "header", "not supported"),
        ("compressed", headed("zip", json!("DEF")), "malformed", "header", "not supported"),
        (
            "key in the header",
            headed("jwk", json!({ "kty": "OKP" })),
            "malformed",
            "header",
            "without a key in the header",
        ),
        (
            "nested",
            headed("cty", json!("JWT")).replace(payload, &changed),
            "bad_signature",
            "signature",
            "changed",
        ),
        (
            "too long",
            claiming("note", json!("x".repeat(9000))),
            "too_long",
            "length",
            "max_token_bytes",
        ),
    ]
}

#[test]
fn explain_names_the_reason_of_every_kind_of_broken_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let jwks = jwks(directory.path());
    let all = broken();
    assert!(all.len() >= 30, "{}", all.len());
    for (name, token, outcome, check, fix) in all {
        let words = explain(&jwks, &token, &NAMES).out;
        assert!(
            words.starts_with(&format!("REFUSED: {outcome}, for 2027-01-15T")),
            "{name}: {words}"
        );
        assert!(words.contains(&format!("check          {check}\n")), "{name}: {words}");
        let sentence = words.lines().find(|line| line.contains("to be accepted: "));
        assert!(sentence.is_some_and(|line| line.contains(fix)), "{name}: {words}");
        assert!(
            words.contains("\n  found          ") && words.contains("FAILED"),
            "{name}: {words}"
        );

        let json = explain(&jwks, &token, &[&NAMES[..], &["--json"]].concat()).json();
        assert_eq!(
            (&json["verdict"], &json["outcome"]),
            (&json!("refused"), &json!(outcome)),
            "{name}"
        );
        assert!(json["fix"].as_str().is_some_and(|text| text.contains(fix)), "{name}: {json}");
        let failed = json["checks"].as_array().expect("checks").iter();
        let failed: Vec<_> = failed.filter(|check| check["outcome"] == "failed").collect();
        let [failed] = failed[..] else { panic!("{name}: {json}") };
        assert_eq!(failed["name"], check, "{name}");
        assert!(failed["found"].is_string(), "{name}: {json}");
    }
}

#[test]
fn explain_accepts_a_good_token_in_every_form() {
    let directory = tempfile::tempdir().expect("a directory");
    let jwks = jwks(directory.path());
    let good = of(header(), claims());
    for pasted in [
        good.clone(),
        format!("\"{good}\"\n"),
        format!("Bearer {good}"),
        format!("Authorization: Bearer {good}\r\n"),
        format!("Set-Cookie: __Host-app={good}; Path=/; Secure; HttpOnly; SameSite=Lax"),
        format!("{}\n  {}", &good[..60], &good[60..]),
    ] {
        let run = explain(&jwks, &pasted, &NAMES);
        assert!(run.out.starts_with("ACCEPTED, for 2027"), "{pasted}: {}", run.out);
        assert!(run.out.contains("signature  verified"), "{}", run.out);
        assert!(run.out.contains("exp        2027-01-15T08:50:00Z, in 50 min"), "{}", run.out);
    }
    // Without names, those of the token are assumed, and it says so.
    let json = explain(&jwks, &good, &["--json"]).json();
    assert_eq!(json["assumed"], json!({ "issuer": true, "audience": true }));
    let outcome = |name: &str| {
        let checks = json["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["name"] == name).expect("a check")["outcome"].clone()
    };
    assert_eq!([outcome("issuer"), outcome("audience")], ["not_checked", "not_checked"]);
    assert_eq!([outcome("signature"), outcome("revocation")], ["passed", "not_checked"]);
    // At another time.
    let late = ["token", "explain", "--jwks-file", &jwks, "--at", "2027-01-15 10:00:00Z"];
    assert!(sessionctl(&late, &good).out.starts_with("REFUSED: expired"));
}

#[test]
fn explain_without_keys_makes_all_other_checks() {
    let good = of(header(), claims());
    let words = explain("", &good, &NAMES).out;
    assert!(words.starts_with("NOT VERIFIED"), "{words}");
    assert!(
        words.contains("signature  not checked: anyone may have written this token"),
        "{words}"
    );
    let json = explain("", &good, &[&NAMES[..], &["--json"]].concat()).json();
    assert_eq!(
        (&json["verdict"], &json["signature"]),
        (&json!("not_verified"), &json!("not_checked"))
    );
    let expired = of(header(), with(with(claims(), "iat", NOW - 4000), "exp", NOW - 400));
    assert!(explain("", &expired, &NAMES).out.starts_with("REFUSED: expired"));
    let other = explain("", &good, &["--issuer", "https://other.example"]).out;
    assert!(other.starts_with("REFUSED: wrong_issuer"), "{other}");
}

#[test]
fn explain_of_an_unknown_key_says_what_else_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let jwks = jwks(directory.path());
    let expired = with(with(claims(), "iat", NOW - 4000), "exp", NOW - 400);
    let token = of(with(header(), "kid", "gone"), expired);
    let words = explain(&jwks, &token, &NAMES).out;
    assert!(
        words.starts_with("REFUSED: unknown_key") && words.contains("\nALSO: expired\n"),
        "{words}"
    );
    let json = explain(&jwks, &token, &[&NAMES[..], &["--json"]].concat()).json();
    assert_eq!(json["also"]["outcome"], "expired");
    assert_eq!(json["also"]["check"]["name"], "expiry");
    // Nothing is said twice.
    let cut = of(header(), claims());
    let cut = explain(&jwks, &cut[..cut.len() - 4], &NAMES).out;
    assert!(cut.starts_with("REFUSED: malformed") && !cut.contains("ALSO"), "{cut}");
}

/// A token of Keycloak, which this service accepts: the tool says how to have it checked so.
#[test]
fn explain_of_another_type_names_the_options_that_accept_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let jwks = jwks(directory.path());
    let claims = with(claims(), "typ", "Bearer");
    let access = of(with(header(), "typ", "JWT"), claims.clone());
    let run = explain(&jwks, &access, &NAMES);
    let option = "give `--token-type JWT` or the service's `--profile` here";
    assert!(run.out.contains("REFUSED: wrong_type") && run.out.contains(option), "{}", run.out);
    let option = ["--token-type", "JWT"];
    assert!(explain(&jwks, &access, &[&NAMES[..], &option].concat()).out.starts_with("ACCEPTED"));
    let profile = [&NAMES[..], &["--profile", "keycloak"]].concat();
    assert!(explain(&jwks, &access, &profile).out.starts_with("ACCEPTED"));
    let id = of(with(header(), "typ", "JWT"), with(claims, "typ", "ID"));
    assert!(explain(&jwks, &id, &profile).out.starts_with("REFUSED: wrong_claim"));
    // Text that a shell could take for more is not repeated.
    let evil = of(with(header(), "typ", "a` b"), with(self::claims(), "typ", "ID"));
    let run = explain(&jwks, &evil, &NAMES);
    assert!(run.out.contains("if the service does, give the service's `--profile`"), "{}", run.out);
    // A stranger's: the type is looked at first.
    let stranger = explain(&jwks, &access, &["--issuer", "https://idp.example"]);
    let note = "the token is of the issuer \"https://app.example\", which is none of --issuer";
    assert!(stranger.out.contains(note) && !run.out.contains(note), "{}", stranger.out);
}

/// Every client of an issuer can have the audience of another service.
#[test]
fn explain_of_a_wrong_audience_of_an_issuer_advises_no_other_audience() {
    let directory = tempfile::tempdir().expect("a directory");
    let jwks = jwks(directory.path());
    let other = of(header(), with(claims(), "aud", "account"));
    let run = explain(&jwks, &other, &NAMES);
    assert!(run.out.contains("the issuer writes it into `aud`"), "{}", run.out);
    assert!(!run.out.contains("`audiences`"), "{}", run.out);
}

#[test]
fn explain_takes_the_names_of_the_service_from_variables() {
    let good = of(header(), claims());
    let run = |issuer: &str, audience: &str| {
        let variables = [("ISSUER", issuer), ("AUDIENCE", audience)];
        let explain = ["token", "explain", "--at", "2027-01-15T08:00:00Z"];
        sessionctl_with(&variables, &explain, &good).out
    };
    let out = run("https://old.example https://app.example", "app");
    assert!(out.starts_with("NOT VERIFIED") && !out.contains("token's own"), "{out}");
    assert!(run("https://old.example", "app").starts_with("REFUSED: wrong_issuer"));
    assert!(run("https://app.example", "other").starts_with("REFUSED: wrong_audience"));
}

#[test]
fn explain_refuses_wrong_usage() {
    for (arguments, input, expected) in [
        (&["token", "explain"][..], "", "standard input is empty"),
        (&["token", "explain"], " \n\" \"", "standard input is empty"),
        (&["token", "explain", "--at", "noon"], "x", "expected a time such as"),
        (&["token", "explain", "a.b.c"], "x", "expected the token on standard input"),
        (&["token", "explain", "--jwks-file", "/none"], "x", "could not read it"),
        (&["token", "explain", "--issuer-discovery"], "x", "--issuer"),
        (
            &["token", "explain", "--store", "file:/none", "--jwks-file", "x"],
            "x",
            "cannot be used with",
        ),
        (&["token", "explain", "--store", "file:/none"], "x", "--ring is missing"),
    ] {
        let run = sessionctl(arguments, input);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.err.contains(expected) && run.out.is_empty(), "{expected}: {run:?}");
    }
    let run = sessionctl(&["token", "explain", "--jwks-url", "ftp://keys.example/jwks"], "a.b.c");
    assert!(run.status == 1 && run.err.contains("give an https URL"), "{run:?}");
    let run = sessionctl(&["token", "explain", "--url", "http://127.0.0.1:9/jwks"], "a.b.c");
    assert!(run.status == 1 && run.err.contains("127.0.0.1:9"), "{run:?}");
}

/// Neither the parser's error nor ours prints it.
#[test]
fn token_as_an_argument_is_refused_and_not_printed() {
    let token = of(header(), claims());
    for arguments in [
        vec!["token", "explain", &token],
        vec!["token", "explain", "--at", "now", &token, "--json"],
    ] {
        let run = sessionctl(&arguments, "");
        assert_eq!((run.status, &*run.out), (2, ""));
        assert!(run.err.contains("expected the token on standard input"), "{}", run.err);
        assert!(!run.err.contains("ey"), "{}", run.err);
    }
}

#[test]
fn jar_whose_cookie_was_cleared_has_no_token() {
    let jar = "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n";
    let run = sessionctl(&["token", "explain"], jar);
    assert_eq!(run.status, 2);
    assert!(run.err.contains("is a cookie jar without a token"), "{}", run.err);
}
