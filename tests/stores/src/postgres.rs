//! PostgreSQL.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Barrier;
use tokio::time::sleep;
use tower_jwt_session::store::{
    Entry, Insertion, PostgresStore, RefreshTokenStore, RevocationStore, Store,
};
use tower_jwt_session::{Clock as _, Revocations, Sessions, SystemClock};

use crate::failover::RELIED_ON;
use crate::forwarder::Forwarder;
use crate::revocations::unwritable_is_noticed;
use crate::rings;
use crate::scenarios::{assert_hidden, eventually};
use crate::server::{Programs, Server, ServerKind};
use crate::support::entries::{content, entry, held, insert, last, redeem, redemption};
use crate::{Backend, Test, block_on, postgres_feed, postgres_losses, postgres_registers};

/// A cluster with a password.
pub struct Postgres {
    server: Server,
    databases: AtomicUsize,
}

impl Postgres {
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.server.port)
            .username("postgres")
            .password(Self::PASSWORD)
            .database(database)
    }

    pub(crate) fn pool(&self, database: &str) -> PgPool {
        self.pool_of(self.options(database))
    }

    pub(crate) fn pool_of(&self, options: PgConnectOptions) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(2);
        pool.acquire_timeout(Duration::from_secs(5)).connect_lazy_with(options)
    }

    /// Does something beside the store.
    pub(crate) async fn send(&self, database: &str, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        let done = sqlx::raw_sql(statement).execute(&self.pool(database)).await;
        done.expect("the server does it");
    }

    pub(crate) async fn ask_text(&self, database: &str, query: &str) -> String {
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        query.fetch_one(&self.pool(database)).await.expect("the server answers")
    }

    /// The directory of its data.
    pub(crate) async fn data(&self) -> PathBuf {
        let data = "SELECT setting FROM pg_settings WHERE name = 'data_directory'";
        self.ask_text("postgres", data).await.into()
    }

    /// One of PostgreSQL's programs, as the user that the server runs as.
    pub(crate) async fn program(&self, name: &str) -> Command {
        let programs = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
        let programs = PathBuf::from(self.ask_text("postgres", programs).await);
        let owner = fs::metadata(self.data().await).expect("is there");
        let mut program = Command::new(programs.join(name));
        program
            .envs([("PGPASSWORD", Self::PASSWORD), ("PGHOST", "127.0.0.1")])
            .envs([("PGUSER", "postgres"), ("PGPORT", &self.server.port.to_string())])
            .current_dir("/")
            .uid(owner.uid())
            .gid(owner.gid());
        program
    }

    pub(crate) async fn ask(&self, database: &str, query: &str) -> i64 {
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        query.fetch_one(&self.pool(database)).await.expect("the server answers")
    }
}

