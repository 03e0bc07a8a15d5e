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

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use zeroize::Zeroizing;

use super::verified::Verified;
use crate::clock::Timestamp;
use crate::keys::KeySet;
use crate::sync::{ArcSwapOption, AtomicU8, AtomicU64, Mutex};

/// Verified tokens, at most so many bytes of them.
pub(crate) struct TokenCache<C> {
    hasher: SeedableRandomState,
    buckets: Box<[Bucket<C>]>,
    /// The bytes that entries may take.
    room: usize,
    filling: Mutex<Filling>,
}

/// Some places; a token is in one of its bucket's or in none. They are one line of the processor's
/// cache, and so is what was seen: a hit reads but the first.
#[repr(align(64))]
struct Bucket<C> {
    places: [Place<C>; PLACES],
    /// The hashes of tokens that came once; when they come again, they may enter.
    seen: [AtomicU64; SEEN],
}

struct Place<C> {
    /// The hash of what is here, so that only one of the bucket's is looked into.
    hash: AtomicU64,
    verified: ArcSwapOption<Verified<C>>,
}

/// What the cache keeps with a token that it holds.
pub(super) struct Held {
    token: Zeroizing<Box<[u8]>>,
    /// No other snapshot ever has its address while this is held.
    keys: Weak<KeySet>,
    /// How often the hand that looks for room spares it.
    turns: AtomicU8,
}

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

/// What an entry takes at least, in practice; fewer places than tokens would waste the rest.
const SMALL_ENTRY: usize = 512;

/// What is left of the allocator's book-keeping, for each allocation.
const ALLOCATION: usize = 16;

/// How often the hand comes by a token that was used and is not used again, before it goes.
const MOST_TURNS: u8 = 3;

/// How many the hand spares at one go: a request does not look for room for long.
const PATIENCE: usize = 32;

impl<C> TokenCache<C> {
    /// The least bytes that are of any use.
    pub(crate) const LEAST_BYTES: usize = 64 * 1024;
    /// The most bytes: a million sessions.
    pub(crate) const MOST_BYTES: usize = 1024 * 1024 * 1024;

    /// An empty cache that takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let buckets = (bytes / (SMALL_ENTRY * PLACES)).next_power_of_two();
        // SECURITY: senders can't tell where a token goes, the system's randomness being in it.
        // Did they, they could make tokens of their own push each other out, and no more: a bucket
        // has few places, and every byte is compared.
        let seed = RandomState::new().hash_one(());
        Self {
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_random()),
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            room: bytes.saturating_sub(buckets * size_of::<Bucket<C>>()),
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
    ) -> Result<Arc<Verified<C>>, E> {
        let hash = self.hash(token);
        let bucket = &self.buckets[hash as usize & (self.buckets.len() - 1)];
        if let Some(verified) = bucket.get(hash, token, keys, now) {
            return Ok(verified);
        }
        let mut verified = verify()?;
        if bucket.place(hash).is_some() || bucket.has_seen(hash) {
            self.insert(bucket, hash, token, keys, &mut verified);
        }
        Ok(verified)
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
        verified: &mut Arc<Verified<C>>,
    ) {
        let bytes = Held::bytes_with::<C>(token);
        if bytes > self.room {
            return;
        }
        // Dropped after the lock: with it go claims of the application's.
        let mut evicted = Vec::new();
        let Ok(mut filling) = self.filling.try_lock() else { return };
        // Nobody else has it yet.
        let Some(unshared) = Arc::get_mut(verified) else { return };
        unshared.held = Some(Held {
            token: Zeroizing::new(token.into()),
            keys: Arc::downgrade(keys),
            turns: AtomicU8::new(1),
        });
        let place = bucket.place(hash).unwrap_or_else(|| bucket.least_used());
        filling.take_out(place, &mut evicted);
        let mut patience = PATIENCE;
        while filling.taken + bytes > self.room {
            filling.hand = (filling.hand + 1) % (self.buckets.len() * PLACES);
            let place = &self.buckets[filling.hand / PLACES].places[filling.hand % PLACES];
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
        place.verified.store(Some(verified.clone()));
    }
}

impl Filling {
    fn take_out<C>(&mut self, place: &Place<C>, evicted: &mut Vec<Arc<Verified<C>>>) {
        let Some(verified) = place.verified.swap(None) else { return };
        place.hash.store(0, Relaxed);
        self.taken -= verified.held.as_ref().map_or(0, |held| Held::bytes_with::<C>(&held.token));
        evicted.push(verified);
    }
}

impl<C> Bucket<C> {
    fn get(
        &self,
        hash: u64,
        token: &[u8],
        keys: &Arc<KeySet>,
        now: Timestamp,
    ) -> Option<Arc<Verified<C>>> {
        let verified = self.place(hash)?.verified.load();
        let verified = verified.as_ref()?;
        let held = verified.held.as_ref()?;
        let is_good = std::ptr::eq(held.keys.as_ptr(), Arc::as_ptr(keys))
            && verified.valid.contains(&now)
            && **held.token == *token;
        if !is_good {
            return None;
        }
        // Written seldom, so that threads need not tell each other.
        if held.turns.load(Relaxed) < MOST_TURNS {
            held.turns.store(MOST_TURNS, Relaxed);
        }
        Some(verified.clone())
    }

    /// Where a token of this hash is.
    fn place(&self, hash: u64) -> Option<&Place<C>> {
        self.places.iter().find(|place| place.hash.load(Relaxed) == hash)
    }

    /// Whether a token of this hash has come before; from now on it has. It is told so once.
    fn has_seen(&self, hash: u64) -> bool {
        let find = |wanted| self.seen.iter().position(|seen| seen.load(Relaxed) == wanted);
        let (has_seen, place) = match find(hash) {
            Some(place) => (true, place),
            // An empty place, or any: the hash's first bits choose nothing else.
            None => (false, find(0).unwrap_or((hash >> 61) as usize)),
        };
        self.seen[place].store(if has_seen { 0 } else { hash }, Relaxed);
        has_seen
    }

    /// An empty place, or else the one with the least turns left.
    fn least_used(&self) -> &Place<C> {
        self.places.iter().min_by_key(|place| place.turns()).unwrap_or(&self.places[0])
    }
}

impl<C> Place<C> {
    fn turns(&self) -> Option<u8> {
        self.verified.load().as_ref()?.held.as_ref().map(|held| held.turns.load(Relaxed))
    }

    fn set_turns(&self, turns: u8) {
        if let Some(held) = self.verified.load().as_ref().and_then(|held| held.held.as_ref()) {
            held.turns.store(turns, Relaxed);
        }
    }
}

impl<C> Default for Bucket<C> {
    fn default() -> Self {
        Self { places: Default::default(), seen: Default::default() }
    }
}

impl<C> Default for Place<C> {
    fn default() -> Self {
        Self { hash: Default::default(), verified: Default::default() }
    }
}

impl Held {
    /// What a token takes, with all that is held for it. What the application's claims take beside
    /// themselves can't be known: they count as much as the text in which they came.
    fn bytes_with<C>(token: &[u8]) -> usize {
        2 * token.len() + size_of::<Verified<C>>() + 5 * ALLOCATION
    }
}

/// Shows nothing of the token.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
