//! Reads of a file store's feed: what was appended to its files since the last read.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::frames::{Frames, MAX_FRAME, Step};
use super::partitions::{Listing, Name, Opened};
use super::places::{Place, Places, Torn};
use crate::store::contract::{Skipped, StoreError};
use crate::store::feed::{Cursor, FeedPage, FeedRead};
use crate::store::file::temporary::failed;

/// The files of a feed and their lengths at one time.
///
/// They are looked at from the last partition to the first, and read from the first to the last, up to
/// these lengths: so a register's later value is never read before an earlier one.
#[derive(Default)]
struct Sight {
    files: Vec<(u64, Name, PathBuf, u64)>,
    /// Partitions that exist and can't be read.
    unfit: BTreeSet<u64>,
    skipped: Vec<Skipped>,
}

impl Directory {
    pub(crate) fn read_feed(
        &self,
        feed: &str,
        cursor: Option<&Cursor>,
    ) -> Result<FeedRead, StoreError> {
        let mut places = Places::default();
        if let Some(cursor) = cursor {
            match Places::decode(cursor) {
                Some(decoded) => places = decoded,
                None => return Ok(FeedRead::Gap),
            }
        }
        let Some(directory) = self.feed(feed)? else {
            return Ok(match places == Places::default() {
                true => FeedRead::Page(FeedPage::new(places.encode())),
                false => FeedRead::Gap,
            });
        };
        let mut incarnation = self.incarnation(&directory)?;
        // After the cursor of an empty feed everything is to be read, whichever feed it has become.
        if places != Places::default() && places.incarnation != incarnation.unwrap_or_default() {
            return Ok(FeedRead::Gap);
        }
        let sight = self.sight(&directory)?;
        if incarnation.is_none() {
            // It may have been founded since, and what is seen be of it.
            incarnation = self.incarnation(&directory)?;
        }
        places.incarnation = incarnation.unwrap_or_default();
        if !self.drop_expired(&directory, &sight, &mut places)? {
            return Ok(FeedRead::Gap);
        }
        let mut page = FeedPage::new(Cursor::new([], []));
        page.skipped = sight.skipped;
        let mut left = PAGE;
        for (partition, name, path, length) in sight.files {
            let mut place = places.files.get(&(partition, name)).copied().unwrap_or_default();
            if length < place.offset {
                return Ok(FeedRead::Gap);
            }
            // Only its one writer appends to a segment, so that one of the same length is the same.
            let is_same = matches!(name, Name::Segment(..)) || place.offset == 0;
            if length == place.offset && is_same {
                continue;
            }
            if left == 0 && length > place.offset {
                page.has_more |= place.torn == Torn::No;
                continue;
            }
            let most = left.max(MAX_FRAME) as u64;
            let until = length.min(place.offset + most);
            let bytes = match self.bytes(&path, &place, until)? {
                Read::Bytes(bytes) => bytes,
                Read::OtherHistory => return Ok(FeedRead::Gap),
                // The next read sees whether it has expired.
                Read::Missing => continue,
                Read::Unfit(reason) => {
                    page.skipped.push(Skipped::new(path.display().to_string(), reason));
                    continue;
                }
            };
            let read = read_frames(&mut page, &path, &bytes, &mut place, until == length);
            left = left.saturating_sub(read);
            page.has_more |= until < length;
            if place != Place::default() {
                places.files.insert((partition, name), place);
            }
        }
        page.cursor = places.encode();
        Ok(FeedRead::Page(page))
    }

