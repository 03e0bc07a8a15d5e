//! Redis or Valkey.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, cmd};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use tower_jwt_session::store::{Entry, Insertion, RedisStore, RefreshTokenStore, Store};

use crate::connection::connect;
use crate::failover::RELIED_ON;
use crate::forwarder::Forwarder;
use crate::revocations::unwritable_is_noticed;
use crate::scenarios::{PROMPT, assert_hidden, eventually};
use crate::server::{Programs, Server, ServerKind, free_port};
use crate::support::entries::{content, entry, held, insert, last, redeem, redemption};
use crate::{Backend, Test, block_on, redis_feed};

/// A server with a password, which syncs each write.
pub struct Redis {
    server: Server,
    databases: AtomicUsize,
}

impl Redis {
    /// Sends a command beside the store.
    pub(crate) async fn send<T: FromRedisValue>(&self, database: &str, command: &Cmd) -> T {
        let mut connection = self.connection(database).await;
        command.query_async(&mut connection).await.expect("the server does it")
    }

    /// Makes it a replica of the server on that port.
    async fn follow(&self, port: u16) {
        let _: () = self.send("0", cmd("REPLICAOF").arg("127.0.0.1").arg(port)).await;
    }

    async fn connection(&self, database: &str) -> MultiplexedConnection {
        connect(&self.url(database)).await.expect("connects")
    }

    /// The numbers of the connections that listen there.
    async fn listening(&self, database: &str) -> Vec<u64> {
        let list: String = self.send("0", cmd("CLIENT").arg("LIST")).await;
        let there = format!(" db={database} ");
        let clients = list.lines().filter(|client| client.contains(&there));
        let listening = clients.filter(|client| !client.contains(" sub=0 "));
        let number = |client: &str| client.strip_prefix("id=")?.split(' ').next()?.parse().ok();
        listening.map(|client| number(client).expect("a client's number")).collect()
    }
}

impl Backend for Redis {
    type Store = RedisStore;
    const PASSWORD: &'static str = "correct-horse-battery-staple";

    fn installed() -> Result<(), String> {
        Programs::find(ServerKind::Redis).map(drop)
    }

    async fn start() -> Self {
        let server = Server::start(ServerKind::Redis, Self::PASSWORD).await.expect("starts");
        Self { server, databases: AtomicUsize::new(1) }
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    async fn restart(&mut self) {
        self.server.restart().await.expect("starts again");
    }

    async fn database(&self) -> String {
        self.databases.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.server.url())
    }

    async fn open(&self, database: &str) -> RedisStore {
        RedisStore::connect(&self.url(database)).await.expect("connects")
    }

    const OF_A_REPLICA: &'static str = "its role is slave";

    async fn pair() -> (Self, Self) {
        let (old, new) = (Self::start().await, Self::start().await);
        let mut auth = cmd("CONFIG");
        let _: () = new.send("0", auth.arg("SET").arg("masterauth").arg(Self::PASSWORD)).await;
        new.follow(old.server.port).await;
        eventually("it follows", async || {
            let info: String = new.send("0", cmd("INFO").arg("replication")).await;
            info.contains("master_link_status:up")
        })
        .await;
        (old, new)
    }

    async fn caught_up(&self, leader: &Self) {
        let mut connection = leader.connection("0").await;
        // It waits for what this connection wrote before.
        let _: () = cmd("SET").arg("mark").arg("1").query_async(&mut connection).await.expect("ok");
        let mut wait = cmd("WAIT");
        let wait = wait.arg(1).arg(0).query_async(&mut connection).await;
        assert_eq!(wait.map_err(|error: redis::RedisError| error.to_string()), Ok(1));
    }

    async fn promote(&self) {
        let _: () = self.send("0", cmd("REPLICAOF").arg("NO").arg("ONE")).await;
    }

    fn port(&self) -> u16 {
        self.server.port
    }

    async fn open_at(&self, database: &str, port: u16) -> RedisStore {
        let url = format!("redis://:{}@127.0.0.1:{port}/{database}", Self::PASSWORD);
        RedisStore::connect(&url).await.expect("connects")
    }

    async fn empty(&self, database: &str) {
        let _: () = self.send(database, &cmd("FLUSHDB")).await;
    }

    async fn listeners(&self, database: &str) -> usize {
        self.listening(database).await.len()
    }

    async fn disconnect(&self, database: &str) {
        for client in self.listening(database).await {
            let mut kill = cmd("CLIENT");
            let killed: usize = self.send("0", kill.arg("KILL").arg("ID").arg(client)).await;
            assert_eq!(killed, 1);
        }
    }

