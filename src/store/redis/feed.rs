//! The feeds of revocations in Redis.

use futures_util::future::try_join_all;

use crate::clock::Timestamp;
use crate::store::contract::StoreFuture;
use crate::store::feed::{
    Advance, Cursor, FeedPage, FeedRead, Register, RegisterId, RevocationStore, RevokedSession,
};
use crate::store::redis::shard::{Place, Shard, parse_register};
use crate::store::redis::store::RedisStore;

impl RevocationStore for RedisStore {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        _now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let shards = self.shards.of(feed);
            let place = |session: &RevokedSession| Shard::of(&session.digest, shards.len());
            let parts = parts(sessions, shards.len(), place);
            let appends = shards.iter().zip(&parts).filter(|(_, part)| !part.is_empty());
            let appends = appends.map(|(shard, part)| self.shards.append(shard, part));
            try_join_all(appends).await?;
            if sessions.is_empty() {
                return self.shards.append(&shards[0], &[]).await;
            }
            self.shards.hint(feed).await;
            Ok(())
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move {
            let shards = self.shards.of(feed);
            let shard = &shards[Shard::of_register(&advance.id, shards.len())];
            let advanced = self.shards.advance(shard, advance).await?;
            self.shards.hint(feed).await;
            Ok(advanced)
        })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        _now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let shards = self.shards.of(feed);
            let parts = parts(held, shards.len(), |(id, _)| Shard::of_register(id, shards.len()));
            let restores = shards.iter().zip(&parts).filter(|(_, part)| !part.is_empty());
            let restores = restores.map(|(shard, part)| self.shards.restore(shard, part));
            try_join_all(restores).await?;
            self.shards.hint(feed).await;
            Ok(())
        })
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(async move {
            let shards = self.shards.of(feed);
            let all: Vec<_> = ids.iter().zip(0..).collect();
            let parts: Vec<Vec<(&RegisterId, usize)>> =
                parts(&all, shards.len(), |(id, _)| Shard::of_register(id, shards.len()));
            let reads = shards.iter().zip(&parts).filter(|(_, part)| !part.is_empty());
            let reads = reads.map(async |(shard, part)| {
                let mut command = redis::cmd("MGET");
                for (id, _) in part {
                    command.arg(shard.register(id));
                }
                let values = self.shards.servers.query(&shard.tag, &command).await;
                let verb = "read registers of";
                values.map_err(self.shards.failed(verb, shard)).map(|values| (part, values))
            });
            let mut registers = vec![None; ids.len()];
            for (part, values) in try_join_all(reads).await? {
                let values: Vec<Option<Vec<u8>>> = values;
                for ((_, index), value) in part.iter().zip(values) {
                    registers[*index] = value.as_deref().and_then(parse_register);
                }
            }
            Ok(registers)
        })
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            let shards = self.shards.of(feed);
            let after = match cursor.map(|cursor| Place::parse(cursor, shards.len())) {
                Some(None) => return Ok(FeedRead::Gap),
                Some(Some(places)) => places.into_iter().map(Some).collect(),
                None => vec![None; shards.len()],
            };
            let bytes = PAGE_BYTES / shards.len() as u64;
            let reads = shards.iter().zip(&after);
            let reads = reads.map(|(shard, after)| self.shards.read(shard, after.as_ref(), bytes));
            let (mut page, mut places) = (FeedPage::new(Place::cursor(&[])), Vec::new());
            for read in try_join_all(reads).await? {
                let Some((place, has_more, mut part)) = read else { return Ok(FeedRead::Gap) };
                places.push(place);
                page.has_more |= has_more;
                page.sessions.append(&mut part.sessions);
                page.registers.append(&mut part.registers);
                page.skipped.append(&mut part.skipped);
                page.newer_format = page.newer_format.max(part.newer_format);
            }
            page.cursor = Place::cursor(&places);
            Ok(FeedRead::Page(page))
        })
    }
}

/// Sorts things into the shards in which they are.
fn parts<T: Copy>(all: &[T], count: usize, shard: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts = vec![Vec::new(); count];
    for one in all {
        parts[shard(one)].push(*one);
    }
    parts
}

/// The number of bytes of records in a page.
const PAGE_BYTES: u64 = 1 << 20;
