//! Feeds of revocations in Redis or Valkey: what the server can lose, and what its scripts compute.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::{ToRedisArgs, cmd};
use tokio::time::{sleep, timeout};
use tower_jwt_session::store::{
    Advance, Cursor, Digest, FeedPage, FeedRead, Register, RegisterId, RevocationStore,
    RevokedSession, Store,
};
use tower_jwt_session::{Clock, SystemClock, Timestamp};

use crate::failover::RELIED_ON;
use crate::forwarder::Forwarder;
use crate::redis::{Redis, open_as};
use crate::scenarios::PROMPT;
use crate::{Backend, Test, block_on};

pub(crate) fn all() -> Vec<Test<Redis>> {
    macro_rules! tests {
        ($($test:ident)+) => {
            vec![$((stringify!($test), |server: Arc<Redis>| block_on($test(&server)))),+]
        };
    }
    tests! {
        feed_is_read_whole_and_onwards_in_pages
        feed_of_an_emptied_server_is_a_gap
        feed_of_an_older_copy_is_a_gap
        feed_after_a_restart_is_a_gap_and_complete
        feed_at_a_promoted_server_is_a_gap
        feed_without_one_of_its_logs_is_a_gap_once
        feed_that_lost_its_state_is_a_gap_and_works_on
        feed_recorded_again_after_a_loss_has_its_registers
        feed_with_an_expired_log_is_no_gap
        feed_over_many_logs_loses_nothing
        feed_expires_with_its_records
        feed_with_unknown_entries_shows_the_others
        feed_registers_rise_for_concurrent_writers
        feed_registers_advance_as_the_reference_does
        feed_registers_are_restored_as_the_reference_does
        feed_hints_come_at_most_twice_a_second
        feed_needs_only_the_smallest_rights
        feed_without_the_right_to_append_fails_without_a_session_too
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn digest(number: u64) -> Digest {
    let mut digest = [0; 16];
    // The first bits differ, too.
    digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    digest[8..].copy_from_slice(&number.to_be_bytes());
    digest
}

fn session(number: u64) -> RevokedSession {
    RevokedSession::new(digest(number), now() + HOUR * 24)
}

pub(crate) fn advance(id: RegisterId) -> Advance {
    Advance::new(id, 0, now(), now() + HOUR * 24, now())
}

pub(crate) async fn append(store: &impl RevocationStore, numbers: impl IntoIterator<Item = u64>) {
    let sessions: Vec<_> = numbers.into_iter().map(session).collect();
    store.append("feed", &sessions, now()).await.expect("appends");
}

/// Reads to the end; `None` is a gap.
pub(crate) async fn read(
    store: &impl RevocationStore,
    cursor: Option<&Cursor>,
) -> Option<FeedPage> {
    let mut cursor = cursor.cloned();
    let mut all = FeedPage::new(Cursor::new([], []));
    loop {
        let page = match store.read_feed("feed", cursor.as_ref()).await.expect("reads") {
            FeedRead::Page(page) => page,
            FeedRead::Gap => return None,
            other => panic!("{other:?}"),
        };
        all.sessions.extend(page.sessions);
        all.registers.extend(page.registers);
        all.skipped.extend(page.skipped);
        all.cursor = page.cursor.clone();
        cursor = Some(page.cursor);
        if !page.has_more {
            return Some(all);
        }
    }
}

pub(crate) async fn page(store: &impl RevocationStore, cursor: Option<&Cursor>) -> FeedPage {
    read(store, cursor).await.expect("no gap")
}

pub(crate) fn digests(page: &FeedPage) -> BTreeSet<Digest> {
    page.sessions.iter().map(|session| session.digest).collect()
}

pub(crate) fn set(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Digest> {
    numbers.into_iter().map(digest).collect()
}

fn key(name: &str) -> String {
    format!("{{tower-jwt-session:feed:0}}:{name}")
}

fn register_key(number: u64) -> String {
    let digest = digest(number).map(|byte| format!("{byte:02x}")).concat();
    key(&format!("register:subject:{digest}"))
}

impl Redis {
    async fn field(&self, database: &str, field: &str) -> String {
        self.send(database, cmd("HGET").arg(key("state")).arg(field)).await
    }

    async fn set_field(&self, database: &str, field: &str, value: impl ToRedisArgs) {
        let mut set = cmd("HSET");
        let _: usize = self.send(database, set.arg(key("state")).arg(field).arg(value)).await;
    }

    async fn last_log(&self, database: &str) -> String {
        key(&format!("log:{}", self.field(database, "last").await))
    }

    async fn delete(&self, database: &str, key: &str) {
        let deleted: usize = self.send(database, cmd("DEL").arg(key)).await;
        assert_eq!(deleted, 1, "{key}");
    }

    /// The next write begins another log, as an hour later.
    async fn begin_log(&self, database: &str) {
        self.set_field(database, "started", 0).await;
    }
}

async fn feed_is_read_whole_and_onwards_in_pages(server: &Redis) {
    let database = server.database().await;
    let (one, two) = (server.open(&database).await, server.open(&database).await);
    let empty = page(&two, None).await;
    assert!(empty.is_empty());
    append(&one, 0..100_000).await;
    let mut pages = 0;
    let mut cursor = empty.cursor.clone();
    let mut all = BTreeSet::new();
    loop {
        let FeedRead::Page(page) = two.read_feed("feed", Some(&cursor)).await.expect("reads")
        else {
            panic!("a gap")
        };
        assert!(page.sessions.len() * 26 < 1_100_000, "{}", page.sessions.len());
        all.extend(digests(&page));
        (cursor, pages) = (page.cursor, pages + 1);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(all, set(0..100_000));
    assert_eq!(pages, 3);
    for number in 100_000..100_010 {
        append(&one, [number]).await;
        let next = page(&two, Some(&cursor)).await;
        assert_eq!(digests(&next), set([number]));
        cursor = next.cursor;
    }
    assert!(page(&two, Some(&cursor)).await.is_empty());
    assert_eq!(digests(&page(&one, None).await).len(), 100_010);
    let sixty = digests(&page(&one, Some(&empty.cursor)).await);
    assert_eq!(sixty, set(0..100_010));
}

async fn feed_of_an_emptied_server_is_a_gap(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let cursor = page(&store, None).await.cursor;
    server.empty(&database).await;
    assert!(read(&store, Some(&cursor)).await.is_none());
    server.empty(&database).await;
    append(&store, [2, 3]).await;
    assert!(read(&store, Some(&cursor)).await.is_none());
    assert_eq!(digests(&page(&store, None).await), set([2, 3]));
}

/// In the same process, so that only the data show it.
async fn feed_of_an_older_copy_is_a_gap(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let older = page(&store, None).await.cursor;
    let mut copy = Vec::<(String, Vec<u8>)>::new();
    for key in server.send::<Vec<String>>(&database, cmd("KEYS").arg("*log*")).await {
        let value = server.send(&database, cmd("DUMP").arg(&key)).await;
        copy.push((key, value));
    }
    let state: Vec<(String, String)> =
        server.send(&database, cmd("HGETALL").arg(key("state"))).await;
    append(&store, [2]).await;
    let newer = page(&store, None).await.cursor;
    for (key, value) in copy {
        let mut restore = cmd("RESTORE");
        restore.arg(&key).arg(0).arg(value).arg("REPLACE");
        let _: () = server.send(&database, &restore).await;
    }
    for (field, value) in &state {
        server.set_field(&database, field, value).await;
    }
    assert!(read(&store, Some(&newer)).await.is_none(), "its end is below the cursor");
    // As many bytes again, and more.
    sleep(Duration::from_millis(5)).await;
    append(&store, [3]).await;
    assert!(read(&store, Some(&newer)).await.is_none(), "another entry is at the cursor");
    append(&store, [4]).await;
    assert!(read(&store, Some(&newer)).await.is_none(), "another entry is at the cursor");
    assert_eq!(digests(&page(&store, Some(&older)).await), set([3, 4]));
}

async fn feed_after_a_restart_is_a_gap_and_complete(_: &Redis) {
    let mut server = Redis::start().await;
    let store = server.open("0").await;
    append(&store, [1]).await;
    let register = store.advance("feed", &advance(RegisterId::All)).await.expect("advances");
    let cursor = page(&store, None).await.cursor;
    server.kill();
    store.read_feed("feed", Some(&cursor)).await.expect_err("no server");
    server.restart().await;
    assert!(read(&store, Some(&cursor)).await.is_none());
    let whole = page(&store, None).await;
    assert_eq!(digests(&whole), set([1]));
    assert_eq!(whole.registers, [(RegisterId::All, register)]);
}

async fn feed_at_a_promoted_server_is_a_gap(_: &Redis) {
    let (old, new) = Redis::pair().await;
    let address = Forwarder::to(old.port()).await;
    let store = old.open_at("0", address.port).await;
    append(&store, [1]).await;
    let cursor = page(&store, None).await.cursor;
    new.caught_up(&old).await;
    new.promote().await;
    address.move_to(new.port());
    sleep(RELIED_ON).await;
    assert!(read(&store, Some(&cursor)).await.is_none());
    let whole = page(&store, None).await;
    assert_eq!(digests(&whole), set([1]));
    append(&store, [2]).await;
    assert_eq!(digests(&page(&store, Some(&whole.cursor)).await), set([2]));
    let at_new = new.open_at("0", new.port()).await;
    assert_eq!(digests(&page(&at_new, None).await), set([1, 2]));
}

async fn feed_without_one_of_its_logs_is_a_gap_once(server: &Redis) {
    for written in [false, true] {
        for is_last in [false, true] {
            let database = server.database().await;
            let store = server.open(&database).await;
            append(&store, [1]).await;
            let first = server.last_log(&database).await;
            server.begin_log(&database).await;
            append(&store, [2]).await;
            let last = server.last_log(&database).await;
            assert_ne!(first, last);
            let cursor = page(&store, None).await.cursor;
            server.delete(&database, if is_last { &last } else { &first }).await;
            if written {
                append(&store, [3]).await;
            }
            if !is_last {
                // It is not the log of the cursor: it is looked for every 10 seconds.
                server.set_field(&database, "checked", 0).await;
            }
            assert!(read(&store, Some(&cursor)).await.is_none(), "{written} {is_last}");
            let mut left = set(if is_last { [1] } else { [2] });
            if written {
                left.extend(set([3]));
            }
            let whole = page(&store, None).await;
            assert_eq!(digests(&whole), left);
            append(&store, [4]).await;
            let next = page(&store, Some(&whole.cursor)).await;
            assert_eq!(digests(&next), set([4]));
        }
    }
}

async fn feed_that_lost_its_state_is_a_gap_and_works_on(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    for round in 0..5 {
        append(&store, [round]).await;
        let cursor = page(&store, None).await.cursor;
        server.delete(&database, &key("state")).await;
        if round % 2 == 0 {
            assert!(read(&store, Some(&cursor)).await.is_none());
        }
        // Its log may have a key that is taken: then the one after it is used.
        for _ in 0..10 {
            if store.append("feed", &[session(100 + round)], now()).await.is_ok() {
                break;
            }
        }
        assert!(read(&store, Some(&cursor)).await.is_none());
        assert!(digests(&page(&store, None).await).contains(&digest(100 + round)));
    }
}

/// A register outlives the log with its record. Who restores what it holds brings it back there.
async fn feed_recorded_again_after_a_loss_has_its_registers(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let id = RegisterId::Subject(digest(1));
    let held = store.advance("feed", &advance(id)).await.expect("advances");
    let whole = page(&store, None).await;
    store.restore("feed", &[(id, held)], now()).await.expect("restores");
    assert!(page(&store, Some(&whole.cursor)).await.is_empty(), "nothing was lost");
    let log = server.last_log(&database).await;
    server.delete(&database, &log).await;
    assert!(read(&store, Some(&whole.cursor)).await.is_none());
    assert!(page(&store, None).await.is_empty());
    assert_eq!(store.registers("feed", &[id]).await.expect("reads"), [Some(held)]);
    store.restore("feed", &[(id, held)], now()).await.expect("restores");
    assert_eq!(page(&store, None).await.registers, [(id, held)]);
}

async fn feed_with_an_expired_log_is_no_gap(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let mut cursors = Vec::new();
    let mut logs = Vec::new();
    for number in 0..3 {
        append(&store, [number]).await;
        cursors.push(page(&store, None).await.cursor);
        logs.push(server.field(&database, "last").await);
        server.begin_log(&database).await;
    }
    // The second expires before the first.
    for (gone, left) in [(1, set([0, 2])), (0, set([2])), (2, set([]))] {
        let found = server.field(&database, &logs[gone]).await;
        let (_, start) = found.split_once(' ').expect("two numbers");
        server.set_field(&database, &logs[gone], format!("1 {start}")).await;
        server.delete(&database, &key(&format!("log:{}", logs[gone]))).await;
        for checked in ["", "0"] {
            if !checked.is_empty() {
                server.set_field(&database, "checked", checked).await;
            }
            assert_eq!(digests(&page(&store, None).await), left);
            let whole = page(&store, None).await.cursor;
            assert!(page(&store, Some(&whole)).await.is_empty());
            for (number, cursor) in cursors.iter().enumerate() {
                let after = set(number as u64 + 1..3).intersection(&left).copied().collect();
                assert_eq!(digests(&page(&store, Some(cursor)).await), after);
            }
        }
    }
    let whole = page(&store, None).await.cursor;
    append(&store, [4]).await;
    for cursor in cursors.iter().chain([&whole]) {
        assert_eq!(digests(&page(&store, Some(cursor)).await), set([4]));
    }
}

async fn feed_over_many_logs_loses_nothing(server: &Redis) {
    const WRITERS: u64 = 6;
    const EACH: u64 = 150;
    let database = server.database().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS).map(async |_| server.open(&database).await).collect();
    let mut tasks = Vec::new();
    for (writer, store) in writers.into_iter().enumerate() {
        let (store, writer) = (store.await, writer as u64);
        tasks.push(tokio::spawn(async move {
            for number in 0..EACH {
                append(&store, [writer * EACH + number]).await;
            }
        }));
    }
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (store, is_over) = (server.open(&database).await, Arc::clone(&is_over));
        readers.push(tokio::spawn(async move {
            let mut all = page(&store, None).await;
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                let next = page(&store, Some(&all.cursor)).await;
                all.sessions.extend(next.sessions);
                all.cursor = next.cursor;
                if was_over {
                    return all.sessions.len();
                }
            }
        }));
    }
    let mut begun = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        server.begin_log(&database).await;
        begun += 1;
    }
    for task in tasks {
        task.await.expect("writes");
    }
    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        // Each once: nothing that was written was written again.
        assert_eq!(reader.await.expect("reads") as u64, WRITERS * EACH);
    }
    assert!(begun > 20, "{begun}");
    let logs: Vec<String> = server.send(&database, cmd("KEYS").arg(key("log:*"))).await;
    assert!(logs.len() > 20, "{logs:?}");
    let store = server.open(&database).await;
    assert_eq!(digests(&page(&store, None).await), set(0..WRITERS * EACH));
}

