//! What happens to a PostgreSQL server.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Problem;
use crate::faults::expected::{LOST, UNREAD};
use crate::faults::fault::{self, Allows, Expected, Fault, Heals, NOTHING, act};
use crate::faults::promises::{NOT_SEEN, STORE_AWAY, STORE_READ_ONLY};
use crate::faults::server::{kill, restart};
use crate::run::perform::Scene;
use crate::server::{Server, ServerKind};
use crate::setup::postgres::{TABLES, connect, dump, program, restore, run_on, send};
use crate::setup::process::{family, run, signal};
use crate::setup::store::StoreKind::Postgres;

/// A connection to PostgreSQL takes many computations, so that a busy machine needs more than a second.
pub(crate) const FAULT: Fault =
    Fault { options: &["--signing-seconds", "30"], hold: 14, ..fault::FAULT };

/// Its faults.
pub(crate) const FAULTS: [Fault; 9] = [
    Fault {
        name: "postgres-killed",
        store: Postgres,
        does: "the server is shut down at once, and started again",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(kill),
        lift: act!(restart),
        ..FAULT
    },
    Fault {
        name: "postgres-stopped",
        store: Postgres,
        does: "all its processes are stopped (SIGSTOP): connections stay open, nothing answers",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(stop),
        lift: act!(resume),
        ..FAULT
    },
    Fault {
        name: "postgres-truncated",
        store: Postgres,
        does: "TRUNCATE of all tables",
        allows: Allows { cut_off: Some(NOT_SEEN), ..NOTHING },
        expected: LOST,
        inject: act!(truncate),
        ..FAULT
    },
    Fault {
        name: "postgres-dropped",
        store: Postgres,
        does: "DROP TABLE of all tables",
        allows: STORE_AWAY,
        expected: UNREAD,
        heals: Heals {
            within: 20,
            how: "after `migrate`, which a replica does that starts",
            says: Some("migrate"),
        },
        inject: act!(drop_tables),
        lift: act!(start_a_replica),
        ..FAULT
    },
    Fault {
        name: "postgres-older",
        store: Postgres,
        does: "all tables are replaced by those of a dump that is 3 seconds old",
        allows: STORE_AWAY,
        expected: LOST,
        inject: act!(older),
        ..FAULT
    },
    Fault {
        name: "postgres-exhausted",
        store: Postgres,
        does: "all connections are taken, and those of the replicas are closed",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(exhaust),
        lift: act!(release),
        ..FAULT
    },
    Fault {
        name: "postgres-locked",
        store: Postgres,
        does: "another transaction holds an exclusive lock on all tables",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(lock),
        lift: act!(release),
        ..FAULT
    },
    Fault {
        name: "postgres-read-only",
        store: Postgres,
        does: "every transaction is read-only, as at a standby",
        allows: STORE_READ_ONLY,
        expected: Expected {
            status: &["/write_failure", "/failure"],
            metric: &["store_writes_total failed", "refreshes_total unwritten"],
            log: &["cannot write to the store", "refresh failed"],
            unseen: None,
        },
        inject: act!(read_only),
        lift: act!(writable),
        ..FAULT
    },
    Fault {
        name: "postgres-promoted",
        store: Postgres,
        does: "a standby is promoted, and the address leads there; the old server is still up",
        allows: STORE_AWAY,
        expected: Expected {
            status: &[],
            metric: &[],
            log: &["another server of the store answers", "the store lost revocations"],
            unseen: Some("the address leads to a good server at once"),
        },
        inject: act!(promote),
        ..FAULT
    },
];

async fn stop(scene: &mut Scene) -> Result<(), Problem> {
    signal_all(scene, "STOP")
}

async fn resume(scene: &mut Scene) -> Result<(), Problem> {
    signal_all(scene, "CONT")
}

