//! Keys: what material is refused, by which error, and what a key is called.

use serde_json::{Value, json};

use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, Key, KeyError, KeyErrorKind, KeyRing};

use crate::token::*;

const ED25519: &[u8] = include_bytes!("../../../src/testing/ed25519.pk8");
const P256: &[u8] = include_bytes!("../../../src/testing/p-256.pk8");
const P384: &[u8] = include_bytes!("../../../src/testing/p-384.pk8");
const RSA: &[u8] = include_bytes!("../../../src/testing/rsa-2048.pk8");

fn jwk(algorithm: Algorithm) -> Value {
    serde_json::to_value(fixed_key(algorithm).to_jwk().unwrap()).unwrap()
}

fn from_jwk(jwk: Value) -> Result<Key, KeyError> {
    Key::from_jwk(jwk.to_string())
}

#[track_caller]
fn refused(jwk: Value, expected: KeyErrorKind) {
    assert_eq!(from_jwk(jwk.clone()).unwrap_err().kind(), expected, "{jwk}");
}

/// Refused for this reason, among the words of the error.
#[track_caller]
fn refused_as(jwk: Value, reason: &str) {
    let error = from_jwk(jwk.clone()).unwrap_err().to_string();
    assert!(error.contains(reason), "{jwk}: {error}");
}

/// base64url, without a table.
fn encode(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &Value) -> Vec<u8> {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

fn secret(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place * 7 + 1) as u8).collect()
}

#[test]
fn a_shared_secret_is_as_long_as_the_hash() {
    for (algorithm, least) in
        [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)]
    {
        for bytes in [0, 1, 16, least - 1] {
            let error = Key::hmac(algorithm, secret(bytes)).unwrap_err();
            assert_eq!(error.kind(), KeyErrorKind::WeakSecret);
            let numbers = format!("{bytes} bytes, expected at least {least}");
            assert!(error.to_string().contains(&numbers), "{error}");
        }
        for bytes in [least, least + 1, 1000] {
            let key = Key::hmac(algorithm, secret(bytes)).unwrap();
            assert!(key.can_sign() && key.to_jwk().is_none());
        }
    }
}

#[test]
fn material_of_another_algorithm_is_refused() {
    let documents = [("Ed", ED25519), ("ES256", P256), ("ES384", P384), ("S", RSA)];
    for algorithm in ALGORITHMS {
        let is_hmac = name(algorithm).starts_with("HS");
        assert_eq!(Key::hmac(algorithm, secret(64)).is_ok(), is_hmac);
        for (family, document) in documents {
            let fits = match family {
                "S" => name(algorithm).starts_with(['R', 'P']),
                family => name(algorithm).starts_with(family),
            };
            let key = Key::from_pkcs8_der(algorithm, document);
            assert_eq!(key.is_ok(), fits, "{algorithm:?} from {family}: {key:?}");
            if is_hmac {
                assert_eq!(key.unwrap_err().kind(), KeyErrorKind::UnsupportedAlgorithm);
            } else if !fits {
                assert_eq!(key.unwrap_err().kind(), KeyErrorKind::UnexpectedKey);
            }
        }
    }
}

#[test]
fn a_damaged_document_is_refused() {
    for (algorithm, document) in [
        (Algorithm::EdDSA, ED25519),
        (Algorithm::ES256, P256),
        (Algorithm::ES384, P384),
        (Algorithm::RS256, RSA),
    ] {
        let cut = &document[..document.len() - 1];
        let longer = [document, &[0]].concat();
        for damaged in [&[], cut, &longer, b"-----BEGIN PRIVATE KEY-----"] {
            let key = Key::from_pkcs8_der(algorithm, damaged);
            let error = key.unwrap_err();
            assert_eq!(error.kind(), KeyErrorKind::InvalidKey, "{algorithm:?}");
            assert!(error.to_string().contains("private key"), "{algorithm:?}: {error}");
        }
        // The last byte is the public key's, or of a number that has to fit the others. Any 32
        // bytes are a private key of Ed25519.
        let mut changed = document.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let key = Key::from_pkcs8_der(algorithm, &changed);
        assert_eq!(key.is_ok(), algorithm == Algorithm::EdDSA, "{algorithm:?}: {key:?}");
    }
}

#[test]
fn a_jwk_gives_its_key_id_or_its_thumbprint() {
    // RFC 8037, appendix A.3.
    let example = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(from_jwk(example.clone()).unwrap().key_id(), thumbprint);
    assert_eq!(from_jwk(with(example, "kid", "mine")).unwrap().key_id(), "mine");
    for algorithm in ALGORITHMS {
        let key = fixed_key(algorithm);
        assert_eq!(key.clone().with_key_id("mine").key_id(), "mine");
        assert_eq!(key.key_id().len(), 43, "a SHA-256 in base64url");
        if key.to_jwk().is_some() {
            let nameless = without(jwk(algorithm), "kid");
            assert_eq!(from_jwk(nameless).unwrap().key_id(), key.key_id());
        }
    }
}