async fn feed_expires_with_its_records(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let (soon, late) = (now() + HOUR * 30, now() + HOUR * 50);
    let expiry = async |key: String| {
        let life: i64 = server.send(&database, cmd("PTTL").arg(key)).await;
        assert!(life > 0, "{life}");
        now() + Duration::from_millis(life as u64)
    };
    let is_about = |expiry: Timestamp, until: Timestamp| {
        let minute = Duration::from_secs(90);
        assert!(expiry + minute > until && until + minute > expiry, "{expiry} {until}");
    };
    store.append("feed", &[RevokedSession::new(digest(1), soon)], now()).await.expect("appends");
    let log = server.last_log(&database).await;
    is_about(expiry(log.clone()).await, soon);
    store.append("feed", &[RevokedSession::new(digest(1), late)], now()).await.expect("appends");
    is_about(expiry(log.clone()).await, late);
    // It is never shortened, and kept for as long as it is written.
    let past = now() - HOUR;
    store.append("feed", &[RevokedSession::new(digest(1), past)], now()).await.expect("appends");
    is_about(expiry(log).await, late);
    server.begin_log(&database).await;
    store.append("feed", &[RevokedSession::new(digest(1), past)], now()).await.expect("appends");
    is_about(expiry(server.last_log(&database).await).await, now() + HOUR);
    // For ever, as far as the server can count.
    let endless = RevokedSession::new(digest(2), Timestamp::MAX);
    store.append("feed", &[endless], now()).await.expect("appends");
    assert_eq!(page(&store, None).await.sessions.last(), Some(&endless));

    let id = RegisterId::Subject(digest(1));
    let request = Advance::new(id, 0, now(), soon, now());
    let advanced = store.advance("feed", &request).await.expect("advances");
    is_about(expiry(register_key(1)).await, soon);
    let held = Register::new(advanced.version, advanced.at, late);
    store.restore("feed", &[(id, held)], now()).await.expect("restores");
    is_about(expiry(register_key(1)).await, late);
    server.delete(&database, &register_key(1)).await;
    assert_eq!(store.registers("feed", &[id]).await.expect("reads"), [None]);
}