    async fn plant(&self, database: &str, ring: &str) -> usize {
        let long = vec![b'x'; Entry::MAX_BYTES + 1];
        let endless = vec![b'x'; 5000];
        let invalid: [(&[u8], &[u8]); 6] = [
            (b"no name", b"2"),
            (b"", b"2"),
            (b"line\nfeed", b"2"),
            (b"\xff\xfe", b"2"),
            (&endless, b"2"),
            (b"too-long", &long),
        ];
        let mut set = cmd("HSET");
        set.arg(key(ring));
        for (field, value) in invalid {
            set.arg(field).arg(value);
        }
        let _: usize = self.send(database, &set).await;
        invalid.len()
    }

    fn own() -> Vec<Test<Self>> {
        macro_rules! tests {
            ($($test:ident)+) => {
                vec![$((stringify!($test), |server: Arc<Self>| block_on($test(&server)))),+]
            };
        }
        let own: Vec<Test<Self>> = tests! {
            another_protocol_does_as_well
            other_keys_are_left_alone
            key_of_another_type_is_reported
            an_error_of_the_url_hides_the_password
            a_client_of_ones_own_connects
            the_smallest_rights_suffice
            who_may_not_publish_inserts_all_the_same
            a_redemption_expires_by_itself
            invalid_redemption_is_an_error
            dead_connections_are_made_anew
            a_silent_connection_is_given_up
            failover_a_demoted_master_fails_reads_until_the_address_moves
            failover_a_write_refused_by_a_replica_is_repeated_at_the_new_master
            a_redemption_without_an_end_keeps_none
            a_store_opened_at_a_replica_is_an_error
            server_without_memory_is_noticed
            server_that_may_evict_is_refused
            server_without_a_cluster_is_refused
        };
        own.into_iter().chain(redis_feed::all()).collect()
    }
}

fn key(ring: &str) -> String {
    format!("{{tower-jwt-session:{ring}}}:entries")
}

async fn another_protocol_does_as_well(server: &Redis) {
    let url = format!("{}?protocol=resp3", server.url(&server.database().await));
    let one = RedisStore::connect(&url).await.expect("connects");
    let two = RedisStore::connect(&url).await.expect("connects");
    two.changed("ring").await.expect("listens");
    assert_eq!(insert(&one, "ring", "a", b"1").await, Insertion::Inserted);
    assert_eq!(insert(&two, "ring", "a", b"2").await, Insertion::Exists(b"1".to_vec().into()));
    let notified = tokio::time::timeout(PROMPT, two.changed("ring")).await;
    notified.expect("is notified").expect("listens");
    assert_eq!(content(&two, "ring").await, BTreeMap::from([held("a", b"1")]));
    let planted = server.plant(url_database(&url), "ring").await;
    assert_eq!(two.load("ring").await.expect("loads").skipped.len(), planted);
}

fn url_database(url: &str) -> &str {
    let (_, database) = url.rsplit_once('/').expect("a path");
    database.split('?').next().expect("a database")
}

async fn other_keys_are_left_alone(server: &Redis) {
    let database = server.database().await;
    let others = ["{tower-jwt-session:ring}:other", "tower-jwt-session:ring", "ring", "a"];
    for other in others {
        let _: () = server.send(&database, cmd("SET").arg(other).arg("2")).await;
    }
    let store = server.open(&database).await;
    insert(&store, "ring", "a", b"1").await;
    insert(&store, "ring", "b", b"1").await;
    store.remove("ring", &entry("b", b"").name).await.expect("removes");
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
    let mut keys: Vec<String> = server.send(&database, cmd("KEYS").arg("*")).await;
    keys.sort();
    let mut expected = others.map(str::to_owned).to_vec();
    expected.push(key("ring"));
    expected.sort();
    assert_eq!(keys, expected);
    for other in others {
        let value: String = server.send(&database, cmd("GET").arg(other)).await;
        assert_eq!(value, "2");
    }
    let life: i64 = server.send(&database, cmd("TTL").arg(key("ring"))).await;
    assert_eq!(life, -1, "it has a time to live");
}

async fn key_of_another_type_is_reported(server: &Redis) {
    let database = server.database().await;
    let _: () = server.send(&database, cmd("SET").arg(key("ring")).arg("2")).await;
    let store = server.open(&database).await;
    let loaded = store.load("ring").await.expect("loads");
    assert_eq!(loaded.entries, []);
    let [skipped] = &loaded.skipped[..] else { panic!("{:?}", loaded.skipped) };
    assert_eq!((&*skipped.name, &*skipped.reason), (&*key("ring"), "is not a hash: remove it"));
    store.insert("ring", &entry("a", b"1")).await.expect_err("it is taken");
    let value: String = server.send(&database, cmd("GET").arg(key("ring"))).await;
    assert_eq!(value, "2");
}

