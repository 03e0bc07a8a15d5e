//! Scenarios for several Redis servers that belong together, of which one takes over from another.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, cmd};
use tokio::time::{sleep, timeout};
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedRead, Insertion, Loaded, Redeemed, Redemption,
    RedisStore, RefreshTokenStore, Register, RegisterId, RevocationStore, RevokedSession, Store,
    StoreFuture, StoreProperties,
};
use tower_jwt_session::testing::store_contract;
use tower_jwt_session::{Clock, Login, Revocations, SystemClock, Timestamp};

use crate::connection::connect;
use crate::dying_writers::writers_that_die_leave_whole_records;
use crate::failover::RELIED_ON;
use crate::redis_feed::{self, digests, set};
use crate::revocations::{is_refused, replica};
use crate::rings;
use crate::scenarios::{PROMPT, eventually};
use crate::server::{Programs, Server, ServerKind};
use crate::support::entries::{content, held, insert, last, redeem};
use crate::{Test, block_on};

/// What shows nowhere.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple";

pub(crate) trait Group: Sized + Send + Sync + 'static {
    const KIND: ServerKind;

    fn of(server: Server) -> Self;
    /// Opens a store with connections of its own.
    async fn try_open(&self) -> Result<RedisStore, tower_jwt_session::store::StoreError>;
    /// The ports of the servers that have data.
    async fn servers(&self) -> Vec<u16>;
    /// The port of the server that takes writes about a ring, if one does.
    async fn master(&self, ring: &str) -> Option<u16>;
    /// Takes the ring's master out of the group, although it goes on to take writes of clients, and waits
    /// until there is another. Keeps what it returns alive.
    async fn isolate(&self, master: u16) -> Box<dyn Send>;

    async fn start() -> Self {
        Self::of(Server::start(Self::KIND, PASSWORD).await.expect("starts"))
    }

    /// Opens a store that knows an isolated old master best.
    async fn open_at(&self, _old: u16) -> RedisStore {
        self.open().await
    }

    async fn open(&self) -> RedisStore {
        self.try_open().await.expect("connects")
    }

    /// The master that a ring has when it is another than that.
    async fn successor(&self, ring: &str, old: u16) -> u16 {
        let new = async || self.master(ring).await.filter(|master| *master != old);
        eventually("another master is there", async || new().await.is_some()).await;
        new().await.expect("it was there")
    }
}

pub(crate) fn installed() -> Result<(), String> {
    Programs::find(ServerKind::Redis).map(drop)
}

pub(crate) fn all<G: Group>() -> Vec<Test<G>> {
    macro_rules! contract {
        ($suite:ident, $empty_store:path: $($promise:ident)+) => {
            [$((concat!("contract::", stringify!($promise)), |group: Arc<G>| {
                block_on(async {
                    let open = $empty_store(&*group, stringify!($promise));
                    store_contract::$suite::$promise(open).await;
                });
            })),+]
        };
    }
    let of_stores: [Test<G>; 14] = store_contract::store_tests!(renamed, contract!);
    let of_refresh_tokens: [Test<G>; 6] =
        store_contract::refresh_token_store_tests!(renamed, contract!);
    let of_revocations: [Test<G>; 18] = store_contract::revocation_store_tests!(renamed, contract!);
    let more: [Test<G>; 10] = [
        ("writers_that_die_leave_whole_records", |group| {
            block_on(writers_that_die_leave_whole_records(renamed(&*group, "dying")));
        }),
        ("failover_restores_an_acknowledged_revocation_that_it_lost", |_: Arc<G>| {
            block_on(failover_restores_a_lost_revocation::<G>());
        }),
        ("a_cursor_of_another_store_is_a_gap", |group| {
            block_on(a_cursor_of_another_store_is_a_gap(&*group));
        }),
        ("hints_are_at_most_about_two_a_second", |group| {
            block_on(async {
                let open = renamed(&*group, "hints");
                store_contract::revocation_store::hints_are_at_most_about_two_a_second(open).await;
            });
        }),
        ("feed_is_read_in_all_its_shards", |group| block_on(feed_is_read_in_all_shards(&*group))),
        ("feed_after_a_failover_is_a_gap_and_works_on", |_: Arc<G>| {
            block_on(feed_after_a_failover_is_a_gap::<G>());
        }),
        ("changes_of_all_rings_are_pushed", |group| block_on(changes_are_pushed(&*group))),
        ("a_logout_is_pushed", |group| block_on(a_logout_is_pushed(&*group))),
        ("failover_a_killed_master_has_a_successor", |_: Arc<G>| {
            block_on(a_killed_master_has_a_successor::<G>());
        }),
        ("failover_an_isolated_old_master_is_left", |_: Arc<G>| {
            block_on(an_isolated_old_master_is_left::<G>());
        }),
    ];
    let of_rings = of_stores.into_iter().chain(of_refresh_tokens);
    of_rings.chain(of_revocations).chain(more).collect()
}

