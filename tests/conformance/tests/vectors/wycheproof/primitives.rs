//! Signatures, HMACs and HKDF, by the keys that verify tokens and the function that derives keys.

use conformance::published;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tower_jwt_session::testing::primitives::{hkdf_sha256, verify};
use tower_jwt_session::{Algorithm, Key, KeyErrorKind};

use super::{Suite, Vector, expect, hex};

pub(super) fn trials() -> Vec<Trial> {
    let signatures = [
        ("ed25519_test", Algorithm::EdDSA),
        ("ecdsa_secp256r1_sha256_p1363_test", Algorithm::ES256),
        ("ecdsa_secp384r1_sha384_p1363_test", Algorithm::ES384),
        ("rsa_signature_2048_sha256_test", Algorithm::RS256),
        ("rsa_pss_2048_sha256_mgf1_32_test", Algorithm::PS256),
    ];
    let macs = [
        ("hmac_sha256_test", Algorithm::HS256),
        ("hmac_sha384_test", Algorithm::HS384),
        ("hmac_sha512_test", Algorithm::HS512),
    ];
    let signatures = signatures.map(|(file, algorithm)| {
        trial(file, move |suite| suite.check(|group, vector| signature(algorithm, group, vector)))
    });
    let macs = macs.map(|(file, algorithm)| {
        trial(file, move |suite| suite.check(|group, vector| mac(algorithm, group, vector)))
    });
    let hkdf = trial("hkdf_sha256_test", |suite| suite.check(|_, vector| hkdf(vector)));
    signatures.into_iter().chain(macs).flatten().chain(hkdf).collect()
}

fn trial(
    file: &str,
    run: impl FnOnce(&Suite) -> Result<(), Failed> + Send + 'static,
) -> Vec<Trial> {
    published(&format!("wycheproof/{file}.json"), |suite: Suite| {
        let name = format!("wycheproof::{file} ({})", suite.announced);
        vec![Trial::test(name, move || run(&suite))]
    })
}

/// By the key as a JWK and as PEM.
fn signature(algorithm: Algorithm, group: &Value, vector: &Vector) -> Result<(), String> {
    let (message, signature) = (vector.bytes("msg")?, vector.bytes("sig")?);
    let jwk = group.get("publicKeyJwk").or_else(|| group.get("keyJwk"));
    let pem = group["publicKeyPem"].as_str().ok_or("no PEM")?;
    let mut keys = vec![Key::from_pem(algorithm, pem.as_bytes())];
    if let Some(jwk) = jwk {
        keys.push(Key::from_jwk(jwk.to_string()));
    }
    for key in keys {
        let verified = match key {
            Ok(key) if key.algorithm() != algorithm => {
                return Err(format!("a key for {:?}", key.algorithm()));
            }
            Ok(key) => verify(&key, &message, &signature),
            Err(error) if vector.is_valid() => return Err(error.to_string()),
            Err(_) => false,
        };
        expect(vector.is_valid(), verified)?;
    }
    Ok(())
}

/// Two exceptions: a secret that is shorter than the hash is no key (RFC 7518, section 3.2), and a
/// tag that was cut is no signature (RFC 7515, appendix A.1 has no such thing, and a short one can be
/// guessed).
fn mac(algorithm: Algorithm, group: &Value, vector: &Vector) -> Result<(), String> {
    let (secret, message, tag) = (vector.bytes("key")?, vector.bytes("msg")?, vector.bytes("tag")?);
    let hash = match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        _ => 64,
    };
    match Key::hmac_from_text(algorithm, &secret) {
        Ok(_) if secret.len() < hash => Err("a short secret was taken".to_owned()),
        Err(error) if error.kind() == KeyErrorKind::WeakSecret && secret.len() < hash => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(key) => {
            let is_whole = group["tagSize"].as_u64() == Some(8 * hash as u64);
            expect(vector.is_valid() && is_whole, verify(&key, &message, &tag))
        }
    }
}

fn hkdf(vector: &Vector) -> Result<(), String> {
    let length = vector.members["size"].as_u64().ok_or("no size")?;
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let [salt, secret, info] = ["salt", "ikm", "info"].map(|member| vector.bytes(member));
    let derived = hkdf_sha256(&salt?, &secret?, &info?, length);
    expect(vector.is_valid(), derived.is_some())?;
    match derived {
        Some(derived) if derived != hex(&vector.members["okm"])? => Err("other bytes".to_owned()),
        _ => Ok(()),
    }
}
