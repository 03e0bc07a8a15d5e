//! Tokens that were verified, so that one which comes again is not verified again: the same answer,
//! sooner.
//!
//! 1. Only what was verified enters: forged tokens, however many, are each refused at the cost of
//!    one verification, and push nothing out.
//! 2. A hit is the same token, byte for byte, under the very snapshot of the ring that it was
//!    verified with, at a time that its own claims and its key allow. All else is verified. So a
//!    key that is dropped or revoked is gone with its snapshot, and no answer ever differs.
//! 3. It is bounded in bytes. A token enters when it comes for the second time, and takes the place
//!    of one that has not been used lately: tokens that come once flush nothing.
//! 4. A hit waits for nobody. What enters is written under a lock that is only tried: who finds it
//!    taken leaves the token out for now.

#[cfg(all(test, shuttle))]
mod model;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use smallvec::SmallVec;
use zeroize::Zeroize as _;

use super::verified::{Shared, Verified};
use crate::clock::Timestamp;
use crate::keys::KeySet;
use crate::sync::{ArcSwapOption, AtomicU8, AtomicU64, Mutex};

/// Verified tokens, at most so many bytes of them.
pub(crate) struct TokenCache<C> {
    hasher: SeedableRandomState,
    buckets: Box<[Bucket<C>]>,
    /// What each bucket has seen: apart, as a hit does not look at it.
    seen: Box<[Seen]>,
    /// The bytes that entries may take.
    room: usize,
    filling: Mutex<Filling>,
}

/// Some places; a token is in one of its bucket's or in none. They are one line of the processor's
/// cache.
#[repr(align(64))]
struct Bucket<C>([Place<C>; PLACES]);

/// The hashes of tokens that came once; when they come again, they may enter.
#[derive(Default)]
#[repr(align(64))]
struct Seen([AtomicU64; SEEN]);

struct Place<C> {
    /// The hash of what is here, so that only one of the bucket's is looked into.
    hash: AtomicU64,
    held: ArcSwapOption<Held<C>>,
}

/// A verified token, with all else that a hit looks at. They are one allocation: where many are held,
/// each further one would be waited for.
pub(crate) struct Held<C> {
    pub(super) verified: Verified<C>,
    token: SmallVec<[u8; INLINE]>,
    /// No other snapshot ever has its address while this is held.
    keys: Weak<KeySet>,
    /// How often the hand that looks for room spares it.
    turns: AtomicU8,
}

/// As long as most tokens are, in bytes.
const INLINE: usize = 512;

/// What only the one who fills the cache knows.
#[derive(Default)]
struct Filling {
    /// The bytes that entries take.
    taken: usize,
    /// The place where room was looked for last.
    hand: usize,
}

const PLACES: usize = 4;
const SEEN: usize = 8;

/// How many bytes there is a place for: less than half of an entry's, so that most of the room is taken
/// before buckets are full.
const BYTES_PER_PLACE: usize = 512;

/// What is left of the allocator's book-keeping, for each allocation.
const ALLOCATION: usize = 16;

/// How often the hand comes by a token that was used and is not used again, before it goes.
const MOST_TURNS: u8 = 3;

/// How many the hand spares at one go: a request does not look for room for long.
const PATIENCE: usize = 32;

impl<C> TokenCache<C> {
    /// The least bytes that are of any use.
    pub(crate) const LEAST_BYTES: usize = 64 * 1024;
    /// The most bytes: more than half a million sessions.
    pub(crate) const MOST_BYTES: usize = 1024 * 1024 * 1024;

    const BUCKET_BYTES: usize = size_of::<Bucket<C>>() + size_of::<Seen>();