/// Runs a program and returns what it prints.
pub(crate) fn output(mut program: Command) -> Vec<u8> {
    let done = program.output().expect("runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

impl Backend for Postgres {
    type Store = PostgresStore;
    const PASSWORD: &'static str = "correct-horse-battery-staple";

    fn installed() -> Result<(), String> {
        Programs::find(ServerKind::Postgres).map(drop)
    }

    async fn start() -> Self {
        let server = Server::start(ServerKind::Postgres, Self::PASSWORD).await.expect("starts");
        Self { server, databases: AtomicUsize::new(1) }
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    async fn restart(&mut self) {
        self.server.restart().await.expect("starts again");
    }

    async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.send("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    fn url(&self, database: &str) -> String {
        let (password, port) = (Self::PASSWORD, self.server.port);
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    async fn open(&self, database: &str) -> PostgresStore {
        let store = PostgresStore::new(self.pool(database));
        store.migrate().await.expect("migrates");
        store
    }

    const OF_A_REPLICA: &'static str = "it is in recovery (a standby)";

    async fn pair() -> (Self, Self) {
        let (old, mut new) = (Self::start().await, Self::start().await);
        let data = new.data().await;
        let mut copy = new.program("pg_basebackup").await;
        // Its data give way to a copy of the other's.
        new.kill();
        fs::remove_dir_all(&data).expect("removes");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["-p", &old.server.port.to_string(), "-D"])
            .arg(&data);
        output(copy);
        new.restart().await;
        (old, new)
    }

    async fn caught_up(&self, leader: &Self) {
        let written = "SELECT (pg_current_wal_lsn() - '0/0')::bigint";
        let written = leader.ask("postgres", written).await;
        let replayed = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint";
        eventually("it has caught up", async || self.ask("postgres", replayed).await >= written)
            .await;
    }

    async fn promote(&self) {
        self.send("postgres", "SELECT pg_promote(true, 20)").await;
    }

    fn port(&self) -> u16 {
        self.server.port
    }

    async fn open_at(&self, database: &str, port: u16) -> PostgresStore {
        PostgresStore::new(self.pool_of(self.options(database).port(port)))
    }

    async fn empty(&self, database: &str) {
        self.send(database, &format!("TRUNCATE {TABLES}")).await;
    }

    async fn listeners(&self, database: &str) -> usize {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = '{database}' AND query LIKE 'LISTEN%'"
        );
        self.ask("postgres", &query).await.try_into().expect("a count")
    }

    async fn disconnect(&self, database: &str) {
        let terminate = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{database}'"
        );
        assert!(self.ask("postgres", &terminate).await > 0);
    }

    async fn plant(&self, database: &str, ring: &str) -> usize {
        let invalid =
            ["'no name', '2'", "'', '2'", "E'line\\nfeed', '2'", "repeat('x', 5000), '2'"];
        let long = format!("'too-long', convert_to(repeat('x', {}), 'UTF8')", Entry::MAX_BYTES + 1);
        let invalid: Vec<_> = invalid.into_iter().chain([&*long]).collect();
        for row in &invalid {
            let table = "INSERT INTO tower_jwt_session_entries (ring, name, value)";
            self.send(database, &format!("{table} VALUES ('{ring}', {row})")).await;
        }
        invalid.len()
    }

    fn own() -> Vec<Test<Self>> {
        macro_rules! tests {
            ($($test:ident)+) => {
                vec![$((stringify!($test), |server: Arc<Self>| block_on($test(&server)))),+]
            };
        }
        let own: Vec<Test<Self>> = tests! {
            replicas_migrate_at_once
            a_migration_by_hand_is_as_good
            a_missing_table_is_an_error_with_a_fix
            truncated_tables_are_restored_by_live_replicas
            failover_an_older_timeline_is_refused
            a_connection_that_only_reads_is_closed_and_the_write_repeated
            a_server_that_only_reads_is_an_error_with_its_code
            an_unreachable_server_is_named_with_the_cause
            a_pool_in_use_is_named_as_that
            a_table_of_another_version_is_refused
            the_smallest_rights_suffice
            redemptions_that_have_expired_are_deleted_in_passing
            stricter_isolation_does_no_harm
            who_wins_may_still_be_writing
            a_pool_of_one_connection_suffices
            a_closed_pool_ends_the_connection_that_listens
            a_wrong_password_shows_nowhere
            server_that_only_reads_is_noticed
        };
        own.into_iter()
            .chain(postgres_feed::all())
            .chain(postgres_losses::all())
            .chain(postgres_registers::all())
            .collect()
    }
}

/// All tables of the store.
pub(crate) const TABLES: &str = "tower_jwt_session_entries, tower_jwt_session_redemptions, \
    tower_jwt_session_feeds, tower_jwt_session_revocations, tower_jwt_session_registers";

async fn server_that_only_reads_is_noticed(_: &Postgres) {
    let server = Postgres::start().await;
    let database = server.database().await;
    let store = server.open(&database).await;
    let read_only = async |value: &str| {
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        server.send(&database, &set).await;
        server.send(&database, "SELECT pg_reload_conf()").await;
        let is_set = "SELECT count(*) FROM pg_settings \
                      WHERE name = 'default_transaction_read_only' AND setting = '";
        let is_set = format!("{is_set}{value}'");
        eventually("it is set", async || server.ask(&database, &is_set).await == 1).await;
    };
    unwritable_is_noticed(store, async || read_only("on").await, async || read_only("off").await)
        .await;
}

async fn replicas_migrate_at_once(server: &Postgres) {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        for _ in 0..5 {
            let database = server.database().await;
            let start = Arc::new(Barrier::new(8));
            let migrations = [(); 8].map(|()| {
                let options = server.options(&database);
                let options = options.options([("default_transaction_isolation", isolation)]);
                // Eight wait for each other here, on a machine that may be busy.
                let patient = PgPoolOptions::new().acquire_timeout(Duration::from_secs(60));
                let store = PostgresStore::new(patient.connect_lazy_with(options));
                let start = Arc::clone(&start);
                tokio::spawn(async move {
                    start.wait().await;
                    store.migrate().await.expect("migrates");
                    store.migrate().await.expect("migrates again");
                })
            });
            for migration in migrations {
                migration.await.expect("ends");
            }
            assert_eq!(server.ask_text(&database, COMMENT).await, STATED);
        }
    }
}

