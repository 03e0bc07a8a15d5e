//! [`OriginsSeen`]: which origins a warning has named, so that each is named once.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// The first origins, by their hashes. A caller never waits for another.
#[derive(Debug, Default)]
pub(crate) struct OriginsSeen {
    hasher: RandomState,
    /// Hashes of origins; 0 for none.
    hashes: [AtomicU64; MOST],
}

impl OriginsSeen {
    /// Whether an origin is seen for the first time, and is one of the first.
    pub(crate) fn is_new(&self, origin: &[u8]) -> bool {
        let hash = self.hasher.hash_one(origin).max(1);
        for place in &self.hashes {
            match place.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(held) if held == hash => return false,
                Err(_) => {}
            }
        }
        false
    }
}

/// A client that is no browser can name any origin: more are not warned of.
const MOST: usize = 16;
