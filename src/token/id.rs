//! IDs of sessions and tokens: 128 random bits each, so that no two are ever equal.

use std::cell::RefCell;
use std::time::Duration;

use base64::Engine as _;
use smallstr::SmallString;
use zeroize::Zeroize;

use crate::base64url::BASE64URL;
use crate::clock::Timestamp;
use crate::error::IssueError;
use crate::keys::KeyError;
use crate::keys::algorithm;

/// An ID as it is written: 22 characters.
pub(crate) type Id = SmallString<[u8; 24]>;

/// As many new IDs as are asked for.
pub(crate) fn random_ids<const N: usize>(now: Timestamp) -> Result<[Id; N], IssueError> {
    let mut ids = [[0; 16]; N];
    AHEAD
        .with_borrow_mut(|ahead| ahead.take(ids.as_flattened_mut(), now))
        .map_err(|_| IssueError::RandomGenerator)?;
    let mut texts = [(); N].map(|()| Id::new());
    for (text, id) in texts.iter_mut().zip(ids) {
        let mut buffer = [0; 24];
        let length = BASE64URL.encode_slice(id, &mut buffer).ok();
        let written = length.and_then(|length| str::from_utf8(&buffer[..length]).ok());
        text.push_str(written.ok_or(IssueError::RandomGenerator)?);
    }
    Ok(texts)
}

/// A thread's random bytes from the system, fetched ahead: a call to it costs as much as an HMAC.
///
/// SECURITY: each byte is handed out once and wiped. Where a process is forked, or a virtual machine
/// is restored twice from a snapshot, both hold the same bytes; so they are used only while they are
/// fresh. IDs are no secrets: they stand in every token.
struct Ahead {
    bytes: [u8; 512],
    left: usize,
    fetched_at: Timestamp,
}

const FRESH: Duration = Duration::from_millis(10);

thread_local! {
    static AHEAD: RefCell<Ahead> =
        const { RefCell::new(Ahead { bytes: [0; 512], left: 0, fetched_at: Timestamp::MAX }) };
}

impl Ahead {
    fn take(&mut self, wanted: &mut [u8], now: Timestamp) -> Result<(), KeyError> {
        let is_fresh = self.fetched_at <= now && now < self.fetched_at + FRESH;
        if !is_fresh || self.left < wanted.len() {
            self.left = 0;
            algorithm::fill_random(&mut self.bytes)?;
            (self.left, self.fetched_at) = (self.bytes.len(), now);
        }
        let start = self.left - wanted.len();
        let taken = &mut self.bytes[start..self.left];
        wanted.copy_from_slice(taken);
        taken.zeroize();
        self.left = start;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_used_once_and_while_they_are_fresh() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let milli = Duration::from_millis(1);
        let mut ahead = Ahead { bytes: [0; 512], left: 0, fetched_at: Timestamp::MAX };
        let mut left_after = |now| {
            ahead.take(&mut [0; 32], now).expect("random bytes");
            assert!(ahead.bytes[ahead.left..].iter().all(|byte| *byte == 0), "they are wiped");
            ahead.left
        };
        for left in (0..512).step_by(32).rev().chain([480]) {
            assert_eq!(left_after(now), left);
        }
        assert_eq!(left_after(now + FRESH - milli), 448);
        assert_eq!(left_after(now + FRESH), 480, "they were fetched too long ago");
        assert_eq!(left_after(now + FRESH + FRESH - milli), 448);
        assert_eq!(left_after(now + FRESH - milli), 480, "they come from the future");
    }
}
