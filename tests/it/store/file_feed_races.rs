//! The file store's feed under many writers and readers, each with a handle of its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, FeedRead, FileStore, Register, RegisterId, RevocationStore as _,
    RevokedSession,
};

const FEED: &str = "app";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ALICE: RegisterId = RegisterId::Subject([1; 16]);

fn place() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let keys = place.path().join("keys");
    (place, keys)
}

fn open(keys: &Path) -> FileStore {
    FileStore::open(keys).expect("opens")
}

fn session(number: u64) -> RevokedSession {
    // Not all are kept equally long.
    let hours = 1 + (number % 100) as u32;
    RevokedSession::new(u128::from(number).to_be_bytes(), NOW + hours * Duration::from_secs(3600))
}

#[derive(Default)]
struct Reader {
    cursor: Option<Cursor>,
    sessions: BTreeSet<u64>,
    versions: Vec<u64>,
}

impl Reader {
    async fn read_on(&mut self, store: &FileStore) {
        loop {
            let read = store.read_feed(FEED, self.cursor.as_ref()).await.expect("reads");
            let FeedRead::Page(page) = read else { panic!("a gap") };
            assert_eq!(page.skipped, []);
            let number = |session: &RevokedSession| u128::from_be_bytes(session.digest) as u64;
            self.sessions.extend(page.sessions.iter().map(number));
            self.versions.extend(page.registers.iter().map(|(_, register)| register.version));
            self.cursor = Some(page.cursor);
            if !page.has_more {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_feed_eight_writers_and_two_readers_lose_nothing() {
    const EACH: u64 = 60;
    let (_place, keys) = place();
    let appended: Arc<[AtomicU64; 8]> = Arc::default();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, appended) = (open(&keys), appended.clone());
            tokio::spawn(async move {
                for count in 0..EACH {
                    let session = [session(writer * EACH + count)];
                    store.append(FEED, &session, NOW).await.expect("appends");
                    if count % 8 == 0 {
                        // Longer each time, so that it goes from partition to partition.
                        let until = NOW + (count + writer + 1) as u32 * Duration::from_secs(3600);
                        let advance = Advance::new(ALICE, 0, NOW, until, NOW);
                        store.advance(FEED, &advance).await.expect("advances");
                    }
                    appended[writer as usize].store(count + 1, Ordering::Release);
                }
            })
        })
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let readers = [(); 2].map(|()| {
        let (store, done, appended) = (open(&keys), done.clone(), appended.clone());
        tokio::spawn(async move {
            let mut reader = Reader::default();
            loop {
                let is_last = done.load(Ordering::Acquire);
                let before: Vec<_> =
                    appended.iter().map(|count| count.load(Ordering::Acquire)).collect();
                reader.read_on(&store).await;
                for (writer, count) in (0..).zip(before) {
                    for number in writer * EACH..writer * EACH + count {
                        assert!(reader.sessions.contains(&number), "{number} is missing");
                    }
                }
                if is_last {
                    return reader;
                }
            }
        })
    });
    for writer in writers {
        writer.await.expect("ends");
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        let reader = reader.await.expect("ends");
        assert_eq!(reader.sessions.len(), 8 * EACH as usize);
        assert!(reader.versions.is_sorted(), "{:?}", reader.versions);
        assert_eq!(reader.versions.len(), 8 * EACH.div_ceil(8) as usize);
    }
    let mut late = Reader::default();
    late.read_on(&open(&keys)).await;
    assert_eq!(late.sessions.len(), 8 * EACH as usize);
    assert!(late.versions.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_feed_advances_of_many_handles_get_a_version_each() {
    let (_place, keys) = place();
    let advances = (0..8).map(|_| {
        let store = open(&keys);
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..20 {
                let advance = Advance::new(ALICE, 0, NOW, NOW + DAY, NOW);
                versions.push(store.advance(FEED, &advance).await.expect("advances").version);
            }
            assert!(versions.is_sorted());
            versions
        })
    });
    let mut versions = BTreeSet::new();
    for advance in advances.collect::<Vec<_>>() {
        versions.extend(advance.await.expect("ends"));
    }
    assert_eq!(versions.len(), 8 * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_feed_concurrent_appends_of_one_handle_are_all_kept() {
    let (_place, keys) = place();
    let store = open(&keys);
    let appends = (0..500).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.append(FEED, &[session(number)], NOW).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.expect("ends").expect("appends");
    }
    let mut reader = Reader::default();
    reader.read_on(&store).await;
    assert_eq!(reader.sessions.len(), 500);
}

/// The future is dropped before, while or after the file is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_feed_dropped_appends_hold_up_no_other() {
    let (_place, keys) = place();
    let store = open(&keys);
    for round in 0..100 {
        let lost = [session(round)];
        let dropped = (0..8).map(|_| store.append(FEED, &lost, NOW));
        for append in dropped {
            let limit = Duration::from_micros(10 * round);
            let _ = tokio::time::timeout(limit, append).await;
        }
        let kept = [session(1000 + round)];
        store.append(FEED, &kept, NOW).await.expect("appends");
    }
    let mut reader = Reader::default();
    reader.read_on(&store).await;
    assert!((1000..1100).all(|number| reader.sessions.contains(&number)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_feed_locked_register_delays_neither_appends_nor_reads() {
    let (_place, keys) = place();
    let store = open(&keys);
    let advance = Advance::new(ALICE, 0, NOW, NOW + DAY, NOW);
    let first = store.advance(FEED, &advance).await.expect("advances");
    let path = keys.join(FEED).join(".revocations/lock-0");
    let held = File::options().write(true).open(path).expect("opens");
    held.lock().expect("locks");
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.advance(FEED, &advance).await })
        })
        .collect();
    for number in 0..20 {
        store.append(FEED, &[session(number)], NOW).await.expect("appends");
        let value = store.registers(FEED, &[ALICE]).await.expect("reads");
        assert_eq!(value, [Some(first)]);
    }
    let other = Advance::new(RegisterId::Stale([0xf0; 16]), 0, NOW, NOW + DAY, NOW);
    open(&keys).advance(FEED, &other).await.expect("another shelf's lock is free");
    assert!(waiting.iter().all(|advance| !advance.is_finished()));
    // As the kernel does when a process ends.
    drop(held);
    for advance in waiting {
        assert!(advance.await.expect("ends").expect("advances").version > first.version);
    }
}

