//! The table in memory in which a revoked session or subject is looked up by its digest.
//!
//! It consists of many small pieces, each an immutable array behind a pointer. A change copies one piece
//! and swaps its pointer, so that no change stalls, whatever the number of entries.
//!
//! 1. A reader waits for nobody and allocates nothing. It finds an entry that was inserted before, unless
//!    that was swept.
//! 2. Writers take turns. Walks and sweeps cover a range of pieces, so that nobody else waits for long.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use crate::revocation::piece::{Digest, Entry, LEAST_SLOTS, Piece, Place, larger, room};
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, MutexGuard};

/// Values by digest. With a `V` that is never zero, such as [`NonZeroU32`](std::num::NonZeroU32), an
/// empty slot needs no byte beside it: 20 bytes an entry.
pub(crate) struct Table<V> {
    // SECURITY: keyed at random, so that ground subjects do not share a piece.
    hasher: RandomState,
    pieces: Box<[ArcSwapOption<Piece<V>>]>,
    /// How many entries there are. Never 0 while a reader may find one.
    len: AtomicU64,
    /// The bytes that all pieces take.
    bytes: AtomicU64,
    writing: Mutex<()>,
}

/// With 10,000,000 entries a copy of one piece is 17 KB; without entries the table takes 128 KB.
const PIECES: usize = 16_384;

impl<V: Copy + PartialEq> Table<V> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self::with_pieces(PIECES)
    }

    /// An empty table of so many pieces, at least one.
    pub(crate) fn with_pieces(pieces: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            pieces: (0..pieces.max(1)).map(|_| ArcSwapOption::default()).collect(),
            len: AtomicU64::default(),
            bytes: AtomicU64::default(),
            writing: Mutex::default(),
        }
    }

    /// The value of that digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<V> {
        if self.is_empty() {
            return None;
        }
        let place = self.place(digest);
        let held = self.pieces[place.piece].load();
        let piece = held.as_deref()?;
        piece.find(place, digest).ok().map(|(_, value)| value)
    }

    /// Inserts an entry, or replaces the value by what `merge` makes of the old and the new one.
    pub(crate) fn insert(&self, digest: Digest, value: V, merge: impl Fn(V, V) -> V) {
        let place = self.place(&digest);
        let _writing = self.write();
        self.insert_into(place.piece, &[(place, Entry { digest, value })], merge);
    }

    /// Inserts entries like [`insert`](Self::insert), in their order, and copies each piece at most once.
    pub(crate) fn insert_all(
        &self,
        entries: impl IntoIterator<Item = (Digest, V)>,
        merge: impl Fn(V, V) -> V,
    ) {
        let placed = |(digest, value)| (self.place(&digest), Entry { digest, value });
        let mut entries: Vec<_> = entries.into_iter().map(placed).collect();
        // It keeps the order of those with one digest.
        entries.sort_by_key(|(place, _)| *place);
        let _writing = self.write();
        for group in entries.chunk_by(|(one, _), (other, _)| one.piece == other.piece) {
            self.insert_into(group[0].0.piece, group, &merge);
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
        size_of::<Self>() + size_of_val(&*self.pieces) + self.bytes.load(Relaxed) as usize
    }

    fn place(&self, digest: &Digest) -> Place {
        let hash = self.hasher.hash_one(u128::from_ne_bytes(*digest));
        let product = u128::from(hash) * self.pieces.len() as u128;
        Place { piece: (product >> 64) as usize, fraction: product as u64 }
    }

    fn clamp(&self, pieces: Range<usize>) -> Range<usize> {
        pieces.start..pieces.end.min(self.pieces.len())
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        // Pieces are swapped whole: one who panicked has left nothing behind.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the piece if one of its entries changes something.
    fn insert_into(&self, index: usize, entries: &[(Place, Entry<V>)], merge: impl Fn(V, V) -> V) {
        let held = self.pieces[index].load();
        let old = held.as_deref();
        let mut piece = old.map_or_else(|| Cow::Owned(Piece::empty(LEAST_SLOTS)), Cow::Borrowed);
        for (place, entry) in entries {
            match piece.find(*place, &entry.digest) {
                Ok((slot, value)) => {
                    let value = merge(value, entry.value);
                    let is_changed = piece.slots[slot].is_some_and(|held| held.value != value);
                    if is_changed {
                        piece.to_mut().slots[slot] = Some(Entry { value, ..*entry });
                    }
                }
                Err(_) if piece.len == room(piece.slots.len()) => {
                    let slots = larger(piece.slots.len());
                    let mut grown = self.rebuild(slots, piece.entries());
                    grown.add(*place, *entry);
                    piece = Cow::Owned(grown);
                }
                Err(_) => piece.to_mut().add(*place, *entry),
            }
        }
        if let Cow::Owned(piece) = piece {
            self.replace(index, old, Some(piece));
        }
    }

    fn rebuild<'a>(&self, slots: usize, entries: impl IntoIterator<Item = &'a Entry<V>>) -> Piece<V>
    where
        V: 'a,
    {
        let mut piece = Piece::empty(slots);
        for entry in entries {
            piece.add(self.place(&entry.digest), *entry);
        }
        piece
    }

    fn replace(&self, index: usize, old: Option<&Piece<V>>, new: Option<Piece<V>>) {
        let [before, after] = [old, new.as_ref()].map(|piece| piece.map_or(0, |piece| piece.len));
        let [freed, taken] = [old, new.as_ref()].map(|piece| piece.map_or(0, Piece::bytes));
        // Where nothing is counted, readers look into no piece: an entry is counted before it is there.
        self.len.fetch_add(after.saturating_sub(before) as u64, Relaxed);
        self.bytes.fetch_add(taken as u64, Relaxed);
        self.pieces[index].store(new.map(Arc::new));
        self.bytes.fetch_sub(freed as u64, Relaxed);
        self.len.fetch_sub(before.saturating_sub(after) as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

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