async fn a_migration_by_hand_is_as_good(server: &Postgres) {
    let database = server.database().await;
    let store = PostgresStore::new(server.pool(&database));
    for _ in 0..2 {
        server.send(&database, PostgresStore::MIGRATION).await;
        store.migrate().await.expect("finds it done");
    }
    assert_eq!(insert(&store, "ring", "a", b"1").await, Insertion::Inserted);
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
    server.send(&database, PostgresStore::MIGRATION).await;
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
}

/// The same where it is dropped later, which a migration heals.
async fn a_missing_table_is_an_error_with_a_fix(server: &Postgres) {
    let database = server.database().await;
    let store = PostgresStore::new(server.pool(&database));
    for _ in 0..2 {
        let name = entry("a", b"1").name;
        for error in [
            store.load("ring").await.expect_err("there is no table"),
            store.insert("ring", &entry("a", b"1")).await.expect_err("there is no table"),
            store.remove("ring", &name).await.expect_err("there is no table"),
            store.redeem("ring", &redemption("a", 0, 1)).await.expect_err("there is no table"),
            store.read_feed("feed", None).await.expect_err("there is no table"),
        ] {
            let error = error.to_string();
            assert!(error.contains("`PostgresStore::migrate`"), "{error}");
            assert!(error.contains("SQLSTATE 42P01") && !error.contains("at line"), "{error}");
        }
        store.migrate().await.expect("makes them");
        assert_eq!(insert(&store, "ring", "a", b"1").await, Insertion::Inserted);
        server.send(&database, &format!("DROP TABLE {TABLES}")).await;
    }
    // One of them alone is made again as well.
    store.migrate().await.expect("makes them");
    for table in TABLES.split(", ") {
        server.send(&database, &format!("DROP TABLE {table}")).await;
        store.migrate().await.expect("makes it");
        postgres_feed::use_all(&store).await;
        assert_eq!(redeem(&store, "ring", "a", 0, 1).await, last(0, 1));
    }
}

/// The version is in no table, and so a purge of all tables leaves it.
async fn truncated_tables_are_restored_by_live_replicas(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let ring = rings::open("app", store.clone(), rings::hardly_polled(), SystemClock).await;
    let revocations = Revocations::builder("app").store(store.clone());
    let revocations = revocations.refresh_interval(Duration::from_secs(3600));
    let revocations = revocations.found_now().open().await.expect("opens");
    let sessions = Sessions::<()>::builder(ring.clone(), "https://app.example", "app");
    let sessions = sessions.revocations(revocations.clone()).build().expect("good settings");
    sessions.revoke_session("first").await.expect("is recorded");
    let before = content(&store, "app").await;
    let purge = "TRUNCATE tower_jwt_session_entries, tower_jwt_session_redemptions";
    server.send(&database, purge).await;
    // A logout comes before any refresh, but one that the listener's first connection causes.
    sessions.revoke_session("second").await.expect("is recorded");
    ring.refresh().await.expect("refreshes");
    revocations.refresh().await.expect("refreshes");
    let after = content(&store, "app").await;
    assert!(before.iter().all(|(name, value)| after.get(name) == Some(value)), "{after:?}");
    let newcomer = Revocations::builder("app").store(store).open().await.expect("opens");
    assert_eq!(newcomer.status().sessions, 2);
}

