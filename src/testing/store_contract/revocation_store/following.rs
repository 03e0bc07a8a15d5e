//! Readers that follow a feed while many write it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::handles::handles;
use super::reader::{Reader, advance, append, digest, now, registers, request, sessions};
use crate::store::feed::{RegisterId, RevocationStore};

/// Of what 8 writers append and advance at once, each reader misses nothing, and reads nothing else:
/// one that follows from the start, one that reads the whole while they write and then follows, and one
/// that does so again and again. What had been written before a read began is in that read.
pub async fn readers_that_follow_many_writers_miss_nothing<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let replicas = handles(&open).await;
    for round in 0..3 {
        let feed: Arc<str> = format!("feed-{round}").into();
        let writes = Arc::new(Writes::default());
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = replicas[writer % replicas.len()].clone();
                tokio::spawn(write(store, feed.clone(), writer, writes.clone()))
            })
            .collect();
        let readers: Vec<_> = [false, false, true]
            .into_iter()
            .enumerate()
            .map(|(reader, starts_anew)| {
                let store = replicas[reader + 1].clone();
                tokio::spawn(read(store, feed.clone(), starts_anew, writes.clone()))
            })
            .collect();
        let mut ends = Vec::new();
        for writer in writers {
            ends.push(writer.await);
        }
        // Also if one has failed: otherwise the readers go on for ever.
        writes.ended.store(true, Ordering::SeqCst);
        ends.into_iter().for_each(|end| end.expect("a writer ends"));
        let mut whole = Reader::new(&replicas[0], &feed);
        whole.read().await;
        let expected: BTreeSet<_> = (0..WRITERS)
            .flat_map(|writer| (0..EACH).map(move |number| digest(first(writer) + number)))
            .collect();
        let ids: Vec<_> = (0..=WRITERS).map(id).collect();
        let values = registers(&*replicas[0], &feed, &ids).await;
        let mut all = vec![whole];
        for reader in readers {
            all.push(reader.await.expect("a reader ends"));
        }
        for reader in all {
            let found: BTreeSet<_> = reader.sessions.keys().copied().collect();
            let missing = expected.difference(&found).count();
            let invented = found.difference(&expected).count();
            assert_eq!((missing, invented), (0, 0), "missing and invented in round {round}");
            let held: Vec<_> = ids.iter().map(|id| reader.registers.get(id).copied()).collect();
            assert_eq!(held, values, "registers as read from the feed, and by `registers`");
        }
    }
}

/// What the writers have written, when the store has said so.
#[derive(Default)]
struct Writes {
    /// The number of each writer's sessions.
    sessions: [AtomicU64; WRITERS],
    /// The versions of the writers' registers, and of the one that all advance.
    versions: [AtomicU64; WRITERS + 1],
    ended: AtomicBool,
}

async fn write<S: RevocationStore>(
    store: Arc<S>,
    feed: Arc<str>,
    writer: usize,
    writes: Arc<Writes>,
) {
    let mut written = 0;
    for batch in 1.. {
        let count = (batch * 7 % 31).min(EACH - written);
        append(&*store, &feed, &sessions(first(writer) + written, count)).await;
        written += count;
        writes.sessions[writer].store(written, Ordering::SeqCst);
        let register = if batch % 2 == 0 { writer } else { WRITERS };
        let advanced = advance(&*store, &feed, &request(id(register), 0, now())).await;
        writes.versions[register].fetch_max(advanced.version, Ordering::SeqCst);
        if written == EACH {
            return;
        }
    }
}

async fn read<S: RevocationStore>(
    store: Arc<S>,
    feed: Arc<str>,
    starts_anew: bool,
    writes: Arc<Writes>,
) -> Reader<S> {
    let mut reader = Reader::new(&store, &feed);
    for turn in 0_u64.. {
        if starts_anew && turn % 4 == 0 {
            reader = Reader::new(&store, &feed);
        }
        let is_last = writes.ended.load(Ordering::SeqCst);
        let counts = writes.sessions.each_ref().map(|count| count.load(Ordering::SeqCst));
        let versions = writes.versions.each_ref().map(|version| version.load(Ordering::SeqCst));
        reader.read().await;
        for (writer, count) in counts.into_iter().enumerate() {
            let is_missing = |number: &u64| !reader.sessions.contains_key(&digest(*number));
            let missing = (first(writer)..first(writer) + count).filter(is_missing).count();
            assert_eq!(missing, 0, "of {count} sessions that were appended before the read began");
        }
        for (register, version) in versions.into_iter().enumerate() {
            let read = reader.registers.get(&id(register)).map_or(0, |read| read.version);
            assert!(read >= version, "version {read} was read after {version} had been returned");
        }
        if is_last {
            break;
        }
    }
    reader
}

fn first(writer: usize) -> u64 {
    writer as u64 * EACH
}

fn id(register: usize) -> RegisterId {
    if register == WRITERS { RegisterId::All } else { RegisterId::Subject(digest(register as u64)) }
}

const WRITERS: usize = 8;
/// The number of sessions that each of them appends.
const EACH: u64 = 200;
