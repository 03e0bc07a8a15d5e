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

/// Some places; a token is in one of its bucket's or in none.
struct Bucket<C> {
    /// The hash of what is in each place, so that only one of them is looked into.
    hashes: [AtomicU64; PLACES],
    places: [ArcSwapOption<Entry<C>>; PLACES],
    /// The hashes of tokens that came once; when they come again, they may enter.
    seen: [AtomicU64; PLACES],
}

struct Entry<C> {
    token: Zeroizing<Box<[u8]>>,
    /// No other snapshot ever has its address while this is held.
    keys: Weak<KeySet>,
    verified: Arc<Verified<C>>,
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

const PLACES: usize = 8;

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
        let verified = verify()?;
        if bucket.place(hash).is_some() || bucket.has_seen(hash) {
            self.insert(bucket, hash, token, keys, &verified);
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
        verified: &Arc<Verified<C>>,
    ) {
        let bytes = Entry::<C>::bytes_of(token);
        if bytes > self.room {
            return;
        }
        // Dropped after the lock: with it go claims of the application's.
        let mut evicted = Vec::new();
        let Ok(mut filling) = self.filling.try_lock() else { return };
        let place = bucket.place(hash).unwrap_or_else(|| bucket.least_used());
        filling.take_out(bucket, place, &mut evicted);
        let mut patience = PATIENCE;
        while filling.taken + bytes > self.room {
            filling.hand = (filling.hand + 1) % (self.buckets.len() * PLACES);
            let bucket = &self.buckets[filling.hand / PLACES];
            let place = filling.hand % PLACES;
            match bucket.turns(place) {
                Some(turns) if turns > 0 && patience > 0 => {
                    patience -= 1;
                    bucket.set_turns(place, turns - 1);
                }
                _ => filling.take_out(bucket, place, &mut evicted),
            }
        }
        filling.taken += bytes;
        bucket.hashes[place].store(hash, Relaxed);
        bucket.places[place].store(Some(Arc::new(Entry {
            token: Zeroizing::new(token.into()),
            keys: Arc::downgrade(keys),
            verified: verified.clone(),
            turns: AtomicU8::new(1),
        })));
    }
}

impl Filling {
    fn take_out<C>(&mut self, bucket: &Bucket<C>, place: usize, evicted: &mut Vec<Arc<Entry<C>>>) {
        if let Some(entry) = bucket.places[place].swap(None) {
            bucket.hashes[place].store(0, Relaxed);
            self.taken -= Entry::<C>::bytes_of(&entry.token);
            evicted.push(entry);
        }
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
        let held = self.places[self.place(hash)?].load();
        let entry = held.as_ref()?;
        let is_good = std::ptr::eq(entry.keys.as_ptr(), Arc::as_ptr(keys))
            && entry.verified.valid.contains(&now)
            && **entry.token == *token;
        if !is_good {
            return None;
        }
        // Written seldom, so that threads need not tell each other.
        if entry.turns.load(Relaxed) < MOST_TURNS {
            entry.turns.store(MOST_TURNS, Relaxed);
        }
        Some(entry.verified.clone())
    }

    /// Where a token of this hash is.
    fn place(&self, hash: u64) -> Option<usize> {
        self.hashes.iter().position(|held| held.load(Relaxed) == hash)
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
    fn least_used(&self) -> usize {
        (0..PLACES).min_by_key(|place| self.turns(*place)).unwrap_or(0)
    }

    fn turns(&self, place: usize) -> Option<u8> {
        self.places[place].load().as_ref().map(|entry| entry.turns.load(Relaxed))
    }

    fn set_turns(&self, place: usize, turns: u8) {
        if let Some(entry) = &*self.places[place].load() {
            entry.turns.store(turns, Relaxed);
        }
    }
}

impl<C> Default for Bucket<C> {
    fn default() -> Self {
        Self { hashes: Default::default(), places: Default::default(), seen: Default::default() }
    }
}

impl<C> Entry<C> {
    /// What an entry takes. What the application's claims take beside themselves can't be known:
    /// they count as much as the text in which they came.
    fn bytes_of(token: &[u8]) -> usize {
        2 * token.len() + size_of::<Self>() + size_of::<Verified<C>>() + 6 * ALLOCATION
    }
}
