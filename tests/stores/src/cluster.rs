//! A Redis Cluster: three masters, each with a replica.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use redis::cmd;
use tempfile::TempDir;
use tokio::time::sleep;
use tower_jwt_session::store::{Insertion, RedisStore, RevocationStore, Store, StoreError};

use crate::failover::RELIED_ON;
use crate::group::{self, Group, PASSWORD, entries, installed, kill, send, send_as};
use crate::scenarios::eventually;
use crate::server::{Server, ServerKind, free_port};
use crate::support::entries::{content, held, insert, last, redeem};
use crate::{Test, block_on, run_tests};

/// Runs the tests, as the program's `main`.
pub fn run() -> ! {
    let own: [Test<Cluster>; 3] = [
        ("a_database_or_a_dead_cluster_is_an_error", |group| {
            block_on(a_database_is_an_error(&group));
        }),
        ("shards_of_a_feed_share_a_connection_to_each_master", |_| {
            block_on(shards_of_a_feed_share_a_connection_to_each_master());
        }),
        ("a_slot_that_moves_is_followed", |_| block_on(a_slot_that_moves_is_followed())),
    ];
    let start = || block_on(Cluster::start());
    run_tests(installed(), start, group::all().into_iter().chain(own))
}

struct Cluster {
    server: Server,
}

/// A server of a test's own.
struct Lone {
    child: Child,
    _directory: TempDir,
}

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cluster {
    fn ports(&self) -> Vec<u16> {
        let urls = self.server.urls();
        let ports = urls.iter().map(|url| url.rsplit_once(':').expect("a port").1.parse());
        ports.collect::<Result<_, _>>().expect("a port")
    }
}

impl Group for Cluster {
    const KIND: ServerKind = ServerKind::RedisCluster;

    fn of(server: Server) -> Self {
        Self { server }
    }

    async fn try_open(&self) -> Result<RedisStore, StoreError> {
        RedisStore::cluster(&self.server.urls()[..2]).await
    }

    async fn open_at(&self, old: u16) -> RedisStore {
        let url = format!("redis://:{PASSWORD}@127.0.0.1:{old}");
        RedisStore::cluster([url]).await.expect("connects")
    }

    async fn servers(&self) -> Vec<u16> {
        self.ports()
    }