async fn a_cursor_of_another_store_is_a_gap<G: Group>(group: &G) {
    let other = G::start().await;
    let (one, other) = (renamed(group, "cursor"), renamed(&other, "cursor"));
    store_contract::revocation_store::a_cursor_of_another_store_is_a_gap(one, other).await;
}

async fn feed_is_read_in_all_shards<G: Group>(group: &G) {
    let (one, two) = (group.open().await, group.open().await);
    two.changed("feed").await.expect("listens");
    let empty = redis_feed::page(&two, None).await;
    redis_feed::append(&one, 0..5000).await;
    timeout(PROMPT, two.changed("feed")).await.expect("is notified").expect("listens");
    let whole = redis_feed::page(&two, None).await;
    assert_eq!(digests(&whole), set(0..5000));
    assert_eq!(digests(&redis_feed::page(&two, Some(&empty.cursor)).await), set(0..5000));
    let ids = (0..100).map(|number| RegisterId::Subject(redis_feed::digest(number)));
    let ids: Vec<_> = ids.chain([RegisterId::All]).collect();
    let mut advanced = Vec::new();
    for id in &ids {
        let register = one.advance("feed", &redis_feed::advance(*id)).await.expect("advances");
        advanced.push((*id, register));
    }
    let stored = two.registers("feed", &ids).await.expect("reads");
    assert!(stored.iter().eq(&advanced.iter().map(|(_, one)| Some(*one)).collect::<Vec<_>>()));
    let mut next = redis_feed::page(&two, Some(&whole.cursor)).await;
    next.registers.sort_by_key(|(id, _)| *id);
    advanced.sort_by_key(|(id, _)| *id);
    assert_eq!(next.registers, advanced);
    one.restore("feed", &advanced, SystemClock.now()).await.expect("restores");
    assert!(redis_feed::page(&two, Some(&next.cursor)).await.is_empty());
}

async fn feed_after_a_failover_is_a_gap<G: Group>() {
    let group = G::start().await;
    let store = group.open().await;
    redis_feed::append(&store, 0..1000).await;
    let register = redis_feed::advance(RegisterId::All);
    let register = store.advance("feed", &register).await.expect("advances");
    let cursor = redis_feed::page(&store, None).await.cursor;
    let old = group.master("feed:0").await.expect("a master");
    replicated(old).await;
    kill(old).await;
    eventually("the feed is read again", async || {
        store.read_feed("feed", Some(&cursor)).await.is_ok()
    })
    .await;
    assert!(redis_feed::read(&store, Some(&cursor)).await.is_none());
    let whole = redis_feed::page(&store, None).await;
    assert_eq!(digests(&whole), set(0..1000));
    assert_eq!(whole.registers, [(RegisterId::All, register)]);
    redis_feed::append(&store, 1000..2000).await;
    let next = redis_feed::page(&store, Some(&whole.cursor)).await;
    assert_eq!(digests(&next), set(1000..2000));
}

/// A store whose rings have other names: all tests share one database.
#[derive(Debug)]
struct Renamed {
    store: RedisStore,
    prefix: &'static str,
}

impl Renamed {
    fn ring(&self, ring: &str) -> String {
        format!("{}.{ring}", self.prefix)
    }
}

impl Store for Renamed {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move { self.store.load(&self.ring(ring)).await })
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move { self.store.read(&self.ring(ring), names).await })
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move { self.store.insert(&self.ring(ring), entry).await })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.store.remove(&self.ring(ring), name).await })
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.store.changed(&self.ring(ring)).await })
    }

    fn properties(&self) -> StoreProperties {
        self.store.properties()
    }
}

impl RefreshTokenStore for Renamed {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move { self.store.redeem(&self.ring(ring), redemption).await })
    }
}

impl RevocationStore for Renamed {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.store.append(&self.ring(feed), sessions, now).await })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move { self.store.advance(&self.ring(feed), advance).await })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.store.restore(&self.ring(feed), held, now).await })
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        Box::pin(async move { self.store.registers(&self.ring(feed), ids).await })
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move { self.store.read_feed(&self.ring(feed), cursor).await })
    }
}

