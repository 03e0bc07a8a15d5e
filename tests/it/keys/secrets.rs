//! Secrets that an application brings: as random bytes, or as tools print them.

use tower_jwt_session::{
    Algorithm, BuildError, Key, KeyError, KeyErrorKind, KeyRing, Root, SealingKey,
};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

type ReadBytes = fn(&[u8]) -> Result<(), KeyError>;
type ReadText = fn(&str) -> Result<(), KeyError>;

/// Every constructor that takes bytes, with what it is called by its siblings that take text.
const RAW: [(&str, ReadBytes); 3] = [
    ("Root::", |secret| Root::new(secret).map(drop)),
    ("SealingKey::", |secret| SealingKey::new(secret).map(drop)),
    ("Key::hmac_", |secret| Key::hmac(Algorithm::HS256, secret).map(drop)),
];

/// The same for text: base64 and hex.
const TEXT: [(&str, ReadText, ReadText); 3] = [
    ("Root::", |text| Root::from_base64(text).map(drop), |text| Root::from_hex(text).map(drop)),
    (
        "SealingKey::",
        |text| SealingKey::from_base64(text).map(drop),
        |text| SealingKey::from_hex(text).map(drop),
    ),
    (
        "Key::hmac_",
        |text| Key::hmac_from_base64(Algorithm::HS256, text).map(drop),
        |text| Key::hmac_from_hex(Algorithm::HS256, text).map(drop),
    ),
];

/// 32 bytes, as they might come from a random generator.
fn bytes() -> Vec<u8> {
    (0..32_u8).map(|place| place.wrapping_mul(73).wrapping_add(190)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ENDS: [&str; 7] = ["", "\n", "\r\n", "\n\n", " ", "\t", "\0"];

#[test]
fn raw_secret_that_is_text_is_refused_however_it_ends() {
    // 32 characters each: a sealing key's length, without an end.
    let texts = [
        (hex(&bytes()[..16]), "hex", "from_hex"),
        (hex(&bytes()[..16]).to_uppercase(), "hex", "from_hex"),
        (STANDARD.encode(&bytes()[..24]), "base64", "from_base64"),
        (URL_SAFE_NO_PAD.encode(&bytes()[..23]) + "w", "base64", "from_base64"),
        ("correct horse battery staple, yes".to_owned(), "text", "from_base64"),
        ("ein ganz anderes Passwort: Übung".to_owned(), "text", "from_base64"),
    ];
    for (prefix, read) in RAW {
        for (text, found, constructor) in &texts {
            for end in ENDS {
                let text = format!("{text}{end}");
                let error = read(text.as_bytes()).unwrap_err().to_string();
                assert!(error.contains(found), "{prefix} {text:?}: {error}");
                let named = format!("`{prefix}{constructor}`");
                assert!(error.contains(&named), "{prefix} {text:?}: {error}");
                assert!(!error.contains(text.trim_end_matches(['\n', '\0'])), "{error}");
            }
        }
        read(&bytes()).unwrap();
        let repeated = read(&[7; 32]).unwrap_err();
        assert_eq!(repeated.kind(), KeyErrorKind::WeakSecret);
        assert!(repeated.to_string().contains("1 different byte values"), "{repeated}");
    }
}

#[test]
fn printed_secret_is_read_as_it_was_printed() {
    for (name, from_base64, from_hex) in TEXT {
        for end in ["", "\n", "\r\n"] {
            for alphabet in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                let text = alphabet.encode(bytes()) + end;
                from_base64(&text).unwrap_or_else(|error| panic!("{name} {text:?}: {error}"));
            }
            from_hex(&(hex(&bytes()) + end)).unwrap();
            from_hex(&(hex(&bytes()).to_uppercase() + end)).unwrap();
        }
    }
}

#[test]
fn printed_secret_gives_the_key_of_its_bytes() {
    let raw = Key::hmac(Algorithm::HS256, bytes()).unwrap();
    let base64 = STANDARD.encode(bytes()) + "\n";
    let hex = hex(&bytes()) + "\n";
    let read = [
        Key::hmac_from_base64(Algorithm::HS256, base64.as_str()).unwrap(),
        Key::hmac_from_hex(Algorithm::HS256, hex.as_str()).unwrap(),
    ];
    assert_eq!(read.each_ref().map(Key::key_id), [raw.key_id(); 2]);

    let signer = |root| KeyRing::derived("app", root).build().unwrap().status().signing_key_id;
    let derived = signer(Root::new(bytes()).unwrap());
    assert_eq!(signer(Root::from_base64(&base64).unwrap()), derived);
    assert_eq!(signer(Root::from_hex(&hex).unwrap()), derived);

    let sealing = |key: Result<SealingKey, KeyError>| format!("{:?}", key.unwrap());
    let sealed = sealing(SealingKey::new(bytes()));
    assert_eq!(sealing(SealingKey::from_base64(&base64)), sealed);
    assert_eq!(sealing(SealingKey::from_hex(&hex)), sealed);
}

/// `openssl rand -base64 64` prints two lines.
#[test]
fn long_printed_secret_may_be_broken_into_lines() {
    let secret = [bytes(), bytes().into_iter().rev().collect()].concat();
    let mut text = STANDARD.encode(&secret);
    text.insert(64, '\n');
    text.push('\n');
    let read = Key::hmac_from_base64(Algorithm::HS512, &text).unwrap();
    assert_eq!(read.key_id(), Key::hmac(Algorithm::HS512, &secret).unwrap().key_id());
}

#[test]
fn printed_secret_that_is_damaged_is_refused_with_the_reason() {
    let base64 = STANDARD.encode(bytes());
    for (prefix, from_base64, from_hex) in TEXT {
        let hexes = hex(&bytes());
        let cases = [
            (from_base64(&base64[..42]), "not base64: its length"),
            (from_base64(&format!("{base64}!")), "outside the alphabet"),
            (from_base64(&format!("{}-_{}", "+/", &base64[4..])), "mixes"),
            (from_base64(&hexes), "hex"),
            (from_base64(&STANDARD.encode("correct horse battery staple, yes")), "text"),
            (from_base64(&STANDARD.encode(&bytes()[..16])), "16 bytes"),
            (from_hex(&base64), "not hex: a character"),
            (from_hex(&hexes[1..]), "odd number"),
            (from_hex(&hexes[..62]), "31 bytes"),
            (from_hex(&hex(b"correct horse battery staple, yes")), "text"),
        ];
        for (place, (result, reason)) in cases.into_iter().enumerate() {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(reason), "{prefix} {place}: {error}");
            assert!(!error.contains(&base64[..8]) && !error.contains(&hexes[..8]), "{error}");
        }
    }
}

