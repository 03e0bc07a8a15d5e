//! The table in memory in which a revoked session or subject is looked up by its digest.
//!
//! It consists of many small pieces, each an immutable array behind a pointer. A change copies one piece
//! and swaps its pointer, so that no change stalls, whatever the number of entries.
//!
//! 1. A reader waits for nobody and allocates nothing. It finds an entry that was inserted before, unless
//!    that was swept.
//! 2. Writers take turns. Walks and sweeps cover a range of pieces, so that nobody else waits for long.
//! 3. A filter answers most lookups of what is not there with one access to memory. Behind it each
//!    lookup takes three, which in a large table are in no cache.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use crate::revocation::filter::Filter;
use crate::revocation::piece::{Digest, Entry, LEAST_SLOTS, Piece, larger, room};
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, MutexGuard};

/// Values by digest. With a `V` that is never zero, such as [`NonZeroU32`](std::num::NonZeroU32), an
/// empty slot needs no byte beside it: 20 bytes an entry.
pub(crate) struct Table<V> {
    // SECURITY: keyed at random, so that ground subjects do not share a piece.
    hasher: RandomState,
    pieces: Box<[ArcSwapOption<Piece<V>>]>,
    /// How many entries there are.
    len: AtomicU64,
    /// The bytes that all pieces take.
    bytes: AtomicU64,
    filter: Filter,
    writing: Mutex<()>,
}

/// With 10,000,000 entries a copy of one piece is 17 KB; without entries the table takes 256 KB.
const PIECES: usize = 16_384;
/// The pieces whose filter is set without a pause: half a millisecond with 10,000,000 entries.
const SET_AT_ONCE: usize = 8;

impl<V: Copy + PartialEq> Table<V> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self::with_pieces(PIECES)
    }

    /// An empty table of so many pieces, at least one.
    pub(crate) fn with_pieces(pieces: usize) -> Self {
        let pieces = pieces.max(1);
        Self {
            hasher: RandomState::new(),
            pieces: (0..pieces).map(|_| ArcSwapOption::default()).collect(),
            len: AtomicU64::default(),
            bytes: AtomicU64::default(),
            filter: Filter::new(pieces),
            writing: Mutex::default(),
        }
    }

    /// The value of that digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<V> {
        let hash = self.hash(digest);
        if !self.filter.may_hold(hash) {
            return None;
        }
        let (piece, fraction) = self.place(hash);
        let held = self.pieces[piece].load();
        held.as_deref()?.find(fraction, digest).ok().map(|(_, value)| value)
    }

    /// Inserts an entry, or replaces the value by what `merge` makes of the old and the new one.
    pub(crate) fn insert(&self, digest: Digest, value: V, merge: impl Fn(V, V) -> V) {
        self.insert_all([(digest, value)], merge);
    }

    /// Inserts entries like [`insert`](Self::insert), in their order, and copies each piece at most once.
    pub(crate) fn insert_all(
        &self,
        entries: impl IntoIterator<Item = (Digest, V)>,
        merge: impl Fn(V, V) -> V,
    ) {
        let hashed = |(digest, value)| (self.hash(&digest), Entry { digest, value });
        let mut entries: Vec<_> = entries.into_iter().map(hashed).collect();
        // It keeps the order of those with one digest.
        entries.sort_by_key(|(hash, _)| *hash);
        let _writing = self.write();
        let piece = |hash| self.place(hash).0;
        for group in entries.chunk_by(|(one, _), (other, _)| piece(*one) == piece(*other)) {
            self.insert_into(piece(group[0].0), group, &merge);
        }
    }

    /// Removes the entries of these pieces that are not to be kept. Returns how many it removed.
    pub(crate) fn sweep(&self, pieces: Range<usize>, keep: impl Fn(&V) -> bool) -> usize {
        let _writing = self.write();
        let mut removed = 0;
        for index in self.clamp(pieces) {
            let held = self.pieces[index].load();
            let Some(old) = held.as_deref() else { continue };
            if old.entries().all(|entry| keep(&entry.value)) {
                continue;
            }
            let kept: Vec<_> = old.entries().filter(|entry| keep(&entry.value)).collect();
            removed += old.len - kept.len();
            let slots = old.slots_after_sweep(kept.len());
            let new = (!kept.is_empty()).then(|| self.rebuild(slots, kept));
            self.replace(index, Some(old), new);
            self.set_filter(index);
        }
        removed
    }

    /// The entries of these pieces, each piece as it is when the walk comes to it.
    pub(crate) fn entries(&self, pieces: Range<usize>) -> impl Iterator<Item = (Digest, V)> {
        let held = self.clamp(pieces).filter_map(|index| self.pieces[index].load_full());
        held.flat_map(|piece| {
            let slots = 0..piece.slots.len();
            slots.filter_map(move |slot| piece.slots[slot].map(|entry| (entry.digest, entry.value)))
        })
    }

    /// Grows the filter if it has become too small, and lets others run meanwhile.
    pub(crate) async fn grow_filter(&self) {
        let Some(size) = self.filter.begin_to_grow(self.len()) else { return };
        for piece in 0..self.pieces.len() {
            let writing = self.write();
            self.set_filter(piece);
            drop(writing);
            if piece % SET_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.filter.grow(size);
    }

    /// The number of pieces, which never changes.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed) as usize
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in memory, without what the allocator adds.
    pub(crate) fn bytes(&self) -> usize {
        let pieces = size_of_val(&*self.pieces) + self.bytes.load(Relaxed) as usize;
        size_of::<Self>() + self.filter.bytes() + pieces
    }

    fn hash(&self, digest: &Digest) -> u64 {
        self.hasher.hash_one(u128::from_ne_bytes(*digest))
    }

    /// The piece of a hash, and where in it: the fraction of 2^64.
    fn place(&self, hash: u64) -> (usize, u64) {
        let product = u128::from(hash) * self.pieces.len() as u128;
        ((product >> 64) as usize, product as u64)
    }

    fn clamp(&self, pieces: Range<usize>) -> Range<usize> {
        pieces.start..pieces.end.min(self.pieces.len())
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        // Pieces are swapped whole: one who panicked has left nothing behind.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the piece if one of its entries changes something.
    fn insert_into(&self, index: usize, entries: &[(u64, Entry<V>)], merge: impl Fn(V, V) -> V) {
        let held = self.pieces[index].load();
        let old = held.as_deref();
        let mut piece = old.map_or_else(|| Cow::Owned(Piece::empty(LEAST_SLOTS)), Cow::Borrowed);
        for (hash, entry) in entries {
            let (_, fraction) = self.place(*hash);
            match piece.find(fraction, &entry.digest) {
                Ok((slot, value)) => {
                    let value = merge(value, entry.value);
                    let is_changed = piece.slots[slot].is_some_and(|held| held.value != value);
                    if is_changed {
                        piece.to_mut().slots[slot] = Some(Entry { value, ..*entry });
                    }
                }
                Err(_) => {
                    if piece.len == room(piece.slots.len()) {
                        let slots = larger(piece.slots.len());
                        piece = Cow::Owned(self.rebuild(slots, piece.entries()));
                    }
                    piece.to_mut().add(fraction, *entry);
                    self.filter.add(*hash);
                }
            }
        }
        if let Cow::Owned(piece) = piece {
            self.replace(index, old, Some(piece));
        }
    }

    fn set_filter(&self, piece: usize) {
        let hashes: Vec<_> =
            self.entries(piece..piece + 1).map(|(digest, _)| self.hash(&digest)).collect();
        self.filter.set(piece, &hashes);
    }

    fn rebuild<'a>(&self, slots: usize, entries: impl IntoIterator<Item = &'a Entry<V>>) -> Piece<V>
    where
        V: 'a,
    {
        let mut piece = Piece::empty(slots);
        for entry in entries {
            let (_, fraction) = self.place(self.hash(&entry.digest));
            piece.add(fraction, *entry);
        }
        piece
    }

    fn replace(&self, index: usize, old: Option<&Piece<V>>, new: Option<Piece<V>>) {
        let [before, after] = [old, new.as_ref()].map(|piece| piece.map_or(0, |piece| piece.len));
        let [freed, taken] = [old, new.as_ref()].map(|piece| piece.map_or(0, Piece::bytes));
        self.len.fetch_add(after.saturating_sub(before) as u64, Relaxed);
        self.bytes.fetch_add(taken as u64, Relaxed);
        self.pieces[index].store(new.map(Arc::new));
        self.bytes.fetch_sub(freed as u64, Relaxed);
        self.len.fetch_sub(before.saturating_sub(after) as u64, Relaxed);
    }
}

