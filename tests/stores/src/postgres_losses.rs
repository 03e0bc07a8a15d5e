//! Losses of a feed in PostgreSQL: each is a gap for a reader from before it.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use sqlx::AssertSqlSafe;
use tower_jwt_session::store::{PostgresStore, RegisterId, RevocationStore};

use crate::forwarder::Forwarder;
use crate::postgres::{Postgres, TABLES, output};
use crate::postgres_feed::{Reader, advance, append};
use crate::{Backend, Test};

pub(crate) fn all() -> Vec<Test<Postgres>> {
    feed_tests! {
        purge_is_a_gap
        dump_that_is_restored_is_a_gap
        dump_of_another_server_is_read_as_a_whole
        older_files_are_a_gap
        crash_is_a_gap_and_a_restart_is_none
        promotion_is_a_gap_that_loses_no_row
        killed_server_is_left_for_the_one_that_takes_writes
        hidden_timeline_does_no_harm
    }
}

async fn purge_is_a_gap(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let truncate = format!("TRUNCATE {TABLES}");
    let delete: Vec<_> = TABLES.split(", ").map(|table| format!("DELETE FROM {table}")).collect();
    for (round, purge) in [
        &*truncate,
        "TRUNCATE tower_jwt_session_revocations",
        "TRUNCATE tower_jwt_session_registers",
        &delete.join("; "),
        &delete.join("; "),
    ]
    .into_iter()
    .enumerate()
    {
        let round = round as u32 * 10;
        append(&store, [round]).await;
        advance(&store, RegisterId::All).await;
        let mut reader = Reader::whole(&store).await;
        assert!(reader.sessions.contains(&round));
        server.send(&database, purge).await;
        append(&store, [round + 1]).await;
        assert!(!reader.read(&store).await, "{purge}");
        let mut reader = Reader::whole(&store).await;
        assert!(reader.sessions.contains(&(round + 1)));
        append(&store, [round + 2]).await;
        assert!(reader.read(&store).await, "one gap, not two");
        assert!(reader.sessions.contains(&(round + 2)));
    }
}

async fn dump(server: &Postgres, database: &str) -> Vec<u8> {
    let mut dump = server.program("pg_dump").await;
    dump.args(["--no-owner", "--clean", "--if-exists", database]);
    output(dump)
}

async fn restore(server: &Postgres, database: &str, dump: &[u8]) {
    let mut psql: Command = server.program("psql").await;
    psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", database]);
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    let mut input = psql.stdin.take().expect("is piped");
    std::io::Write::write_all(&mut input, dump).expect("writes");
    drop(input);
    assert!(psql.wait().expect("ends").success());
}

async fn dump_that_is_restored_is_a_gap(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let old = dump(server, &database).await;
    append(&store, [2]).await;
    let mut reader = Reader::whole(&store).await;
    restore(server, &database, &old).await;
    let store = PostgresStore::new(server.pool(&database));
    assert!(!reader.read(&store).await);
    let mut reader = Reader::whole(&store).await;
    assert_eq!(reader.sessions, BTreeSet::from([1]));
    append(&store, [3]).await;
    assert!(reader.read(&store).await);
    assert_eq!(reader.sessions, BTreeSet::from([1, 3]));
}

/// Its rows have transaction IDs that are still to come.
async fn dump_of_another_server_is_read_as_a_whole(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    append(&store, [1]).await;
    let forward = "UPDATE tower_jwt_session_revocations \
                   SET xid = (pg_current_xact_id()::text::bigint + $1)::text::xid8";
    for ahead in [2, 1000] {
        let pool = server.pool(&database);
        let update = AssertSqlSafe(forward.replace("$1", &ahead.to_string()));
        sqlx::query(update).execute(&pool).await.expect("updates");
        let mut reader = Reader::default();
        for number in 10..20 {
            assert!(reader.read(&store).await);
            assert!(reader.sessions.contains(&1), "{number}");
            append(&store, [number]).await;
        }
        assert!(Reader::whole(&store).await.sessions.contains(&1));
    }
}

/// A copy of the data directory of a server that was stopped: nothing but its transaction IDs shows it.
async fn older_files_are_a_gap(_: &Postgres) {
    let mut server = Postgres::start().await;
    let store = server.open("postgres").await;
    append(&store, [1]).await;
    let data = server.data().await;
    let older = data.with_file_name("older");
    let mut stop = server.program("pg_ctl").await;
    stop.args(["stop", "-w", "-m", "fast", "-D"]).arg(&data);
    output(stop);
    let mut copy = Command::new("cp");
    copy.arg("-a").args([&data, &older]);
    output(copy);
    server.restart().await;
    let store = server.open_at("postgres", server.port()).await;
    append(&store, [2]).await;
    let mut reader = Reader::whole(&store).await;
    server.kill();
    std::fs::remove_dir_all(&data).expect("removes");
    std::fs::rename(&older, &data).expect("renames");
    server.restart().await;
    let store = server.open_at("postgres", server.port()).await;
    assert!(!reader.read(&store).await);
    assert_eq!(Reader::whole(&store).await.sessions, BTreeSet::from([1]));
}