fn signal_all(scene: &mut Scene, name: &str) -> Result<(), Problem> {
    let id = scene.cluster.store.server()?.id().ok_or("PostgreSQL has no process")?;
    signal(id, name)?;
    for child in family(id).into_iter().skip(1) {
        // One may have ended meanwhile.
        let _ = signal(child, name);
    }
    Ok(())
}

pub(crate) async fn truncate(scene: &mut Scene) -> Result<(), Problem> {
    send(scene.cluster.store.server()?, &format!("TRUNCATE {TABLES}")).await
}

async fn drop_tables(scene: &mut Scene) -> Result<(), Problem> {
    send(scene.cluster.store.server()?, &format!("DROP TABLE {TABLES}")).await
}

async fn start_a_replica(scene: &mut Scene) -> Result<(), Problem> {
    // One more: what only a killed one knew would be lost with it.
    scene.cluster.add(&[], FAULT.options).await
}

async fn older(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    dump(server, std::path::Path::new("older.sql"))?;
    sleep(Duration::from_secs(3)).await;
    restore(scene.cluster.store.server()?, std::path::Path::new("older.sql"))
}

/// More than the server takes.
const CONNECTIONS: usize = 230;

async fn exhaust(scene: &mut Scene) -> Result<(), Problem> {
    let server = scene.cluster.store.server()?;
    let port = server.port;
    let mut administrator = connect(server).await?;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let connected = TcpStream::connect(("127.0.0.1", port)).await;
        let mut stream = connected.map_err(|error| error.to_string())?;
        // The start of a login, which never answers the server's question: version 3.0, a name.
        let body = [&[0, 3, 0, 0][..], b"user\0postgres\0\0"].concat();
        let length = u32::try_from(body.len() + 4).map_err(|error| error.to_string())?;
        let message = [&length.to_be_bytes()[..], &body].concat();
        stream.write_all(&message).await.map_err(|error| error.to_string())?;
        held.push(stream);
    }
    sleep(Duration::from_millis(500)).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = 'postgres' AND pid <> pg_backend_pid()";
    run_on(&mut administrator, others).await?;
    // Theirs are taken by some of the logins that waited.
    for _ in 0..20 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { break };
        let message = [&24_u32.to_be_bytes()[..], &[0, 3, 0, 0], b"user\0postgres\0\0\0"].concat();
        let _ = stream.write_all(&message).await;
        held.push(stream);
    }
    scene.cluster.held.push(Box::new((held, administrator)));
    Ok(())
}

async fn release(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.held.clear();
    Ok(())
}

async fn lock(scene: &mut Scene) -> Result<(), Problem> {
    let mut connection = connect(scene.cluster.store.server()?).await?;
    let statements = format!("BEGIN; LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE");
    run_on(&mut connection, &statements).await?;
    // Its end ends the transaction.
    scene.cluster.held.push(Box::new(connection));
    Ok(())
}

async fn read_only(scene: &mut Scene) -> Result<(), Problem> {
    let set = "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()";
    send(scene.cluster.store.server()?, set).await
}

async fn writable(scene: &mut Scene) -> Result<(), Problem> {
    let reset = "SET default_transaction_read_only = off; \
                 ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()";
    send(scene.cluster.store.server()?, reset).await
}

async fn promote(scene: &mut Scene) -> Result<(), Problem> {
    let old = scene.cluster.store.server()?;
    let mut new = Server::start(ServerKind::Postgres, &old.password).await?;
    // Its data give way to a copy of the other's.
    new.kill();
    let data = new.directory().join("data");
    std::fs::remove_dir_all(&data).map_err(|error| error.to_string())?;
    let mut copy = program(&new, "pg_basebackup", old);
    run(copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-D", "data"]))?;
    new.restart().await?;
    sleep(Duration::from_secs(1)).await;
    send(&new, "SELECT pg_promote(true, 20)").await?;
    for replica in &scene.cluster.replicas {
        if let Some(link) = &replica.link {
            link.lead_to(new.port);
        }
    }
    scene.cluster.held.push(Box::new(new));
    Ok(())
}
