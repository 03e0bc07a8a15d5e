//! A store of revocations whose answers a test changes.

use std::sync::{Arc, Mutex};

use tower_jwt_session::store::{
    Advance, Cursor, FeedPage, FeedRead, Register, RegisterId, RevocationStore, Store, StoreFuture,
};

use crate::support::delegate::delegate;
use crate::support::stores::TestStore;

/// What a test does to an answer.
pub(super) type Change<T> = Arc<Mutex<Option<Box<dyn FnMut(&mut T) + Send>>>>;

/// A store whose answers a test changes.
#[derive(Clone, Default)]
pub(super) struct Altered {
    pub(super) store: TestStore,
    pub(super) reads: Change<FeedRead>,
    pub(super) advanced: Change<Register>,
    pub(super) registers: Change<Vec<Option<Register>>>,
}

impl std::fmt::Debug for Altered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Altered")
    }
}

pub(super) fn set<T>(change: &Change<T>, to: impl FnMut(&mut T) + Send + 'static) {
    *change.lock().unwrap() = Some(Box::new(to));
}

fn altered<T>(change: &Change<T>, mut answer: T) -> T {
    if let Some(change) = &mut *change.lock().unwrap() {
        change(&mut answer);
    }
    answer
}

impl Altered {
    /// Changes each page of the feed.
    pub(super) fn on_pages(&self, mut change: impl FnMut(&mut FeedPage) + Send + 'static) {
        set(&self.reads, move |read| {
            if let FeedRead::Page(page) = read {
                change(page);
            }
        });
    }

    /// From now on the answers are right.
    pub(super) fn right(&self) {
        *self.reads.lock().unwrap() = None;
        *self.advanced.lock().unwrap() = None;
        *self.registers.lock().unwrap() = None;
    }
}

impl Store for Altered {
    delegate!(store: load insert remove changed properties);
}

impl RevocationStore for Altered {
    delegate!(store: append restore);

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(
            async move { Ok(altered(&self.advanced, self.store.advance(feed, advance).await?)) },
        )
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(
            async move { Ok(altered(&self.registers, self.store.registers(feed, ids).await?)) },
        )
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move { Ok(altered(&self.reads, self.store.read_feed(feed, cursor).await?)) })
    }
}
