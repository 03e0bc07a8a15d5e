//! The feeds of revocations in PostgreSQL: orders of commits, concurrency, hints and expiry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::timeout;
use tower_jwt_session::store::{
    Advance, Cursor, Digest, FeedPage, FeedRead, PostgresStore, Register, RegisterId,
    RevocationStore, RevokedSession, Store,
};
use tower_jwt_session::{Clock, SystemClock};

use crate::postgres::Postgres;
use crate::scenarios::{PROMPT, eventually};
use crate::{Backend, Test};

pub(crate) fn all() -> Vec<Test<Postgres>> {
    feed_tests! {
        commits_out_of_order_are_all_read
        commit_during_a_read_of_the_whole_is_read
        open_transaction_in_another_database_holds_nothing_back
        pages_are_small_and_lose_nothing
        concurrent_writers_lose_nothing_for_concurrent_readers
        expired_rows_are_deleted_in_passing
        hints_are_few_and_wake_readers
        rows_that_are_no_records_are_skipped
        stricter_isolation_loses_nothing
    }
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn session(number: u32) -> RevokedSession {
    RevokedSession::new(digest(number), SystemClock.now() + HOUR)
}

pub(crate) fn digest(number: u32) -> Digest {
    let mut digest = Digest::default();
    digest[..4].copy_from_slice(&number.to_be_bytes());
    digest
}

pub(crate) async fn append(store: &PostgresStore, numbers: impl IntoIterator<Item = u32>) {
    let sessions: Vec<_> = numbers.into_iter().map(session).collect();
    store.append("feed", &sessions, SystemClock.now()).await.expect("appends");
}

pub(crate) async fn advance(store: &PostgresStore, id: RegisterId) -> Register {
    let now = SystemClock.now();
    let advance = Advance::new(id, 0, now, now + HOUR, now);
    store.advance("feed", &advance).await.expect("advances")
}

/// What a reader has read so far.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) sessions: BTreeSet<u32>,
    pub(crate) registers: Vec<(RegisterId, Register)>,
    cursor: Option<Cursor>,
}

impl Reader {
    /// Reads a page; false if there was a gap.
    async fn page(&mut self, store: &PostgresStore) -> Option<FeedPage> {
        match store.read_feed("feed", self.cursor.as_ref()).await.expect("reads") {
            FeedRead::Page(page) => {
                let number = |session: &RevokedSession| {
                    u32::from_be_bytes(*session.digest.first_chunk().expect("has 16 bytes"))
                };
                self.sessions.extend(page.sessions.iter().map(number));
                self.registers.extend(&page.registers);
                self.cursor = Some(page.cursor.clone());
                Some(page)
            }
            _ => None,
        }
    }

    /// Reads all that there is now; false if there was a gap.
    pub(crate) async fn read(&mut self, store: &PostgresStore) -> bool {
        while let Some(page) = self.page(store).await {
            assert_eq!(page.skipped, []);
            if !page.has_more {
                return true;
            }
        }
        false
    }

    pub(crate) async fn whole(store: &PostgresStore) -> Self {
        let mut reader = Self::default();
        assert!(reader.read(store).await, "a read of the whole has no gap");
        reader
    }
}

/// Every operation once.
pub(crate) async fn use_all(store: &PostgresStore) {
    append(store, [1]).await;
    let id = RegisterId::Subject(digest(1));
    let advanced = advance(store, id).await;
    let held = Register::new(advanced.version + 1, advanced.at, advanced.until);
    store.restore("feed", &[(id, held)], SystemClock.now()).await.expect("restores");
    let found = store.registers("feed", &[RegisterId::All, id]).await.expect("reads");
    assert_eq!(found[0], None);
    assert!(found[1].is_some_and(|found| found.version > held.version), "{found:?}");
    assert_eq!(Reader::whole(store).await.sessions, BTreeSet::from([1]));
}

/// Inserts a row as the store does, in a transaction that the test commits.
async fn begin(pool: &PgPool, number: u32) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut transaction = pool.begin().await.expect("begins");
    let insert = "INSERT INTO tower_jwt_session_revocations (feed, partition, records) \
                  VALUES ('feed', 1000000000, $1)";
    let insert = sqlx::query(insert).bind(RevokedSession::encode(&[session(number)]));
    insert.execute(&mut *transaction).await.expect("inserts");
    transaction
}

async fn commits_out_of_order_are_all_read(server: &Postgres) {
    let database = server.database().await;
    let (store, pool) = (server.open(&database).await, server.pool(&database));
    append(&store, [0]).await;
    let (first, second) = (begin(&pool, 1).await, begin(&pool, 2).await);
    let mut reader = Reader::whole(&store).await;
    assert_eq!(reader.sessions, BTreeSet::from([0]));
    second.commit().await.expect("commits");
    append(&store, [3]).await;
    assert!(reader.read(&store).await);
    assert_eq!(reader.sessions, BTreeSet::from([0, 2, 3]));
    reader.sessions.clear();
    first.commit().await.expect("commits");
    assert!(reader.read(&store).await);
    assert_eq!(reader.sessions, BTreeSet::from([1]), "what was read comes once");
}