// Not for Miri: it takes minutes, and bytes from the wire are far away.
#[cfg(all(test, not(miri)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn filter_of_a_table_that_grew_and_was_swept_lets_few_digests_through_that_are_not_there()
    {
        const COUNT: u128 = 100_000;
        let table = Table::<u8>::with_pieces(512);
        let digests = |from| (from..from + COUNT).map(u128::to_ne_bytes);
        let percent_through = || {
            let through = digests(COUNT).filter(|it| table.filter.may_hold(table.hash(it)));
            through.count() * 100 / COUNT as usize
        };
        assert_eq!(percent_through(), 0);
        table.insert_all(digests(0).map(|digest| (digest, 1)), u8::max);
        assert!(percent_through() > 90, "{} %: it is far too small", percent_through());
        table.grow_filter().await;
        assert!(percent_through() < 4, "{} %", percent_through());
        assert!(digests(0).all(|digest| table.get(&digest) == Some(1)));
        table.sweep(0..512, |_| false);
        assert_eq!(percent_through(), 0);
    }

    #[test]
    fn records_that_change_nothing_copy_no_piece() {
        let table = Table::<u8>::with_pieces(2);
        let page = |value| (0..100).map(move |number: u128| (number.to_ne_bytes(), value));
        table.insert_all(page(9), u8::max);
        let pointers = || table.pieces.iter().map(|piece| piece.load_full().unwrap());
        let before: Vec<_> = pointers().collect();
        table.insert_all(page(3), u8::max);
        table.insert([0; 16], 9, u8::max);
        assert_eq!(table.sweep(0..2, |value| *value == 9), 0);
        assert!(before.iter().zip(pointers()).all(|(before, after)| Arc::ptr_eq(before, &after)));
    }
}