async fn a_redemption_expires_by_itself(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    // Whatever the replica's clock says, it is kept from now on.
    for (sequence, at) in [(0, 0), (1, 253_402_300_799_000)] {
        redeem(&store, "ring", "session", sequence, at).await;
        let keys: Vec<String> = server.send(&database, cmd("KEYS").arg("*")).await;
        assert_eq!(keys, [family_key("ring", "session")]);
        let life: i64 = server.send(&database, cmd("PTTL").arg(&keys[0])).await;
        assert!((3_500_000..=3_600_000).contains(&life), "{life}");
    }
    // What comes again or later shortens nothing.
    let key = family_key("ring", "session");
    let _: i64 = server.send(&database, cmd("PEXPIRE").arg(&key).arg(5_000_000)).await;
    for sequence in [0, 1, 2] {
        redeem(&store, "ring", "session", sequence, 5).await;
        let life: i64 = server.send(&database, cmd("PTTL").arg(&key)).await;
        assert!((4_900_000..=5_000_000).contains(&life), "{life}");
    }
}

async fn invalid_redemption_is_an_error(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    for invalid in ["", "x", "1", "1 x", "-1 5"] {
        let mut set = cmd("SET");
        let _: () = server.send(&database, set.arg(family_key("ring", "a")).arg(invalid)).await;
        let refused = store.redeem("ring", &redemption("a", 7, 1)).await.expect_err(invalid);
        assert!(refused.to_string().contains("no redemption"), "{refused}");
    }
    let _: () = server.send(&database, cmd("DEL").arg(family_key("ring", "a"))).await;
    let _: () = server.send(&database, cmd("LPUSH").arg(family_key("ring", "a")).arg("1")).await;
    store.redeem("ring", &redemption("a", 7, 1)).await.expect_err("a key of another type");
}

fn family_key(ring: &str, family: &str) -> String {
    format!("{{tower-jwt-session:{ring}}}:family:{family}")
}

async fn an_error_of_the_url_hides_the_password(server: &Redis) {
    let port = server.server.port;
    let password = Redis::PASSWORD;
    let unused = free_port().expect("a free port");
    for url in [
        String::new(),
        password.to_owned(),
        format!("redis://:{password}@127.0.0.1:{unused}"),
        format!("redis://:{password}@"),
        format!("redis://:{password}@127.0.0.1:port"),
        format!("redis://:{password}@127.0.0.1:{port}/base"),
        format!("redis://:{password}@127.0.0.1:{port}?protocol=4"),
        format!("rediss://:{password}@127.0.0.1:{port}"),
        format!("http://:{password}@127.0.0.1:{port}"),
        // What was not encoded.
        format!("redis://{password}/@127.0.0.1:{port}"),
        format!("redis://{password}?protocol={password}@127.0.0.1:{port}"),
        format!("redis://{password}#@127.0.0.1:{port}"),
        format!("redis://:1#{password}@127.0.0.1:{port}"),
        // Refused.
        format!("redis://user:{password}@127.0.0.1:{port}"),
        format!("redis://:{password}-@127.0.0.1:{port}"),
        format!("redis+unix:///no/such/socket?pass={password}"),
    ] {
        let error = RedisStore::connect(&url).await.expect_err(&url);
        assert_hidden::<Redis>(&error);
        assert!(error.to_string().contains("Redis"), "{error}");
    }
    let refused = RedisStore::connect(&format!("redis://127.0.0.1:{unused}")).await;
    let refused = refused.expect_err("nobody listens").to_string();
    let expected = format!("could not connect to Redis at 127.0.0.1:{unused}: ");
    assert!(refused.starts_with(&expected), "{refused}");
}

async fn a_client_of_ones_own_connects(server: &Redis) {
    let client = Client::open(server.url(&server.database().await)).expect("a URL");
    let store = RedisStore::with_client(client).await.expect("connects");
    assert_eq!(insert(&store, "ring", "a", b"1").await, Insertion::Inserted);
    let printed = format!("{store:?}");
    assert!(printed.contains(&server.server.port.to_string()), "{printed}");
}

