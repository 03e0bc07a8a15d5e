//! What a verified token says.

use std::ops::{Deref, Range};
use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::cache::Held;
use crate::clock::Timestamp;
use crate::revocation::set::Candidate;

/// A token that was verified. Only [`verify`](super::verify) makes one.
#[derive(Debug)]
pub(crate) struct Verified<C> {
    pub(crate) subject: Box<str>,
    /// The `jti` claim; for a token without one, a hash of the token.
    pub(crate) token_id: Box<str>,
    pub(crate) session_id: Box<str>,
    pub(crate) key_id: Box<str>,
    pub(crate) scope: Option<Box<str>>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The `auth_time` claim, which another issuer's token may lack. Nothing is taken in its place.
    pub(crate) authenticated_at: Option<Timestamp>,
    /// The times at which the token is valid, leeway counted.
    pub(crate) valid: Range<Timestamp>,
    /// With the key's ID, which key has signed it.
    pub(crate) algorithm: Algorithm,
    /// The `rv` claim; 0 for none.
    pub(crate) revocations_version: u64,
    /// The `seq` claim of a refresh token.
    pub(crate) sequence: Option<u32>,
    pub(crate) claims: C,
}

/// A verified token that is shared: by itself, or as the cache holds it.
pub(crate) enum Shared<C> {
    Alone(Arc<Verified<C>>),
    Held(Arc<Held<C>>),
}

impl<C> Deref for Shared<C> {
    type Target = Verified<C>;

    fn deref(&self) -> &Verified<C> {
        match self {
            Self::Alone(verified) => verified,
            Self::Held(held) => &held.verified,
        }
    }
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Alone(verified) => Self::Alone(verified.clone()),
            Self::Held(held) => Self::Held(held.clone()),
        }
    }
}

impl<C> Verified<C> {
    /// What decides whether it has been ended before its time.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate {
            session_id: &self.session_id,
            subject: &self.subject,
            authenticated_at: self.authenticated_at,
            version: self.revocations_version,
        }
    }
}
