//! One verified token in the cache, and what a hit compares.

use std::ops::Deref;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use smallvec::SmallVec;
use zeroize::Zeroize as _;

use crate::clock::Timestamp;
use crate::keys::key_set::KeySet;
use crate::sync::AtomicU8;
use crate::token::verified::Verified;

/// A verified token, with all else that a hit looks at. They are one allocation: where many are held,
/// each further one would be waited for.
pub(crate) struct CacheEntry<C> {
    pub(crate) verified: Verified<C>,
    /// SECURITY: bytes are compared only where this is equal, and so the signature's end: how long
    /// that takes reveals nothing of another's token to a sender.
    pub(crate) hash: u64,
    pub(crate) token: SmallVec<[u8; INLINE]>,
    /// No other snapshot ever has its address while this is held.
    keys: Weak<KeySet>,
    /// How often the hand that looks for room spares it.
    pub(crate) turns: AtomicU8,
}

/// As long as most tokens are, in bytes.
const INLINE: usize = 512;

impl<C> CacheEntry<C> {
    /// Holds what nobody else has yet.
    pub(crate) fn new(
        verified: Arc<Verified<C>>,
        hash: u64,
        token: &[u8],
        keys: &Arc<KeySet>,
    ) -> Result<Arc<Self>, Arc<Verified<C>>> {
        let mut held = Arc::new(Self {
            verified: Arc::try_unwrap(verified)?,
            hash,
            token: SmallVec::new(),
            keys: Arc::downgrade(keys),
            turns: AtomicU8::new(1),
        });
        // Written where it stays, so that no copy of it is left elsewhere, and into no more room than
        // is counted.
        if let Some(held) = Arc::get_mut(&mut held) {
            held.token.reserve_exact(token.len());
            held.token.extend_from_slice(token);
        }
        Ok(held)
    }

    /// Itself, where it is what `keys` would verify now.
    pub(crate) fn get(self: &Arc<Self>, keys: &Arc<KeySet>, now: Timestamp) -> Option<Arc<Self>> {
        let is_good = std::ptr::eq(self.keys.as_ptr(), Arc::as_ptr(keys))
            && self.verified.valid.contains(&now);
        // Written seldom, so that threads need not tell each other.
        if is_good && self.turns.load(Relaxed) < MOST_TURNS {
            self.turns.store(MOST_TURNS, Relaxed);
        }
        is_good.then(|| self.clone())
    }

    /// The size of an entry. The heap size of the application's claims is unknown: they count as much as
    /// their JSON.
    pub(crate) fn bytes_of(token: &[u8], verified: &Verified<C>) -> usize {
        let outside = if token.len() > INLINE { token.len() } else { 0 };
        size_of::<Self>() + outside + token.len() + verified.texts.len() + 5 * ALLOCATION
    }
}

impl<C> Drop for CacheEntry<C> {
    fn drop(&mut self) {
        self.token.as_mut_slice().zeroize();
    }
}

/// A verified token that is shared: by itself, or as the cache holds it.
pub(crate) enum Shared<C> {
    Owned(Arc<Verified<C>>),
    Cached(Arc<CacheEntry<C>>),
}

impl<C> Deref for Shared<C> {
    type Target = Verified<C>;

    fn deref(&self) -> &Verified<C> {
        match self {
            Self::Owned(verified) => verified,
            Self::Cached(held) => &held.verified,
        }
    }
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Owned(verified) => Self::Owned(verified.clone()),
            Self::Cached(held) => Self::Cached(held.clone()),
        }
    }
}

/// How often the hand comes by a token that was used and is not used again, before it goes.
const MOST_TURNS: u8 = 3;

/// The allocator's overhead for each allocation.
const ALLOCATION: usize = 16;
