//! Attacks by the signature: cut, lengthened, changed, of something else, or of nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tower_jwt_session::Algorithm;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::testing::primitives::sign;

use super::target::{Attack, Target, bad, good};

pub(crate) fn signature(target: &Target) -> Vec<Attack> {
    let token = target.good();
    let (signed, _) = token.rsplit_once('.').expect("a signature");
    let own = sign(&target.key, signed.as_bytes());
    let with = |signature: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let mut attacks = vec![good("the key's own", with(&own))];
    let length = own.len();
    let flipped = |place: usize, bit: u8| {
        let mut signature = own.clone();
        signature[place] ^= bit;
        signature
    };
    let (head, body) = signed.split_once('.').expect("two segments");
    let mut other_payload = target.payload();
    other_payload["sub"] = json!("mallory");
    let other = target.claiming(other_payload.to_string());
    let (other_signed, _) = other.rsplit_once('.').expect("a signature");
    for (name, signature) in [
        ("none", Vec::new()),
        ("one byte", vec![own[0]]),
        ("without its last byte", own[..length - 1].to_vec()),
        ("without its first byte", own[1..].to_vec()),
        ("its first half", own[..length / 2].to_vec()),
        ("its first 16 bytes", own[..16].to_vec()),
        ("a zero byte more", [&*own, &[0]].concat()),
        ("a zero byte before", [&[0], &*own].concat()),
        ("twice", own.repeat(2)),
        ("halves swapped", [&own[length / 2..], &own[..length / 2]].concat()),
        ("backwards", own.iter().rev().copied().collect()),
        ("the first bit", flipped(0, 0x80)),
        ("a bit in the middle", flipped(length / 2, 1)),
        ("the last bit", flipped(length - 1, 1)),
        ("zeros", vec![0; length]),
        ("ones", vec![0xff; length]),
        ("1,025 bytes", vec![1; 1025]),
        ("of the header", sign(&target.key, head.as_bytes())),
        ("of the payload", sign(&target.key, body.as_bytes())),
        ("of the text without its dot", sign(&target.key, format!("{head}{body}").as_bytes())),
        ("of the bytes that it encodes", {
            sign(&target.key, format!("{}.{}", target.header(), target.payload()).as_bytes())
        }),
        ("of another token", sign(&target.key, other_signed.as_bytes())),
        ("of nothing", sign(&target.key, b"")),
        ("itself as text", URL_SAFE_NO_PAD.encode(&own).into_bytes()),
    ] {
        attacks.push(bad(name, with(&signature)));
    }
    for (name, signature, is_good) in of_this_kind(target.key.algorithm(), &own, signed.as_bytes())
    {
        let token = with(&signature);
        attacks.push(if is_good { good(name, token) } else { bad(name, token) });
    }
    attacks
}

/// What only signatures of this kind have.
fn of_this_kind(
    algorithm: Algorithm,
    own: &[u8],
    message: &[u8],
) -> Vec<(&'static str, Vec<u8>, bool)> {
    match algorithm {
        Algorithm::ES256 => ecdsa(own, &P256_ORDER),
        Algorithm::ES384 => ecdsa(own, &P384_ORDER),
        Algorithm::EdDSA => {
            let (point, scalar) = own.split_at(32);
            let little = |number: &[u8]| number.iter().rev().copied().collect::<Vec<u8>>();
            let order = little(&ED25519_ORDER);
            let added: Vec<_> = little(&add(&little(scalar), &little(&order)));
            let neutral = [&[1][..], &[0; 31]].concat();
            vec![
                ("the order added", [point, &added[..32]].concat(), false),
                ("the neutral point", [&neutral[..], &[0; 32]].concat(), false),
                ("the neutral point and its own scalar", [&neutral, scalar].concat(), false),
                ("its own point and no scalar", [point, &[0; 32]].concat(), false),
                ("its own point and the order", [point, &order].concat(), false),
            ]
        }
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            let others = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
            let others = others.into_iter().filter(|other| *other != algorithm);
            // The fixed secret is one for all.
            others
                .map(|other| ("of another hash", sign(&fixed_key(other), message), false))
                .collect()
        }
        // RSA: the number that is the same to the modulus.
        _ => {
            let jwk = fixed_key(algorithm).to_jwk().expect("a public key");
            let jwk = serde_json::to_value(jwk).expect("a JWK");
            let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().expect("a modulus"));
            let modulus = modulus.expect("base64url");
            let zero = vec![0; modulus.len()];
            let one = [&zero[1..], &[1]].concat();
            vec![
                ("the modulus added", add(own, &modulus), false),
                ("the modulus", modulus, false),
                ("one", one, false),
            ]
        }
    }
}

fn ecdsa(own: &[u8], order: &[u8]) -> Vec<(&'static str, Vec<u8>, bool)> {
    let (r, s) = own.split_at(own.len() / 2);
    let zero = vec![0; r.len()];
    let one = [&zero[1..], &[1]].concat();
    // SEC 1, appendix C.5; short forms do for both lengths.
    let integer = |number: &[u8]| [&[2, number.len() as u8 + 1, 0][..], number].concat();
    let content = [integer(r), integer(s)].concat();
    let der = [&[0x30, content.len() as u8][..], &content].concat();
    let negated = {
        // order - s = order + !s + 1, without the carry.
        let inverted: Vec<_> = s.iter().map(|byte| !byte).collect();
        let sum = add(&add(order, &inverted)[1..], &one);
        sum[sum.len() - s.len()..].to_vec()
    };
    vec![
        // One signature has two spellings, and RFC 7518, section 3.4 takes both: nothing here names a
        // token by its text.
        ("the other spelling", [r, &negated].concat(), true),
        ("in ASN.1", der, false),
        ("zero and zero", [&*zero, &zero].concat(), false),
        ("zero and its own", [&zero, s].concat(), false),
        ("its own and zero", [r, &zero].concat(), false),
        ("one and one", [&*one, &one].concat(), false),
        ("the order twice", [order, order].concat(), false),
        ("its own and the order", [r, order].concat(), false),
        ("the order added to both", [add(r, order), add(s, order)].concat(), false),
        ("zero bytes before both", [&[0], r, &[0], s].concat(), false),
    ]
}

/// The sum of two numbers of one length, big-endian; a byte longer where it carries.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut sum = Vec::with_capacity(a.len() + 1);
    let mut carry = 0;
    for (a, b) in a.iter().rev().zip(b.iter().rev()) {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        sum.push(digit as u8);
        carry = digit >> 8;
    }
    if carry > 0 {
        sum.push(1);
    }
    sum.reverse();
    sum
}

const ED25519_ORDER: [u8; 32] = [
    0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0xde, 0xf9, 0xde, 0xa2, 0xf7, 0x9c,
    0xd6, 0x58, 0x12, 0x63, 0x1a, 0x5c, 0xf5, 0xd3, 0xed,
];

const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

const P384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
