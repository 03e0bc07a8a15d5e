//! A store that makes up as many revoked sessions as it is asked for, and keeps none: all memory that is
//! measured is the replica's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, Digest, Entry, EntryName, FeedPage, FeedRead, Insertion, Loaded, Register,
    RegisterId, RevocationStore, RevokedSession, Store, StoreError, StoreFuture, StoreProperties,
};

/// The number of sessions in a page.
const PAGE: usize = 10_000;

/// The store. Clones share how much there is to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fed(Arc<AtomicUsize>);

impl Fed {
    /// So many more are there to read.
    pub(crate) fn add(&self, sessions: usize) {
        self.0.fetch_add(sessions, Ordering::Relaxed);
    }
}

/// Spreads numbers as digests are: they never repeat.
pub(crate) fn digest(number: u64) -> Digest {
    let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (mixed ^ (mixed >> 67)).to_be_bytes()
}

/// The record of a session, kept for three days.
pub(crate) fn revoked(number: u64, now: Timestamp) -> RevokedSession {
    RevokedSession::new(digest(number), now + std::time::Duration::from_secs(72 * 3600))
}

impl Store for Fed {
    fn load<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async { Ok(Loaded::default()) })
    }

    fn insert<'a>(&'a self, _: &'a str, _: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async { Ok(Insertion::Inserted) })
    }

    fn remove<'a>(&'a self, _: &'a str, _: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn properties(&self) -> StoreProperties {
        let mut properties = StoreProperties::default();
        properties.is_private = true;
        properties
    }
}

impl RevocationStore for Fed {
    fn append<'a>(
        &'a self,
        _: &'a str,
        _: &'a [RevokedSession],
        _: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn advance<'a>(&'a self, _: &'a str, _: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async { Err(StoreError::new("this store has no registers")) })
    }

    fn restore<'a>(
        &'a self,
        _: &'a str,
        _: &'a [(RegisterId, Register)],
        _: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn registers<'a>(
        &'a self,
        _: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(async { Ok(vec![None; ids.len()]) })
    }

    fn read_feed<'a>(
        &'a self,
        _: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            let place = |cursor: &Cursor| cursor.position().try_into().map(u64::from_be_bytes);
            let first = cursor.map_or(Ok(0), place).expect("a cursor of this store");
            let all = self.0.load(Ordering::Relaxed) as u64;
            let last = all.min(first + PAGE as u64);
            let mut page = FeedPage::new(Cursor::new([0], last.to_be_bytes()));
            let now = Timestamp::from(std::time::SystemTime::now());
            page.sessions = (first..last).map(|number| revoked(number, now)).collect();
            page.has_more = last < all;
            Ok(FeedRead::Page(page))
        })
    }
}
