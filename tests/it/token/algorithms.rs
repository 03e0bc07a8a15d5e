//! Every algorithm both ways, and what is no signature.

use std::time::Duration;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::primitives::sign;
use tower_jwt_session::testing::{fixed_key, mint};
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, OperationErrorKind, RejectionKind};

use super::*;

fn header_of(token: &str) -> Value {
    let segment = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

fn signature_of(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).unwrap()
}

fn with_signature(token: &str, signature: &[u8]) -> String {
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn every_algorithm_issues_what_it_validates() {
    for algorithm in ALGORITHMS {
        let key = fixed_key(algorithm);
        let sessions = sessions_of::<()>(ring([key.clone()]));
        let token = issued(&sessions, ());
        assert_eq!(header_of(&token), header(&key));
        let session = accepted(&sessions, &token);
        assert_eq!(session.subject(), "alice");
        assert_eq!(session.key_id(), key.key_id());
        assert_eq!(session.expires_at() - session.issued_at(), Duration::from_secs(3600));
    }
}

/// A key hashes whole blocks of what its tokens begin with once: none, one or several.
fn assert_signature_over_the_whole_token(algorithm: Algorithm) {
    for length in 1..300 {
        let key = fixed_key(algorithm).with_key_id("k".repeat(length));
        let token = issued(&sessions_of::<()>(ring([key.clone()])), ());
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert_eq!(signature_of(&token), sign(&key, signed.as_bytes()), "{length}");
    }
}

#[test]
fn hs256_signature_covers_token_with_any_key_id() {
    assert_signature_over_the_whole_token(Algorithm::HS256);
}

#[test]
fn hs384_signature_covers_token_with_any_key_id() {
    assert_signature_over_the_whole_token(Algorithm::HS384);
}

#[test]
fn hs512_signature_covers_token_with_any_key_id() {
    assert_signature_over_the_whole_token(Algorithm::HS512);
}

#[test]
fn every_public_key_validates_and_can_not_sign() {
    for algorithm in ALGORITHMS {
        let private = fixed_key(algorithm);
        let Some(jwk) = private.to_jwk() else {
            assert!(name(algorithm).starts_with("HS"), "{algorithm:?} has a public key");
            continue;
        };
        let public = Key::from_jwk(serde_json::to_string(&jwk).unwrap()).unwrap();
        assert_eq!((public.algorithm(), public.key_id()), (algorithm, private.key_id()));
        assert!(private.can_sign() && !public.can_sign());

        let sessions = sessions_of::<()>(ring([public]));
        accepted(&sessions, &issued(&sessions_of::<()>(ring([private])), ()));
        let refused = sessions.issue(&Login::new("alice", ()));
        assert!(
            matches!(&refused, Err(error) if error.kind() == OperationErrorKind::NoSigningKey),
            "{refused:?}"
        );
    }
}

#[test]
fn ed25519_is_read_by_both_names_in_every_header_spelling() {
    let sessions = sessions::<()>();
    let kid = ed25519().key_id().to_owned();
    for alg in ["EdDSA", "Ed25519"] {
        for header in [
            format!(r#"{{"alg":"{alg}","typ":"session+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"kid":"{kid}","typ":"session+jwt","alg":"{alg}"}}"#),
            format!(
                "{{ \"typ\":\t\"session\\u002bjwt\",\r\n \"kid\":\"{kid}\",\"\\u0061lg\":\"{alg}\"}}\n"
            ),
        ] {
            accepted(&sessions, &token_headed(header));
        }
    }
}

#[tokio::test]
async fn a_ring_writes_the_fully_specified_name_where_it_is_asked_to() {
    let store = MemoryStore::new();
    let open = |fully_specified: bool| {
        let ring = KeyRing::builder("app").store(store.clone()).clock(ManualClock::default());
        let ring = if fully_specified { ring.algorithm(Algorithm::Ed25519) } else { ring };
        async { sessions_of::<()>(ring.open().await.unwrap()) }
    };
    let (polymorphic, specified) = (open(false).await, open(true).await);
    let tokens = [issued(&polymorphic, ()), issued(&specified, ())];
    assert_eq!(header_of(&tokens[0])["alg"], "EdDSA");
    assert_eq!(header_of(&tokens[1])["alg"], "Ed25519");
    assert_eq!(header_of(&tokens[0])["kid"], header_of(&tokens[1])["kid"]);
    for sessions in [&polymorphic, &specified] {
        for token in &tokens {
            accepted(sessions, token);
        }
    }
    // The public key is the same to everyone who reads the JWKS.
    for sessions in [&polymorphic, &specified] {
        let jwk = serde_json::to_string(&sessions.keys().jwks().keys[0]).unwrap();
        assert_eq!(Key::from_jwk(jwk).unwrap().algorithm(), Algorithm::EdDSA);
    }
}

#[test]
fn all_algorithms_stand_in_one_ring() {
    // RSA keys and HMAC secrets have one ID for all their algorithms, so each gets its own here.
    let keys = ALGORITHMS.map(|algorithm| fixed_key(algorithm).with_key_id(name(algorithm)));
    let sessions = sessions_of::<()>(ring(keys.clone()));
    for key in keys {
        let token = mint(&key, header(&key).to_string(), payload().to_string());
        assert_eq!(accepted(&sessions, &token).key_id(), key.key_id());
    }
}

#[test]
fn a_signature_that_was_cut_lengthened_or_changed_is_refused() {
    for algorithm in ALGORITHMS {
        let sessions = sessions_of::<()>(ring([fixed_key(algorithm)]));
        let token = issued(&sessions, ());
        let good = signature_of(&token);
        let reversed: Vec<_> = good.iter().rev().copied().collect();
        let changed = |place: usize| {
            let mut signature = good.clone();
            signature[place] ^= 1;
            signature
        };
        for bad in [
            vec![],
            good[..1].to_vec(),
            good[..good.len() / 2].to_vec(),
            good[..good.len() - 1].to_vec(),
            [&*good, &[0]].concat(),
            [&[0], &*good].concat(),
            [&*good, &*good].concat(),
            vec![0; good.len()],
            vec![0xff; good.len()],
            reversed,
            changed(0),
            changed(good.len() / 2),
            changed(good.len() - 1),
        ] {
            refused(&sessions, &with_signature(&token, &bad), RejectionKind::BadSignature);
        }
        // Longer than that of any key.
        refused(&sessions, &with_signature(&token, &[1; 1025]), RejectionKind::Malformed);
    }
}

#[test]
fn a_signature_is_good_for_one_token_only() {
    for algorithm in ALGORITHMS {
        let sessions = sessions_of::<()>(ring([fixed_key(algorithm)]));
        let [one, other] = [issued(&sessions, ()), issued(&sessions, ())];
        let swapped = with_signature(&one, &signature_of(&other));
        refused(&sessions, &swapped, RejectionKind::BadSignature);
    }
}

#[test]
fn the_signature_is_over_header_and_payload() {
    let (sessions, key) = (sessions::<()>(), ed25519());
    let token = token(payload());
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (encoded_header, encoded_payload) = signed.split_once('.').unwrap();
    for message in [encoded_header, encoded_payload, &format!("{signed}."), ""] {
        let forged = with_signature(&token, &sign(&key, message.as_bytes()));
        refused(&sessions, &forged, RejectionKind::BadSignature);
    }
}

/// RFC 8032, section 5.1.7: `S` is below the group's order, or each signature would have twins.
#[test]
fn an_ed25519_signature_with_the_order_added_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let token = token(payload());
    let mut signature = signature_of(&token);
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    refused(&sessions::<()>(), &with_signature(&token, &signature), RejectionKind::BadSignature);
}

#[test]
fn an_ed25519_signature_of_the_neutral_point_is_refused() {
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = with_signature(&token(payload()), &signature);
    refused(&sessions::<()>(), &forged, RejectionKind::BadSignature);
}

/// RFC 7518, section 3.4: the two numbers, not the ASN.1 that other standards use.
#[test]
fn an_ecdsa_signature_in_asn1_is_refused() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384] {
        let sessions = sessions_of::<()>(ring([fixed_key(algorithm)]));
        let token = issued(&sessions, ());
        let signature = signature_of(&token);
        let integer = |number: &[u8]| {
            let number: Vec<_> = number.iter().skip_while(|byte| **byte == 0).copied().collect();
            let number = if number[0] < 0x80 { number } else { [&[0], &*number].concat() };
            [&[2, number.len() as u8], &*number].concat()
        };
        let (r, s) = signature.split_at(signature.len() / 2);
        let numbers = [integer(r), integer(s)].concat();
        let asn1 = [&[0x30, numbers.len() as u8], &*numbers].concat();
        refused(&sessions, &with_signature(&token, &asn1), RejectionKind::BadSignature);
    }
}

#[test]
fn a_key_that_is_not_in_the_ring_is_unknown() {
    let sessions = sessions::<()>();
    let stranger = fixed_key(Algorithm::ES256);
    let token = mint(&stranger, header(&stranger).to_string(), payload().to_string());
    refused(&sessions, &token, RejectionKind::UnknownKey);
    let nobody = json!({ "alg": "EdDSA", "typ": "session+jwt" });
    refused(&sessions, &token_headed(nobody), RejectionKind::UnknownKey);
}

#[test]
fn a_strangers_key_under_a_known_id_signs_nothing() {
    let known = fixed_key(Algorithm::HS256);
    let stranger =
        Key::hmac_from_text(Algorithm::HS256, [7; 32]).unwrap().with_key_id(known.key_id());
    let sessions = sessions_of::<()>(ring([known]));
    let token = mint(&stranger, header(&stranger).to_string(), payload().to_string());
    refused(&sessions, &token, RejectionKind::BadSignature);
}
