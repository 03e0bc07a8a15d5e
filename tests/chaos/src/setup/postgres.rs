//! Statements to the PostgreSQL of a run, beside its replicas, and its programs.

use std::path::Path;
use std::process::Command;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::Problem;
use crate::server::Server;
use crate::setup::process::run;

/// All that the store makes.
pub(crate) const TABLES: &str = "tower_jwt_session_entries, tower_jwt_session_redemptions, \
                                 tower_jwt_session_feeds, tower_jwt_session_revocations, \
                                 tower_jwt_session_registers";

/// Connects as the administrator.
pub(crate) async fn connect(server: &Server) -> Result<PgConnection, Problem> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.port)
        .username("postgres")
        .password(&server.password)
        .database("postgres");
    let connected = PgConnection::connect_with(&options).await;
    connected.map_err(|error| format!("PostgreSQL: {error}"))
}

/// Runs statements.
pub(crate) async fn send(server: &Server, statements: &str) -> Result<(), Problem> {
    run_on(&mut connect(server).await?, statements).await
}

/// Runs statements in a connection, each as its own transaction unless they say otherwise.
pub(crate) async fn run_on(connection: &mut PgConnection, statements: &str) -> Result<(), Problem> {
    for statement in statements.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *connection);
        done.await.map_err(|error| format!("PostgreSQL: {statement}: {error}"))?;
    }
    Ok(())
}

/// One of its programs, about to connect to it.
pub(crate) fn program(of: &Server, name: &str, to: &Server) -> Command {
    let mut program = of.program(name);
    program.env("PGPASSWORD", &to.password);
    program.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &to.port.to_string()]);
    program
}

/// Writes all tables as they are now into a file.
pub(crate) fn dump(server: &Server, file: &Path) -> Result<(), Problem> {
    let mut dump = program(server, "pg_dump", server);
    run(dump.args(["--clean", "--if-exists", "--dbname=postgres", "-f"]).arg(file))
}

/// Puts them back.
pub(crate) fn restore(server: &Server, file: &Path) -> Result<(), Problem> {
    let mut restore = program(server, "psql", server);
    restore.args(["-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "--dbname=postgres"]);
    run(restore.arg("-f").arg(file))
}
