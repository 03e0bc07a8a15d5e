//! IDs of sessions and tokens: 128 random bits each, so that no two are ever equal.

use std::cell::RefCell;
use std::time::Duration;

use base64::Engine as _;
use zeroize::Zeroize;

use crate::base64url::BASE64URL;
use crate::clock::Timestamp;
use crate::error::IssueError;
use crate::keys::KeyError;
use crate::keys::algorithm;

/// As many new IDs as are asked for.
pub(crate) fn random_ids<const N: usize>(now: Timestamp) -> Result<[String; N], IssueError> {
    let mut ids = [[0; 16]; N];
    AHEAD
        .with_borrow_mut(|ahead| ahead.take(ids.as_flattened_mut(), now))
        .map_err(|_| IssueError::RandomGenerator)?;
    Ok(ids.map(|id| BASE64URL.encode(id)))
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
