//! The cache of verified tokens: a token that comes again skips signature verification. The cache
//! changes the speed, never the answer.
//!
//! It is our own for the row "cached, 10,000 tokens" of the benchmarks, whose limit is 0.9 of an HMAC:
//! where this took 1.0 on a busy machine, `quick_cache` 0.6 took 2.2. It holds the other rows as well.
//!
//! 1. Only verified tokens enter: each forged token costs one verification, and evicts nothing.
//! 2. A hit is the same token, byte for byte, under the same snapshot of the ring that verified it, at a
//!    time that its claims and its key allow. Everything else is verified. So removed and revoked keys
//!    are gone with their snapshot.
//! 3. It is bounded in bytes. A token enters when it comes for the second time, and evicts one that was
//!    not used lately: tokens that come once evict nothing.
//! 4. A hit never waits. Insertions need a lock that is only tried: if it is taken, the token is not
//!    inserted this time.
//! 5. The code of a miss is out of line: between two requests the kernel evicts most of the code from
//!    the processor's first-level cache.

pub(crate) mod entry;
#[cfg(all(test, shuttle))]
pub(crate) mod model;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::keys::key_set::KeySet;
use crate::sync::{ArcSwapOption, AtomicU32, AtomicU64, Mutex};
use crate::token::cache::entry::{CacheEntry, Shared};
use crate::token::verified::Verified;

/// Verified tokens, at most so many bytes of them.
pub(crate) struct TokenCache<C> {
    hasher: RandomState,
    /// Of each place a byte of its hash, so that as a rule only one place of a bucket is looked into:
    /// little enough to stay near the processor.
    tags: Box<[AtomicU64]>,
    buckets: Box<[Bucket<C>]>,
    /// The hashes seen once in each bucket; separate, since a hit does not read them.
    seen: Box<[Seen]>,
    /// The bytes that entries may take.
    room: usize,
    filling: Mutex<Filling>,
}

/// Some places; a token is in one of its bucket's or in none. They are one line of the processor's
/// cache.
#[repr(align(64))]
struct Bucket<C>([Place<C>; PLACES]);

type Place<C> = ArcSwapOption<CacheEntry<C>>;
type Guard<C> = arc_swap::Guard<Option<Arc<CacheEntry<C>>>>;

/// Halves of the hashes of tokens that came once; when they come again, they may enter.
#[derive(Default)]
#[repr(align(64))]
struct Seen([AtomicU32; SEEN]);

/// The state of insertions, behind their lock.
#[derive(Default)]
struct Filling {
    /// The bytes that entries take.
    taken: usize,
    /// The place where room was looked for last.
    hand: usize,
}

/// As many as tags fit into one word.
const PLACES: usize = 8;
const SEEN: usize = 16;

/// How many bytes there is a place for: little more than half of an entry's, so that most of the room
/// is taken before buckets are full.
const BYTES_PER_PLACE: usize = 768;

/// How many the hand spares at one go: a request does not look for room for long.
const PATIENCE: usize = 32;

impl<C> TokenCache<C> {
    /// The least bytes that are of any use.
    pub(crate) const LEAST_BYTES: usize = 64 * 1024;
    /// The most bytes: more than half a million sessions.
    pub(crate) const MOST_BYTES: usize = 1024 * 1024 * 1024;

    const BUCKET_BYTES: usize = size_of::<u64>() + size_of::<Bucket<C>>() + size_of::<Seen>();

