//! The tokens of RFC 7515, appendix A, and RFC 8037, appendix A.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conformance::{count, published};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;
use tower_jwt_session::testing::primitives::{open, ring_key, sign, verify};
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{Algorithm, CryptoBackend, Key, KeyErrorKind};

#[derive(Deserialize)]
struct Vector {
    id: String,
    valid: bool,
    alg: Option<Value>,
    #[serde(default)]
    jwk: Value,
    #[serde(default)]
    private_jwk: Value,
    compact: Option<String>,
    /// A JWS in the JSON serialization.
    serialized: Option<Value>,
    thumbprint_sha256: Option<String>,
}

pub(crate) fn trials() -> Vec<Trial> {
    published("rfc/jws_vectors.json", |vectors: Vec<Vector>| {
        let trial = |vector: Vector| Trial::test(vector.id.clone(), move || vector.run());
        vectors.into_iter().map(trial).collect()
    })
}

impl Vector {
    fn run(&self) -> Result<(), Failed> {
        count(1);
        let text = match (&self.compact, &self.serialized) {
            (Some(compact), _) => compact.clone(),
            (_, Some(serialized)) => serialized.to_string(),
            _ => return Err("a vector of another form than was known".into()),
        };
        // None of them names its key, so that as a whole none is good here.
        if open(&fixed_ring(ManualClock::default()), &text).is_ok() {
            return Err("a token that names no key was taken".into());
        }
        if !self.valid {
            return Ok(());
        }
        if self.id == "rfc7515-A4-ES512" {
            // P-521, which the `ring` crate does not have: an algorithm that is not offered.
            let jwk = self.public_part().to_string();
            let refused = Key::from_jwk(jwk).is_err_and(|error| {
                error.kind() == KeyErrorKind::InvalidMember && error.to_string().contains("`crv`")
            });
            return if refused { Ok(()) } else { Err("a key of P-521 was taken".into()) };
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("no signature")?;
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let check = |key: &Key| {
            let is_good = verify(key, signed.as_bytes(), &signature)
                && !verify(key, &signed.as_bytes()[1..], &signature);
            if is_good { Ok(()) } else { Err(Failed::from("the signature is not the key's")) }
        };
        if self.jwk["kty"] != "oct" {
            let key = Key::from_jwk(self.public_part().to_string())?;
            check(&key)?;
            if self.thumbprint_sha256.as_ref().is_some_and(|print| print != key.key_id()) {
                return Err(format!("thumbprint {}", key.key_id()).into());
            }
        }
        let private = if self.private_jwk.is_null() { &self.jwk } else { &self.private_jwk };
        let key = Key::from_private_jwk(self.with_algorithm(private).to_string())?;
        check(&key)?;
        if let (Algorithm::EdDSA, Some(seed)) = (key.algorithm(), private["d"].as_str()) {
            let prefix = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
            let document = [prefix.as_slice(), &URL_SAFE_NO_PAD.decode(seed)?].concat();
            for backend in [CryptoBackend::Ring, CryptoBackend::AwsLcRs] {
                // It verifies by signing again.
                check(&ring_key(Algorithm::EdDSA, &document, backend)?)?;
            }
        }
        let is_random = self.alg.as_ref().is_some_and(|alg| alg == "ES256");
        if is_random != (sign(&key, signed.as_bytes()) != signature) {
            return Err("signed otherwise".into());
        }
        Ok(())
    }

    /// Some of the RFCs' keys are private ones, from which no public one is read.
    fn public_part(&self) -> Value {
        let mut jwk = self.with_algorithm(&self.jwk);
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            if let Some(members) = jwk.as_object_mut() {
                members.remove(private);
            }
        }
        jwk
    }

    /// The RFCs' keys leave it to the token to name the algorithm; here it is the key's.
    fn with_algorithm(&self, jwk: &Value) -> Value {
        let mut jwk = jwk.clone();
        jwk["alg"] = self.alg.clone().unwrap_or_default();
        jwk
    }
}