async fn feed_with_unknown_entries_shows_the_others(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let log = server.last_log(&database).await;
    let entries: [(&str, &[u8]); 6] = [
        ("28-1", b"\x00nothing of ours"),
        ("28-2", b""),
        ("28-3", b"\x01\x19\x01cut"),
        ("28-4", b"\x02of a newer format"),
        ("28-5", b"\x01\x02\x09\x01"),
        ("28-6", b"\x01\x02\x01\x01"),
    ];
    for (id, value) in entries {
        let mut add = cmd("XADD");
        let _: String = server.send(&database, add.arg(&log).arg(id).arg("r").arg(value)).await;
    }
    let mut add = cmd("XADD");
    add.arg(&log).arg("28-7").arg("other").arg("x").arg("r").arg("y");
    let _: String = server.send(&database, &add).await;
    append(&store, [2]).await;
    let FeedRead::Page(page) = store.read_feed("feed", None).await.expect("reads") else {
        panic!("a gap")
    };
    assert_eq!(digests(&page), set([1, 2]));
    assert_eq!(page.newer_format, Some(2));
    assert_eq!(page.skipped.len(), 7, "{:?}", page.skipped);
    assert!(page.skipped.iter().all(|skipped| skipped.name.starts_with(&log)));
    // A register that is none counts as none.
    let id = RegisterId::Subject(digest(1));
    let _: usize = server.send(&database, cmd("RPUSH").arg(register_key(1)).arg("x")).await;
    assert_eq!(store.registers("feed", &[id]).await.expect("reads"), [None]);
    let advanced = store.advance("feed", &advance(id)).await.expect("advances");
    assert_eq!(store.registers("feed", &[id]).await.expect("reads"), [Some(advanced)]);
    // An entry after which none can be added ends its log.
    let mut add = cmd("XADD");
    let _: String = server.send(&database, add.arg(&log).arg("*").arg("r").arg("x")).await;
    let mut failures = 0;
    while store.append("feed", &[session(3)], now()).await.is_err() {
        failures += 1;
        assert!(failures < 3);
    }
    assert!(digests(&self::page(&store, None).await).is_superset(&set([1, 2, 3])));
}