fn renamed<G: Group>(group: &G, prefix: &'static str) -> impl AsyncFn() -> Renamed {
    async move || Renamed { store: group.open().await, prefix }
}

/// Also of a ring whose slot is at another node than the connection that listens.
async fn changes_are_pushed<G: Group>(group: &G) {
    let (one, two) = (group.open().await, group.open().await);
    let rings = ["pushed-a", "pushed-b", "pushed-c", "pushed-d"];
    let quiet = async |ring| {
        while timeout(Duration::from_millis(300), two.changed(ring)).await.is_ok() {}
    };
    for ring in rings {
        quiet(ring).await;
        for round in 0..5 {
            insert(&one, ring, &format!("a-{round}"), b"1").await;
            let notified = timeout(PROMPT, two.changed(ring)).await;
            notified.expect("is notified").expect("listens");
        }
    }
    insert(&one, rings[0], "a-0", b"2").await;
    insert(&one, rings[1], "b", b"1").await;
    let changed = timeout(Duration::from_millis(300), two.changed(rings[0])).await;
    changed.expect_err("nothing has changed");
}

async fn a_logout_is_pushed<G: Group>(group: &G) {
    let (one, two) = (replica(group.open().await).await, replica(group.open().await).await);
    for _ in 0..5 {
        let token = one.issue(&Login::new("alice", ())).expect("a key signs");
        let token = token.as_str();
        let session = one.validate(token).expect("a good token");
        one.logout(&session).await.expect("is recorded");
        eventually("the other refuses it", async || is_refused(&two, token)).await;
    }
}

/// It is killed, which cleans nothing up. Replicas serve on, find the new master, which has what they
/// wrote, and restore what it does not have.
async fn a_killed_master_has_a_successor<G: Group>() {
    const RING: &str = "killed";
    let group = G::start().await;
    let store = group.open().await;
    let keys = rings::open(RING, store.clone(), rings::hardly_polled(), SystemClock).await;
    let sessions = replica(store.clone()).await;
    let token = sessions.issue(&Login::new("alice", ())).expect("a key signs");
    redeem(&store, RING, "family", 0, 1).await;
    store.changed(RING).await.expect("listens");
    let before = content(&store, RING).await;
    assert!(before.len() > 1, "{before:?}");
    let old = group.master(RING).await.expect("a master");

    // One that may evict entries is refused.
    let set = |policy| cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg(policy).take();
    let _: () = send(old, &set("allkeys-lru")).await.expect("is set");
    let refused = group.try_open().await.expect_err("it may evict").to_string();
    assert!(refused.contains("is allkeys-lru, expected noeviction"), "{refused}");
    let _: () = send(old, &set("noeviction")).await.expect("is set");

    replicated(old).await;
    kill(old).await;
    let killed = Instant::now();
    store.load(RING).await.expect_err("it is dead");
    sessions.validate(token.as_str()).expect("it needs no store");
    keys.ready().expect("it needs no store");
    eventually("another master is read", async || store.load(RING).await.is_ok()).await;
    eprintln!("{}: read again after {:?}", G::KIND, killed.elapsed());
    let new = group.successor(RING, old).await;
    assert_eq!(content(&store, RING).await, before);
    assert_eq!(insert(&store, RING, "after", b"1").await, Insertion::Inserted);
    assert_eq!(redeem(&store, RING, "family", 0, 3).await, last(0, 1));
    assert_eq!(redeem(&store, RING, "family", 1, 4).await, last(1, 4));

    // What was acknowledged and lost is restored.
    let _: () = send(new, cmd("DEL").arg(entries(RING))).await.expect("is deleted");
    keys.refresh().await.expect("refreshes");
    eventually("all is restored", async || {
        let restored = content(&store, RING).await;
        before.iter().all(|(name, value)| restored.get(name) == Some(value))
    })
    .await;

    // The connection that listens has moved, too.
    while timeout(Duration::from_millis(500), store.changed(RING)).await.is_ok() {}
    insert(&group.open().await, RING, "pushed", b"1").await;
    timeout(PROMPT, store.changed(RING)).await.expect("is woken").expect("listens");
}

