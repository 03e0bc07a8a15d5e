//! Key files as people have them, by each way in which they are given.

use std::path::Path;

use conformance::{count, published};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::testing::primitives::{sign, verify};
use tower_jwt_session::{Algorithm, BuildError, Key, KeyRing, KeyState};

/// A key file, how it is given, and what should happen.
#[derive(Deserialize)]
struct Given {
    name: String,
    file: String,
    content: String,
    #[serde(rename = "use")]
    ways: String,
    expect: String,
}

pub(crate) fn trials() -> Vec<Trial> {
    published("../field/keys.json", |files: Vec<Given>| {
        let trial = |given: Given| {
            Trial::test(format!("field: {}", given.name), move || {
                count(1);
                let expected = |reason: Failed| {
                    let reason = reason.message().unwrap_or_default();
                    Failed::from(format!("{reason} (expected: {})", given.expect))
                };
                given.run().map_err(expected)
            })
        };
        files.into_iter().map(trial).collect()
    })
}

impl Given {
    fn run(&self) -> Result<(), Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        match self.name.as_str() {
            "private JWK whose d is padded" => self.refuse(&runtime, &["`d`", "padded base64url"]),
            "private RSA JWK with n, e, d only" => {
                self.refuse(&runtime, &["JWK members", "p", "q", "dp", "dq", "qi", "missing"])
            }
            "private JWK, alg Ed25519 (RFC 9864)"
            | "private JWK as Web Crypto exports it, key_ops [sign]" => {
                let key = Key::from_private_jwk(&self.content)?;
                signs(&key)?;
                self.opens(&runtime, &[KeyState::Signing])
            }
            "public JWK, alg Ed25519" => {
                let key = Key::from_jwk(&self.content)?;
                if key.can_sign() || key.algorithm() != Algorithm::Ed25519 {
                    return Err("read as another key".into());
                }
                self.opens(&runtime, &[KeyState::Verifying])
            }
            "SEC1 EC PRIVATE KEY" => {
                self.refuse(&runtime, &["SEC1", "openssl pkcs8 -topk8 -nocrypt"])
            }
            "encrypted PKCS#8" => self.refuse(&runtime, &["is encrypted"]),
            "RSA of 1024 bits" => {
                self.refuse(&runtime, &["the RSA key has 1024 bits, expected 2048 to 8192"])
            }
            "two public keys in one PEM file" => {
                for algorithm in [Algorithm::EdDSA, Algorithm::ES256] {
                    if Key::from_pem(algorithm, &self.content).is_ok() {
                        return Err("one of two was dropped".into());
                    }
                }
                self.opens(&runtime, &[KeyState::Verifying, KeyState::Verifying])
            }
            "literal backslash-n in an environment variable" => {
                signs(&Key::from_pem(Algorithm::EdDSA, &self.content)?)
            }
            other => Err(format!("a file of another kind than was known: {other}").into()),
        }
    }

    /// The file is refused by every way with these words, and leaves the last good keys.
    fn refuse(&self, runtime: &tokio::runtime::Runtime, words: &[&str]) -> Result<(), Failed> {
        let check =
            |way: &str, error: String| match words.iter().find(|word| !error.contains(**word)) {
                Some(word) => Err(Failed::from(format!("{way} does not say {word:?}: {error}"))),
                None => Ok(()),
            };
        if self.ways.contains("from_private_jwk") {
            let read = Key::from_private_jwk(&self.content);
            check("from_private_jwk", read.err().ok_or("taken")?.to_string())?;
        }
        if self.ways.contains("from_pem") {
            for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
                // The error for a key of another kind is its own.
                let is_rsa = self.name.contains("RSA");
                if is_rsa == (algorithm == Algorithm::RS256) {
                    let read = Key::from_pem(algorithm, &self.content);
                    check("from_pem", read.err().ok_or("taken")?.to_string())?;
                }
            }
        }
        if Key::from_jwk(&self.content).is_ok() {
            return Err("read as a public key".into());
        }
        runtime.block_on(self.refused_beside_a_good_key(check))
    }

    async fn refused_beside_a_good_key(
        &self,
        check: impl Fn(&str, String) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let directory = tempfile::tempdir()?;
        let good = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": "good",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        std::fs::write(directory.path().join("good.jwk"), good.to_string())?;
        let ring = open(directory.path()).await?;
        let before = ring.status();
        std::fs::write(directory.path().join(&self.file), &self.content)?;
        let error = ring.refresh().await.err().ok_or("taken by a refresh")?.to_string();
        if !error.contains(&self.file) {
            return Err(format!("the file is not named: {error}").into());
        }
        check("refresh", error)?;
        let after = ring.status();
        let stays = after.signing_key_id.as_deref() == Some("good")
            && after.fingerprint == before.fingerprint
            && ring.ready().is_ok();
        if !stays || after.failure.is_none() {
            return Err(format!("the status afterwards: {after:?}").into());
        }
        let refused = open(directory.path()).await.err().ok_or("taken by a start")?;
        check("open", refused.to_string())
    }

    /// The file alone makes a ring of keys in these states.
    fn opens(&self, runtime: &tokio::runtime::Runtime, states: &[KeyState]) -> Result<(), Failed> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join(&self.file), &self.content)?;
        let status = runtime.block_on(async {
            let ring = open(directory.path()).await?;
            ring.ready()?;
            Ok::<_, Failed>(ring.status())
        })?;
        let found: Vec<_> = status.keys.iter().map(|key| key.state).collect();
        if found != states || status.signing_key_id.is_some() != found.contains(&KeyState::Signing)
        {
            return Err(format!("the status: {status:?}").into());
        }
        Ok(())
    }
}

async fn open(directory: &Path) -> Result<KeyRing, BuildError> {
    KeyRing::directory(directory).open().await
}

fn signs(key: &Key) -> Result<(), Failed> {
    let is_good = key.can_sign() && verify(key, b"text", &sign(key, b"text"));
    let is_other = verify(&fixed_key(Algorithm::EdDSA), b"text", &sign(key, b"text"));
    if is_good && !is_other { Ok(()) } else { Err("it does not sign".into()) }
}