    /// As most nodes see it.
    async fn master(&self, ring: &str) -> Option<u16> {
        let mut votes = BTreeMap::<u16, usize>::new();
        for port in self.ports() {
            let owner = match send::<i64>(port, cmd("PTTL").arg(entries(ring))).await {
                Ok(_) => port,
                Err(error) => match error.redirect_node() {
                    Some((owner, _)) => owner.rsplit_once(':')?.1.parse().ok()?,
                    None => continue,
                },
            };
            *votes.entry(owner).or_default() += 1;
        }
        let (owner, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
        (count > 3).then_some(owner)
    }

    /// It is started again from before the failover, knows none of the others' addresses, and takes an hour
    /// to notice that they are silent.
    async fn isolate(&self, master: u16) -> Box<dyn Send> {
        let get = cmd("CONFIG").arg("GET").arg("dir").take();
        let (_, directory): (String, String) = send(master, &get).await.expect("a directory");
        let nodes = std::fs::read_to_string(format!("{directory}/nodes.conf")).expect("is there");
        kill(master).await;
        eventually("another master is there", async || {
            let mut alive = None;
            for port in self.ports().into_iter().filter(|port| *port != master) {
                alive = send::<String>(port, cmd("CLUSTER").arg("NODES")).await.ok().or(alive);
            }
            let masters = alive.unwrap_or_default();
            let masters = masters.lines().filter(|line| line.contains("master"));
            masters.filter(|line| !line.contains("fail") && line.contains('-')).count() == 3
        })
        .await;
        let isolated = tempfile::tempdir().expect("a directory");
        let unreachable = nodes.split(' ').map(|word| match word.split_once('@') {
            Some((address, _)) => format!("{address}@1"),
            None => word.to_owned(),
        });
        let nodes = unreachable.collect::<Vec<_>>().join(" ");
        std::fs::write(isolated.path().join("nodes.conf"), nodes).expect("is written");
        let bus = free_port().expect("a free port");
        let configuration = format!(
            "bind 127.0.0.1\nport {master}\nrequirepass {PASSWORD}\nsave \"\"\n\
             user app on >{PASSWORD} ~* &* +@all\n\
             cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {bus}\n\
             cluster-node-timeout 3600000\n"
        );
        std::fs::write(isolated.path().join("redis.conf"), configuration).expect("is written");
        let mut start = Command::new("redis-server");
        start.arg("redis.conf").current_dir(isolated.path()).stdout(Stdio::null());
        let child = start.spawn().expect("starts");
        eventually("it takes writes", async || {
            let info = send_as::<String>("app", master, cmd("CLUSTER").arg("INFO")).await;
            info.is_ok_and(|info| info.contains("cluster_state:ok"))
        })
        .await;
        Box::new(Lone { child, _directory: isolated })
    }
}

async fn a_database_is_an_error(group: &Cluster) {
    let url = format!("{}/1", group.server.urls()[0]);
    let refused = RedisStore::cluster([&url]).await.expect_err("another database").to_string();
    assert!(refused.contains("names database 1, expected 0"), "{refused}");
    let unused = free_port().expect("a free port");
    let dead = RedisStore::cluster([format!("redis://:{PASSWORD}@127.0.0.1:{unused}")]).await;
    let dead = dead.expect_err("nobody listens").to_string();
    assert!(dead.contains(&format!("no node of the cluster of 127.0.0.1:{unused}")), "{dead}");
    // One that leads to a single server of the cluster says what it needs.
    let mut is_explained = false;
    for url in group.server.urls() {
        let Ok(store) = RedisStore::connect(&url).await else { continue };
        if let Err(error) = store.load("ring").await {
            is_explained |= error.to_string().contains("open it with RedisStore::cluster");
        }
    }
    assert!(is_explained);
}

/// Although each is in another slot, whose owner is proven every second.
async fn shards_of_a_feed_share_a_connection_to_each_master() {
    let group = Cluster::start().await;
    let store = group.open().await;
    let connections = async || {
        let mut all = 0;
        for port in group.ports() {
            let info: String = send(port, cmd("INFO").arg("stats")).await.expect("answers");
            let count =
                info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
            all += count.expect("a number").trim().parse::<usize>().expect("a number");
        }
        all
    };
    for _ in 0..3 {
        store.read_feed("feed", None).await.expect("reads");
        sleep(RELIED_ON).await;
        let before = connections().await;
        let began = Instant::now();
        for _ in 0..10 {
            store.read_feed("feed", None).await.expect("reads");
        }
        let seconds = began.elapsed().as_secs() as usize + 1;
        // That of each question of this test is one, too.
        let made = connections().await - before - group.ports().len();
        // One to each of three masters. Some are given up as soon as the two others agree, and begun again.
        assert!((1..=9 * seconds).contains(&made), "{made} connections in {seconds} s");
    }
}

/// First its keys, one by one, then the slot itself.
async fn a_slot_that_moves_is_followed() {
    const RING: &str = "moving";
    let group = Cluster::start().await;
    let store = group.open().await;
    insert(&store, RING, "a", b"1").await;
    let source = group.master(RING).await.expect("a master");
    let target = group.master("other").await.filter(|port| *port != source);
    let target = match target {
        Some(target) => target,
        None => group.master("another").await.expect("a master"),
    };
    assert_ne!(source, target, "take other names");
    let id = async |port| {
        let id: String = send(port, cmd("CLUSTER").arg("MYID")).await.expect("a name");
        id
    };
    let (from, to) = (id(source).await, id(target).await);
    let slot: u16 =
        send(source, cmd("CLUSTER").arg("KEYSLOT").arg(entries(RING))).await.expect("a slot");
    let set = async |port, words: [&str; 2]| {
        let mut command = cmd("CLUSTER");
        let _: () = send(port, command.arg("SETSLOT").arg(slot).arg(&words)).await.expect("is set");
    };
    set(target, ["IMPORTING", &from]).await;
    set(source, ["MIGRATING", &to]).await;
    // The entries are still here, the redemption is not: it is made there.
    assert_eq!(content(&store, RING).await, BTreeMap::from([held("a", b"1")]));
    assert_eq!(redeem(&store, RING, "family", 3, 1).await, last(3, 1));
    let mut migrate = cmd("MIGRATE");
    migrate.arg("127.0.0.1").arg(target).arg(entries(RING)).arg(0).arg(5000);
    let moved: String =
        send(source, migrate.arg("AUTH").arg(PASSWORD)).await.expect("the key moves");
    assert_eq!(moved, "OK");
    let expected = BTreeMap::from([held("a", b"1"), held("b", b"1")]);
    assert_eq!(insert(&store, RING, "b", b"1").await, Insertion::Inserted);
    assert_eq!(content(&store, RING).await, expected);
    assert_eq!(content(&group.open().await, RING).await, expected);
    for port in [target, source] {
        set(port, ["NODE", &to]).await;
    }
    eventually("all know it", async || group.master(RING).await == Some(target)).await;
    assert_eq!(content(&store, RING).await, expected);
    assert_eq!(redeem(&store, RING, "family", 3, 2).await, last(3, 1));
    assert_eq!(insert(&store, RING, "a", b"2").await, Insertion::Exists(b"1".to_vec().into()));
}
