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
        let kind = match self {
            Self::Subject(_) => SUBJECT,
            Self::All => ALL,
            Self::Stale(_) => STALE,
        };
        let mut bytes = vec![FORMAT, REGISTER_BYTES as u8 - 1, kind];
        bytes.extend(self.digest());
        bytes
    }

    /// The digest by which registers are spread; zeros for the one of all.
    pub(crate) fn digest(self) -> Digest {
        match self {
            Self::Subject(digest) | Self::Stale(digest) => digest,
            Self::All => Digest::default(),
        }
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
            let version = version.as_unix_millis() as u64;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::feed::Cursor;

    fn decode(bytes: &[u8]) -> FeedPage {
        let mut page = FeedPage::new(Cursor::new([], []));
        page.decode("here", bytes);
        page
    }

    fn reason(page: &FeedPage) -> &str {
        let [skipped] = page.skipped.as_slice() else { panic!("{page:?}") };
        assert_eq!(skipped.name, "here");
        &skipped.reason
    }

    fn time(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn sessions() -> Vec<RevokedSession> {
        let ends = [0, 1_800_000_000_001, -1, i64::MAX, i64::MIN];
        let session = |(number, until)| RevokedSession::new([number; 16], time(until));
        (0..).zip(ends).map(session).collect()
    }

    fn registers() -> Vec<(RegisterId, Register)> {
        let value = |version, at, until| Register::new(version, time(at), time(until));
        vec![
            (RegisterId::Subject([7; 16]), value(1, 0, 0)),
            (RegisterId::All, value(Register::MAX_VERSION, i64::MAX, i64::MIN)),
            (RegisterId::Stale([0xff; 16]), value(1_800_000_000_000, -1, 1)),
        ]
    }

    /// Bytes of several records, of which each was encoded alone.
    fn joined(records: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        [FORMAT].into_iter().chain(records.into_iter().flat_map(|it| it[1..].to_vec())).collect()
    }

    /// Of every number of a byte: fewer in Miri, which takes its time.
    const FEW: usize = if cfg!(miri) { 15 } else { 1 };

    #[test]
    fn records_are_read_as_they_were_written() {
        for count in 0..=5 {
            let page = decode(&RevokedSession::encode(&sessions()[..count]));
            assert_eq!((page.sessions, page.skipped), (sessions()[..count].to_vec(), vec![]));
        }
        for (id, register) in registers() {
            let page = decode(&register.encode(id));
            assert_eq!((page.registers, page.skipped), (vec![(id, register)], vec![]));
        }
        let all = registers().into_iter().map(|(id, register)| register.encode(id));
        let page = decode(&joined(all.chain([RevokedSession::encode(&sessions())])));
        assert_eq!((page.sessions, page.registers), (sessions(), registers()));
        assert_eq!((page.skipped, page.newer_format), (vec![], None));
    }

    #[test]
    fn cut_record_hides_none_before_it() {
        let whole = RevokedSession::encode(&sessions());
        for length in 1..whole.len() {
            let page = decode(&whole[..length]);
            let count = (length - 1) / SESSION_BYTES;
            assert_eq!(page.sessions, sessions()[..count], "{length} bytes");
            assert_eq!(page.newer_format, None, "{length} bytes");
            if (length - 1) % SESSION_BYTES == 0 {
                assert_eq!(page.skipped, [], "{length} bytes");
            } else {
                assert!(reason(&page).starts_with("ends after "), "{length} bytes: {page:?}");
            }
        }
        for (id, register) in registers() {
            let whole = register.encode(id);
            for length in 2..whole.len() {
                let page = decode(&whole[..length]);
                assert!(page.registers.is_empty(), "{length} bytes: {page:?}");
                assert!(reason(&page).starts_with("ends after "), "{length} bytes: {page:?}");
            }
        }
    }

    #[test]
    fn record_of_another_length_than_its_kinds_is_skipped() {
        let session = RevokedSession::encode(&sessions()[..1]);
        for kind in SESSION..=STALE {
            let right = if kind == SESSION { SESSION_BYTES } else { REGISTER_BYTES };
            let lengths = (0..=u8::MAX).step_by(FEW);
            for length in lengths.filter(|length| usize::from(*length) + 1 != right) {
                let mut bytes = vec![FORMAT, length];
                bytes.extend((0..length).map(|at| if at == 0 { kind } else { 0 }));
                bytes.extend(&session[1..]);
                let page = decode(&bytes);
                assert!(reason(&page).contains("remove it"), "kind {kind}, {length}: {page:?}");
                // It hides none after it.
                assert_eq!(page.sessions, sessions()[..1], "kind {kind}, {length} bytes");
                assert!(page.registers.is_empty() && page.newer_format.is_none());
            }
        }
    }

    #[test]
    fn newer_format_is_reported_and_no_record_of_it_is_read() {
        let mut bytes = RevokedSession::encode(&sessions());
        for format in (FORMAT + 1..=u8::MAX).step_by(FEW) {
            bytes[0] = format;
            let page = decode(&bytes);
            assert_eq!(page.newer_format, Some(format.into()));
            assert!(page.is_empty() && reason(&page).contains("upgrade this replica"));
        }
        bytes[0] = u8::MAX;
        let mut page = decode(&bytes);
        bytes[0] = FORMAT + 1;
        page.decode("there", &bytes);
        assert_eq!(page.newer_format, Some(u8::MAX.into()), "the highest of several");
    }

    #[test]
    fn newer_kind_is_reported_and_hides_no_other_record() {
        for kind in (STALE + 1..=u8::MAX).step_by(FEW) {
            let unknown = vec![FORMAT, 3, kind, 1, 2];
            let [first, second] = [0, 1].map(|at| RevokedSession::encode(&sessions()[at..=at]));
            let page = decode(&joined([first, unknown, second]));
            assert_eq!(page.sessions, sessions()[..2], "kind {kind}");
            assert_eq!(page.newer_format, Some(2), "kind {kind}");
            assert!(reason(&page).contains(&format!("kind {kind}")), "{page:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_records_are_skipped() {
        for bytes in [&b""[..], &[0], &[0, 25, 1], &[FORMAT, 0], &[FORMAT, 1, 0]] {
            let page = decode(bytes);
            assert!(reason(&page).contains("remove it"), "{bytes:?}: {page:?}");
            assert!(page.is_empty() && page.newer_format.is_none(), "{bytes:?}: {page:?}");
        }
        assert_eq!(decode(&[FORMAT]).skipped, [], "no records");
    }

    #[test]
    fn version_out_of_bounds_is_skipped_with_its_value() {
        for version in [0, Register::MAX_VERSION + 1, i64::MAX as u64, 1 << 63, u64::MAX] {
            for (id, register) in registers() {
                let page = decode(&Register { version, ..register }.encode(id));
                assert!(reason(&page).contains(&format!("version {version},")), "{page:?}");
                assert!(page.is_empty(), "{page:?}");
            }
        }
    }
}