#[tokio::test]
async fn file_feed_restored_registers_keep_what_is_higher() {
    let (_place, keys) = place();
    let store = open(&keys);
    let id = |number: u64| RegisterId::Subject(u128::from(number).to_le_bytes());
    let value = |version| Register::new(version, NOW, NOW + DAY);
    let held: Vec<_> = (0..500).map(|number| (id(number), value(number + 1))).collect();
    store.restore(FEED, &held[..400], NOW).await.expect("restores");
    store.restore(FEED, &held, NOW).await.expect("restores");
    let lower: Vec<_> = (0..500).map(|number| (id(number), value(1))).collect();
    store.restore(FEED, &lower, NOW).await.expect("restores");
    let ids: Vec<_> = (0..500).map(id).collect();
    let read = store.registers(FEED, &ids).await.expect("reads");
    let expected: Vec<_> = held.iter().map(|(_, value)| Some(*value)).collect();
    assert_eq!(read, expected);
    let mut reader = Reader::default();
    reader.read_on(&store).await;
    assert_eq!(reader.versions.len(), 500, "nothing is written twice");
}

/// A reader that has looked for the feed before it was founded, and sees what was written since.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_feed_that_is_founded_while_it_is_read_shows_no_gap() {
    for _ in 0..30 {
        let (_place, keys) = place();
        let writer = open(&keys);
        let readers = [(); 3].map(|()| {
            let store = open(&keys);
            tokio::spawn(async move {
                let mut reader = Reader::default();
                while reader.sessions.is_empty() {
                    reader.read_on(&store).await;
                }
                reader.read_on(&store).await;
                assert_eq!(reader.sessions, [1].into());
            })
        });
        writer.append(FEED, &[session(1)], NOW).await.expect("appends");
        for reader in readers {
            reader.await.expect("reads");
        }
    }
}
