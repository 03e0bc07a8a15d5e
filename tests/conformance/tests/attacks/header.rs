//! Attacks by the header: its algorithm, its key, its type, and what changes a token's meaning.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_jwt_session::testing::{fixed_key, mint};
use tower_jwt_session::{Algorithm, Key};

use super::target::{ALGORITHMS, Attack, Target, bad, good, with, without};

/// CVE-2015-9235 and its kin: no spelling of `none` is an algorithm, signed or not.
pub(crate) fn alg_none(target: &Target) -> Vec<Attack> {
    let mut attacks = vec![good("the key's own", target.good())];
    let spellings = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "noNe",
        "NoNe",
        "none ",
        " none",
        "none\\u0000",
        "\\u006eone",
        "",
        "null",
        "undefined",
        "nil",
        "plaintext",
        "HS0",
    ];
    for alg in spellings {
        let token = target.headed_with("alg", &format!("\"{alg}\""));
        let unsigned = token[..=token.rfind('.').expect("a dot")].to_owned();
        attacks.push(bad(format!("{alg:?} with a signature"), token));
        attacks.push(bad(format!("{alg:?} without a signature"), unsigned));
    }
    for alg in ["null", "0", "false", "[]", "[\"none\"]", "{}", "{\"none\":true}"] {
        attacks.push(bad(alg, target.headed_with("alg", alg)));
    }
    let missing = without(&target.header(), "alg");
    attacks.push(bad("no alg", target.headed(missing)));
    attacks
}

/// The algorithm is the key's, regardless of the header and of the key that signed.
pub(crate) fn algorithm_confusion(target: &Target) -> Vec<Attack> {
    let own = target.key.algorithm();
    let mut attacks = vec![good("the key's own", target.good())];
    let payload = target.payload().to_string();
    for other in ALGORITHMS.into_iter().filter(|other| *other != own) {
        let header = with(&target.header(), "alg", &format!("\"{other:?}\""));
        let signed = mint(&fixed_key(other), &header, &payload);
        attacks.push(bad(format!("{other:?}, signed so"), signed));
        attacks.push(bad(format!("{other:?}, signed by the key"), target.headed(&header)));
        let kept = mint(&fixed_key(other), target.header().to_string(), &payload);
        attacks.push(bad(format!("signed by {other:?}, not said"), kept));
    }
    // A key of the ring may sign for itself alone.
    let of_other = mint(&target.other, target.header().to_string(), &payload);
    attacks.push(bad("signed by another key of the ring", of_other));
    let mut header = target.header();
    header["kid"] = json!(target.other.key_id());
    attacks.push(bad("the ID of another key of the ring", target.headed(header.to_string())));
    for alg in ["ES512", "ES256K", "EdDSA2", "Ed448", "RS1", "HS1", "dir", "RSA-OAEP", "A256GCM"] {
        let token = target.headed_with("alg", &format!("\"{alg}\""));
        attacks.push(bad(alg, token));
    }
    let own_name = format!("{own:?}");
    for alg in [own_name.to_lowercase(), format!("{own_name} "), format!("{own_name}\\u0000")] {
        let token = target.headed_with("alg", &format!("\"{alg}\""));
        // EdDSA is no other word in any case; HS256 in upper case is itself.
        attacks.push(bad(format!("{alg:?}"), token));
    }
    attacks.extend(public_key_as_secret(target));
    attacks
}

/// CVE-2016-10555, CVE-2022-29217 and their kin: the public key, in every form in which it is
/// published, as the secret of an HMAC.
fn public_key_as_secret(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (form, secret) in public_forms(&target.key) {
        for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            // Too short for this hash.
            let Ok(attacker) = Key::hmac_from_text(hmac, &secret) else { continue };
            let header = with(&target.header(), "alg", &format!("\"{hmac:?}\""));
            let token = mint(&attacker, header, target.payload().to_string());
            attacks.push(bad(format!("{hmac:?} by the public key as {form}"), token));
        }
    }
    attacks
}

