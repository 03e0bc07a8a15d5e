//! One piece of the table: an array in which an entry is found by linear probing.
//!
//! It may have any number of slots, so that it grows by a quarter at a time.

use std::mem::size_of;
use std::num::NonZeroU32;

/// The digest of a session's ID or of a subject.
pub(crate) type Digest = [u8; 16];

/// Slots, of which at least one is empty.
#[derive(Clone)]
pub(crate) struct Piece<V> {
    pub(crate) slots: Box<[Option<Entry<V>>]>,
    pub(crate) len: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Entry<V> {
    pub(crate) digest: Digest,
    pub(crate) value: V,
}

const _: () = assert!(size_of::<Option<Entry<NonZeroU32>>>() == 20);

impl<V: Copy> Piece<V> {
    pub(crate) fn empty(slots: usize) -> Self {
        Self { slots: vec![None; slots].into(), len: 0 }
    }

    /// The slot and the value of that digest, or else the slot where it may be added. It belongs at this
    /// fraction of the piece, of 2^64.
    pub(crate) fn find(&self, fraction: u64, digest: &Digest) -> Result<(usize, V), usize> {
        let slots = &*self.slots;
        let mut slot = ((u128::from(fraction) * slots.len() as u128) >> 64) as usize;
        loop {
            match &slots[slot] {
                Some(entry) if entry.digest == *digest => return Ok((slot, entry.value)),
                Some(_) => slot = if slot + 1 == slots.len() { 0 } else { slot + 1 },
                None => return Err(slot),
            }
        }
    }

    /// Adds an entry that is not there, and for which there is room.
    pub(crate) fn add(&mut self, fraction: u64, entry: Entry<V>) {
        if let Err(slot) = self.find(fraction, &entry.digest) {
            self.slots[slot] = Some(entry);
            self.len += 1;
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry<V>> {
        self.slots.iter().flatten()
    }

    /// As many slots as now, or fewer if `len` entries leave half of them empty.
    pub(crate) fn slots_after_sweep(&self, len: usize) -> usize {
        if len * 2 > self.slots.len() {
            return self.slots.len();
        }
        let mut slots = LEAST_SLOTS;
        while room(slots) < len {
            slots = larger(slots);
        }
        slots
    }

    pub(crate) fn bytes(&self) -> usize {
        // With the counts of references.
        2 * size_of::<usize>() + size_of::<Self>() + size_of_val(&*self.slots)
    }
}

/// The slots of a piece with one entry.
pub(crate) const LEAST_SLOTS: usize = 4;

/// How many of the slots may be taken: four of five, so that a search soon meets an empty one.
pub(crate) fn room(slots: usize) -> usize {
    slots * 4 / 5
}

/// The next larger number of slots. Pieces share few sizes, which the allocator then uses again.
pub(crate) fn larger(slots: usize) -> usize {
    slots + slots / 4 + 1
}