const COMMENT: &str = "SELECT obj_description('tower_jwt_session_entries'::regclass, 'pg_class')";
const STATED: &str = "tower-jwt-session schema version 1";

async fn a_table_of_another_version_is_refused(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    insert(&store, "ring", "a", b"1").await;
    for (version, says) in [
        (
            "'tower-jwt-session schema version 2'",
            "schema version 2; this version of tower-jwt-session supports 1",
        ),
        (
            "'tower-jwt-session schema version 4294967295'",
            "4294967295; this version of tower-jwt-session supports 1",
        ),
        ("'tower-jwt-session schema version new'", "no schema version"),
        ("'tower-jwt-session schema version 0'", "no schema version"),
        ("'keys of the service'", "comment is \"keys of the service\", expected \"tower-jwt"),
    ] {
        let change = format!("COMMENT ON TABLE tower_jwt_session_entries IS {version}");
        server.send(&database, &change).await;
        for refused in [store.load("ring").await.map(drop), store.migrate().await] {
            let refused = refused.expect_err(version).to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
    server.send(&database, "COMMENT ON TABLE tower_jwt_session_entries IS NULL").await;
    store.load("ring").await.expect_err("it has no version");
    store.migrate().await.expect("gives it one");
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
}

/// Those of the documentation.
async fn the_smallest_rights_suffice(server: &Postgres) {
    let database = server.database().await;
    let role = format!("role_{database}");
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", Postgres::PASSWORD);
    server.send(&database, &create).await;
    let store = PostgresStore::new(server.pool_of(server.options(&database).username(&role)));
    let refused = store.migrate().await.expect_err("may not make a table");
    assert_hidden::<Postgres>(&refused);

    server.send(&database, PostgresStore::MIGRATION).await;
    let table = "tower_jwt_session_entries";
    server.send(&database, &format!("GRANT SELECT, INSERT, DELETE ON {table} TO {role}")).await;
    let rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON tower_jwt_session_redemptions";
    server.send(&database, &format!("{rights} TO {role}")).await;
    let table = "tower_jwt_session_revocations";
    server
        .send(&database, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}"))
        .await;
    let rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON tower_jwt_session_registers";
    server.send(&database, &format!("{rights} TO {role}")).await;
    let rights = "GRANT SELECT, INSERT, UPDATE ON tower_jwt_session_feeds";
    server.send(&database, &format!("{rights} TO {role}")).await;
    store.migrate().await.expect("finds it done");
    store.changed("ring").await.expect("listens");
    assert_eq!(insert(&store, "ring", "a", b"1").await, Insertion::Inserted);
    assert_eq!(insert(&store, "ring", "a", b"2").await, Insertion::Exists(b"1".to_vec().into()));
    store.remove("ring", &entry("a", b"").name).await.expect("removes");
    assert_eq!(content(&store, "ring").await, BTreeMap::new());
    assert_eq!(redeem(&store, "ring", "a", 0, 1).await, last(0, 1));
    assert_eq!(redeem(&store, "ring", "b", 1, 4_000_000).await, last(1, 4_000_000));
    postgres_feed::use_all(&store).await;
    let revoke = format!("REVOKE INSERT ON tower_jwt_session_revocations FROM {role}");
    server.send(&database, &revoke).await;
    let refused = store.append("feed", &[], SystemClock.now()).await.expect_err("may not");
    assert!(refused.to_string().contains("append to the feed feed"), "{refused}");
}

async fn redemptions_that_have_expired_are_deleted_in_passing(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let count = "SELECT count(*) FROM tower_jwt_session_redemptions";
    let hour = 3_600_000;
    for session in 0..20 {
        redeem(&store, "ring", &format!("s-{session}"), 2, 0).await;
    }
    redeem(&store, "ring", "one", 0, hour).await;
    assert_eq!(server.ask(&database, count).await, 21, "just not expired");
    redeem(&store, "other", "one", 0, hour + 1).await;
    assert_eq!(server.ask(&database, count).await, 21 - 8 + 1, "a few at once");
    for _ in 0..3 {
        redeem(&store, "ring", "one", 0, hour + 1).await;
    }
    assert_eq!(server.ask(&database, count).await, 2, "all that have expired");
    // Its own is compared all the same.
    assert_eq!(redeem(&store, "ring", "one", 0, 9 * hour).await, last(0, hour));
}

async fn stricter_isolation_does_no_harm(server: &Postgres) {
    for isolation in ["repeatable read", "serializable"] {
        let database = server.database().await;
        server.open(&database).await;
        let options = server.options(&database);
        let options = options.options([("default_transaction_isolation", isolation)]);
        let stores = [(); 4].map(|()| PostgresStore::new(server.pool_of(options.clone())));
        for round in 0..50 {
            let start = Arc::new(Barrier::new(stores.len()));
            let racers = stores.clone().map(|store| {
                let start = Arc::clone(&start);
                tokio::spawn(async move {
                    start.wait().await;
                    redeem(&store, "ring", "a", round, 1).await;
                    insert(&store, "ring", &format!("a-{round}"), b"1").await
                })
            });
            let mut winners = 0;
            for racer in racers {
                match racer.await.expect("ends") {
                    Insertion::Inserted => winners += 1,
                    Insertion::Exists(value) => assert_eq!(*value, *b"1"),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(winners, 1, "round {round}, {isolation}");
        }
    }
}

/// The loser waits for a winner that has not committed, and then reads what it wrote, though its
/// own statement began before that.
async fn who_wins_may_still_be_writing(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let pool = server.pool(&database);
    for (name, commit) in [("a", true), ("b", false)] {
        let mut winner = pool.begin().await.expect("begins");
        let write = "INSERT INTO tower_jwt_session_entries VALUES ('ring', $1, 'winner')";
        let write = sqlx::query(write).bind(name).execute(&mut *winner).await;
        write.expect("writes");
        let losing = tokio::spawn({
            let store = store.clone();
            async move { insert(&store, "ring", name, b"loser").await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!losing.is_finished(), "the winner is not done");
        if commit {
            winner.commit().await.expect("commits");
            let lost = Insertion::Exists(b"winner".to_vec().into());
            assert_eq!(losing.await.expect("ends"), lost);
        } else {
            winner.rollback().await.expect("gives up");
            assert_eq!(losing.await.expect("ends"), Insertion::Inserted);
        }
    }
}

/// Listening takes none of the application's.
async fn a_pool_of_one_connection_suffices(server: &Postgres) {
    let database = server.database().await;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(3));
    let store = PostgresStore::new(pool.connect_lazy_with(server.options(&database)));
    store.migrate().await.expect("migrates");
    store.changed("ring").await.expect("listens");
    insert(&store, "ring", "a", b"1").await;
    let notified = tokio::time::timeout(Duration::from_secs(10), store.changed("ring")).await;
    notified.expect("is notified").expect("listens");
    assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
}

async fn a_closed_pool_ends_the_connection_that_listens(server: &Postgres) {
    let database = server.database().await;
    let pool = server.pool(&database);
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.expect("migrates");
    store.changed("ring").await.expect("listens");
    assert_eq!(server.listeners(&database).await, 1);
    pool.close().await;
    eventually("nobody listens", async || server.listeners(&database).await == 0).await;
    store.load("ring").await.expect_err("is closed");
    // Nobody is connected any more.
    server.send("postgres", &format!("DROP DATABASE {database}")).await;
}

async fn a_wrong_password_shows_nowhere(server: &Postgres) {
    let options = server.options("postgres").username("nobody");
    let store = PostgresStore::new(server.pool_of(options));
    let name = entry("a", b"1").name;
    for refused in [
        store.load("ring").await.map(drop),
        store.insert("ring", &entry("a", b"1")).await.map(drop),
        store.remove("ring", &name).await,
        store.migrate().await,
    ] {
        let refused = refused.expect_err("may not");
        assert_hidden::<Postgres>(&refused);
        assert!(refused.to_string().contains("PostgreSQL"), "{refused}");
    }
}

/// The address leads back to the server from before the failover, which takes writes again.
async fn failover_an_older_timeline_is_refused(_: &Postgres) {
    let (old, new) = Postgres::pair().await;
    let address = Forwarder::to(old.server.port).await;
    let database = old.database().await;
    old.open(&database).await;
    let store = old.open_at(&database, address.port).await;
    insert(&store, "ring", "a", b"1").await;
    new.caught_up(&old).await;
    new.promote().await;
    address.move_to(new.server.port);
    sleep(RELIED_ON).await;
    assert_eq!(insert(&store, "ring", "b", b"1").await, Insertion::Inserted);
    address.move_to(old.server.port);
    sleep(RELIED_ON).await;
    let refused = store.load("ring").await.expect_err("it is older").to_string();
    assert!(refused.contains("its timeline is 1, expected at least 2"), "{refused}");
    store.insert("ring", &entry("c", b"1")).await.expect_err("it is older");
    address.move_to(new.server.port);
    let expected = BTreeMap::from([held("a", b"1"), held("b", b"1")]);
    assert_eq!(content(&store, "ring").await, expected);
}

/// Whatever made it so, a new one may take writes.
async fn a_connection_that_only_reads_is_closed_and_the_write_repeated(server: &Postgres) {
    let database = server.database().await;
    server.open(&database).await;
    let set = |how: &str| format!("ALTER DATABASE {database} {how}");
    let only_reads = set("SET default_transaction_read_only = on");
    let reset = set("RESET default_transaction_read_only");
    for write in 0..3 {
        server.send("postgres", &only_reads).await;
        let store = PostgresStore::new(server.pool(&database));
        store.load("ring").await.expect("makes a connection, which only reads");
        server.send("postgres", &reset).await;
        let done = match write {
            0 => store.insert("ring", &entry("a", b"1")).await.map(drop),
            1 => store.remove("ring", &entry("a", b"1").name).await,
            _ => store.redeem("ring", &redemption("a", 0, 1)).await.map(drop),
        };
        done.expect("is repeated over another connection");
    }
}

async fn a_server_that_only_reads_is_an_error_with_its_code(server: &Postgres) {
    let database = server.database().await;
    server.open(&database).await;
    let options = server.options(&database);
    let options = options.options([("default_transaction_read_only", "on")]);
    let store = PostgresStore::new(server.pool_of(options));
    store.load("ring").await.expect("can be read");
    for error in [
        store.insert("ring", &entry("a", b"1")).await.expect_err("can't insert"),
        store.redeem("ring", &redemption("a", 0, 1)).await.expect_err("can't redeem"),
    ] {
        let error = error.to_string();
        assert!(error.contains("SQLSTATE 25006") && !error.contains("at line"), "{error}");
    }
}

/// sqlx hides why its pool can make no connection, and says that it timed out.
async fn an_unreachable_server_is_named_with_the_cause(_: &Postgres) {
    let mut server = Postgres::start().await;
    let store = server.open("postgres").await;
    store.load("ring").await.expect("loads");
    server.kill();
    for pause in [Duration::ZERO, RELIED_ON] {
        sleep(pause).await;
        for error in [
            store.load("ring").await.expect_err("can't load"),
            store.insert("ring", &entry("a", b"1")).await.expect_err("can't insert"),
            store.migrate().await.expect_err("can't migrate"),
        ] {
            let error = error.to_string();
            assert!(error.contains(&format!("127.0.0.1:{}", server.server.port)), "{error}");
            assert!(error.contains("refused") && !error.contains("timed out"), "{error}");
        }
    }
}

async fn a_pool_in_use_is_named_as_that(server: &Postgres) {
    let database = server.database().await;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(300));
    let pool = pool.connect_lazy_with(server.options(&database));
    let store = PostgresStore::new(pool.clone());
    server.open(&database).await;
    let _held = loop {
        // Connecting takes longer on a machine that is busy.
        if let Ok(held) = pool.acquire().await {
            break held;
        }
    };
    let error = store.load("ring").await.expect_err("none is left").to_string();
    assert!(error.contains("all connections of the pool are in use"), "{error}");
}
