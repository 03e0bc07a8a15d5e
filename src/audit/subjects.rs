//! How audit events name subjects.

use std::fmt;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use crate::base64url;
use crate::crypto::backend;

/// How audit events name subjects.
#[derive(Clone)]
pub(crate) enum Subjects {
    Omitted,
    /// By an HMAC with this key.
    Pseudonyms(Zeroizing<Vec<u8>>),
    Plain,
}

impl Subjects {
    /// Pseudonyms with the random key of this process.
    pub(crate) fn of_process() -> Self {
        static KEY: OnceLock<Option<[u8; 32]>> = OnceLock::new();
        let key = KEY.get_or_init(|| {
            let mut key = [0; 32];
            backend::fill_random(&mut key).is_ok().then_some(key)
        });
        // SECURITY: under a key that is known, anyone could test a guess.
        key.map_or(Self::Omitted, |key| Self::Pseudonyms(Zeroizing::new(key.to_vec())))
    }

    /// The name of a subject with this digest, whose text is known or not.
    ///
    /// A replica that learns of a revocation from the store knows the digest alone. So the HMAC is over
    /// the digest, and both write the same pseudonym.
    pub(crate) fn name(&self, digest: &[u8; 16], subject: Option<&str>) -> Option<String> {
        match self {
            Self::Omitted => None,
            Self::Plain => subject.map(str::to_owned),
            Self::Pseudonyms(key) => {
                let code = backend::hmac_sha256(key, digest);
                Some(base64url::encode(&code[..16]))
            }
        }
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Omitted => "Omitted",
            Self::Pseudonyms(_) => "Pseudonyms(..)",
            Self::Plain => "Plain",
        })
    }
}
