//! What a verified token says.

use std::ops::{Deref, Range};
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use smallstr::SmallString;

use super::cache::Held;
use crate::clock::Timestamp;
use crate::revocation::set::Candidate;
use crate::sessions::lifeline::Lifeline;

/// A token that was verified. Only [`verify`](super::verify) makes one.
#[derive(Debug)]
pub(crate) struct Verified<C> {
    pub(crate) texts: Texts,
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
    pub(crate) lifeline: Arc<Lifeline>,
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
            session_id: self.texts.session_id(),
            subject: self.texts.subject(),
            authenticated_at: self.authenticated_at,
            version: self.revocations_version,
        }
    }
}

/// The texts of a session: the stretch of the payload in which they stand, and behind it those that
/// stand elsewhere. So they are copied at once, and need no allocation of their own.
#[derive(Debug)]
pub(crate) struct Texts {
    all: SmallString<[u8; 256]>,
    subject: Place,
    token_id: Place,
    session_id: Place,
    key_id: Place,
    scope: Option<Place>,
}

/// Where a text stands. A token, and so all in it, is far shorter than 4 GiB.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    /// The place of a text that stands in `head`, with which `all` begins, or else is added to it.
    #[inline(always)]
    fn of(text: &str, head: &str, all: &mut SmallString<[u8; 256]>) -> Self {
        let mut start = text.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        if start > head.len() || text.len() > head.len() - start {
            start = all.len();
            all.push_str(text);
        }
        Self { start: start as u32, end: (start + text.len()) as u32 }
    }
}

impl Texts {
    /// Keeps the subject, the token's ID, the session's ID and the key's, and the scope. What stands
    /// in `head` is not copied one by one.
    pub(crate) fn new(head: &str, texts: [&str; 4], scope: Option<&str>) -> Self {
        let mut all = SmallString::from(head);
        let mut place = |text: &str| Place::of(text, head, &mut all);
        let [subject, token_id, session_id, key_id] = texts;
        Self {
            subject: place(subject),
            token_id: place(token_id),
            session_id: place(session_id),
            key_id: place(key_id),
            scope: scope.map(place),
            all,
        }
    }

    pub(crate) fn subject(&self) -> &str {
        self.at(self.subject)
    }

    pub(crate) fn token_id(&self) -> &str {
        self.at(self.token_id)
    }

    pub(crate) fn session_id(&self) -> &str {
        self.at(self.session_id)
    }

    pub(crate) fn key_id(&self) -> &str {
        self.at(self.key_id)
    }

    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.map(|place| self.at(place))
    }

    fn at(&self, place: Place) -> &str {
        &self.all[place.start as usize..place.end as usize]
    }
}
