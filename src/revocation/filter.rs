//! The filter in front of a table: most digests that are looked up are in no table, and one word of memory
//! says so.
//!
//! Each entry sets four bits of one word (a blocked Bloom filter). A digest whose bits are not all set is
//! not in the table; of the others a few per cent are not either. Bits are never cleared: the table renews
//! a filter that has become too full, or far too large.

use std::sync::atomic::Ordering::Relaxed;

use crate::sync::AtomicU64;

pub(crate) struct Filter {
    words: Box<[AtomicU64]>,
    /// How many entries were added.
    added: AtomicU64,
}

impl Filter {
    /// An empty filter for a table with so many entries: with twice as many it is full.
    pub(crate) fn new(entries: usize) -> Self {
        let words = (entries / WHEN_NEW).max(LEAST_WORDS);
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), added: AtomicU64::new(0) }
    }

    /// Whether an entry with that hash may have been added. It has not been if this is false.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        let bits = bits(hash);
        self.word(hash).load(Relaxed) & bits == bits
    }

    pub(crate) fn add(&self, hash: u64) {
        self.word(hash).fetch_or(bits(hash), Relaxed);
        self.added.fetch_add(1, Relaxed);
    }

    /// Whether one for so many entries should take its place.
    pub(crate) fn is_outgrown(&self, entries: usize) -> bool {
        let is_full = self.added.load(Relaxed) > (self.words.len() * WHEN_FULL) as u64;
        is_full || entries < self.words.len() && self.words.len() > LEAST_WORDS
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.words)
    }

    fn word(&self, hash: u64) -> &AtomicU64 {
        &self.words[((u128::from(hash) * self.words.len() as u128) >> 64) as usize]
    }
}

/// Four bits of a word. The low bits of the hash choose them, the high bits the word.
fn bits(hash: u64) -> u64 {
    [0, 6, 12, 18].into_iter().fold(0, |bits, shift| bits | 1 << (hash >> shift & 63))
}

/// Entries a word of a new filter, which lets 1 of 150 digests through that are not there.
const WHEN_NEW: usize = 4;
/// Entries a word of a full one, which lets 1 of 30 through.
const WHEN_FULL: usize = 8;
/// 8 KB.
const LEAST_WORDS: usize = 1024;