/// Its row is before the pages that are still to come, and behind those that were read.
async fn commit_during_a_read_of_the_whole_is_read(server: &Postgres) {
    let database = server.database().await;
    let (store, pool) = (server.open(&database).await, server.pool(&database));
    let early = begin(&pool, 1_000_000).await;
    append(&store, 0..90_000).await;
    let late = begin(&pool, 1_000_001).await;
    let id = RegisterId::Subject(digest(1));
    let before = advance(&store, id).await;
    let mut reader = Reader::default();
    assert!(reader.page(&store).await.expect("no gap").has_more);
    early.commit().await.expect("commits");
    late.commit().await.expect("commits");
    append(&store, [90_000]).await;
    let after = advance(&store, id).await;
    assert!(reader.read(&store).await);
    assert_eq!(reader.sessions, (0..90_001).chain([1_000_000, 1_000_001]).collect());
    assert_eq!(reader.registers, [(id, before), (id, after)], "in their order, each once");
}

async fn open_transaction_in_another_database_holds_nothing_back(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let elsewhere = server.pool("postgres");
    let mut open = elsewhere.begin().await.expect("begins");
    let write = sqlx::query("SELECT pg_current_xact_id()").execute(&mut *open).await;
    write.expect("it has an ID");
    let mut reader = Reader::whole(&store).await;
    for number in 0..3 {
        append(&store, [number]).await;
        assert!(reader.read(&store).await);
        assert!(reader.sessions.contains(&number));
    }
    open.rollback().await.expect("ends");
}

async fn pages_are_small_and_lose_nothing(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let mut follower = Reader::whole(&store).await;
    append(&store, 0..100_000).await;
    for number in 100_000..100_020 {
        append(&store, [number]).await;
    }
    for reader in [&mut follower, &mut Reader::default()] {
        let mut pages = 0;
        loop {
            let page = reader.page(&store).await.expect("no gap");
            assert!(page.sessions.len() * 26 <= 1 << 20, "{}", page.sessions.len());
            pages += 1;
            if !page.has_more {
                break;
            }
        }
        assert_eq!(reader.sessions, (0..100_020).collect());
        assert!((3..=5).contains(&pages), "{pages}");
    }
}

