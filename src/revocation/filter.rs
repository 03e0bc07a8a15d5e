//! The filter in front of a table: most digests that are looked up are in no table, and one word of memory
//! says so.
//!
//! Each entry sets four bits of one word (a blocked Bloom filter). A digest whose bits are not all set is
//! not in the table; of the others a few per cent are not either. Each piece of the table has words of its
//! own, so that they can be made anew in their place when the piece is swept.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::sync::{AtomicU8, AtomicU64};

/// Written by one thread at a time. A reader takes no step that other threads can see, so that the
/// processor goes on while it waits for memory.
pub(crate) struct Filter {
    pieces: usize,
    /// With one word for each piece, with two, with four, and so on. The first is there from the start; each
    /// other is made when it is needed, and stays.
    sizes: [OnceLock<Box<[AtomicU64]>>; SIZES],
    /// The one that readers look at.
    size: AtomicU8,
}

impl Filter {
    /// An empty filter for a table of so many pieces.
    pub(crate) fn new(pieces: usize) -> Self {
        let sizes = std::array::from_fn(|_| OnceLock::new());
        let filter = Self { pieces, sizes, size: AtomicU8::default() };
        filter.make(0);
        filter
    }

    /// Whether an entry with that hash may be there. If this is false, it is not.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        let Some(words) = self.sizes[self.size()].get() else { return false };
        let bits = bits(hash);
        words[place(hash, words.len())].load(Relaxed) & bits == bits
    }

    /// Adds an entry.
    pub(crate) fn add(&self, hash: u64) {
        for words in self.in_use() {
            words[place(hash, words.len())].fetch_or(bits(hash), Relaxed);
        }
    }

    /// Makes the words of a piece anew, which has entries with these hashes.
    pub(crate) fn set(&self, piece: usize, hashes: &[u64]) {
        for words in self.in_use() {
            let of_piece = words.len() / self.pieces;
            let first = piece * of_piece;
            let mut new = vec![0; of_piece];
            for hash in hashes {
                new[place(*hash, words.len()) - first] |= bits(*hash);
            }
            for (word, new) in words[first..].iter().zip(new) {
                word.store(new, Relaxed);
            }
        }
    }

    /// Begins to grow if it is too small for a table of so many entries. Returns the new size: each piece has
    /// to be [set](Self::set), then the filter [grows](Self::grow).
    pub(crate) fn begin_to_grow(&self, entries: usize) -> Option<usize> {
        let fits = |size: &usize| entries <= (self.pieces << size) * FULL;
        let size = (0..SIZES).find(fits).unwrap_or(SIZES - 1);
        (size > self.size()).then(|| {
            self.make(size);
            size
        })
    }

    pub(crate) fn grow(&self, size: usize) {
        self.size.fetch_max(size as u8, AcqRel);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.sizes.iter().filter_map(OnceLock::get).map(|words| size_of_val(&**words)).sum()
    }

    fn make(&self, size: usize) {
        let words = self.pieces << size;
        self.sizes[size].get_or_init(|| (0..words).map(|_| AtomicU64::new(0)).collect());
    }

    fn size(&self) -> usize {
        self.size.load(Acquire).into()
    }

    /// The one that readers look at, and those that will take its place.
    fn in_use(&self) -> impl Iterator<Item = &[AtomicU64]> {
        self.sizes[self.size()..].iter().filter_map(OnceLock::get).map(|words| &**words)
    }
}

/// The high bits of a hash choose the word.
fn place(hash: u64, words: usize) -> usize {
    ((u128::from(hash) * words as u128) >> 64) as usize
}

/// The low bits of a hash choose the bits.
fn bits(hash: u64) -> u64 {
    [0, 6, 12, 18].into_iter().fold(0, |bits, shift| bits | 1 << (hash >> shift & 63))
}

/// With 8,192 pieces the largest is for 2,000,000,000 entries.
const SIZES: usize = 16;
/// Entries a word of a filter that is full. It lets 1 of 30 digests through that are not there; one that
/// is half full 1 of 150.
const FULL: usize = 8;
