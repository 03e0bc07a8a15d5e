//! The stores of tower-jwt-session against real servers: the contract of all stores, and what only
//! a server can do to them.
//!
//! Each program starts its servers from what is installed, on the loopback interface, in temporary
//! directories. Where there are none, its tests are reported as ignored, with the reason; with the
//! environment variable `REQUIRE_SERVERS=1` that is a failure.

/// Tests of PostgreSQL's feeds, by the names of their functions.
macro_rules! feed_tests {
    ($($test:ident)+) => {
        vec![$((concat!("feed_", stringify!($test)), |server: std::sync::Arc<Postgres>| {
            crate::block_on($test(&server));
        })),+]
    };
}

pub mod cluster;
mod connection;
mod dying_writers;
mod failover;
mod forwarder;
mod founding;
mod group;
pub mod operator;
pub mod postgres;
mod postgres_feed;
mod postgres_losses;
mod postgres_registers;
pub mod redis;
mod redis_feed;
mod refresh_tokens;
mod revocations;
pub mod revoking;
mod rings;
mod scenarios;
pub mod sentinel;
#[allow(dead_code, reason = "the example names the process of its server")]
#[path = "../../../examples/cluster/store/server/mod.rs"]
mod server;
/// What the tests of the package itself share, too.
#[path = "../../support"]
mod support {
    pub(crate) mod counted;
    pub(crate) mod delegate;
    pub(crate) mod entries;
}

use std::future::Future;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use tower_jwt_session::store::{RefreshTokenStore, RevocationStore};

/// A kind of server that a store is in.
pub trait Backend: Sized + Send + Sync + 'static {
    type Store: RevocationStore + RefreshTokenStore + Clone;
    /// What shows nowhere.
    const PASSWORD: &'static str;

    /// Looks for what is installed.
    ///
    /// # Errors
    ///
    /// If something is missing: what.
    fn installed() -> Result<(), String>;

    /// Starts a server.
    fn start() -> impl Future<Output = Self>;
    /// Kills the server, which keeps its data.
    fn kill(&mut self);
    /// Starts it again, where it was.
    fn restart(&mut self) -> impl Future<Output = ()>;

    /// Makes an empty database, and says its name.
    fn database(&self) -> impl Future<Output = String>;
    /// The URL of that database, with the password.
    fn url(&self, database: &str) -> String;
    /// Opens a store there, with connections of its own.
    fn open(&self, database: &str) -> impl Future<Output = Self::Store>;
    /// Removes all that stores have written there.
    fn empty(&self, database: &str) -> impl Future<Output = ()>;
    /// How many connections listen there.
    fn listeners(&self, database: &str) -> impl Future<Output = usize>;
    /// Ends all connections there.
    fn disconnect(&self, database: &str) -> impl Future<Output = ()>;
    /// Puts what is no entry into a ring, beside the entry `a`: how many things are to be skipped.
    fn plant(&self, database: &str, ring: &str) -> impl Future<Output = usize>;

    /// What the error says where a store's address leads to a replica.
    const OF_A_REPLICA: &'static str;
    /// Starts a server, and one that follows it.
    fn pair() -> impl Future<Output = (Self, Self)>;
    /// Waits until this server has all that the one that it follows has.
    fn caught_up(&self, leader: &Self) -> impl Future<Output = ()>;
    /// Makes a server that follows another one that takes writes. The other does not notice.
    fn promote(&self) -> impl Future<Output = ()>;
    /// Where it listens on 127.0.0.1.
    fn port(&self) -> u16;
    /// Opens a store at another port of 127.0.0.1.
    fn open_at(&self, database: &str, port: u16) -> impl Future<Output = Self::Store>;

    /// The tests of this kind alone.
    fn own() -> Vec<Test<Self>>;
}

/// A test's name, and what it does with a server that it shares with others.
pub type Test<B> = (&'static str, fn(Arc<B>));

/// Runs all tests of a kind of server, as the program's `main`.
pub fn run<B: Backend>() -> ! {
    let tests = scenarios::all()
        .into_iter()
        .chain(revocations::all())
        .chain(founding::all())
        .chain(refresh_tokens::all())
        .chain(failover::all())
        .chain(operator::all())
        .chain(revoking::all())
        .chain(B::own());
    run_tests(B::installed(), || block_on(B::start()), tests)
}

/// Runs tests that share a server, if what they need is installed.
fn run_tests<B: Send + Sync + 'static>(
    installed: Result<(), String>,
    start: fn() -> B,
    tests: impl Iterator<Item = Test<B>>,
) -> ! {
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(THREADS);
    let required = std::env::var_os("REQUIRE_SERVERS").is_some_and(|value| value == "1");
    let ignored = installed.is_err() && !required;
    // One server for all tests that do it no harm, made when it is first needed.
    let shared: Arc<std::sync::OnceLock<Arc<B>>> = Arc::default();
    let trials = tests.map(|(name, test)| {
        let (missing, shared) = (installed.clone().err(), Arc::clone(&shared));
        let kind = missing.clone().unwrap_or_default();
        let run = move || {
            if let Some(missing) = missing {
                return Err(missing.into());
            }
            test(Arc::clone(shared.get_or_init(|| Arc::new(start()))));
            Ok(())
        };
        Trial::test(name, run).with_kind(kind).with_ignored_flag(ignored)
    });
    let trials = trials.collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    conclusion.exit()
}

/// Runs a test's future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// How many tests run at a time.
const THREADS: usize = 6;
