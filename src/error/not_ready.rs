//! [`NotReady`]: why a replica should not receive requests.

use crate::error::macros::debug_as_display;

/// Why a replica should not receive requests: the answer of [`KeyRing::ready`](crate::KeyRing::ready)
/// and [`Revocations::ready`](crate::Revocations::ready). Its text has the values found and the fix.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NotReady {
    kind: NotReadyKind,
    text: String,
}

debug_as_display!(NotReady);

/// The kinds of [`NotReady`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReadyKind {
    /// No key signs, and it is not known when one will; or none verifies either. A replica that was
    /// ready before stays ready as long as a key verifies.
    NoSigningKey,
    /// The store does not hold the ring or the revocations, or only a part. This replica waits for
    /// live replicas to restore what the store may have lost, and founds it anew if none does.
    /// Until then it issues nothing, or answers requests with a session with 503.
    Founding,
    /// The store holds entries of a format that this version does not know. It may accept sessions
    /// or refuse tokens where other replicas do not.
    NewerFormat,
    /// The store holds keys that none of the sealing keys can decrypt.
    Sealed,
    /// This replica may see a key only after it has begun to sign.
    SlowRefresh,
    /// This replica's clock is too far from the store's, as two reads in a row have found, and this
    /// replica holds the store's clock lease: no other is unready for its clock meanwhile.
    Clock,
    /// A background task has stopped with the Tokio runtime on which the handle was opened.
    TaskStopped,
    /// The keys of a followed issuer were never fetched since
    /// [`start_without_keys`](crate::IssuerRingBuilder::start_without_keys). Tokens of the issuer are
    /// answered 503.
    NoKeysYet,
    /// The last good refresh is longer ago than `max_staleness`. The keys of a followed issuer no
    /// longer verify, and its tokens are answered 503; with old revocations, requests with a session are answered 503.
    Stale,
}

impl NotReady {
    pub(crate) fn new(kind: NotReadyKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Returns the kind.
    pub fn kind(&self) -> NotReadyKind {
        self.kind
    }
}