    /// An empty cache that takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let buckets = bytes.div_ceil(BYTES_PER_PLACE * PLACES);
        Self {
            // SECURITY: the hash is keyed, so that senders cannot choose the bucket of a token.
            hasher: RandomState::new(),
            tags: (0..buckets).map(|_| AtomicU64::default()).collect(),
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            seen: (0..buckets).map(|_| Seen::default()).collect(),
            room: bytes.saturating_sub(buckets * Self::BUCKET_BYTES),
            filling: Mutex::default(),
        }
    }

    /// Returns the verified token from the cache, or from `verify`.
    pub(crate) fn get_or_verify<E>(
        &self,
        token: &[u8],
        keys: &Arc<KeySet>,
        now: Timestamp,
        verify: impl FnOnce() -> Result<Arc<Verified<C>>, E>,
    ) -> Result<Shared<C>, E> {
        let hash = self.hash(token);
        let number = self.number(hash);
        let found = self.find(number, hash, token);
        let is_known = found.is_some();
        if let Some(held) = found.and_then(|(_, held)| held.as_ref()?.get(keys, now)) {
            return Ok(Shared::Cached(held));
        }
        let verified = verify()?;
        if is_known || self.seen[number].take(hash) {
            return Ok(self.insert(number, hash, token, keys, verified));
        }
        Ok(Shared::Owned(verified))
    }

    /// Whether the cache would return this token.
    pub(crate) fn holds(&self, token: &[u8], keys: &Arc<KeySet>, now: Timestamp) -> bool {
        let hash = self.hash(token);
        let found = self.find(self.number(hash), hash, token);
        found.and_then(|(_, held)| held.as_ref()?.get(keys, now)).is_some()
    }

    /// The place of `token` in its bucket, and what is held there.
    fn find(&self, number: usize, hash: u64, token: &[u8]) -> Option<(usize, Guard<C>)> {
        places_of(hash, self.tags[number].load(Relaxed)).find_map(|place| {
            let held = self.buckets[number].0[place].load();
            let is_it = |held: &Arc<CacheEntry<C>>| held.hash == hash && *held.token == *token;
            held.as_ref().is_some_and(is_it).then_some((place, held))
        })
    }

    /// A token ends with its signature, whose last 24 bytes are enough to tell tokens apart.
    fn hash(&self, token: &[u8]) -> u64 {
        self.hasher.hash_one(&token[token.len().saturating_sub(32)..])
    }

    /// The bucket of this hash.
    fn number(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize
    }

    // Out of a hit's way.
    #[inline(never)]
    fn insert(
        &self,
        number: usize,
        hash: u64,
        token: &[u8],
        keys: &Arc<KeySet>,
        verified: Arc<Verified<C>>,
    ) -> Shared<C> {
        let bytes = CacheEntry::bytes_of(token, &verified);
        if bytes > self.room {
            return Shared::Owned(verified);
        }
        // Dropped after the lock: with it go claims of the application's.
        let mut evicted = Vec::new();
        let Ok(mut filling) = self.filling.try_lock() else { return Shared::Owned(verified) };
        let held = match CacheEntry::new(verified, hash, token, keys) {
            Ok(held) => held,
            Err(verified) => return Shared::Owned(verified),
        };
        let bucket = &self.buckets[number];
        let place = self.find(number, hash, token).map(|(place, _)| place);
        let place = place.unwrap_or_else(|| bucket.least_used());
        filling.take_out(&bucket.0[place], &mut evicted);
        let mut patience = PATIENCE;
        while filling.taken + bytes > self.room {
            filling.hand = (filling.hand + 1) % (self.buckets.len() * PLACES);
            let place = &self.buckets[filling.hand / PLACES].0[filling.hand % PLACES];
            match &*place.load() {
                Some(held) if patience > 0 && held.turns.load(Relaxed) > 0 => {
                    patience -= 1;
                    held.turns.store(held.turns.load(Relaxed) - 1, Relaxed);
                }
                Some(_) => filling.take_out(place, &mut evicted),
                None => {}
            }
        }
        filling.taken += bytes;
        filling.tag(&self.tags[number], place, hash);
        bucket.0[place].store(Some(held.clone()));
        Shared::Cached(held)
    }
}

/// The places whose tag is that of `hash`, and seldom others. One that is empty may have any tag.
fn places_of(hash: u64, tags: u64) -> impl Iterator<Item = usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    let differing = tags ^ ((hash & 0xFF) * ONES);
    // The highest bit of each byte that is zero, and of those that are 1 right above such a one.
    let mut left = differing.wrapping_sub(ONES) & !differing & (ONES << 7);
    std::iter::from_fn(move || {
        let place = left.trailing_zeros() as usize / 8;
        left &= left.wrapping_sub(1);
        (place < PLACES).then_some(place)
    })
}

impl Filling {
    /// Nobody else writes tags meanwhile.
    fn tag(&mut self, tags: &AtomicU64, place: usize, hash: u64) {
        let mut bytes = tags.load(Relaxed).to_le_bytes();
        bytes[place] = hash as u8;
        tags.store(u64::from_le_bytes(bytes), Relaxed);
    }

    fn take_out<C>(&mut self, place: &Place<C>, evicted: &mut Vec<Arc<CacheEntry<C>>>) {
        let Some(held) = place.swap(None) else { return };
        self.taken -= CacheEntry::bytes_of(&held.token, &held.verified);
        evicted.push(held);
    }
}

impl<C> Bucket<C> {
    /// An empty place, or else the one with the least turns left.
    fn least_used(&self) -> usize {
        let turns = |place: &Place<C>| place.load().as_ref().map(|held| held.turns.load(Relaxed));
        (0..PLACES).min_by_key(|place| turns(&self.0[*place])).unwrap_or_default()
    }
}

impl Seen {
    /// Whether a token of this hash has come before; from now on it has. Returns `true` once.
    fn take(&self, hash: u64) -> bool {
        let part = (hash as u32).max(1);
        let find = |wanted| self.0.iter().position(|seen| seen.load(Relaxed) == wanted);
        let (has_seen, place) = match find(part) {
            Some(place) => (true, place),
            // An empty place, or any: these bits choose nothing else.
            None => (false, find(0).unwrap_or((hash >> 32) as usize % SEEN)),
        };
        self.0[place].store(if has_seen { 0 } else { part }, Relaxed);
        has_seen
    }
}

impl<C> Default for Bucket<C> {
    fn default() -> Self {
        Self(Default::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_of_a_tag_is_left_out() {
        // Fewer in Miri, which takes its time.
        for tag in (0..=u8::MAX).step_by(if cfg!(miri) { 51 } else { 1 }) {
            for places in 0..=u8::MAX {
                let is_here = |place: &usize| places >> place & 1 == 1;
                let other = [tag.wrapping_add(1), tag ^ 0x80, tag ^ 1][usize::from(places) % 3];
                let tags = std::array::from_fn(|place| if is_here(&place) { tag } else { other });
                let hash = u64::from(tag) | u64::MAX << 8;
                let named: Vec<_> = places_of(hash, u64::from_le_bytes(tags)).collect();
                assert!((0..PLACES).filter(is_here).all(|place| named.contains(&place)));
                assert_eq!(named.is_empty(), places == 0);
            }
        }
    }
}