    /// An empty cache that takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let buckets = (bytes / (BYTES_PER_PLACE * PLACES)).next_power_of_two();
        // SECURITY: senders can't tell where a token goes, the system's randomness being in it.
        // Did they, they could make tokens of their own push each other out, and no more: a bucket
        // has few places, and every byte is compared.
        let seed = RandomState::new().hash_one(());
        Self {
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_random()),
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            seen: (0..buckets).map(|_| Seen::default()).collect(),
            room: bytes.saturating_sub(buckets * Self::BUCKET_BYTES),
            filling: Mutex::default(),
        }
    }

    /// What `token` says, as `keys` have verified it before, or as `verify` does now.
    pub(crate) fn get_or_verify<E>(
        &self,
        token: &[u8],
        keys: &Arc<KeySet>,
        now: Timestamp,
        verify: impl FnOnce() -> Result<Arc<Verified<C>>, E>,
    ) -> Result<Shared<C>, E> {
        let hash = self.hash(token);
        let number = hash as usize & (self.buckets.len() - 1);
        let bucket = &self.buckets[number];
        if let Some(held) = bucket.get(hash, token, keys, now) {
            return Ok(Shared::Held(held));
        }
        let verified = verify()?;
        if bucket.place(hash).is_some() || self.seen[number].take(hash) {
            return Ok(self.insert(bucket, hash, token, keys, verified));
        }
        Ok(Shared::Alone(verified))
    }

    /// A token ends with its signature, of which a part is as good as all; never zero.
    fn hash(&self, token: &[u8]) -> u64 {
        let end = &token[token.len().saturating_sub(64)..];
        self.hasher.hash_one(end).max(1)
    }

    fn insert(
        &self,
        bucket: &Bucket<C>,
        hash: u64,
        token: &[u8],
        keys: &Arc<KeySet>,
        verified: Arc<Verified<C>>,
    ) -> Shared<C> {
        let bytes = Held::<C>::bytes_with(token);
        if bytes > self.room {
            return Shared::Alone(verified);
        }
        // Dropped after the lock: with it go claims of the application's.
        let mut evicted = Vec::new();
        let Ok(mut filling) = self.filling.try_lock() else { return Shared::Alone(verified) };
        let held = match Held::new(verified, token, keys) {
            Ok(held) => held,
            Err(verified) => return Shared::Alone(verified),
        };
        let place = bucket.place(hash).unwrap_or_else(|| bucket.least_used());
        filling.take_out(place, &mut evicted);
        let mut patience = PATIENCE;
        while filling.taken + bytes > self.room {
            filling.hand = (filling.hand + 1) % (self.buckets.len() * PLACES);
            let place = &self.buckets[filling.hand / PLACES].0[filling.hand % PLACES];
            match place.turns() {
                Some(turns) if turns > 0 && patience > 0 => {
                    patience -= 1;
                    place.set_turns(turns - 1);
                }
                _ => filling.take_out(place, &mut evicted),
            }
        }
        filling.taken += bytes;
        place.hash.store(hash, Relaxed);
        place.held.store(Some(held.clone()));
        Shared::Held(held)
    }
}

impl Filling {
    fn take_out<C>(&mut self, place: &Place<C>, evicted: &mut Vec<Arc<Held<C>>>) {
        let Some(held) = place.held.swap(None) else { return };
        place.hash.store(0, Relaxed);
        self.taken -= Held::<C>::bytes_with(&held.token);
        evicted.push(held);
    }
}

impl<C> Bucket<C> {
    fn get(
        &self,
        hash: u64,
        token: &[u8],
        keys: &Arc<KeySet>,
        now: Timestamp,
    ) -> Option<Arc<Held<C>>> {
        let held = self.place(hash)?.held.load();
        let held = held.as_ref()?;
        let is_good = std::ptr::eq(held.keys.as_ptr(), Arc::as_ptr(keys))
            && held.verified.valid.contains(&now)
            && *held.token == *token;
        if !is_good {
            return None;
        }
        // Written seldom, so that threads need not tell each other.
        if held.turns.load(Relaxed) < MOST_TURNS {
            held.turns.store(MOST_TURNS, Relaxed);
        }
        Some(held.clone())
    }

    /// Where a token of this hash is.
    fn place(&self, hash: u64) -> Option<&Place<C>> {
        self.0.iter().find(|place| place.hash.load(Relaxed) == hash)
    }

    /// An empty place, or else the one with the least turns left.
    fn least_used(&self) -> &Place<C> {
        self.0.iter().min_by_key(|place| place.turns()).unwrap_or(&self.0[0])
    }
}

impl Seen {
    /// Whether a token of this hash has come before; from now on it has. It is told so once.
    fn take(&self, hash: u64) -> bool {
        let find = |wanted| self.0.iter().position(|seen| seen.load(Relaxed) == wanted);
        let (has_seen, place) = match find(hash) {
            Some(place) => (true, place),
            // An empty place, or any: the hash's first bits choose nothing else.
            None => (false, find(0).unwrap_or((hash >> 61) as usize)),
        };
        self.0[place].store(if has_seen { 0 } else { hash }, Relaxed);
        has_seen
    }
}

impl<C> Place<C> {
    fn turns(&self) -> Option<u8> {
        self.held.load().as_ref().map(|held| held.turns.load(Relaxed))
    }

    fn set_turns(&self, turns: u8) {
        if let Some(held) = &*self.held.load() {
            held.turns.store(turns, Relaxed);
        }
    }
}

impl<C> Default for Bucket<C> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<C> Default for Place<C> {
    fn default() -> Self {
        Self { hash: Default::default(), held: Default::default() }
    }
}

impl<C> Held<C> {
    /// Holds what nobody else has yet.
    fn new(
        verified: Arc<Verified<C>>,
        token: &[u8],
        keys: &Arc<KeySet>,
    ) -> Result<Arc<Self>, Arc<Verified<C>>> {
        let mut held = Arc::new(Self {
            verified: Arc::try_unwrap(verified)?,
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

    /// What a token takes, with all that is held for it. What the application's claims take beside
    /// themselves can't be known: they count as much as the text in which they came.
    fn bytes_with(token: &[u8]) -> usize {
        let outside = if token.len() > INLINE { token.len() } else { 0 };
        size_of::<Self>() + outside + token.len() + 4 * ALLOCATION
    }
}

impl<C> Drop for Held<C> {
    fn drop(&mut self) {
        self.token.as_mut_slice().zeroize();
    }
}