/// Makes a user, and opens a store as that user.
pub(crate) async fn open_as(server: &Redis, user: &str, rights: &str) -> RedisStore {
    let mut acl = cmd("ACL");
    acl.arg("SETUSER").arg(user).arg("reset").arg("on").arg(format!(">{}", Redis::PASSWORD));
    for right in rights.split_whitespace() {
        acl.arg(right);
    }
    let _: () = server.send("0", &acl).await;
    let url = format!("redis://{user}:{}@127.0.0.1:{}", Redis::PASSWORD, server.server.port);
    RedisStore::connect(&url).await.expect("connects")
}

/// Those of the documentation.
async fn the_smallest_rights_suffice(server: &Redis) {
    let rights = "~{tower-jwt-session:small}:* &tower-jwt-session:changed +eval +hsetnx +hget \
                  +hgetall +hdel +get +set +pttl +time +info +publish +subscribe +ping";
    let store = open_as(server, "small", rights).await;
    store.changed("small").await.expect("listens");
    assert_eq!(insert(&store, "small", "a", b"1").await, Insertion::Inserted);
    let lost = insert(&store, "small", "a", b"2").await;
    assert_eq!(lost, Insertion::Exists(b"1".to_vec().into()));
    let notified = tokio::time::timeout(PROMPT, store.changed("small")).await;
    notified.expect("is notified").expect("listens");
    store.remove("small", &entry("a", b"").name).await.expect("removes");
    assert_eq!(content(&store, "small").await, BTreeMap::new());
    assert_eq!(redeem(&store, "small", "a", 0, 1).await, last(0, 1));
    assert_eq!(redeem(&store, "small", "a", 1, 2).await, last(1, 2));
    let refused = store.load("other").await.expect_err("may not");
    assert_hidden::<Redis>(&refused);
}

async fn who_may_not_publish_inserts_all_the_same(server: &Redis) {
    let rights =
        "~{tower-jwt-session:mute}:entries resetchannels +eval +hsetnx +hget +hgetall +time +info";
    let store = open_as(server, "mute", rights).await;
    assert_eq!(insert(&store, "mute", "a", b"1").await, Insertion::Inserted);
    assert_eq!(content(&store, "mute").await, BTreeMap::from([held("a", b"1")]));
    let notified = tokio::time::timeout(Duration::from_millis(300), store.changed("mute")).await;
    notified.expect_err("can't listen, and polls");
}

async fn server_without_memory_is_noticed(_: &Redis) {
    let server = Redis::start().await;
    let database = server.database().await;
    let limit = async |bytes: &str| {
        let mut set = cmd("CONFIG");
        let _: () = server.send("0", set.arg("SET").arg("maxmemory").arg(bytes)).await;
    };
    let store = server.open(&database).await;
    unwritable_is_noticed(store, async || limit("1").await, async || limit("0").await).await;
}

/// A command whose connection was ended by the server while nobody looked does not fail.
async fn dead_connections_are_made_anew(_: &Redis) {
    let server = Redis::start().await;
    let store = server.open("0").await;
    for round in 0..10 {
        let mut kill = cmd("CLIENT");
        let kill = kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        let _: usize = server.send("0", kill).await;
        let inserted = insert(&store, "ring", &format!("a-{round}"), b"1").await;
        assert_eq!(inserted, Insertion::Inserted);
    }
}

/// Nothing comes over a connection any more, and no end of it either: as after a failure of a
/// machine or a firewall.
async fn a_silent_connection_is_given_up(server: &Redis) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (target, silence) = (server.server.port, Arc::new(Notify::new()));
    let silenced = Arc::clone(&silence);
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            let silenced = Arc::clone(&silenced);
            tokio::spawn(async move {
                let mut outer = TcpStream::connect(("127.0.0.1", target)).await.expect("connects");
                tokio::select! {
                    _ = copy_bidirectional(&mut inner, &mut outer) => {}
                    () = silenced.notified() => std::future::pending().await,
                }
            });
        }
    });
    let database = server.database().await;
    let url = format!("redis://:{}@127.0.0.1:{port}/{database}", Redis::PASSWORD);
    let store = RedisStore::connect(&url).await.expect("connects");
    insert(&store, "ring", "a", b"1").await;
    silence.notify_waiters();
    let began = Instant::now();
    store.load("ring").await.expect_err("nothing comes");
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
}