#[test]
fn text_of_another_issuer_is_a_secret_as_it_is() {
    let text = "super-secret-jwt-token-with-at-least-32-characters-long";
    let error = Key::hmac(Algorithm::HS256, text).unwrap_err().to_string();
    assert!(error.contains("`Key::hmac_from_text`"), "{error}");
    let key = Key::hmac_from_text(Algorithm::HS256, text).unwrap();
    assert!(key.can_sign());
    let other = Key::hmac_from_text(Algorithm::HS256, format!("{text}\n")).unwrap();
    assert_ne!(key.key_id(), other.key_id(), "every byte counts");
    let short = Key::hmac_from_text(Algorithm::HS256, &text[..31]).unwrap_err();
    assert_eq!(short.kind(), KeyErrorKind::WeakSecret);
    assert!(short.to_string().contains("31 bytes, expected at least 32"), "{short}");
    let error = Key::hmac_from_text(Algorithm::EdDSA, text).unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::UnsupportedAlgorithm);
}

/// A `main` that returns an error prints its `Debug`.
#[test]
fn error_from_main_shows_the_reason() {
    let error = Root::new(hex(&bytes())).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    let boxed: Box<dyn std::error::Error> = Box::new(error);
    assert!(format!("{boxed:?}").contains("`Root::from_hex`"), "{boxed:?}");

    let error: BuildError = KeyRing::fixed([]).build().unwrap_err();
    assert_eq!(format!("{error:?}"), "keys is empty: give at least one key");
}