async fn feed_registers_rise_for_concurrent_writers(server: &Redis) {
    let database = server.database().await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = server.open(&database).await;
        tasks.push(tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..50 {
                let advanced = store.advance("feed", &advance(RegisterId::All)).await;
                versions.push(advanced.expect("advances").version);
            }
            assert!(versions.is_sorted_by(|one, other| one < other));
            versions
        }));
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        all.extend(task.await.expect("advances"));
    }
    assert_eq!(all.len(), 200, "each gets its own");
    let store = server.open(&database).await;
    let read: Vec<_> = page(&store, None).await.registers;
    assert!(read.iter().map(|(_, register)| register.version).eq(all.iter().copied()));
    let last = store.registers("feed", &[RegisterId::All]).await.expect("reads");
    assert_eq!(last, [read.last().map(|(_, register)| *register)]);
}

/// Numbers that are near to what the rules compare, from a seed that is shown.
struct Random(u64);

impl Random {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % below
    }

    fn near(&mut self, values: &[u64]) -> u64 {
        let value = values[self.draw(values.len() as u64) as usize];
        value.saturating_add(self.draw(5)).saturating_sub(2)
    }

    fn version(&mut self, now: u64) -> u64 {
        const DAY: u64 = 86_400_000;
        // The bound moves with the clock, so that no value is at it.
        let values = [0, 1, 1000, now - DAY, now + DAY / 2, now + 2 * DAY, Register::MAX_VERSION];
        self.near(&values).min(Register::MAX_VERSION + 1)
    }

    fn time(&mut self, now: u64) -> Timestamp {
        const DAY: u64 = 86_400_000;
        let values = [0, now - DAY, now - 1000, now + DAY / 2, now + 2 * DAY, (1 << 53) - 5];
        let negative = if self.draw(8) == 0 { -1 } else { 1 };
        Timestamp::from_unix_millis(self.near(&values) as i64 * negative)
    }

    fn register(&mut self, now: u64) -> Register {
        Register::new(self.version(now), self.time(now), self.time(now))
    }
}