/// The old master is cut off as a replica whose own master is gone. It answers reads for ever.
async fn failover_a_demoted_master_fails_reads_until_the_address_moves(_: &Redis) {
    let (old, new) = Redis::pair().await;
    let address = Forwarder::to(old.server.port).await;
    let store = old.open_at("0", address.port).await;
    insert(&store, "ring", "a", b"1").await;
    new.caught_up(&old).await;
    new.promote().await;
    old.follow(free_port().expect("a free port")).await;
    sleep(RELIED_ON).await;
    let refused = store.load("ring").await.expect_err("it is a replica").to_string();
    assert!(refused.contains("its role is slave"), "{refused}");
    let new_store = new.open_at("0", new.server.port).await;
    insert(&new_store, "ring", "b", b"1").await;
    address.move_to(new.server.port);
    let expected = BTreeMap::from([held("a", b"1"), held("b", b"1")]);
    assert_eq!(content(&store, "ring").await, expected);
}

/// As Redis 7 says it, and wrapped as a script's error, as Redis 6 does.
async fn failover_a_write_refused_by_a_replica_is_repeated_at_the_new_master(_: &Redis) {
    let wrapped = "-ERR Error running script (call to f_0a1b): @user_script:1: @user_script: 1: \
                   -READONLY You can't write";
    for replaced in [["-READONLY You can't write"; 2], ["-READONLY You can't write", wrapped]] {
        let (old, new) = Redis::pair().await;
        let address = Forwarder::replacing(old.server.port, replaced).await;
        let store = old.open_at("0", address.port).await;
        insert(&store, "ring", "a", b"1").await;
        new.caught_up(&old).await;
        sleep(RELIED_ON).await;
        // The connection is proven just before it all happens.
        assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
        new.promote().await;
        old.follow(new.server.port).await;
        address.move_to(new.server.port);
        assert_eq!(insert(&store, "ring", "b", b"2").await, Insertion::Inserted);
        assert_eq!(redeem(&store, "ring", "session", 3, 1).await, last(3, 1));
        let at_new = new.open_at("0", new.server.port).await;
        let expected = BTreeMap::from([held("a", b"1"), held("b", b"2")]);
        assert_eq!(content(&at_new, "ring").await, expected);
    }
}

async fn a_store_opened_at_a_replica_is_an_error(_: &Redis) {
    let (_old, new) = Redis::pair().await;
    let refused = RedisStore::connect(&new.url("0")).await.expect_err("it is a replica");
    assert_hidden::<Redis>(&refused);
    let text = refused.to_string();
    assert!(text.contains("its role is slave") && text.contains("expected master"), "{text}");
}

/// Somebody has decided so.
async fn a_redemption_without_an_end_keeps_none(server: &Redis) {
    let database = server.database().await;
    let store = server.open(&database).await;
    redeem(&store, "ring", "session", 0, 1).await;
    let key = family_key("ring", "session");
    let _: i64 = server.send(&database, cmd("PERSIST").arg(&key)).await;
    assert_eq!(redeem(&store, "ring", "session", 0, 2).await, last(0, 1));
    assert_eq!(redeem(&store, "ring", "session", 1, 2).await, last(1, 2));
    let life: i64 = server.send(&database, cmd("PTTL").arg(&key)).await;
    assert_eq!(life, -1);
}

/// Whatever may be dropped: revocations are.
async fn server_that_may_evict_is_refused(_: &Redis) {
    let server = Redis::start().await;
    let set = async |policy: &str| {
        let mut set = cmd("CONFIG");
        let _: () = server.send("0", set.arg("SET").arg("maxmemory-policy").arg(policy)).await;
    };
    let store = server.open("0").await;
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        set(policy).await;
        let refused = RedisStore::connect(&server.url("0")).await.expect_err(policy);
        assert_hidden::<Redis>(&refused);
        let expected = format!(
            "maxmemory-policy of Redis at 127.0.0.1:{} is {policy}, expected noeviction",
            server.port()
        );
        assert!(refused.to_string().starts_with(&expected), "{refused}");
        // A store that is open already serves on.
        assert_eq!(insert(&store, "ring", policy, b"1").await, Insertion::Inserted);
    }
    // A server that does not say is not refused.
    let address =
        Forwarder::replacing(server.port(), ["maxmemory_policy", "maxmemory-policy"]).await;
    server.open_at("0", address.port).await;
    set("noeviction").await;
    server.open("0").await;
}

async fn server_without_a_cluster_is_refused(server: &Redis) {
    let refused = RedisStore::cluster([server.url("0")]).await.expect_err("it has none");
    assert_hidden::<Redis>(&refused);
    let text = refused.to_string();
    assert!(text.contains("needs RedisStore::connect"), "{text}");
    let none = RedisStore::cluster(Vec::<String>::new()).await.expect_err("no node");
    assert!(none.to_string().contains("expected at least one"), "{none}");
}
