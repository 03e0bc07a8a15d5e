//! `--algorithm`: what signs the sessions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tower_jwt_session::Algorithm;

/// The algorithm of new keys.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) enum Signing {
    /// Ed25519: a service that only verifies cannot sign.
    #[default]
    EdDSA,
    /// ECDSA on P-256, for libraries and proxies without Ed25519.
    ES256,
    /// HMAC: one secret signs and verifies, and the JWKS is empty.
    HS256,
}

impl Signing {
    /// The algorithm of the crate.
    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::EdDSA => Algorithm::EdDSA,
            Self::ES256 => Algorithm::ES256,
            Self::HS256 => Algorithm::HS256,
        }
    }

    /// Whether the JWKS shows its keys.
    pub(crate) fn has_public_keys(self) -> bool {
        self != Self::HS256
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm().fmt(f)
    }
}

impl FromStr for Signing {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::EdDSA, Self::ES256, Self::HS256];
        let named = all.into_iter().find(|it| it.algorithm().as_str() == text);
        named.ok_or("expected EdDSA, ES256 or HS256")
    }
}
