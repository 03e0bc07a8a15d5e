//! What a verified token says.

use std::ops::Range;
use std::sync::Arc;

use smallstr::SmallString;

use super::cache::Held;
use crate::clock::Timestamp;
use crate::lifeline::Lifeline;
use crate::revocation::Candidate;

/// A token that was verified. Only [`verify`](super::verify) makes one.
#[derive(Debug)]
pub(crate) struct Verified<C> {
    pub(crate) texts: Texts,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) authenticated_at: Timestamp,
    /// The times at which the token is valid, leeway counted.
    pub(crate) valid: Range<Timestamp>,
    /// The `rv` claim; 0 for none.
    pub(crate) revocations_version: u64,
    pub(crate) lifeline: Arc<Lifeline>,
    /// The `seq` claim of a refresh token.
    pub(crate) sequence: Option<u32>,
    pub(crate) claims: C,
    /// With a token that is in the cache.
    pub(super) held: Option<Held>,
}

impl<C> Verified<C> {
    /// What decides whether it has been ended before its time.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate {
            session_id: self.texts.session_id(),
            subject: self.texts.subject(),
            authenticated_at: self.authenticated_at,
            version: self.revocations_version,
        }
    }
}

/// The texts of a session, one behind the other: so they need no allocation of their own.
#[derive(Debug)]
pub(crate) struct Texts {
    all: SmallString<[u8; 160]>,
    /// Where the subject, the token's ID, the session's ID and the key's end; the scope follows.
    ends: [usize; 4],
    has_scope: bool,
}

impl Texts {
    pub(super) fn new(texts: [&str; 4], scope: Option<&str>) -> Self {
        let mut all = SmallString::new();
        let mut ends = [0; 4];
        for (text, end) in texts.into_iter().zip(&mut ends) {
            all.push_str(text);
            *end = all.len();
        }
        all.push_str(scope.unwrap_or_default());
        Self { all, ends, has_scope: scope.is_some() }
    }

    pub(crate) fn subject(&self) -> &str {
        &self.all[..self.ends[0]]
    }

    pub(crate) fn token_id(&self) -> &str {
        &self.all[self.ends[0]..self.ends[1]]
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.all[self.ends[1]..self.ends[2]]
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.all[self.ends[2]..self.ends[3]]
    }

    pub(crate) fn scope(&self) -> Option<&str> {
        self.has_scope.then(|| &self.all[self.ends[3]..])
    }
}
