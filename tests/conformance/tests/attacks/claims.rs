//! Attacks by the claims: times at all limits, and whose and for whom a token is.

use serde_json::Value;

use super::target::{Attack, Kind, NOW, Target, bad, good, with, without};

/// Every time at every limit: of integers, of doubles, of the rules, and as another type.
pub(crate) fn time(target: &Target) -> Vec<Attack> {
    let mut attacks = vec![good("as issued", target.good())];
    let no_time = [
        "null",
        "true",
        "\"1800000890\"",
        "\"\"",
        "[1800000890]",
        "{}",
        "{\"$date\":1800000890}",
        "-1",
        "-0.5",
        "-1e308",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "253402300800",
        "1e30",
        "1e308",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "0x6b49d200",
        "01800000890",
        "+1800000890",
        "1_800_000_890",
        "1800000890.",
        ".5",
        "1800000890e",
        "1800000890000",
        "1800000890000000",
        "9007199254740993",
        "\"2027-01-15T08:00:00Z\"",
    ];
    for claim in ["exp", "nbf", "iat", "auth_time"] {
        for value in no_time {
            attacks.push(bad(format!("{claim} {value}"), target.claiming_with(claim, value)));
        }
    }
    for claim in ["exp", "iat"] {
        let token = target.claiming(without(&target.payload(), claim));
        attacks.push(bad(format!("no {claim}"), token));
    }
    let mut at = |name: &str, iat: i64, exp: i64, accepted: bool| {
        let mut payload = target.payload();
        (payload["iat"], payload["exp"]) = (iat.into(), exp.into());
        payload["auth_time"] = iat.min(NOW).into();
        let token = target.claiming(payload.to_string());
        attacks.push(if accepted { good(name, token) } else { bad(name, token) });
    };
    let (leeway, longest) = (60, 24 * 60 * 60);
    at("expired a second less than the leeway ago", NOW - 900, NOW - leeway + 1, true);
    at("expired the leeway ago", NOW - 900, NOW - leeway, false);
    at("expired", NOW - 900, NOW - 500, false);
    at("expired at the epoch", 0, 1, false);
    at("issued ahead by the leeway", NOW + leeway, NOW + 900, true);
    at("issued in the future", NOW + leeway + 1, NOW + 900, false);
    at("expires when it is issued", NOW, NOW, false);
    at("expires before it is issued", NOW + 30, NOW + 10, false);
    at("lives as long as may be", NOW, NOW + longest, true);
    at("lives a second longer", NOW, NOW + longest + 1, false);
    at("lives for ever", NOW, 253_402_300_799, false);
    at("issued at the epoch", 0, NOW + 900, false);
    for (name, value, accepted) in [
        ("nbf", NOW + leeway, true),
        ("nbf", NOW + leeway + 1, false),
        // The login is at most the leeway later than `iat`, which is ten seconds ago.
        ("auth_time", NOW - 10 + leeway, true),
        ("auth_time", NOW - 10 + leeway + 1, false),
    ] {
        let token = target.claiming_with(name, &value.to_string());
        let name = format!("{name} {value}");
        attacks.push(if accepted { good(name, token) } else { bad(name, token) });
    }
    for value in ["1800000890.5", "1.80000089e9", "180000089E1"] {
        attacks.push(good(format!("exp {value}"), target.claiming_with("exp", value)));
    }
    attacks
}

/// The token of another issuer, for another audience, of nobody, or without an ID of its own.
pub(crate) fn context(target: &Target) -> Vec<Attack> {
    let mut attacks = vec![good("as issued", target.good())];
    let no_text = ["null", "0", "42", "1.5", "true", "{}", "[]"];
    for claim in ["iss", "sub", "jti", "sid", "scope"] {
        for value in no_text {
            attacks.push(bad(format!("{claim} {value}"), target.claiming_with(claim, value)));
        }
        let own = target.payload()[claim].as_str().unwrap_or("a").to_owned();
        let list = Value::from(vec![own]).to_string();
        attacks.push(bad(format!("{claim} {list}"), target.claiming_with(claim, &list)));
    }
    for claim in ["iss", "sub", "aud", "jti"] {
        let token = target.claiming(without(&target.payload(), claim));
        attacks.push(bad(format!("no {claim}"), token));
    }
    for claim in ["sub", "jti", "sid"] {
        attacks.push(bad(format!("{claim} is empty"), target.claiming_with(claim, "\"\"")));
    }
    if target.kind == Kind::Refresh {
        let no_number = ["null", "-1", "1.5", "\"0\"", "true", "[]", "4294967295", "4294967296"];
        for value in no_number {
            attacks.push(bad(format!("seq {value}"), target.claiming_with("seq", value)));
        }
        attacks.push(bad("no seq", target.claiming(without(&target.payload(), "seq"))));
        attacks.push(good("seq 7", target.claiming_with("seq", "7")));
    }
    for issuer in [
        "",
        "https://issuer.test/",
        "https://issuer.tes",
        "https://issuer.test.evil.example",
        "HTTPS://issuer.test",
        "https://ISSUER.test",
        "http://issuer.test",
        "https://issuer.test:443",
        " https://issuer.test",
        "https://issuer.test\0",
        "https://issuer.test#a",
        "issuer.test",
        ".*",
        "https://\u{456}ssuer.test",
    ] {
        let token = target.claiming_with("iss", &Value::from(issuer).to_string());
        attacks.push(bad(format!("iss {issuer:?}"), token));
    }
    for audience in [
        "\"\"",
        "\"ap\"",
        "\"app2\"",
        "\"App\"",
        "\"app \"",
        "\"app,b\"",
        "\"a app\"",
        "\"*\"",
        "[]",
        "[\"\"]",
        "[\"ap\",\"app2\"]",
        "null",
        "0",
        "true",
        "{}",
        "{\"app\":1}",
        "[null]",
        "[\"app\",null]",
        "[\"app\",1]",
        "[\"app\",[\"app\"]]",
        "[[\"app\"]]",
    ] {
        attacks.push(bad(format!("aud {audience}"), target.claiming_with("aud", audience)));
    }
    for audience in ["\"app\"", "[\"app\"]", "[\"a\",\"app\"]", "\"\\u0061pp\""] {
        attacks.push(good(format!("aud {audience}"), target.claiming_with("aud", audience)));
    }
    // Names are compared exactly: these are other claims, and the real ones are missing.
    for name in ["SUB", "Sub", "sub ", "s\u{fb}b", "su\u{200b}b"] {
        let payload = target.payload();
        let text = without(&payload, "sub");
        let text = with(&serde_json::from_str(&text).expect("an object"), name, "\"mallory\"");
        attacks.push(bad(format!("{name:?} for sub"), target.claiming(text)));
    }
    attacks
}
