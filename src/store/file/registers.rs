//! The registers of a file store: the records of their rising values are the registers themselves.
//!
//! Registers are kept on 16 shelves, by the first bits of their digests. A shelf has a lock, and a file
//! in each partition, to which only the holder of the lock appends. The last record of a register is its
//! value, which makes the file the feed as well: there is no second place that a writer could leave
//! behind when it dies, and the order of the records is the order in which the registers rose. `until`
//! never falls, nor does a register's partition: so reading the partitions in ascending order keeps that
//! order. A frame that a dead writer left incomplete was never read, and is cut off by the next.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use super::directory::{ATTEMPTS, Directory};
use super::frames::{self, Check, Frames, Step};
use super::partitions::{Name, Opened, partition_of};
use super::segments::{Writer, is_at};
use crate::clock::Timestamp;
use crate::store::contract::StoreError;
use crate::store::feed::{Advance, Cursor, FeedPage, Register, RegisterId};
use crate::store::file::temporary::failed;

/// The values of registers, each with its partition.
type Values = HashMap<RegisterId, (u64, Register)>;

/// The whole frames of a file, and what is behind them.
struct End {
    length: u64,
    check: Check,
    /// The length of the file.
    is: u64,
}

/// What a shelf holds.
struct Shelf {
    values: Values,
    ends: BTreeMap<u64, End>,
}

impl Directory {
    pub(crate) fn advance(
        &self,
        writer: &Writer,
        feed: &str,
        advance: &Advance,
    ) -> Result<Register, StoreError> {
        let id = advance.id;
        let mut advanced = None;
        self.raise(writer, feed, shelf_of(id), &[id], advance.now, |_, stored| {
            let value = Register::advanced(stored, advance, advance.now)?;
            advanced = Some(value);
            Ok(advanced)
        })?;
        advanced.ok_or_else(|| StoreError::new(format!("could not advance {id:?}")))
    }

    pub(crate) fn restore(
        &self,
        writer: &Writer,
        feed: &str,
        held: &[(RegisterId, Register)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let shelves = shelves(held.iter().map(|(id, _)| *id));
        let held: HashMap<_, _> = held.iter().copied().collect();
        for (shelf, ids) in shelves {
            self.raise(writer, feed, shelf, &ids, now, |id, stored| {
                Ok(held.get(&id).and_then(|held| Register::restored(stored, held, now)))
            })?;
        }
        Ok(())
    }

    /// Sets registers of one shelf to what `next` makes of the values that are stored.
    fn raise(
        &self,
        writer: &Writer,
        feed: &str,
        shelf: u8,
        ids: &[RegisterId],
        now: Timestamp,
        mut next: impl FnMut(RegisterId, Option<Register>) -> Result<Option<Register>, StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let directory = self.feed_made(feed)?;
            writer.expire(self, &directory, now);
            let _held = self.lock(&directory, shelf)?;
            let Shelf { values, ends } = self.shelf(&directory, shelf, ids)?;
            let mut records: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
            for id in ids {
                let stored = values.get(id).copied();
                if let Some(value) = next(*id, stored.map(|(_, value)| value))? {
                    let before = stored.map_or(0, |(partition, _)| partition);
                    let partition = partition_of(value.until, now).max(before);
                    records.entry(partition).or_default().push(value.encode(*id));
                }
            }
            let mut written = true;
            for (partition, records) in &records {
                let path = self.made(directory.join(partition.to_string()))?;
                let path = path.join(Name::Registers(shelf).file());
                written &= self.enter(&directory, &path, ends.get(partition), records)?;
            }
            if written {
                if !records.is_empty() {
                    self.touch(&directory);
                }
                return Ok(());
            }
        }
        Err(StoreError::new(format!(
            "could not write a register of {}: it was repeatedly removed or replaced; gave up \
             after {ATTEMPTS} attempts",
            self.path.join(feed).display()
        )))
    }

