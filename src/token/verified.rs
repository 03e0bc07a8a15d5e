//! The content of a verified token.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::revocation::digest::Digests;
use crate::revocation::versions::Versions;

/// A token that was verified. Only [`verify`](super::verify) makes one.
#[derive(Debug)]
pub(crate) struct Verified<C> {
    pub(crate) texts: Texts,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The `auth_time` claim, which another issuer's token may lack. Nothing is taken in its place.
    pub(crate) authenticated_at: Option<Timestamp>,
    /// The `pu` claim: when the session of a persistent login ends.
    pub(crate) persistent_until: Option<Timestamp>,
    /// The times at which the token is valid, leeway counted.
    pub(crate) valid: Range<Timestamp>,
    /// With the key's ID, which key has signed it.
    pub(crate) algorithm: Algorithm,
    /// The `rv`, `rg` and `rc` claims; 0 for none.
    pub(crate) versions: Versions,
    /// The digests under which it is looked up, if it is.
    pub(crate) digests: Option<Digests>,
    /// The `seq` claim of a refresh token.
    pub(crate) sequence: Option<u32>,
    /// The roles, if they are read and their claim is there.
    pub(crate) roles: Option<Box<[Box<str>]>>,
    pub(crate) claims: C,
}

/// The texts of a verified token, one behind the other in one allocation.
#[derive(Debug)]
pub(crate) struct Texts {
    all: Box<str>,
    /// Where the issuer, the subject, the token's ID, the session's ID and the key's end; the scope follows.
    ends: [usize; 5],
    has_scope: bool,
}

impl Texts {
    /// Copies the issuer, the subject, the token's ID, the session's ID and the key's, and the scope.
    pub(crate) fn new(texts: [&str; 5], scope: Option<&str>) -> Self {
        let [issuer, subject, token_id, session_id, key_id] = texts;
        let all =
            [issuer, subject, token_id, session_id, key_id, scope.unwrap_or_default()].concat();
        let mut end = 0;
        let ends = texts.map(|text| {
            end += text.len();
            end
        });
        Self { all: all.into(), ends, has_scope: scope.is_some() }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.all[..self.ends[0]]
    }

    pub(crate) fn subject(&self) -> &str {
        &self.all[self.ends[0]..self.ends[1]]
    }

    /// The `jti` claim; for a token without one, a hash of the token.
    pub(crate) fn token_id(&self) -> &str {
        &self.all[self.ends[1]..self.ends[2]]
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.all[self.ends[2]..self.ends[3]]
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.all[self.ends[3]..self.ends[4]]
    }

    pub(crate) fn scope(&self) -> Option<&str> {
        self.has_scope.then(|| &self.all[self.ends[4]..])
    }

    /// All of them, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}
