//! Frames: how records are appended to a file, so that a reader knows which of them are whole.
//!
//! A frame is the length of its records (4 bytes, big-endian), the records, and a check (4 bytes): the
//! first bytes of the SHA-256 of the previous frame's check, the length and the records. So the check at a
//! place also shows whether the file still has the history that a reader knows.

use std::ops::Range;

use crate::crypto::backend;

/// The last bytes of a frame.
pub(crate) type Check = [u8; 4];

/// Appends a frame with `records` to `bytes`, after one that ended with `before`; returns its check.
pub(crate) fn push(bytes: &mut Vec<u8>, before: Check, records: &[u8]) -> Check {
    debug_assert!((1..=MAX_RECORDS).contains(&records.len()));
    let length = (records.len() as u32).to_be_bytes();
    let check = check(before, length, records);
    bytes.extend(length);
    bytes.extend(records);
    bytes.extend(check);
    check
}

/// The frames in bytes that follow a frame.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    /// Whether the file ends with these bytes.
    is_end: bool,
    /// Where the next frame begins.
    pub(crate) at: usize,
    /// The check of the frame before it.
    pub(crate) before: Check,
}

/// What is found in the place of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Records(&'a [u8]),
    /// Bytes that are no frame, before one that is.
    Damaged(Range<usize>),
}

impl<'a> Frames<'a> {
    /// Of bytes that follow a frame with the check `before`.
    pub(crate) fn new(bytes: &'a [u8], before: Check, is_end: bool) -> Self {
        Self { bytes, is_end, at: 0, before }
    }

    /// The bytes that are left: after the last frame, those of one that was not written whole.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Passes over a frame by its length alone, without looking at its check. Returns its records and the
    /// check of the frame before it; `None` if there is no frame of a length that can be.
    pub(crate) fn pass(&mut self) -> Option<(&'a [u8], Check)> {
        let (records, check) = split(self.rest())?;
        let before = self.before;
        self.step(records, check);
        Some((records, before))
    }

    fn step(&mut self, records: &[u8], check: Check) {
        self.at += FRAME_BYTES + records.len();
        self.before = check;
    }

    /// Records of which only the check is damaged: the frame that follows is one that follows them.
    fn with_damaged_check(&self) -> Option<(&'a [u8], Check)> {
        let (records, _) = split(self.rest())?;
        let check = check(self.before, (records.len() as u32).to_be_bytes(), records);
        let next = &self.rest()[FRAME_BYTES + records.len()..];
        whole(next, check).map(|_| (records, check))
    }

    /// Where the next whole frame after bytes that are none begins.
    fn resume(&self) -> Option<usize> {
        let candidates = self.at + CHECK_BYTES..self.bytes.len();
        candidates.into_iter().find(|at| {
            let before = self.check_before(*at);
            whole(&self.bytes[*at..], before).is_some()
        })
    }

    fn check_before(&self, at: usize) -> Check {
        self.bytes[..at].last_chunk().copied().unwrap_or(self.before)
    }

    /// Gives up on the bytes up to there.
    pub(crate) fn skip_to(&mut self, at: usize) {
        self.before = self.check_before(at);
        self.at = at;
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if let Some((records, check)) = whole(self.rest(), self.before) {
            self.step(records, check);
            return Some(Step::Records(records));
        }
        // The rest of a frame may be in the bytes that follow.
        if !self.is_end && self.rest().len() < MAX_FRAME {
            return None;
        }
        if let Some((records, check)) = self.with_damaged_check() {
            self.step(records, check);
            return Some(Step::Records(records));
        }
        let (damaged, resumed) = (self.at, self.resume()?);
        self.skip_to(resumed);
        Some(Step::Damaged(damaged..resumed))
    }
}

/// Whether these are the records of a frame with that check.
pub(crate) fn is_whole(records: &[u8], before: Check, expected: Check) -> bool {
    check(before, (records.len() as u32).to_be_bytes(), records) == expected
}

fn whole(bytes: &[u8], before: Check) -> Option<(&[u8], Check)> {
    split(bytes).filter(|(records, check)| is_whole(records, before, *check))
}

fn split(bytes: &[u8]) -> Option<(&[u8], Check)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    if !(1..=MAX_RECORDS).contains(&length) {
        return None;
    }
    let (records, rest) = rest.split_at_checked(length)?;
    rest.first_chunk().map(|check| (records, *check))
}

fn check(before: Check, length: [u8; 4], records: &[u8]) -> Check {
    // One record fits in a buffer on the stack, and in a single block of the hash.
    let mut short = smallvec::SmallVec::<[u8; 64]>::new();
    short.extend_from_slice(&before);
    short.extend_from_slice(&length);
    short.extend_from_slice(records);
    let hash = backend::sha256([&short]);
    [hash[0], hash[1], hash[2], hash[3]]
}

const CHECK_BYTES: usize = size_of::<Check>();

/// What a frame has beside its records.
const FRAME_BYTES: usize = 4 + CHECK_BYTES;

/// The longest records of one frame.
const MAX_RECORDS: usize = 0x1_0000;

/// The longest frame.
pub(crate) const MAX_FRAME: usize = MAX_RECORDS + FRAME_BYTES;