/// No replica of the master gets it before the master dies.
async fn failover_restores_a_lost_revocation<G: Group>() {
    // The part of the feed with the cutoff of all logins.
    const SHARD: &str = "app.ended:0";
    let group = G::start().await;
    let (live, late) = (replica(group.open().await).await, group.open().await);
    let token = live.issue(&Login::new("alice", ())).expect("a key signs");
    let token = token.as_str();
    live.revoke_session("other").await.expect("is recorded");
    let old = group.master(SHARD).await.expect("a master");
    replicated(old).await;
    let replicas: Vec<_> = group.servers().await.into_iter().filter(|port| *port != old).collect();
    let mut processes = Vec::new();
    for port in replicas {
        processes.push(process(port).await);
    }
    for process in &processes {
        signal("STOP", process);
    }
    let mut disconnect = cmd("CLIENT");
    let disconnect = disconnect.arg("KILL").arg("TYPE").arg("replica");
    let _: i64 = send(old, disconnect).await.expect("is done");
    live.revoke_logins_before(SystemClock.now()).await.expect("is recorded");
    assert!(is_refused(&live, token));
    kill(old).await;
    for process in &processes {
        signal("CONT", process);
    }
    eventually("a newcomer knows the cutoff", async || {
        // As its polls do; only a replica that listened at the old master reads at once.
        let _ = live.revocations().expect("has some").refresh().await;
        let newcomer = Revocations::builder("app").store(late.clone()).found_now().open().await;
        newcomer.is_ok_and(|it| it.status().logins_before.is_some())
    })
    .await;
    assert_ne!(group.successor(SHARD, old).await, old);
    assert!(is_refused(&replica(late).await, token));
}

/// It says that it is the master, and takes writes.
async fn an_isolated_old_master_is_left<G: Group>() {
    const RING: &str = "isolated";
    let group = G::start().await;
    let store = group.open().await;
    insert(&store, RING, "before", b"1").await;
    redeem(&store, RING, "family", 0, 1).await;
    let old = group.master(RING).await.expect("a master");
    replicated(old).await;
    let _isolated = group.isolate(old).await;
    let new = group.successor(RING, old).await;
    assert_ne!(new, old);
    let info: String = send_as("app", old, cmd("INFO").arg("replication")).await.expect("answers");
    assert!(info.contains("role:master"), "{info}");
    let mut write = cmd("HSET");
    let written = send_as("app", old, write.arg(entries(RING)).arg("lost").arg("1"));
    assert_eq!(written.await, Ok(1), "it takes writes");

    sleep(RELIED_ON).await;
    let expected = BTreeMap::from([held("before", b"1")]);
    assert_eq!(content(&store, RING).await, expected, "it still reads the old master");
    assert_eq!(insert(&store, RING, "after", b"1").await, Insertion::Inserted);
    assert_eq!(redeem(&store, RING, "family", 1, 2).await, last(1, 2));
    let expected = BTreeMap::from([held("before", b"1"), held("after", b"1")]);
    for _ in 0..8 {
        assert_eq!(content(&group.open_at(old).await, RING).await, expected);
    }
    let at_old: Option<String> =
        send_as("app", old, cmd("HGET").arg(entries(RING)).arg("after")).await.expect("answers");
    assert_eq!(at_old, None);
}

/// Waits until the replicas of a master have all that it has.
async fn replicated(master: u16) {
    eventually("the replicas have all", async || {
        let info: String =
            send(master, cmd("INFO").arg("replication")).await.expect("the master answers");
        let own = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        let own = format!(",offset={},", own.expect("an offset").trim());
        let mut replicas = info.lines().filter(|line| line.starts_with("slave")).peekable();
        replicas.peek().is_some() && replicas.all(|replica| replica.contains(&own))
    })
    .await;
}

/// Kills the server at a port, one of those that the group has started.
pub(crate) async fn kill(port: u16) {
    signal("KILL", &process(port).await);
}

/// The process of the server at a port.
async fn process(port: u16) -> String {
    let info: String = send(port, cmd("INFO").arg("server")).await.expect("answers");
    let process = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    process.expect("a number").trim().to_owned()
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), process]).status();
    assert!(sent.expect("runs").success());
}

pub(crate) async fn send<T: FromRedisValue>(port: u16, command: &Cmd) -> RedisResult<T> {
    send_as("", port, command).await
}

pub(crate) async fn send_as<T: FromRedisValue>(
    user: &str,
    port: u16,
    command: &Cmd,
) -> RedisResult<T> {
    command.query_async(&mut connection(user, PASSWORD, port).await?).await
}

pub(crate) async fn connection(
    user: &str,
    password: &str,
    port: u16,
) -> RedisResult<MultiplexedConnection> {
    connect(&format!("redis://{user}:{password}@127.0.0.1:{port}")).await
}

pub(crate) fn entries(ring: &str) -> String {
    format!("{{tower-jwt-session:{ring}}}:entries")
}