/// RFC 7638, section 3.1.
#[test]
fn the_thumbprint_of_an_rsa_key_is_that_of_the_standard() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_\
             BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_\
             FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI\
             4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let key = from_jwk(json!({ "kty": "RSA", "alg": "RS256", "n": n, "e": "AQAB" })).unwrap();
    assert_eq!(key.key_id(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn a_jwk_is_for_verifying_signatures() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        for usage in ["enc", "tls", ""] {
            refused_as(with(jwk(algorithm), "use", usage), "`use`");
        }
        for operations in [json!([]), json!(["sign"]), json!(["encrypt", "wrapKey"])] {
            refused_as(with(jwk(algorithm), "key_ops", operations), "`key_ops`");
        }
        let fit = with(with(jwk(algorithm), "key_ops", json!(["sign", "verify"])), "use", "sig");
        from_jwk(fit).unwrap();
        from_jwk(without(jwk(algorithm), "use")).unwrap();
    }
}

#[test]
fn a_jwk_of_a_shared_secret_is_refused() {
    let oct = json!({ "kty": "oct", "k": encode(&[1; 32]), "alg": "HS256", "kid": "a" });
    refused(oct, KeyErrorKind::SharedSecret);
}

#[test]
fn a_jwks_algorithm_fits_its_type() {
    for (algorithm, other) in [
        (Algorithm::EdDSA, "ES256"),
        (Algorithm::ES256, "ES384"),
        (Algorithm::ES384, "ES256"),
        (Algorithm::ES256, "RS256"),
        (Algorithm::EdDSA, "HS256"),
        (Algorithm::ES256, "HS256"),
    ] {
        refused_as(with(jwk(algorithm), "alg", other), &format!("`alg` is {other:?}"));
    }
    for other in ["HS256", "ES256", "EdDSA", "RSA-OAEP", "RSA1_5", "none", ""] {
        refused_as(with(jwk(Algorithm::RS256), "alg", other), &format!("`alg` is {other:?}"));
    }
    refused(without(jwk(Algorithm::RS256), "alg"), KeyErrorKind::AmbiguousAlgorithm);
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384] {
        let key = from_jwk(without(jwk(algorithm), "alg")).unwrap();
        assert_eq!(key.algorithm(), algorithm);
    }
    let p521 = json!({ "kty": "EC", "crv": "P-521", "x": encode(&[1; 66]), "y": encode(&[1; 66]) });
    refused_as(p521, "`crv` is \"P-521\", expected P-256 or P-384");
}

#[test]
fn a_point_that_is_not_on_its_curve_is_refused() {
    for (algorithm, length) in [(Algorithm::ES256, 32), (Algorithm::ES384, 48)] {
        for coordinate in ["x", "y"] {
            let mut changed = decode(&jwk(algorithm)[coordinate]);
            changed[length - 1] ^= 1;
            refused_as(with(jwk(algorithm), coordinate, encode(&changed)), "not a point");
            for bytes in [vec![0; length], vec![0xff; length]] {
                let jwk = with(jwk(algorithm), coordinate, encode(&bytes));
                refused_as(jwk, "not a point");
            }
            // A length that is not the curve's, and another number.
            let number = decode(&jwk(algorithm)[coordinate]);
            for bytes in [[&[0, 0], &*number].concat(), [&[1], &*number].concat(), vec![]] {
                let jwk = with(jwk(algorithm), coordinate, encode(&bytes));
                refused_as(jwk, &format!("`{coordinate}` is {} bytes long", bytes.len()));
            }
            refused_as(with(jwk(algorithm), coordinate, encode(&number[1..])), "not a point");
        }
        let zero = encode(&vec![0; length]);
        let neutral = with(with(jwk(algorithm), "x", zero.clone()), "y", zero);
        refused_as(neutral, "not a point");
    }
    let other_curve = with(jwk(Algorithm::ES256), "crv", "P-384");
    refused_as(without(other_curve, "alg"), "not a point");
}

#[test]
fn text_that_is_not_canonical_is_no_number() {
    for (algorithm, number) in
        [(Algorithm::EdDSA, "x"), (Algorithm::ES256, "y"), (Algorithm::RS256, "n")]
    {
        let text = jwk(algorithm)[number].as_str().unwrap().to_owned();
        for (text, found) in [
            (format!("{text}="), "padded base64url"),
            (format!("{text} "), "white space"),
            (format!("{text}!"), "not base64url"),
            (format!("\n{text}"), "white space"),
            (format!("+{text}"), "standard base64"),
        ] {
            let reason = format!("`{number}` is ");
            refused_as(with(jwk(algorithm), number, &*text), &reason);
            refused_as(with(jwk(algorithm), number, text), found);
        }
    }
}

