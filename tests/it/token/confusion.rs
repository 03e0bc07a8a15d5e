//! The algorithm belongs to the key: no header changes it.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_jwt_session::testing::primitives::sign;
use tower_jwt_session::testing::{fixed_key, mint};
use tower_jwt_session::{Algorithm, Key, RejectionKind};

use super::*;

#[test]
fn every_algorithm_but_the_keys_is_refused() {
    for algorithm in ALGORITHMS {
        let key = fixed_key(algorithm);
        let sessions = sessions_of::<()>(ring([key.clone()]));
        for other in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            let header = with(header(&key), "alg", name(other)).to_string();
            // Signed by the key as it should be, and as the header says.
            for signer in [&key, &fixed_key(other)] {
                let token = mint(signer, &header, payload().to_string());
                refused(&sessions, &token, RejectionKind::WrongAlgorithm);
            }
        }
    }
}

#[test]
fn signature_of_another_algorithm_is_refused() {
    for algorithm in ALGORITHMS {
        let key = fixed_key(algorithm);
        let sessions = sessions_of::<()>(ring([key.clone()]));
        for other in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            let token = mint(&fixed_key(other), header(&key).to_string(), payload().to_string());
            refused(&sessions, &token, RejectionKind::BadSignature);
        }
    }
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    for algorithm in ALGORITHMS {
        let key = fixed_key(algorithm);
        let sessions = sessions_of::<()>(ring([key.clone()]));
        for none in
            spellings("none").into_iter().chain(["", "null", " none", "none "].map(Into::into))
        {
            let header = with(header(&key), "alg", none).to_string();
            let signed = mint(&key, &header, payload().to_string());
            let (unsigned, _) = signed.rsplit_once('.').unwrap();
            for token in [&signed, &format!("{unsigned}.")] {
                refused(&sessions, token, RejectionKind::WrongAlgorithm);
            }
            refused(&sessions, unsigned, RejectionKind::Malformed);
        }
    }
}

/// A word in upper and lower case, letter by letter.
fn spellings(word: &str) -> Vec<String> {
    (0..1_u32 << word.len())
        .map(|choice| {
            let upper = |(place, letter): (usize, char)| match choice >> place & 1 {
                0 => letter,
                _ => letter.to_ascii_uppercase(),
            };
            word.chars().enumerate().map(upper).collect()
        })
        .collect()
}

#[test]
fn names_of_algorithms_are_exact() {
    for alg in ["eddsa", "EDDSA", "EdDSA ", "ed25519", "Ed448", "EdDSA\0", "ES512", "ES256K", "dir"]
    {
        let header = with(header(&ed25519()), "alg", alg);
        refused(&sessions::<()>(), &token_headed(header), RejectionKind::WrongAlgorithm);
    }
}

#[test]
fn an_algorithm_is_a_string_and_has_to_be_there() {
    let sessions = sessions::<()>();
    for alg in [json!(null), json!(0), json!(true), json!(["EdDSA"]), json!({ "EdDSA": 1 })] {
        let header = with(header(&ed25519()), "alg", alg);
        refused(&sessions, &token_headed(header), RejectionKind::Malformed);
    }
    let header = without(header(&ed25519()), "alg");
    refused(&sessions, &token_headed(header), RejectionKind::Malformed);
}

/// CVE-2015-9235, CVE-2022-29217 and their kin: the public key as the secret of an HMAC.
#[test]
fn a_public_key_is_no_shared_secret() {
    for algorithm in ALGORITHMS {
        let key = fixed_key(algorithm);
        let Some(jwk) = key.to_jwk() else { continue };
        let sessions = sessions_of::<()>(ring([key.clone()]));
        let jwk = serde_json::to_value(&jwk).unwrap();
        for secret in public_texts(&jwk) {
            for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                // Too short for this hash.
                let Ok(attacker) = Key::hmac_from_text(hmac, &secret) else { continue };
                let confused = with(header(&key), "alg", name(hmac)).to_string();
                let token = mint(&attacker, confused, payload().to_string());
                refused(&sessions, &token, RejectionKind::WrongAlgorithm);
                let token = mint(&attacker, header(&key).to_string(), payload().to_string());
                refused(&sessions, &token, RejectionKind::BadSignature);
            }
        }
    }
}

/// The texts in which a public key is published.
fn public_texts(jwk: &Value) -> Vec<Vec<u8>> {
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let raw = match jwk["kty"].as_str().unwrap() {
        "OKP" => number("x"),
        "EC" => [vec![4], number("x"), number("y")].concat(),
        _ => number("n"),
    };
    let pem = |label: &str| {
        let text = STANDARD.encode(&raw);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
    };
    vec![raw.clone(), pem("PUBLIC KEY"), pem("RSA PUBLIC KEY"), jwk.to_string().into_bytes()]
}

#[test]
fn a_shared_secret_does_not_sign_for_another_key() {
    let (hmac, public) = (fixed_key(Algorithm::HS256), fixed_key(Algorithm::EdDSA));
    let sessions = sessions_of::<()>(ring([public.clone(), hmac.clone()]));
    let confused = with(header(&hmac), "kid", public.key_id()).to_string();
    let token = mint(&hmac, confused, payload().to_string());
    refused(&sessions, &token, RejectionKind::WrongAlgorithm);
}

#[test]
fn a_key_in_the_header_is_not_used() {
    let attacker = fixed_key(Algorithm::ES256);
    let jwk = serde_json::to_value(attacker.to_jwk().unwrap()).unwrap();
    for claimed in [ed25519().key_id(), attacker.key_id()] {
        let header = json!({ "alg": "ES256", "typ": "session+jwt", "kid": claimed, "jwk": jwk });
        let token = mint(&attacker, header.to_string(), payload().to_string());
        refused(&sessions::<()>(), &token, RejectionKind::Malformed);
    }
}

#[test]
fn a_key_id_is_only_compared() {
    let long = "k".repeat(600);
    for kid in [
        "",
        "../../../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'secret",
        "|sleep 10",
        "x\r\nlevel=info msg=ok\u{1b}[2J",
        "\0",
        "http://127.0.0.1/jwks.json",
        &long,
    ] {
        let header = with(header(&ed25519()), "kid", kid);
        refused(&sessions::<()>(), &token_headed(header), RejectionKind::UnknownKey);
    }
    for kid in [json!(null), json!(0), json!([ed25519().key_id()]), json!({})] {
        let header = with(header(&ed25519()), "kid", kid);
        refused(&sessions::<()>(), &token_headed(header), RejectionKind::Malformed);
    }
}

#[test]
fn key_ids_are_compared_exactly() {
    let key = ed25519().with_key_id("Schlüssel");
    let sessions = sessions_of::<()>(ring([key.clone()]));
    accepted(&sessions, &issued(&sessions, ()));
    for kid in ["schlüssel", "Schl\u{75}\u{308}ssel", "Schlüsse", "Schlüssel ", " Schlüssel"] {
        let header = with(header(&key), "kid", kid).to_string();
        let token = mint(&key, header, payload().to_string());
        refused(&sessions, &token, RejectionKind::UnknownKey);
    }
}

#[test]
fn a_good_signature_of_no_token_is_refused() {
    let signature = URL_SAFE_NO_PAD.encode(sign(&ed25519(), b"."));
    refused(&sessions::<()>(), &format!("..{signature}"), RejectionKind::Malformed);
}
