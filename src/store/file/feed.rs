//! The feed of revocations of a [`FileStore`].

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::store::contract::{StoreError, StoreFuture};
use crate::store::feed::{
    Advance, Cursor, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
};
use crate::store::file::store::FileStore;

impl RevocationStore for FileStore {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let writer = self.writers.of(feed);
            let mut outcome = writer.queue(sessions, now);
            // While this waits for a thread, another one may write it.
            let outcome = tokio::select! {
                biased;
                outcome = &mut outcome => outcome,
                written = self.run(move |directory| {
                    writer.write(directory);
                    Ok(())
                }) => match written {
                    Ok(()) => outcome.await,
                    Err(error) => return Err(error),
                },
            };
            match outcome {
                Ok(written) => written.map_err(StoreError::new),
                Err(_) => Err(StoreError::new("the file store's blocking task did not end")),
            }
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move {
            let (feed, advance) = (feed.to_owned(), *advance);
            let (writer, turn) = (self.writers.of(&feed), self.turn().await);
            self.run(move |directory| {
                let _turn = turn;
                directory.advance(&writer, &feed, &advance)
            })
            .await
        })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (feed, held) = (feed.to_owned(), held.to_vec());
            let (writer, turn) = (self.writers.of(&feed), self.turn().await);
            self.run(move |directory| {
                let _turn = turn;
                directory.restore(&writer, &feed, &held, now)
            })
            .await
        })
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        let (feed, ids) = (feed.to_owned(), ids.to_vec());
        self.run(move |directory| directory.registers(&feed, &ids))
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        let (feed, cursor) = (feed.to_owned(), cursor.cloned());
        self.run(move |directory| directory.read_feed(&feed, cursor.as_ref()))
    }
}

impl FileStore {
    /// A turn of those that raise registers: they wait for locks, and must not take all threads.
    async fn turn(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }
}