async fn concurrent_writers_lose_nothing_for_concurrent_readers(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let ended = Arc::new(AtomicBool::new(false));
    let stores = [(); 4].map(|()| {
        // All wait for each other here, on a machine that may be busy.
        let patient = PgPoolOptions::new().max_connections(5).acquire_timeout(PROMPT);
        PostgresStore::new(patient.connect_lazy_with(server.options(&database)))
    });
    let writers = (0..20).map(|writer| {
        let store = stores[writer as usize % stores.len()].clone();
        tokio::spawn(async move {
            for batch in 0..50 {
                let first = writer * 10_000 + batch * 100;
                append(&store, first..first + 1 + batch * 2).await;
                advance(&store, RegisterId::Subject(digest(writer % 5))).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let readers = [(); 3].map(|()| {
        let (store, ended) = (store.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut reader = Reader::default();
            loop {
                let is_last = ended.load(Ordering::SeqCst);
                assert!(reader.read(&store).await, "no gap");
                tokio::time::sleep(Duration::from_millis(20)).await;
                if is_last {
                    return reader;
                }
            }
        })
    });
    for writer in writers {
        writer.await.expect("writes");
    }
    ended.store(true, Ordering::SeqCst);
    let written = |writer: u32| {
        (0..50).flat_map(move |batch| {
            let first = writer * 10_000 + batch * 100;
            first..first + 1 + batch * 2
        })
    };
    let expected: BTreeSet<u32> = (0..20).flat_map(written).collect();
    for reader in readers {
        let reader = reader.await.expect("reads");
        assert_eq!(reader.sessions, expected);
        assert_eq!(reader.registers.len(), 1000, "each once");
        for subject in 0..5 {
            let of = |(id, _): &&(_, _)| *id == RegisterId::Subject(digest(subject));
            let risen = reader.registers.iter().filter(of).map(|(_, register)| register.version);
            assert!(risen.is_sorted_by(|before, after| before < after), "in their order");
        }
    }
}

async fn expired_rows_are_deleted_in_passing(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let now = SystemClock.now();
    let past = RevokedSession::new(digest(1), now - 2 * HOUR);
    let later = session(2);
    store.append("feed", &[past], now).await.expect("appends");
    store.append("other", &[past], now).await.expect("appends");
    // Both in one row: kept until the latest has expired.
    store.append("feed", &[past, later], now).await.expect("appends");
    let old = Register::new(5, now - 3 * HOUR, now - 2 * HOUR);
    let ids = [RegisterId::Subject(digest(1)), RegisterId::All];
    let kept = Register::new(5, now - 3 * HOUR, now + HOUR);
    store.restore("feed", &[(ids[0], old), (ids[1], kept)], now).await.expect("restores");
    let expected = [None, Some(kept)];
    assert_eq!(store.registers("feed", &ids).await.expect("reads"), expected);
    let mut reader = Reader::whole(&store).await;

    // Another process holds the lock: it deletes, not we.
    let mut holder = server.pool(&database).begin().await.expect("begins");
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(5901689979677667240)");
    lock.execute(&mut *holder).await.expect("locks");
    let count = async |table: &str| {
        server.ask(&database, &format!("SELECT count(*) FROM tower_jwt_session_{table}")).await
    };
    let before = count("revocations").await;
    // A store of its own has not looked yet.
    append(&PostgresStore::new(server.pool(&database)), [3]).await;
    assert_eq!(count("revocations").await, before + 1);
    holder.rollback().await.expect("ends");
    append(&PostgresStore::new(server.pool(&database)), [4]).await;
    assert_eq!(count("revocations").await, 4, "a row of both, a register, and two sessions");
    assert_eq!(count("registers").await, 1);
    assert_eq!(store.registers("feed", &ids).await.expect("reads"), expected);
    assert!(reader.read(&store).await, "what has expired leaves no gap");
    assert_eq!(reader.sessions, BTreeSet::from([1, 2, 3, 4]));
}

async fn hints_are_few_and_wake_readers(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [0]).await;
    store.changed("feed").await.expect("listens");
    let mut listener = PgListener::connect_with(&server.pool(&database)).await.expect("connects");
    listener.listen("tower_jwt_session").await.expect("listens");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = std::time::Instant::now();
    let writers = (1..5).map(|writer: u32| {
        let store = PostgresStore::new(server.pool(&database));
        tokio::spawn(async move {
            for number in 0..50 {
                append(&store, [writer * 1000 + number]).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("writes");
    }
    let most = 1 + began.elapsed().as_millis() / 450;
    let woken = timeout(PROMPT, store.changed("feed")).await;
    woken.expect("is woken").expect("listens");
    let mut hints = 0;
    // As long as the last hint keeps back the next.
    while let Ok(hint) = timeout(Duration::from_millis(500), listener.recv()).await {
        assert_eq!(hint.expect("listens").payload(), "feed");
        hints += 1;
    }
    assert!((1..=most).contains(&hints), "{hints}, expected at most {most}");
    // A register and a restoration hint as well; one that changes nothing does not.
    let id = RegisterId::All;
    let register = advance(&store, id).await;
    let hint = timeout(PROMPT, listener.recv()).await.expect("in time");
    hint.expect("is notified");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = [(id, register)];
    store.restore("feed", &held, SystemClock.now()).await.expect("restores");
    let none = timeout(Duration::from_millis(300), listener.recv()).await;
    assert!(none.is_err(), "{none:?}");
}

async fn rows_that_are_no_records_are_skipped(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [0]).await;
    for records in ["''", "'x'", "'\\x0201'", "'\\x01ff'", "convert_to(repeat('x', 70000), 'UTF8')"]
    {
        let plant = "INSERT INTO tower_jwt_session_revocations (feed, partition, records)";
        server.send(&database, &format!("{plant} VALUES ('feed', 1000000000, {records})")).await;
    }
    append(&store, [1]).await;
    let mut reader = Reader::default();
    let page = reader.page(&store).await.expect("no gap");
    assert_eq!(reader.sessions, BTreeSet::from([0, 1]));
    assert_eq!((page.skipped.len(), page.newer_format), (5, Some(120)));
    let long = page.skipped.last().expect("five are skipped");
    assert!(long.reason.contains("65536"), "{long:?}");
    assert!(long.name.contains("tower_jwt_session_revocations row"), "{long:?}");
    assert!(!page.has_more);
    assert!(reader.page(&store).await.expect("no gap").skipped.is_empty());
}

async fn stricter_isolation_loses_nothing(server: &Postgres) {
    for isolation in ["repeatable read", "serializable"] {
        let database = server.database().await;
        server.open(&database).await;
        let options = server.options(&database);
        let options = options.options([("default_transaction_isolation", isolation)]);
        let stores = [(); 3].map(|()| PostgresStore::new(server.pool_of(options.clone())));
        let mut reader = Reader::default();
        assert!(reader.read(&stores[0]).await);
        for round in 0..20 {
            let writes = [0, 1].map(|writer: usize| {
                let store = stores[writer].clone();
                tokio::spawn(async move {
                    append(&store, [round * 2 + writer as u32]).await;
                    advance(&store, RegisterId::All).await;
                })
            });
            assert!(reader.read(&stores[2]).await);
            for write in writes {
                write.await.expect("writes");
            }
        }
        assert!(reader.read(&stores[2]).await);
        assert_eq!(reader.sessions, (0..40).collect());
        assert_eq!(reader.registers.len(), 40);
        eventually("a whole is the same", async || {
            Reader::whole(&stores[0]).await.sessions == reader.sessions
        })
        .await;
    }
}