    fn sight(&self, feed: &Path) -> Result<Sight, StoreError> {
        let Listing { partitions, skipped, .. } = self.list_feed(feed)?;
        let mut sight = Sight { skipped, ..Sight::default() };
        for partition in partitions.into_iter().rev() {
            let directory = match self.partition(feed, partition) {
                Ok(Some(directory)) => directory,
                Ok(None) => continue,
                Err(error) => {
                    let path = feed.join(partition.to_string()).display().to_string();
                    sight.skipped.push(Skipped::new(path, error.to_string()));
                    sight.unfit.insert(partition);
                    continue;
                }
            };
            // What is missing now has expired, or was lost: the cursor decides.
            let items = match fs::read_dir(&directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                items => items.map_err(failed("list", &directory))?,
            };
            for item in items {
                let item = match item {
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    item => item.map_err(failed("list", &directory))?,
                };
                let (file, path) = (item.file_name(), item.path());
                if file.as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let Some(name) = Name::parse(&file) else {
                    let reason = "is not part of a feed of revocations: remove it";
                    sight.skipped.push(Skipped::new(path.display().to_string(), reason));
                    continue;
                };
                match fs::symlink_metadata(&path) {
                    Ok(metadata) => sight.files.push((partition, name, path, metadata.len())),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("look at", &path)(error)),
                }
            }
        }
        sight.files.sort_by_key(|(partition, name, ..)| (*partition, *name));
        Ok(sight)
    }

    /// Drops the places in files that have expired. Returns whether no other file is missing.
    fn drop_expired(
        &self,
        feed: &Path,
        sight: &Sight,
        places: &mut Places,
    ) -> Result<bool, StoreError> {
        let seen: BTreeSet<_> = sight.files.iter().map(|(of, name, ..)| (*of, *name)).collect();
        let is_missing =
            |file: &(u64, Name)| !seen.contains(file) && !sight.unfit.contains(&file.0);
        if !places.files.keys().any(is_missing) {
            return Ok(true);
        }
        // Whoever removes a partition has written this before.
        let expired = self.list_feed(feed)?.expired;
        places.files.retain(|file, _| !(is_missing(file) && file.0 <= expired));
        Ok(!places.files.keys().any(is_missing))
    }

    /// Reads a file from a place up to an offset.
    fn bytes(&self, path: &Path, place: &Place, until: u64) -> Result<Read, StoreError> {
        let mut file = match self.open_file(path, OpenOptions::new().read(true))? {
            Opened::File(file, _) => file,
            Opened::Missing => return Ok(Read::Missing),
            Opened::Unfit(reason) => return Ok(Read::Unfit(reason)),
        };
        let check = if place.offset == 0 { &[][..] } else { &place.before };
        let from = place.offset - check.len() as u64;
        let mut bytes = Vec::with_capacity((until - from) as usize);
        file.seek(SeekFrom::Start(from))
            .and_then(|_| file.take(until - from).read_to_end(&mut bytes))
            .map_err(failed("read", path))?;
        if !bytes.starts_with(check) {
            return Ok(Read::OtherHistory);
        }
        bytes.drain(..check.len());
        Ok(Read::Bytes(bytes))
    }
}

/// What follows a place in a file.
enum Read {
    Bytes(Vec<u8>),
    /// The file is not the one that was read up to the place, or an older copy of it.
    OtherHistory,
    Missing,
    Unfit(String),
}

/// Reads the frames of a file on, and returns the number of bytes. `is_end` is whether the file ended
/// there.
fn read_frames(
    page: &mut FeedPage,
    path: &Path,
    bytes: &[u8],
    place: &mut Place,
    is_end: bool,
) -> usize {
    let name = path.display().to_string();
    let mut frames = Frames::new(bytes, place.before, is_end);
    for step in &mut frames {
        match step {
            Step::Records(records) => page.decode(&name, records),
            Step::Damaged(range) => {
                let from = place.offset + range.start as u64;
                let reason = format!("has {} damaged bytes from byte {from} on", range.len());
                page.skipped.push(Skipped::new(&name, reason));
            }
        }
    }
    let rest = frames.rest().len();
    if !is_end && rest >= MAX_FRAME {
        let from = place.offset + frames.at as u64;
        page.skipped.push(Skipped::new(&name, format!("is damaged from byte {from} on")));
        // A frame may begin in what is left.
        frames.skip_to(bytes.len() + 1 - MAX_FRAME);
    }
    let is_torn = is_end && rest > 0;
    place.torn = match (is_torn, frames.at, place.torn) {
        (false, ..) => Torn::No,
        (true, 0, Torn::Once) => {
            let reason = format!("ends with an incomplete record, from byte {} on", place.offset);
            page.skipped.push(Skipped::new(&name, reason));
            Torn::Reported
        }
        (true, 0, Torn::Reported) => Torn::Reported,
        (true, ..) => Torn::Once,
    };
    place.offset += frames.at as u64;
    place.before = frames.before;
    bytes.len()
}

/// The most bytes of a page, but for one frame more.
const PAGE: usize = 1 << 20;
