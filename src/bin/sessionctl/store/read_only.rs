//! A store that refuses every write: what is opened on it reads as a replica does, and changes nothing.

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedRead, Insertion, Loaded, Register, RegisterId,
    RevocationStore, RevokedSession, Store, StoreError, StoreFuture, StoreProperties,
};

/// A store without its writes.
#[derive(Clone, Debug)]
pub(crate) struct ReadOnly<S>(pub(crate) S);

fn refused<'a, T>() -> StoreFuture<'a, T> {
    Box::pin(async { Err(StoreError::new("this command only reads the store")) })
}

impl<S: RevocationStore> Store for ReadOnly<S> {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.0.load(ring)
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        self.0.read(ring, names)
    }

    fn insert<'a>(&'a self, _: &'a str, _: &'a Entry) -> StoreFuture<'a, Insertion> {
        refused()
    }

    fn remove<'a>(&'a self, _: &'a str, _: &'a EntryName) -> StoreFuture<'a, ()> {
        refused()
    }

    fn properties(&self) -> StoreProperties {
        self.0.properties()
    }
}

impl<S: RevocationStore> RevocationStore for ReadOnly<S> {
    fn append<'a>(
        &'a self,
        _: &'a str,
        _: &'a [RevokedSession],
        _: Timestamp,
    ) -> StoreFuture<'a, ()> {
        refused()
    }

    fn advance<'a>(&'a self, _: &'a str, _: &'a Advance) -> StoreFuture<'a, Register> {
        refused()
    }

    fn restore<'a>(
        &'a self,
        _: &'a str,
        _: &'a [(RegisterId, Register)],
        _: Timestamp,
    ) -> StoreFuture<'a, ()> {
        refused()
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        self.0.registers(feed, ids)
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        self.0.read_feed(feed, cursor)
    }
}