fn public_forms(key: &Key) -> Vec<(&'static str, Vec<u8>)> {
    let Some(jwk) = key.to_jwk() else { return Vec::new() };
    let jwk = serde_json::to_value(jwk).expect("a JWK");
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a number"));
    let (raw, prefix): (_, &[u8]) = match jwk["kty"].as_str().expect("a type") {
        "OKP" => {
            (number("x").expect("base64"), b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00")
        }
        "EC" => {
            let point = [vec![4], number("x").expect("base64"), number("y").expect("base64")];
            (point.concat(), b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01")
        }
        _ => (number("n").expect("base64"), b"\x30\x82\x01\x0a\x02\x82\x01\x01\x00"),
    };
    let der = [prefix, &raw].concat();
    let pem = |label: &str, lines: &str| {
        let text = STANDARD.encode(&der);
        format!("-----BEGIN {label}-----{lines}{text}{lines}-----END {label}-----{lines}")
    };
    let set = json!({ "keys": [jwk] });
    let texts = [
        ("PEM", pem("PUBLIC KEY", "\n")),
        ("PEM without a last line", pem("PUBLIC KEY", "\n").trim_end().to_owned()),
        ("PEM with lines of Windows", pem("PUBLIC KEY", "\r\n")),
        ("PEM after white space", format!(" \n{}", pem("PUBLIC KEY", "\n"))),
        ("PEM after text", format!("Key:\n{}", pem("PUBLIC KEY", "\n"))),
        ("PEM of PKCS#1", pem("RSA PUBLIC KEY", "\n")),
        ("OpenSSH", format!("ssh-key {} a@b", STANDARD.encode(&raw))),
        ("a JWK", jwk.to_string()),
        ("a JWKS", set.to_string()),
        ("base64", STANDARD.encode(&der)),
        ("base64url", URL_SAFE.encode(&raw)),
        ("its key ID", key.key_id().to_owned()),
    ];
    let texts = texts.map(|(form, text)| (form, text.into_bytes()));
    [("raw bytes", raw), ("DER", der)].into_iter().chain(texts).collect()
}

/// A key ID is only compared: no file, no query, no command, no address.
pub(crate) fn key_id_injection(target: &Target) -> Vec<Attack> {
    let own = target.key.key_id();
    let mut attacks = vec![good("the key's own", target.good())];
    let texts = [
        "",
        " ",
        ".",
        "../../../../../../dev/null",
        "/dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "C:\\windows\\win.ini",
        "file:///dev/null",
        "' UNION SELECT 'secret' -- ",
        "\" OR \"\"=\"",
        "|sleep 10",
        "$(sleep 10)",
        "`id`",
        "${jndi:ldap://127.0.0.1/a}",
        "{{7*7}}",
        "%00",
        "\0",
        "x\r\nlevel=info msg=ok",
        "\u{1b}[2J",
        "http://127.0.0.1/jwks.json",
        "__proto__",
        "constructor",
        "0",
        "-1",
        "*",
        "\u{202e}kid",
        "\u{feff}",
    ];
    let cut = own[..own.len() - 1].to_owned();
    let near = [cut, format!("{own} "), format!(" {own}"), format!("{own}\0"), own.to_lowercase()];
    let long = "k".repeat(700);
    for text in texts.into_iter().map(str::to_owned).chain(near).chain([long]) {
        if text != own {
            let token = target.headed_with("kid", &Value::from(&*text).to_string());
            attacks.push(bad(format!("{text:?}"), token));
        }
    }
    for kid in ["null", "0", "1e0", "true", "[]", "{}", "[null]"] {
        attacks.push(bad(kid, target.headed_with("kid", kid)));
    }
    let list = json!([own]).to_string();
    attacks.push(bad("a list of the key's own", target.headed_with("kid", &list)));
    attacks.push(bad("no kid", target.headed(without(&target.header(), "kid"))));
    let escaped: String = own.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let escaped = target.headed_with("kid", &format!("\"{escaped}\""));
    attacks.push(good("the key's own in escapes", escaped));
    attacks
}

/// CVE-2018-0114 and its kin: a key that the token brings, or says where to find, is none.
pub(crate) fn header_keys(target: &Target) -> Vec<Attack> {
    let attacker = fixed_key(Algorithm::ES384).with_key_id("attacker");
    let jwk = serde_json::to_string(&attacker.to_jwk().expect("a public key")).expect("a JWK");
    let values = [
        ("jwk", jwk.as_str()),
        ("jwk", "{\"kty\":\"oct\",\"k\":\"\"}"),
        ("jku", "\"https://evil.example/keys\""),
        ("jku", "\"https://issuer.test@evil.example/keys\""),
        ("jku", "\"http://169.254.169.254/latest/meta-data\""),
        ("x5u", "\"https://evil.example/cert.pem\""),
        ("x5c", "[\"MIIB\"]"),
        ("x5c", "[]"),
    ];
    let mut attacks = Vec::new();
    for (name, value) in values {
        // Signed by the ring's key, by the attacker's under the ring's ID, and under its own.
        attacks.push(bad(format!("{name} {value}"), target.headed_with(name, value)));
        for kid in [target.key.key_id(), attacker.key_id()] {
            let header = json!({ "alg": "ES384", "typ": target.token_type(), "kid": kid });
            let header = with(&header, name, value);
            let token = mint(&attacker, header, target.payload().to_string());
            attacks.push(bad(format!("{name} {value}, by the attacker under {kid:?}"), token));
        }
    }
    // A hash of a certificate chooses nothing.
    attacks.push(good("x5t", target.headed_with("x5t", "\"AAAA\"")));
    attacks.push(good("x5t#S256", target.headed_with("x5t#S256", "\"AAAA\"")));
    attacks
}

/// CVE-2025-59420 and its kin: no extension is understood, so that none may be critical.
pub(crate) fn crit(target: &Target) -> Vec<Attack> {
    let mut attacks = vec![good("an unknown member", target.headed_with("x", "1"))];
    for value in [
        "[]",
        "[\"exp\"]",
        "[\"x\"]",
        "[\"b64\"]",
        "[\"alg\"]",
        "[\"crit\"]",
        "[\"\"]",
        "[\"x\",\"x\"]",
        "\"exp\"",
        "null",
        "{}",
        "true",
        "[null]",
        "[1]",
        "[[\"exp\"]]",
    ] {
        attacks.push(bad(format!("crit {value}"), target.headed_with("crit", value)));
    }
    for (name, value) in
        [("b64", "false"), ("b64", "true"), ("b64", "null"), ("zip", "\"DEF\""), ("zip", "null")]
    {
        attacks.push(bad(format!("{name} {value}"), target.headed_with(name, value)));
    }
    let understood = with(&target.header(), "b64", "false");
    let critical = format!("{},\"crit\":[\"b64\"]}}", &understood[..understood.len() - 1]);
    attacks.push(bad("b64 that is critical", target.headed(&critical)));
    // RFC 7797: the payload as it is.
    let unencoded = {
        let head = URL_SAFE_NO_PAD.encode(&critical);
        let signed = format!("{head}.{}", target.payload());
        let signature =
            tower_jwt_session::testing::primitives::sign(&target.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    attacks.push(bad("a payload that is not encoded", unencoded));
    let escaped = format!("{},\"\\u0063rit\":[]}}", understood.trim_end_matches('}'));
    attacks.push(bad("crit in escapes", target.headed(escaped)));
    attacks
}

/// RFC 8725, section 3.11: another kind of token is no session.
pub(crate) fn token_type(target: &Target) -> Vec<Attack> {
    let own = target.token_type();
    let mut attacks = vec![good(own, target.good())];
    let others = [
        "JWT",
        "jwt",
        "at+jwt",
        "session+jwt",
        "refresh+jwt",
        "id_token",
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "session",
        "",
        "JOSE",
    ];
    let others = others.into_iter().filter(|typ| *typ != own).map(str::to_owned);
    let near =
        [own.to_uppercase(), format!("application/{own}"), format!("{own} "), format!(" {own}")];
    for typ in others.chain(near) {
        let token = target.headed_with("typ", &format!("\"{typ}\""));
        attacks.push(bad(format!("{typ:?}"), token));
    }
    for typ in ["null", "0", "[]", &format!("[\"{own}\"]"), "{}"] {
        attacks.push(bad(typ, target.headed_with("typ", typ)));
    }
    attacks.push(bad("no typ", target.headed(without(&target.header(), "typ"))));
    attacks
}
