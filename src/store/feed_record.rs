//! The bytes of a feed's records, for stores that keep them as bytes.

use crate::clock::Timestamp;
use crate::store::contract::Skipped;
use crate::store::feed::{Digest, FeedPage, Register, RegisterId, RevokedSession};

impl RevokedSession {
    /// Returns the bytes of records: the format, and then one record after the other.
    ///
    /// A record is its length without this byte, its kind, and its content; numbers are big-endian. A
    /// revoked session is its digest (16 bytes) and `until` (8 bytes, milliseconds since 1970).
    pub fn encode(sessions: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + sessions.len() * SESSION_BYTES);
        bytes.push(FORMAT);
        for Self { digest, until } in sessions {
            bytes.extend([SESSION_BYTES as u8 - 1, SESSION]);
            bytes.extend(digest);
            bytes.extend(until.as_unix_millis().to_be_bytes());
        }
        bytes
    }
}

impl Register {
    /// Returns the bytes of a register's record: the format, and one record of the digest (16 bytes,
    /// zeros for [`RegisterId::All`]), version, cutoff and `until` (8 bytes each).
    pub fn encode(&self, id: RegisterId) -> Vec<u8> {
        let mut bytes = id.encode();
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.at.as_unix_millis().to_be_bytes());
        bytes.extend(self.until.as_unix_millis().to_be_bytes());
        bytes
    }
}

impl RegisterId {
    /// The bytes of a register's record before its three numbers, for a store whose server appends these.
    pub(crate) fn encode(self) -> Vec<u8> {
        let (kind, digest) = match self {
            Self::Subject(digest) => (SUBJECT, digest),
            Self::All => (ALL, Digest::default()),
            Self::Stale(digest) => (STALE, digest),
        };
        let mut bytes = vec![FORMAT, REGISTER_BYTES as u8 - 1, kind];
        bytes.extend(digest);
        bytes
    }
}

impl FeedPage {
    /// Adds records to the page from bytes that were [encoded](RevokedSession::encode). `place` names
    /// them where they are skipped: those of a newer format or kind, and all from the first byte on that
    /// is no record's.
    pub fn decode(&mut self, place: &str, bytes: &[u8]) {
        let mut rest = match bytes.split_first() {
            Some((&FORMAT, rest)) => rest,
            Some((&format, _)) if format > FORMAT => {
                self.newer_format = self.newer_format.max(Some(format.into()));
                let reason =
                    format!("written by a newer version (format {format}): upgrade this replica");
                return self.skipped.push(Skipped::new(place, reason));
            }
            _ => {
                let reason = "is not a record of revocations: remove it";
                return self.skipped.push(Skipped::new(place, reason));
            }
        };
        while let Some((&length, after)) = rest.split_first() {
            let Some((record, after)) = after.split_at_checked(length.into()) else {
                let reason = format!("ends after {} bytes of a record of {length}", after.len());
                return self.skipped.push(Skipped::new(place, reason));
            };
            rest = after;
            if let Err(reason) = take(record, self) {
                self.skipped.push(Skipped::new(place, reason));
            }
        }
    }
}

fn take(record: &[u8], page: &mut FeedPage) -> Result<(), String> {
    let invalid = || format!("is not a record of revocations: {} bytes; remove it", record.len());
    let (&kind, content) = record.split_first().ok_or_else(invalid)?;
    if kind > STALE {
        page.newer_format = page.newer_format.max(Some(u64::from(FORMAT) + 1));
        return Err(format!("written by a newer version (kind {kind}): upgrade this replica"));
    }
    let (digest, numbers) = content.split_first_chunk().ok_or_else(invalid)?;
    let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| i64::from_be_bytes(*bytes));
    let mut next = || numbers.next().map(Timestamp::from_unix_millis);
    if kind == SESSION && record.len() + 1 == SESSION_BYTES {
        let until = next().ok_or_else(invalid)?;
        page.sessions.push(RevokedSession::new(*digest, until));
        return Ok(());
    }
    let id = match kind {
        SUBJECT => RegisterId::Subject(*digest),
        ALL => RegisterId::All,
        STALE => RegisterId::Stale(*digest),
        _ => return Err(invalid()),
    };
    match [next(), next(), next()] {
        [Some(version), Some(at), Some(until)] if record.len() + 1 == REGISTER_BYTES => {
            let version = u64::try_from(version.as_unix_millis()).unwrap_or_default();
            if !(1..=Register::MAX_VERSION).contains(&version) {
                return Err(format!("has version {version}, expected 1 to 2^53-1"));
            }
            page.registers.push((id, Register::new(version, at, until)));
            Ok(())
        }
        _ => Err(invalid()),
    }
}

const FORMAT: u8 = 1;
const SESSION: u8 = 1;
const SUBJECT: u8 = 2;
const ALL: u8 = 3;
const STALE: u8 = 4;
/// With the byte of its length.
const SESSION_BYTES: usize = 1 + 1 + 16 + 8;
const REGISTER_BYTES: usize = 1 + 1 + 16 + 24;