/// Puts a value into the place of a register, as one with the record of the last log.
async fn plant(server: &Redis, database: &str, number: u64, stored: Option<Register>) {
    let _: usize = server.send(database, cmd("DEL").arg(register_key(number))).await;
    if let Some(Register { version, at, until, .. }) = stored {
        let last: i64 = server.field(database, "last").await.parse().expect("a number");
        let times = [at.as_unix_millis(), until.as_unix_millis(), last];
        let mut value = version.to_be_bytes().to_vec();
        times.iter().for_each(|time| value.extend(time.to_be_bytes()));
        let _: () = server.send(database, cmd("SET").arg(register_key(number)).arg(value)).await;
    }
}

const ROUNDS: u64 = 400;

async fn feed_registers_advance_as_the_reference_does(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let mut random = Random(now().as_unix_millis() as u64);
    println!("seed {}", random.0);
    let mut refused = 0;
    for round in 0..ROUNDS {
        let near = now().as_unix_millis() as u64;
        let stored = (random.draw(5) > 0).then(|| random.register(near));
        plant(server, &database, round, stored).await;
        let id = RegisterId::Subject(digest(round));
        let above = random.version(near).min(Register::MAX_VERSION);
        let (at, until) = (random.time(near), random.time(near));
        let before = now();
        let request = Advance::new(id, above, at, until, before);
        let answer = store.advance("feed", &request).await;
        let after = now().as_unix_millis();
        // At one of the times in between it was advanced.
        let expected = (before.as_unix_millis()..=after)
            .map(|now| Register::advanced(stored, &request, Timestamp::from_unix_millis(now)));
        match answer {
            Ok(answer) => {
                let expected: Vec<_> = expected.flatten().collect();
                let context = format!("{round}: {stored:?} {request:?} {answer:?}");
                assert!(expected.contains(&answer), "{context}: {:?}", expected.first());
                let held = store.registers("feed", &[id]).await.expect("reads");
                assert_eq!(held, [Some(answer)], "{context}");
            }
            Err(error) => {
                refused += 1;
                let expected: Vec<_> = expected.filter_map(Result::err).collect();
                let texts = expected.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
                assert!(texts.contains(&error.to_string()), "{stored:?} {request:?}: {error}");
            }
        }
    }
    assert!((ROUNDS / 10..ROUNDS * 9 / 10).contains(&refused), "{refused}");
}