/// A crash may have lost what `synchronous_commit = off` had acknowledged.
async fn crash_is_a_gap_and_a_restart_is_none(_: &Postgres) {
    let mut server = Postgres::start().await;
    let store = server.open("postgres").await;
    append(&store, [1]).await;
    let mut reader = Reader::whole(&store).await;
    let mut stop = server.program("pg_ctl").await;
    stop.args(["stop", "-w", "-m", "fast", "-D"]).arg(server.data().await);
    output(stop);
    server.kill();
    server.restart().await;
    let store = server.open_at("postgres", server.port()).await;
    append(&store, [2]).await;
    assert!(reader.read(&store).await);
    assert_eq!(reader.sessions, BTreeSet::from([1, 2]));
    server.kill();
    server.restart().await;
    let store = server.open_at("postgres", server.port()).await;
    assert!(!reader.read(&store).await);
    assert_eq!(Reader::whole(&store).await.sessions, BTreeSet::from([1, 2]));
}

async fn promotion_is_a_gap_that_loses_no_row(_: &Postgres) {
    let (old, new) = Postgres::pair().await;
    let address = Forwarder::to(old.port()).await;
    let database = old.database().await;
    let writer = old.open(&database).await;
    let store = old.open_at(&database, address.port).await;
    append(&writer, 0..1000).await;
    let register = advance(&writer, RegisterId::All).await;
    let mut reader = Reader::whole(&store).await;
    append(&writer, [1000]).await;
    new.caught_up(&old).await;
    new.promote().await;
    address.move_to(new.port());
    // The old server is isolated, and takes a write that is lost.
    append(&writer, [1001]).await;
    tokio::time::sleep(crate::failover::RELIED_ON).await;
    append(&store, [1002]).await;
    assert!(!reader.read(&store).await);
    let mut reader = Reader::whole(&store).await;
    assert_eq!(reader.sessions, (0..=1000).chain([1002]).collect());
    assert_eq!(reader.registers, [(RegisterId::All, register)]);
    let next = advance(&store, RegisterId::All).await;
    assert!(next.version > register.version);
    assert!(reader.read(&store).await);
    assert_eq!(reader.registers.last(), Some(&(RegisterId::All, next)));
}

/// The address leads to the server of both that libpq finds with `target_session_attrs`, as the service
/// names of many clusters do.
async fn killed_server_is_left_for_the_one_that_takes_writes(_: &Postgres) {
    let (mut old, new) = Postgres::pair().await;
    let address = Forwarder::to(old.port()).await;
    let database = old.database().await;
    old.open(&database).await;
    let store = old.open_at(&database, address.port).await;
    append(&store, 0..1000).await;
    let register = advance(&store, RegisterId::All).await;
    let mut reader = Reader::whole(&store).await;
    new.caught_up(&old).await;
    let ports = [old.port(), new.port()];
    assert_eq!(port_that_takes_writes(&new, ports).await, Some(old.port()));
    old.kill();
    assert_eq!(port_that_takes_writes(&new, ports).await, None);
    address.move_to(new.port());
    // It still follows the dead one: nothing is written, and nothing is read as if it were current.
    tokio::time::sleep(crate::failover::RELIED_ON).await;
    store.read_feed("feed", None).await.expect_err("a standby");
    store.registers("feed", &[RegisterId::All]).await.expect_err("a standby");
    new.promote().await;
    let found = port_that_takes_writes(&new, ports).await;
    assert_eq!(found, Some(new.port()));
    append(&store, [1000]).await;
    assert!(!reader.read(&store).await);
    let mut reader = Reader::whole(&store).await;
    assert_eq!(reader.sessions, (0..=1000).collect());
    assert_eq!(reader.registers, [(RegisterId::All, register)]);
    append(&store, [1001]).await;
    assert!(reader.read(&store).await);
    assert!(reader.sessions.contains(&1001));
}

/// As libpq finds it.
async fn port_that_takes_writes(server: &Postgres, ports: [u16; 2]) -> Option<u16> {
    let [one, two] = ports;
    let mut psql = server.program("psql").await;
    psql.arg(format!(
        "host=127.0.0.1,127.0.0.1 port={one},{two} dbname=postgres target_session_attrs=read-write"
    ));
    let ask = psql.args(["-At", "-c", "SELECT inet_server_port()"]).output().expect("runs");
    String::from_utf8(ask.stdout).expect("text").trim().parse().ok()
}

/// Some servers do not let the role read it.
async fn hidden_timeline_does_no_harm(server: &Postgres) {
    let database = server.database().await;
    server.open(&database).await;
    let role = format!("role_{database}");
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", Postgres::PASSWORD);
    server.send(&database, &create).await;
    server.send(&database, &format!("GRANT ALL ON {TABLES} TO {role}")).await;
    let hide = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC";
    server.send(&database, hide).await;
    let store = PostgresStore::new(server.pool_of(server.options(&database).username(&role)));
    append(&store, [1]).await;
    let mut reader = Reader::whole(&store).await;
    append(&store, [2]).await;
    assert!(reader.read(&store).await);
    assert_eq!(reader.sessions, BTreeSet::from([1, 2]));
    store.registers("feed", &[RegisterId::All]).await.expect("reads");
    server.send(&database, &format!("TRUNCATE {TABLES}")).await;
    assert!(!reader.read(&store).await);
}