/// Under these anyone can make a signature, of any message.
#[test]
fn ed25519_points_of_small_order_are_refused() {
    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        p
    };
    let near_p = |low| {
        let mut number = P;
        number[0] = low;
        number
    };
    let small = |low| {
        let mut number = [0; 32];
        number[0] = low;
        number
    };
    let order_8: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    // -y modulo p: the other points of order 8.
    let mut borrow = 0;
    let mut negated = [0; 32];
    for (place, byte) in negated.iter_mut().enumerate() {
        let difference = i16::from(P[place]) - i16::from(order_8[place]) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference.rem_euclid(256) as u8;
    }
    for point in [small(0), small(1), order_8, negated, near_p(0xec), near_p(0xed), near_p(0xee)] {
        for sign in [0, 0x80] {
            let mut point = point;
            point[31] |= sign;
            refused_as(with(jwk(Algorithm::EdDSA), "x", encode(&point)), "small order");
        }
    }
    for length in [0, 31, 33, 64] {
        let x = encode(&vec![9; length]);
        refused_as(with(jwk(Algorithm::EdDSA), "x", x), &format!("`x` is {length} bytes long"));
    }
}

#[test]
fn an_rsa_modulus_has_2048_to_8192_bits() {
    let of_bits = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] = 0xff >> ((8 - bits % 8) % 8);
        with(jwk(Algorithm::RS256), "n", encode(&n))
    };
    for bits in [8, 512, 1023, 1024, 2047, 8193, 8200, 16_384] {
        refused(of_bits(bits), KeyErrorKind::InvalidKey);
        refused_as(of_bits(bits), &format!("{bits} bits"));
    }
    for bits in [2048, 2049, 4096, 8192] {
        from_jwk(of_bits(bits)).unwrap();
    }
    let even = [vec![0xff; 255], vec![0xfe]].concat();
    refused_as(with(jwk(Algorithm::RS256), "n", encode(&even)), "even");
    let empty = from_jwk(with(jwk(Algorithm::RS256), "n", ""));
    assert!(empty.is_err(), "{empty:?}");
}

#[test]
fn an_rsa_exponent_is_odd_and_neither_one_nor_huge() {
    for e in [
        &[][..],
        &[0],
        &[1],
        &[2],
        &[1, 0, 0],
        &[0xff, 0xfe],
        &[0, 0, 1, 0, 1],
        &[3, 0, 0, 0, 1],
        &[1; 256],
    ] {
        let jwk = with(jwk(Algorithm::RS256), "e", encode(e));
        let error = from_jwk(jwk).unwrap_err().to_string();
        assert!(error.contains("exponent") || error.contains("`e`"), "{e:?}: {error}");
    }
    for e in [&[3][..], &[17], &[1, 0, 1], &[1, 0, 0, 0, 1]] {
        from_jwk(with(jwk(Algorithm::RS256), "e", encode(e))).unwrap();
    }
}

#[test]
fn a_ring_has_keys_of_different_ids() {
    let error = KeyRing::fixed([]).build().unwrap_err();
    assert!(error.setting() == Some("keys"), "{error}");
    let doubled = [
        [ed25519(), ed25519()],
        [fixed_key(Algorithm::RS256), fixed_key(Algorithm::PS256)],
        [fixed_key(Algorithm::HS256), fixed_key(Algorithm::HS512)],
        [ed25519().with_key_id("a"), fixed_key(Algorithm::ES256).with_key_id("a")],
    ];
    for keys in doubled {
        let error = KeyRing::fixed(keys).build().unwrap_err();
        assert!(error.setting() == Some("keys"), "{error}");
    }
    KeyRing::fixed([ed25519(), ed25519().with_key_id("a")]).build().unwrap();
}

#[test]
fn the_first_key_signs_and_all_verify() {
    let keys = [fixed_key(Algorithm::ES256), ed25519(), fixed_key(Algorithm::HS256)];
    let sessions = sessions_of::<()>(ring(keys.clone()));
    let session = accepted(&sessions, &issued(&sessions, ()));
    assert_eq!(session.key_id(), keys[0].key_id());
    for key in keys {
        accepted(&sessions, &issued(&sessions_of::<()>(ring([key])), ()));
    }
}

#[test]
fn the_jwks_holds_the_public_keys_and_no_secret() {
    let ring = ring([ed25519(), fixed_key(Algorithm::HS256), fixed_key(Algorithm::RS256)]);
    let jwks = serde_json::to_value(ring.jwks()).unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(key.get(private), None);
        }
        assert_eq!(key["use"], "sig");
    }
}
