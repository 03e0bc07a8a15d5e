//! What happens to a Redis server.

use std::path::PathBuf;
use std::time::Duration;

use redis::cmd;
use tokio::time::sleep;

use crate::Problem;
use crate::faults::expected::{LOST, UNREAD, UNWRITTEN};
use crate::faults::fault::{Allows, Expected, FAULT, Fault, Heals, NOTHING, act};
use crate::faults::promises::{NOT_SEEN, STORE_AWAY, STORE_READ_ONLY};
use crate::faults::server::{kill, restart};
use crate::run::perform::Scene;
use crate::server::{Server, ServerKind};
use crate::setup::process::{copy, signal};
use crate::setup::redis::{keys_of_type, send, send_as};
use crate::setup::store::StoreKind::Redis;

/// Its faults.
pub(crate) const FAULTS: [Fault; 9] = [
    Fault {
        name: "redis-killed",
        store: Redis,
        does: "Redis is killed by `kill -9`, and started again on its append-only file",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(kill),
        lift: act!(restart),
        ..FAULT
    },
    Fault {
        name: "redis-stopped",
        store: Redis,
        does: "the process is stopped (SIGSTOP): connections stay open, nothing answers",
        allows: STORE_AWAY,
        expected: UNREAD,
        hold: 10,
        inject: act!(stop),
        lift: act!(resume),
        ..FAULT
    },
    Fault {
        name: "redis-flushed",
        store: Redis,
        does: "FLUSHALL",
        allows: Allows { cut_off: Some(NOT_SEEN), ..NOTHING },
        expected: LOST,
        inject: act!(flush),
        ..FAULT
    },
    Fault {
        name: "redis-older",
        store: Redis,
        does: "killed, and started on a copy of its files that is 3 seconds old",
        allows: STORE_AWAY,
        expected: Expected { status: &["/failure"], metric: &["refreshes_total failed"], ..LOST },
        inject: act!(older),
        lift: act!(restart),
        ..FAULT
    },
    Fault {
        name: "redis-full",
        store: Redis,
        does: "`maxmemory` is reached, and the policy is `noeviction`",
        allows: STORE_READ_ONLY,
        expected: UNWRITTEN,
        inject: act!(fill),
        lift: act!(make_room),
        ..FAULT
    },
    Fault {
        name: "redis-readonly",
        store: Redis,
        does: "a failover: the address leads to a server that is a replica now (READONLY)",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(demote),
        lift: act!(promote),
        ..FAULT
    },
    Fault {
        name: "redis-password",
        store: Redis,
        does: "another password is set at run time, and all clients are disconnected",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(set_password),
        lift: act!(reset_password),
        ..FAULT
    },
    Fault {
        name: "redis-wrong-type",
        store: Redis,
        does: "the key of a ring is replaced by a text",
        allows: STORE_AWAY,
        expected: Expected {
            status: &["/failure", "/skipped", "/write_failure"],
            metric: &["refreshes_total failed", "refreshes_total unwritten"],
            log: &["refresh failed", "skipped an entry", "cannot write to the store"],
            unseen: None,
        },
        heals: Heals {
            within: 20,
            how: "after DEL of that key",
            says: Some("is not a hash: remove it"),
        },
        inject: act!(replace_by_text),
        lift: act!(remove_text),
        ..FAULT
    },
    Fault {
        name: "redis-evicting",
        store: Redis,
        does: "`maxmemory` is reached, and the policy is `allkeys-random`",
        allows: STORE_AWAY,
        expected: Expected {
            metric: &["refreshes_total failed", "_restored"],
            log: &["the store lost revocations", "the store lost entries", "refresh failed"],
            ..LOST
        },
        inject: act!(evict),
        lift: act!(make_room),
        ..FAULT
    },
];

async fn stop(scene: &mut Scene) -> Result<(), Problem> {
    signal_server(scene, "STOP")
}

async fn resume(scene: &mut Scene) -> Result<(), Problem> {
    signal_server(scene, "CONT")
}

fn signal_server(scene: &mut Scene, name: &str) -> Result<(), Problem> {
    let id = scene.cluster.store.server()?.id().ok_or("Redis has no process")?;
    signal(id, name)
}

pub(crate) async fn flush(scene: &mut Scene) -> Result<(), Problem> {
    send(scene.cluster.store.server()?, "FLUSHALL").await
}

async fn older(scene: &mut Scene) -> Result<(), Problem> {
    let copied: PathBuf = scene.cluster.store.home().join("older");
    let server = scene.cluster.store.server()?;
    let files = server.directory().join("appendonlydir");
    copy(&files, &copied)?;
    sleep(Duration::from_secs(3)).await;
    let server = scene.cluster.store.server()?;
    server.kill();
    std::fs::remove_dir_all(&files).map_err(|error| error.to_string())?;
    copy(&copied, &files)
}

async fn fill(scene: &mut Scene) -> Result<(), Problem> {
    send(scene.cluster.store.server()?, "CONFIG SET maxmemory 1").await
}

async fn evict(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    let () = send(server, "CONFIG SET maxmemory-policy allkeys-random").await?;
    send(server, "CONFIG SET maxmemory 1").await
}

async fn make_room(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    let () = send(server, "CONFIG SET maxmemory 0").await?;
    send(server, "CONFIG SET maxmemory-policy noeviction").await
}

async fn demote(scene: &mut Scene) -> Result<(), Problem> {
    let old = scene.cluster.store.server()?;
    let new = Server::start(ServerKind::Redis, &old.password).await?;
    let () = send(&new, &format!("REPLICAOF 127.0.0.1 {}", old.port)).await?;
    while !send::<String>(&new, "INFO replication").await?.contains("master_link_status:up") {
        sleep(Duration::from_millis(50)).await;
    }
    let () = send(&new, "REPLICAOF NO ONE").await?;
    let () = send(old, &format!("REPLICAOF 127.0.0.1 {}", new.port)).await?;
    scene.cluster.held.push(Box::new(new));
    Ok(())
}

async fn promote(scene: &mut Scene) -> Result<(), Problem> {
    send(scene.cluster.store.server()?, "REPLICAOF NO ONE").await
}

const OTHER: &str = "another";

async fn set_password(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    let () = send(server, &format!("CONFIG SET requirepass {OTHER}")).await?;
    let kill = cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).take();
    let _: i64 = send_as(server.port, OTHER, &kill).await?;
    let kill = cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).take();
    let _: i64 = send_as(server.port, OTHER, &kill).await?;
    Ok(())
}

async fn reset_password(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    let reset = cmd("CONFIG").arg(&["SET", "requirepass", &server.password]).take();
    send_as(server.port, OTHER, &reset).await
}

async fn replace_by_text(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    let keys = keys_of_type(server, "hash").await?;
    let key = keys.iter().min_by_key(|key| key.len()).ok_or("Redis has no hash")?.clone();
    let () = send(server, &format!("SET {key} text")).await?;
    scene.cluster.held.push(Box::new(key));
    Ok(())
}

async fn remove_text(scene: &mut Scene) -> Result<(), Problem> {
    let key = scene.cluster.held.pop().and_then(|key| key.downcast::<String>().ok());
    let key = key.ok_or("no key was replaced")?;
    let _: i64 = send(scene.cluster.store.server()?, &format!("DEL {key}")).await?;
    Ok(())
}
