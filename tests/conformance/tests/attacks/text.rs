//! Attacks by the text of a token: its segments, its base64url, its JSON, its length and its depth.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_jwt_session::testing::primitives::sign;

use super::target::{Attack, Target, bad, good, with};

/// A token of these segments, signed as they are.
fn signed(target: &Target, head: &str, body: &str) -> String {
    let signature = sign(&target.key, format!("{head}.{body}").as_bytes());
    format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn segments(token: &str) -> [&str; 3] {
    let segments: Vec<_> = token.split('.').collect();
    segments.try_into().expect("three segments")
}

/// Three segments and two dots, and nothing around them.
pub(crate) fn structure(target: &Target) -> Vec<Attack> {
    let token = target.good();
    let [head, body, tail] = segments(&token);
    let flattened = json!({ "protected": head, "payload": body, "signature": tail });
    let general = json!({
        "payload": body, "signatures": [{ "protected": head, "signature": tail }],
    });
    let mut attacks = vec![good("as issued", token.clone())];
    for (name, text) in [
        ("nothing", String::new()),
        ("one dot", ".".into()),
        ("two dots", "..".into()),
        ("three dots", "...".into()),
        ("a header", head.into()),
        ("two segments", format!("{head}.{body}")),
        ("four segments", format!("{token}.{tail}")),
        ("an empty fourth segment", format!("{token}.")),
        ("an empty first segment", format!(".{token}")),
        ("no header", format!(".{body}.{tail}")),
        ("no payload", format!("{head}..{tail}")),
        ("no signature", format!("{head}.{body}.")),
        ("a payload that is detached and signed", signed(target, head, "")),
        ("segments in another order", format!("{body}.{head}.{tail}")),
        ("two tokens", format!("{token}{token}")),
        ("two tokens in a list", format!("{token},{token}")),
        ("a no-break space before", format!("\u{a0}{token}")),
        ("a no-break space after", format!("{token}\u{a0}")),
        ("a tab inside", format!("{head}.\t{body}.{tail}")),
        ("quotes around", format!("\"{token}\"")),
        ("the scheme again", format!("Bearer {token}")),
        ("JSON serialization, flattened", flattened.to_string()),
        ("JSON serialization", general.to_string()),
        ("JSON serialization without a signature", json!({ "payload": body }).to_string()),
        ("JSON around a token", format!("{{\"a\":\"{head}.{body}.{tail}\"}}")),
        ("a fraction of dots", format!("{head}%2E{body}%2E{tail}")),
        ("percent-encoded", token.replace('e', "%65")),
    ] {
        attacks.push(bad(name, text));
    }
    attacks
}

/// Every segment has one spelling (RFC 7515, section 2; RFC 4648, section 3.5).
pub(crate) fn base64(target: &Target) -> Vec<Attack> {
    let token = target.good();
    let [head, body, tail] = segments(&token);
    let mut attacks = vec![good("as issued", signed(target, head, body))];
    for (name, text) in [
        ("a padded signature", format!("{token}=")),
        ("a twice padded signature", format!("{token}==")),
        ("a signature that no bytes give", format!("{token}A")),
        ("a signature with a stranger", format!("{head}.{body}.?{tail}")),
        ("a signature with an escape", format!("{head}.{body}.%41{tail}")),
    ] {
        attacks.push(bad(name, text));
    }
    // Signed as they are: only the rule refuses them.
    for (name, segment) in [("header", head), ("payload", body)] {
        let decoded = URL_SAFE_NO_PAD.decode(segment).expect("base64url");
        // Spaces after the JSON, until the encodings differ.
        let padded = [&*decoded, b" "].concat();
        let padded = if padded.len() % 3 == 0 { [&*padded, b" "].concat() } else { padded };
        let encoded = URL_SAFE_NO_PAD.encode(&padded);
        let last = encoded.chars().last().map(u32::from).expect("a letter");
        let next = char::from_u32(last + 1).expect("a letter");
        let loose = format!("{}{next}", &encoded[..encoded.len() - 1]);
        for (how, text) in [
            ("padded", URL_SAFE.encode(&padded)),
            ("of unused bits", loose),
            ("with a space", format!("{segment} ")),
            ("with a stranger", format!("{segment}?")),
            ("with plus and slash", format!("{segment}+/+/")),
            ("in letters of plain base64", STANDARD.encode([&padded[..], b"\xff\xfb"].concat())),
            ("with an equals sign inside", format!("{}={}", &segment[..4], &segment[4..])),
            ("that no bytes give", format!("{}A", &encoded[..encoded.len() / 4 * 4])),
        ] {
            let (head, body) = if name == "header" { (&*text, body) } else { (head, &*text) };
            attacks.push(bad(format!("a {name} {how}"), signed(target, head, body)));
        }
        let good_text = if name == "header" { (&*encoded, body) } else { (head, &*encoded) };
        let token = signed(target, good_text.0, good_text.1);
        attacks.push(good(format!("a {name} with white space inside the JSON"), token));
    }
    let plain = STANDARD_NO_PAD.encode(URL_SAFE_NO_PAD.decode(tail).expect("base64url"));
    if plain != tail {
        attacks.push(bad("a signature of plain base64", format!("{head}.{body}.{plain}")));
    }
    attacks
}

/// One object of strict JSON in UTF-8, as header and as payload.
pub(crate) fn json(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (place, object) in [("header", target.header()), ("payload", target.payload())] {
        let text = object.to_string();
        let inner = &text[1..text.len() - 1];
        let token = |bytes: &[u8]| match place {
            "header" => target.headed(bytes),
            _ => target.claiming(bytes),
        };
        let texts: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", Vec::new()),
            ("null", b"null".into()),
            ("a number", b"1".into()),
            ("a list", b"[]".into()),
            ("a list of the object", format!("[{text}]").into()),
            ("a string of the object", Value::from(&*text).to_string().into()),
            ("an empty object", b"{}".into()),
            ("two objects", format!("{text}{text}").into()),
            ("text after", format!("{text}x").into()),
            ("a zero byte after", format!("{text}\0").into()),
            ("a comma after", format!("{{{inner},}}").into()),
            ("a comma before", format!("{{,{inner}}}").into()),
            ("no brace at the end", format!("{{{inner}").into()),
            ("a comment", format!("/**/{text}").into()),
            ("a comment inside", format!("{{//\n{inner}}}").into()),
            ("single quotes", text.replace('"', "'").into()),
            ("names without quotes", text.replacen("\"", "", 2).into()),
            ("a plus", format!("{{{inner},\"x\":+1}}").into()),
            ("a leading zero", format!("{{{inner},\"x\":01}}").into()),
            ("a hexadecimal number", format!("{{{inner},\"x\":0x1}}").into()),
            ("a number without bounds", format!("{{{inner},\"x\":1e400}}").into()),
            ("not a number", format!("{{{inner},\"x\":NaN}}").into()),
            ("True", format!("{{{inner},\"x\":True}}").into()),
            ("a lone surrogate", format!("{{{inner},\"x\":\"\\ud800\"}}").into()),
            ("a name of a lone surrogate", format!("{{{inner},\"\\udc00\":1}}").into()),
            ("an unknown escape", format!("{{{inner},\"x\":\"\\x41\"}}").into()),
            ("a control character", format!("{{{inner},\"x\":\"\u{1}\"}}").into()),
            ("a line feed in a string", format!("{{{inner},\"x\":\"\n\"}}").into()),
            ("white space of no JSON", format!("\u{a0}{text}").into()),
            ("a byte order mark", format!("\u{feff}{text}").into()),
            ("bytes of no UTF-8", [b"{\"x\":\"\xff\",", inner.as_bytes(), b"}"].concat()),
            ("an overlong zero", [b"{\"x\":\"\xc0\x80\",", inner.as_bytes(), b"}"].concat()),
            (
                "a surrogate in UTF-8",
                [b"{\"x\":\"\xed\xa0\x80\",", inner.as_bytes(), b"}"].concat(),
            ),
            ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ];
        attacks
            .extend(texts.iter().map(|(name, text)| bad(format!("{place}: {name}"), token(text))));
        let spaced = format!(" \r\n\t{} ", text.replace(',', " ,\n"));
        attacks.push(good(format!("{place}: white space"), token(spaced.as_bytes())));
        let more = with(&object, "x", r#"{"a":[1,-0.5e-3,null,"\ud83d\ude00"]}"#);
        attacks.push(good(format!("{place}: more members"), token(more.as_bytes())));
    }
    attacks
}

/// A name that stands twice in an object has two values, and each reader may take another.
pub(crate) fn duplicates(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (place, object) in [("header", target.header()), ("payload", target.payload())] {
        let text = object.to_string();
        let inner = &text[1..text.len() - 1];
        let token = |text: String| match place {
            "header" => target.headed(text),
            _ => target.claiming(text),
        };
        for (name, value) in object.as_object().expect("an object") {
            let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
            for (how, text) in [
                ("after", format!("{{{inner},\"{name}\":{value}}}")),
                ("before", format!("{{\"{name}\":null,{inner}}}")),
                ("in escapes", format!("{{{inner},\"{escaped}\":{value}}}")),
            ] {
                attacks.push(bad(format!("{place}: {name} twice, {how}"), token(text)));
            }
        }
        for (name, more) in [
            ("unknown", r#""x":1,"x":1"#),
            ("unknown, in escapes", r#""x":1,"\u0078":1"#),
            ("inside", r#""x":{"a":1,"a":1}"#),
            ("inside, in escapes", r#""x":[{"a":1,"\u0061":2}]"#),
            ("deep inside", r#""x":[[{"y":{"a":{},"b":1,"a":{}}}]]"#),
            ("empty", r#""":1,"":2"#),
        ] {
            let text = format!("{{{inner},{more}}}");
            attacks.push(bad(format!("{place}: {name} twice"), token(text)));
        }
        let differ = format!(r#"{{{inner},"x":{{"x":[{{"x":1}},{{"x":1}}]}},"X":1,"x ":2}}"#);
        attacks.push(good(format!("{place}: names that differ"), token(differ)));
    }
    attacks
}

/// What is nested ends somewhere, long before a stack does.
pub(crate) fn depth(target: &Target) -> Vec<Attack> {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}{}", open.repeat(depth), close.repeat(depth))
    };
    let object = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let mut attacks = vec![
        good("a payload 100 deep", target.claiming_with("x", &nested("[", "]", 100))),
        good("a header 100 deep", target.headed_with("x", &nested("[", "]", 100))),
    ];
    for (name, value) in [
        ("2,500 lists", nested("[", "]", 2500)),
        ("500 objects", object(500)),
        ("200 lists", nested("[", "]", 200)),
        ("lists that never end", "[".repeat(2500)),
    ] {
        attacks.push(bad(format!("a payload of {name}"), target.claiming_with("x", &value)));
        attacks.push(bad(format!("a header of {name}"), target.headed_with("x", &value)));
        attacks.push(bad(format!("a payload that is {name}"), target.claiming(&value)));
    }
    attacks
}

/// An encrypted token is none here, and nothing is ever decrypted or inflated.
pub(crate) fn jwe(target: &Target) -> Vec<Attack> {
    let mut attacks = vec![good("as issued", target.good())];
    let [_, body, tail] = segments(&target.good()).map(str::to_owned);
    for (name, header) in [
        ("dir", json!({ "alg": "dir", "enc": "A256GCM" })),
        ("RSA1_5", json!({ "alg": "RSA1_5", "enc": "A128CBC-HS256" })),
        ("RSA-OAEP", json!({ "alg": "RSA-OAEP", "enc": "A256GCM" })),
        ("ECDH-ES", json!({ "alg": "ECDH-ES", "enc": "A256GCM", "epk": {} })),
        (
            "PBES2",
            json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_000_000_000, "p2s": "AA" }),
        ),
        ("inflated", json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" })),
        ("none inside", json!({ "alg": "dir", "enc": "A256GCM", "cty": "JWT" })),
        ("the key's own algorithm", target.header()),
    ] {
        let mut header = header;
        header["typ"] = json!(target.token_type());
        header["kid"] = json!(target.key.key_id());
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        attacks
            .push(bad(format!("{name}, five segments"), format!("{head}.AAAA.AAAA.{body}.AAAA")));
        attacks.push(bad(format!("{name}, no key"), format!("{head}..AAAA.{body}.{tail}")));
        if name != "the key's own algorithm" {
            attacks.push(bad(format!("{name}, three segments"), target.headed(header.to_string())));
        }
    }
    // The ring's key has signed it; that it says to be encrypted too is no reason to guess.
    for value in ["\"A256GCM\"", "\"none\"", "null", "{}"] {
        let token = target.headed_with("enc", value);
        attacks.push(bad(format!("signed by the key, with enc {value}"), token));
    }
    attacks
}

/// A token has a longest length, which is looked at first.
pub(crate) fn length(target: &Target) -> Vec<Attack> {
    let token = target.good();
    let claim = |bytes: usize| target.claiming_with("x", &format!("\"{}\"", "x".repeat(bytes)));
    // The longest that fits: a payload grows by 4 letters for 3 bytes.
    let room = (8192 - claim(0).len()) / 4 * 3;
    let header = |bytes: usize| target.headed_with("x", &format!("\"{}\"", "x".repeat(bytes)));
    vec![
        good("as issued", token.clone()),
        good("as long as may be", claim(room)),
        bad("a little longer", claim(room + 6)),
        bad("a megabyte", claim(1_000_000)),
        bad("a token and 8 KiB of its letters", token.clone() + &"A".repeat(8192)),
        bad("100,000 dots", ".".repeat(100_000)),
        bad("8,192 dots", ".".repeat(8192)),
        bad("a header of 2 KiB", header(2048)),
        good("a header of half a KiB", header(400)),
    ]
}