    /// Appends to the file of a shelf, behind its last whole frame. Returns whether it is still where
    /// readers look for it.
    fn enter(
        &self,
        feed: &Path,
        path: &Path,
        end: Option<&End>,
        records: &[Vec<u8>],
    ) -> Result<bool, StoreError> {
        if end.is_none() {
            self.enter_file(feed, path, b"", true)?;
        }
        let Opened::File(mut file, metadata) =
            self.open_file(path, OpenOptions::new().append(true))?
        else {
            return Ok(false);
        };
        let (length, mut check, is) =
            end.map_or((0, Check::default(), 0), |end| (end.length, end.check, end.is));
        if metadata.len() != is {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        for records in records {
            check = frames::push(&mut bytes, check, records);
        }
        let write = |file: &mut File| {
            if length < is {
                file.set_len(length)?;
            }
            file.write_all(&bytes)?;
            file.sync_data()
        };
        write(&mut file).map_err(failed("append to", path))?;
        Ok(is_at(&file, length + bytes.len() as u64, path))
    }

    pub(crate) fn registers(
        &self,
        feed: &str,
        ids: &[RegisterId],
    ) -> Result<Vec<Option<Register>>, StoreError> {
        let mut values = Values::new();
        if let Some(directory) = self.feed(feed)? {
            for (shelf, ids) in shelves(ids.iter().copied()) {
                values.extend(self.shelf(&directory, shelf, &ids)?.values);
            }
        }
        Ok(ids.iter().map(|id| values.get(id).map(|(_, value)| *value)).collect())
    }

    /// Reads the values of some registers of a shelf, and where its files end.
    fn shelf(&self, feed: &Path, shelf: u8, ids: &[RegisterId]) -> Result<Shelf, StoreError> {
        let (mut values, mut ends) = (Values::new(), BTreeMap::new());
        let mut wanted: Vec<_> = ids.iter().map(|id| (id.encode(), *id)).collect();
        wanted.sort_unstable();
        let find = |records: &[u8]| {
            let start = records.get(..START)?;
            let found = wanted.binary_search_by(|(wanted, _)| (**wanted).cmp(start));
            found.ok().map(|index| wanted[index].1)
        };
        for partition in self.list_feed(feed)?.partitions {
            let Some(path) = self.partition(feed, partition)? else { continue };
            let path = path.join(Name::Registers(shelf).file());
            let mut bytes = Vec::new();
            match self.open_file(&path, OpenOptions::new().read(true))? {
                Opened::Missing => continue,
                Opened::Unfit(reason) => {
                    return Err(StoreError::new(format!("{} {reason}", path.display())));
                }
                Opened::File(mut file, _) => file.read_to_end(&mut bytes),
            }
            .map_err(failed("read", &path))?;
            let end = scan(&bytes, find, |id, records| {
                let mut page = FeedPage::new(Cursor::new([], []));
                page.decode("", records);
                if let Some((_, value)) = page.registers.first() {
                    values.insert(id, (partition, *value));
                }
            });
            ends.insert(partition, end);
        }
        Ok(Shelf { values, ends })
    }
}

/// Finds the frames of registers in a file of a shelf, and its end. Only those, and the last frame, are
/// checked, unless something is wrong with the file.
fn scan(
    bytes: &[u8],
    find: impl Fn(&[u8]) -> Option<RegisterId>,
    mut found: impl FnMut(RegisterId, &[u8]),
) -> End {
    let end = |frames: &Frames<'_>| {
        let (length, is) = (frames.at as u64, bytes.len() as u64);
        End { length, check: frames.before, is }
    };
    let mut frames = Frames::new(bytes, Check::default(), true);
    let mut is_sound = true;
    while let Some((records, before)) = frames.pass() {
        let id = find(records);
        if id.is_some() || frames.rest().is_empty() {
            is_sound &= frames::is_whole(records, before, frames.before);
        }
        match id {
            Some(id) if is_sound => found(id, records),
            _ => {}
        }
    }
    if is_sound && frames.rest().is_empty() {
        return end(&frames);
    }
    let mut frames = Frames::new(bytes, Check::default(), true);
    for step in &mut frames {
        if let Step::Records(records) = step
            && let Some(id) = find(records)
        {
            found(id, records);
        }
    }
    end(&frames)
}

/// The registers of each shelf.
fn shelves(ids: impl Iterator<Item = RegisterId>) -> BTreeMap<u8, Vec<RegisterId>> {
    let mut shelves = BTreeMap::<_, Vec<_>>::new();
    ids.for_each(|id| shelves.entry(shelf_of(id)).or_default().push(id));
    shelves
}

fn shelf_of(id: RegisterId) -> u8 {
    id.digest()[0] >> 4
}

/// The bytes with which the record of a register begins: format, length, kind and digest.
const START: usize = 3 + 16;