async fn feed_registers_are_restored_as_the_reference_does(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let mut random = Random(now().as_unix_millis() as u64);
    println!("seed {}", random.0);
    let near = now().as_unix_millis() as u64;
    let (mut held, mut expected) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut register = random.register(near);
        register.version = register.version.clamp(1, Register::MAX_VERSION);
        let stored = match random.draw(6) {
            0 => None,
            // Nothing, or only the time until when it is kept, is to be changed.
            1 => Some(register),
            2 => Some(Register::new(register.version, register.at, random.time(near))),
            _ => Some(random.register(near)),
        };
        plant(server, &database, round, stored).await;
        let id = RegisterId::Subject(digest(round));
        if let Some(restored) = Register::restored(stored, &register, now()) {
            expected.push((id, restored));
        }
        held.push((id, register));
    }
    let cursor = page(&store, None).await.cursor;
    store.restore("feed", &held, now()).await.expect("restores");
    let written = page(&store, Some(&cursor)).await.registers;
    assert_eq!(written, expected);
    assert!((ROUNDS as usize / 4..ROUNDS as usize).contains(&written.len()), "{}", written.len());
    let ids: Vec<_> = expected.iter().map(|(id, _)| *id).collect();
    let stored = store.registers("feed", &ids).await.expect("reads");
    assert!(
        stored.iter().eq(expected.iter().map(|(_, one)| Some(*one)).collect::<Vec<_>>().iter())
    );
}

