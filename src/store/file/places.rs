//! A cursor of a file store's feed: how far each of its files was read.

use std::collections::BTreeMap;

use super::frames::Check;
use super::partitions::Name;
use crate::store::feed::Cursor;

/// The places up to which a feed was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// The feed's own random number; zeros if it was not founded yet.
    pub(crate) incarnation: [u8; 16],
    pub(crate) files: BTreeMap<(u64, Name), Place>,
}

/// A place in a file, between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// The check of the frame before it.
    pub(crate) before: Check,
    pub(crate) torn: Torn,
}

/// Whether an incomplete frame follows a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Torn {
    #[default]
    No,
    /// Its writer may be about to write the rest.
    Once,
    Reported,
}

impl Places {
    /// Each partition is its number, the number of its files, and for each its name, offset, check and
    /// whether it is torn; numbers are big-endian.
    pub(crate) fn encode(&self) -> Cursor {
        let mut bytes = Vec::new();
        let files: Vec<_> = self.files.iter().collect();
        for partition in files.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let ((number, _), _) = partition[0];
            bytes.extend(number.to_be_bytes());
            bytes.extend((partition.len() as u32).to_be_bytes());
            for ((_, name), place) in partition {
                match name {
                    Name::Registers(shelf) => bytes.extend([0, *shelf]),
                    Name::Segment(writer, count) => {
                        bytes.push(1);
                        bytes.extend(writer.to_be_bytes());
                        bytes.extend(count.to_be_bytes());
                    }
                }
                bytes.extend(place.offset.to_be_bytes());
                bytes.extend(place.before);
                bytes.push(place.torn as u8);
            }
        }
        Cursor::new(self.incarnation, bytes)
    }

    /// Returns `None` if it is the cursor of another store.
    pub(crate) fn decode(cursor: &Cursor) -> Option<Self> {
        let mut bytes = Bytes(cursor.position());
        let incarnation = *cursor.incarnation().as_array()?;
        let mut places = Self { incarnation, files: BTreeMap::new() };
        while !bytes.0.is_empty() {
            let number = u64::from_be_bytes(bytes.take()?);
            for _ in 0..u32::from_be_bytes(bytes.take()?) {
                let name = match bytes.take()? {
                    [0] => Name::Registers(bytes.take::<1>()?[0]),
                    [1] => Name::Segment(
                        u64::from_be_bytes(bytes.take()?),
                        u32::from_be_bytes(bytes.take()?),
                    ),
                    _ => return None,
                };
                let (offset, before) = (u64::from_be_bytes(bytes.take()?), bytes.take()?);
                let torn = match bytes.take()? {
                    [0] => Torn::No,
                    [1] => Torn::Once,
                    [2] => Torn::Reported,
                    _ => return None,
                };
                places.files.insert((number, name), Place { offset, before, torn });
            }
        }
        Some(places)
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
