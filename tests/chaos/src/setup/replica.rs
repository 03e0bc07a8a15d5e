//! One replica: a process of the example cluster, whose port stays the same when it is started again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Problem;
use crate::example::{cluster, listens};
use crate::link::Link;
use crate::server::place::{Place, WatchedChild};
use crate::setup::process;
use crate::setup::store::Store;

/// How often a replica is started that ends at once, as a supervisor does.
const ATTEMPTS: u32 = 3;

/// Where the users and the watch find a replica.
pub(crate) struct Peer {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// Its address.
    pub(crate) url: String,
    /// Where its log is.
    pub(crate) log: PathBuf,
    in_rotation: AtomicBool,
}

impl Peer {
    /// Whether a balancer would send requests there: its last readiness answer was 200.
    pub(crate) fn in_rotation(&self) -> bool {
        self.in_rotation.load(Ordering::SeqCst)
    }

    /// Says so, and returns what it was.
    pub(crate) fn put_in_rotation(&self, in_rotation: bool) -> bool {
        self.in_rotation.swap(in_rotation, Ordering::SeqCst)
    }
}

/// The process.
pub(crate) struct Replica {
    pub(crate) peer: Arc<Peer>,
    /// Its way to the store's server.
    pub(crate) link: Option<Link>,
    /// The prefix of its command line, such as `env`.
    pub(crate) prefix: Vec<String>,
    arguments: Vec<String>,
    process: Option<WatchedChild>,
    place: Place,
}

impl Replica {
    /// Starts it, and returns as soon as it listens.
    pub(crate) async fn start(
        index: usize,
        store: &Store,
        prefix: &[String],
        options: &[&str],
    ) -> Result<Self, Problem> {
        let place = Place::new(None).map_err(|error| error.to_string())?;
        let link = store.link().await?;
        let secret = store.home().join("sealing.key");
        let name = format!("replica-{}", index + 1);
        let own = [
            ["--name", &name],
            ["--store", &store.option(link.as_ref())],
            ["--secret-file", &secret.display().to_string()],
            ["--log", "warn"],
        ];
        let own = own.iter().flatten().chain(options).map(|&word| word.to_owned());
        let arguments: Vec<_> = own.collect();
        let log = place.path().join("log");
        let mut replica = Self {
            peer: Arc::new(Peer {
                index,
                url: String::new(),
                log: log.clone(),
                in_rotation: AtomicBool::new(false),
            }),
            link,
            prefix: prefix.to_vec(),
            arguments,
            process: None,
            place,
        };
        let mut attempt = 1;
        let port = loop {
            replica.run("0")?;
            match listens(&log).await {
                Ok(port) => break port,
                Err(problem) if attempt == ATTEMPTS => return Err(problem),
                // A busy machine: the store did not answer in time.
                Err(_) => attempt += 1,
            }
            replica.kill();
            std::fs::remove_file(&log).map_err(|error| error.to_string())?;
        };
        let in_rotation = AtomicBool::new(false);
        let url = format!("http://127.0.0.1:{port}");
        replica.peer = Arc::new(Peer { index, url, log, in_rotation });
        Ok(replica)
    }

    fn run(&mut self, port: &str) -> Result<(), Problem> {
        let program = program();
        let words = [&self.prefix[..], &[program.display().to_string()]].concat();
        let arguments: Vec<&str> = words[1..].iter().map(|word| &**word).collect();
        let own = self.arguments.iter().map(|word| &**word);
        let own: Vec<_> = ["replica", "--port", port].into_iter().chain(own).collect();
        let arguments = [&arguments[..], &own].concat();
        let child = WatchedChild::start(&self.place, "KILL", Path::new(&words[0]), &arguments);
        self.process = Some(child.map_err(|error| format!("a replica does not start: {error}"))?);
        Ok(())
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again at its port.
    pub(crate) fn start_again(&mut self) -> Result<(), Problem> {
        let (_, port) = self.peer.url.rsplit_once(':').unwrap_or_default();
        let port = port.to_owned();
        self.run(&port)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Problem> {
        process::signal(self.id()?, name)
    }

    fn id(&self) -> Result<u32, Problem> {
        let id = std::fs::read_to_string(self.place.path().join("pid")).unwrap_or_default();
        id.trim().parse().map_err(|_| "a replica has no process".to_owned())
    }
}

/// The example's program.
pub(crate) fn program() -> PathBuf {
    cluster(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}