async fn feed_hints_come_at_most_twice_a_second(server: &Redis) {
    let database = server.database().await;
    let (writer, reader) = (server.open(&database).await, server.open(&database).await);
    reader.changed("feed").await.expect("listens");
    let began = Instant::now();
    let counted = tokio::spawn(async move {
        let mut hints = 0;
        while timeout(Duration::from_secs(2), reader.changed("feed")).await.is_ok() {
            hints += 1;
        }
        hints
    });
    let mut number = 0;
    while began.elapsed() < Duration::from_secs(2) {
        append(&writer, [number]).await;
        let register = writer.advance("feed", &advance(RegisterId::All)).await;
        register.expect("advances");
        number += 1;
    }
    let lasted = began.elapsed();
    let hints = counted.await.expect("counts");
    let most = lasted.as_millis() / 450 + 1;
    assert!((3..=most).contains(&hints), "{hints} of {} in {lasted:?}", 2 * number);
}

async fn feed_needs_only_the_smallest_rights(server: &Redis) {
    const COMMANDS: &str = "+eval +hget +hmget +hset +hdel +hexists +exists +get +mget +set \
                            +pexpireat +xadd +xrange +time +info";
    let keys = "~{tower-jwt-session:feed:*}:*";
    let rights = format!("{keys} &tower-jwt-session:changed +publish +subscribe +ping {COMMANDS}");
    let able = open_as(server, "reader", &rights).await;
    let mute = open_as(server, "writer", &format!("{keys} resetchannels {COMMANDS}")).await;
    able.changed("feed").await.expect("listens");
    let id = RegisterId::Stale(digest(1));
    for store in [&able, &mute] {
        let whole = page(store, None).await;
        append(store, [1]).await;
        let register = store.advance("feed", &advance(id)).await.expect("advances");
        store.restore("feed", &[(id, register)], now()).await.expect("restores");
        assert_eq!(store.registers("feed", &[id]).await.expect("reads"), [Some(register)]);
        let next = page(store, Some(&whole.cursor)).await;
        assert_eq!((digests(&next), next.registers), (set([1]), vec![(id, register)]));
        let database = "0";
        server.begin_log(database).await;
        server.set_field(database, "checked", 0).await;
    }
    timeout(PROMPT, able.changed("feed")).await.expect("is notified").expect("listens");
    able.read_feed("other", None).await.expect_err("may not");
}

async fn feed_without_the_right_to_append_fails_without_a_session_too(server: &Redis) {
    const COMMANDS: &str = "+eval +hget +hmget +hset +hdel +hexists +exists +set +pexpireat \
                            +xrange +time +info +subscribe +ping";
    // The database and its channel are another test's, too.
    const FEED: &str = "unappended";
    let keys = format!("~{{tower-jwt-session:{FEED}:*}}:*");
    let rights = format!("{keys} &tower-jwt-session:changed +publish {COMMANDS}");
    let able = open_as(server, "appends", &format!("{rights} +xadd")).await;
    able.changed(FEED).await.expect("listens");
    able.append(FEED, &[], now()).await.expect("appends");
    timeout(Duration::from_secs(1), able.changed(FEED)).await.expect_err("nobody is notified");
    let unable = open_as(server, "reads", &rights).await;
    unable.read_feed(FEED, None).await.expect("reads");
    for sessions in [&[][..], &[session(1)]] {
        let refused = unable.append(FEED, sessions, now()).await.expect_err("may not");
        assert!(refused.to_string().contains("append to the feed unappended"), "{refused}");
    }
}
