//! The three segments: canonical base64url, no more and no fewer, and no longer than the limit.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tower_jwt_session::testing::primitives::sign;
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{Login, OperationErrorKind, RejectionKind, Sessions};

use super::*;

/// A token of these encoded segments, signed as they are.
fn signed(header: &str, payload: &str) -> String {
    let signed = format!("{header}.{payload}");
    let signature = URL_SAFE_NO_PAD.encode(sign(&ed25519(), signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Tokens with each segment changed in turn, signed over what they then hold.
fn changed(change: impl Fn(&str) -> String) -> [String; 3] {
    let encode = |object: Value| URL_SAFE_NO_PAD.encode(object.to_string());
    let (header, payload) = (encode(header(&ed25519())), encode(payload()));
    let good = signed(&header, &payload);
    let (start, signature) = good.rsplit_once('.').unwrap();
    [
        signed(&change(&header), &payload),
        signed(&header, &change(&payload)),
        format!("{start}.{}", change(signature)),
    ]
}

fn each_is_malformed(change: impl Fn(&str) -> String) {
    for token in changed(change) {
        refused(&sessions::<()>(), &token, RejectionKind::Malformed);
    }
}

#[test]
fn unchanged_segments_are_accepted() {
    for token in changed(str::to_owned) {
        accepted(&sessions::<()>(), &token);
    }
}

#[test]
fn padding_is_refused() {
    for padding in ["=", "==", "==="] {
        each_is_malformed(|segment| format!("{segment}{padding}"));
    }
}

#[test]
fn characters_outside_the_alphabet_are_refused() {
    for invalid in [" ", "\t", "\n", "\r\n", "\0", "+", "/", "=", "%2E", "~", "é", "\u{feff}"] {
        each_is_malformed(|segment| format!("{segment}{invalid}"));
        each_is_malformed(|segment| format!("{invalid}{segment}"));
        each_is_malformed(|segment| format!("{}{invalid}{}", &segment[..8], &segment[8..]));
    }
}

#[test]
fn the_alphabet_of_plain_base64_is_refused() {
    // `???` is `Pz8_` for URLs and `Pz8/` elsewhere; `>>>` is `Pj4-` and `Pj4+`.
    for (subject, letter) in [("ab???>>>", '/'), ("a???>>>", '/'), ("a>>>", '+'), ("ab>>>", '+')] {
        let text = with(payload(), "sub", subject).to_string();
        let plain = STANDARD_NO_PAD.encode(&text);
        if !plain.contains(letter) {
            continue;
        }
        let header = URL_SAFE_NO_PAD.encode(header(&ed25519()).to_string());
        accepted(&sessions::<()>(), &signed(&header, &URL_SAFE_NO_PAD.encode(&text)));
        refused(&sessions::<()>(), &signed(&header, &plain), RejectionKind::Malformed);
        return;
    }
    panic!("no subject gave a letter in which the alphabets differ");
}

#[test]
fn a_segment_that_no_bytes_give_is_refused() {
    each_is_malformed(|segment| {
        let missing = (1..=4).find(|more| (segment.len() + more) % 4 == 1).unwrap();
        format!("{segment}{}", "A".repeat(missing))
    });
}

/// Unused bits of the last letter: otherwise one token would have several texts.
#[test]
fn unused_bits_have_to_be_zero() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut seen = [0; 2];
    for subject in ["a", "ab", "abc"] {
        let text = with(payload(), "sub", subject).to_string();
        let header_text = with(header(&ed25519()), "x", subject).to_string();
        let [header, payload] = [header_text, text].map(|text| URL_SAFE_NO_PAD.encode(text));
        let twins = |segment: &str| {
            let bits = [0, 0, 4, 2][segment.len() % 4];
            let (start, last) = segment.split_at(segment.len() - 1);
            let place = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).unwrap();
            let twin = |more| format!("{start}{}", ALPHABET[place | more] as char);
            (1..1 << bits).map(twin).collect::<Vec<_>>()
        };
        accepted(&sessions::<()>(), &signed(&header, &payload));
        for twin in twins(&header) {
            seen[0] += 1;
            refused(&sessions::<()>(), &signed(&twin, &payload), RejectionKind::Malformed);
        }
        for twin in twins(&payload) {
            seen[1] += 1;
            refused(&sessions::<()>(), &signed(&header, &twin), RejectionKind::Malformed);
        }
        let token = signed(&header, &payload);
        let (start, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(twins(signature).len(), 15);
        for twin in twins(signature) {
            refused(&sessions::<()>(), &format!("{start}.{twin}"), RejectionKind::Malformed);
        }
    }
    assert_eq!(seen, [15 + 3; 2], "every length of the last group was tried");
}

#[test]
fn there_are_three_segments() {
    let good = token(payload());
    let [header, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!() };
    for token in [
        "",
        ".",
        "..",
        "...",
        "....",
        header,
        &format!("{header}."),
        &format!("{header}.{payload}"),
        &format!(".{payload}.{signature}"),
        &format!(".{good}"),
        &format!("{good}."),
        &format!("{good}.{signature}"),
        &format!("{good}.{signature}.{signature}"),
        &format!("{header}..{payload}.{signature}"),
        &format!("{good} {good}"),
        &format!("Bearer {good}"),
        &format!("\"{good}\""),
        &".".repeat(8192),
    ] {
        refused(&sessions::<()>(), token, RejectionKind::Malformed);
    }
    for unsigned in [format!("{header}.{payload}."), format!("{header}..{signature}")] {
        refused(&sessions::<()>(), &unsigned, RejectionKind::BadSignature);
    }
    refused(&sessions::<()>(), &signed(header, ""), RejectionKind::Malformed);
}

#[test]
fn other_serialisations_are_refused() {
    let good = token(payload());
    let [header, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!() };
    for token in [
        format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#),
        format!(r#"{{"a":".{payload}.","protected":"{header}","signature":"{signature}"}}"#),
        // A JWE in five segments (RFC 7516, section 3.1).
        format!("{header}.{payload}.{signature}.{payload}.{signature}"),
    ] {
        refused(&sessions::<()>(), &token, RejectionKind::Malformed);
    }
}

#[test]
fn a_token_over_the_limit_is_refused_before_it_is_looked_at() {
    let sessions = sessions::<()>();
    for text in [".", "A", "\0", "é"] {
        let longest = text.repeat(8192 / text.len());
        refused(&sessions, &longest, RejectionKind::Malformed);
        refused(&sessions, &format!("{longest}."), RejectionKind::TooLong);
    }
    refused(&sessions, &".".repeat(100_000), RejectionKind::TooLong);
}

#[test]
fn the_limit_is_the_longest_token_that_is_read_and_issued() {
    let subject = "a".repeat(1000);
    let limited = |bytes| {
        Sessions::<()>::builder(fixed_ring(ManualClock::default()), "https://issuer.test", "app")
            .max_token_bytes(bytes)
            .build()
            .unwrap()
    };
    let login = Login::new(subject, ());
    let token = sessions::<()>().issue(&login).unwrap().as_str().to_owned();
    accepted(&limited(token.len()), &token);
    assert_eq!(limited(token.len()).issue(&login).unwrap().as_str().len(), token.len());

    refused(&limited(token.len() - 1), &token, RejectionKind::TooLong);
    let error = limited(token.len() - 1).issue(&login).unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::TooLong);
    let expected = format!(
        "a token of {} bytes, the room for later tokens of its session included, is longer than \
         max_token_bytes ({}): put less into the claims",
        token.len(),
        token.len() - 1,
    );
    assert_eq!(error.to_string(), expected);
}
