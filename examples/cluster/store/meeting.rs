//! The place where the replicas meet, in the hands of the parent: made for one run, and cleared after it.

use std::path::PathBuf;

use ring::rand::{SystemRandom, generate};
use tempfile::TempDir;
use tower_jwt_session::Timestamp;

use crate::{
    BoxError,
    command::{algorithm::Signing, prove::Keys},
    store::choice::Store,
    store::faulty::{self, Condition, LinkedServer},
    store::keys::{DIRECTORY, KeyOptions, KeySource, Limits, Place, RootOptions, Secret},
    store::server::{Server, ServerKind},
};

/// A place for the keys of one run, and for what it ends.
pub(crate) struct Meeting {
    store: Store,
    sharing: Keys,
    options: KeyOptions,
    held: Held,
}

/// The resources of the run, removed at its end.
enum Held {
    Nothing,
    Directory(TempDir),
    Server(Server),
    Linked(LinkedServer),
}

impl Meeting {
    /// Makes the place, and starts its server if it is to be one of this run's own.
    ///
    /// # Errors
    /// If that fails, or somebody's server cannot be used.
    pub(crate) async fn prepare(store: Store, sharing: Keys) -> Result<Self, BoxError> {
        let (place, held) = match &store {
            Store::File | Store::Derived => {
                let directory = tempfile::Builder::new().prefix("cluster-keys-").tempdir()?;
                (Place::Directory(directory.path().into()), Held::Directory(directory))
            }
            Store::Own(kind) => {
                let server = Server::start(*kind, &hexadecimal(&random()?)).await?;
                (own(*kind, &server), Held::Server(server))
            }
            Store::Given(url) => (Place::at(url.kind, url.secret.clone()), Held::Nothing),
        };
        let source = match &store {
            Store::Derived => {
                KeySource::Derived(vec![RootOptions { secret: random()?, follows: None }])
            }
            _ => KeySource::Stored(vec![hexadecimal(&random()?)]),
        };
        let ring = format!("cluster-{}", hexadecimal(&random()?[..8]));
        let meeting = Self {
            options: KeyOptions {
                ring,
                source,
                place,
                algorithm: Signing::default(),
                founds: false,
                limits: Limits::default(),
            },
            store,
            sharing,
            held,
        };
        if let Store::Given(url) = &meeting.store {
            // There is nothing to clear yet; it shows whether the server can be used.
            let usable = meeting.options.clear().await;
            usable.map_err(|error| format!("cannot use {url}: {error}"))?;
        }
        Ok(meeting)
    }

    /// Makes new keys of this algorithm.
    pub(crate) fn sign_with(mut self, algorithm: Signing) -> Self {
        self.options.algorithm = algorithm;
        self
    }

    /// What signs the sessions.
    pub(crate) fn algorithm(&self) -> Signing {
        self.options.algorithm
    }

    /// Where it is.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration of a replica; `is_first` if there is no other yet.
    pub(crate) fn options(&self, replica: &str, is_first: bool) -> KeyOptions {
        let mut options = self.options.clone();
        options.founds |= is_first || self.sharing == Keys::Private;
        if self.sharing == Keys::Private {
            options.ring = format!("{}-{replica}", options.ring);
        }
        options
    }

    /// Makes a directory beside the store's, which goes with it, also if this process is killed.
    ///
    /// # Errors
    /// If the place is no directory of this run's own, or there is one of this name.
    pub(crate) fn make_directory(&self, name: &str) -> Result<PathBuf, BoxError> {
        let Held::Directory(directory) = &self.held else { return Err(NOT_FAULTY.into()) };
        let made = directory.path().join(name);
        std::fs::create_dir(&made)?;
        Ok(made)
    }

    /// Leads replicas that start from now on into an empty directory of the same ring, as on a machine
    /// whose volume is not mounted.
    ///
    /// # Errors
    /// If the place is no directory of this run's own, or cannot be made.
    pub(crate) fn mount_nothing(&mut self) -> Result<(), BoxError> {
        self.options.place = Place::Directory(self.make_directory("empty")?);
        self.options.founds = true;
        Ok(())
    }

    /// The server of this run's own, if it has one.
    pub(crate) fn server(&mut self) -> Option<&mut Server> {
        match &mut self.held {
            Held::Server(server) => Some(server),
            Held::Linked(linked) => Some(&mut linked.server),
            Held::Nothing | Held::Directory(_) => None,
        }
    }

    /// Puts a link between the replicas and the Redis of this run's own, before any replica starts: it
    /// can be slow, and lead to another server. Other places stay as they are.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn with_link(mut self) -> Result<Self, BoxError> {
        self.held = match (self.held, &self.store) {
            (Held::Server(server), Store::Own(ServerKind::Redis)) => {
                let linked = LinkedServer::new(server).await?;
                self.options.place = Place::Redis(linked.url());
                Held::Linked(linked)
            }
            (held, _) => held,
        };
        Ok(self)
    }

    /// Whether there is a link before the server.
    pub(crate) fn has_link(&self) -> bool {
        matches!(self.held, Held::Linked(_))
    }

    /// Whether the place can be used.
    pub(crate) fn condition(&self) -> Condition {
        match &self.held {
            Held::Directory(directory) => faulty::condition(&shared(directory)),
            Held::Linked(linked) => linked.condition(),
            Held::Nothing | Held::Server(_) => Condition::Up,
        }
    }

    /// Kills the server, or moves the directory away.
    ///
    /// # Errors
    /// If the place is not this run's own, or cannot be moved.
    pub(crate) fn kill(&mut self) -> Result<(), BoxError> {
        match &mut self.held {
            Held::Directory(directory) => faulty::take_away(&shared(directory)),
            Held::Linked(linked) => {
                linked.kill();
                Ok(())
            }
            Held::Nothing | Held::Server(_) => Err(NOT_FAULTY.into()),
        }
    }

    /// Undoes [`Meeting::kill`] and [`Meeting::slow`].
    ///
    /// # Errors
    /// If the place is not this run's own, or does not start.
    pub(crate) async fn heal(&mut self) -> Result<(), BoxError> {
        match &mut self.held {
            Held::Directory(directory) => faulty::bring_back(&shared(directory)),
            Held::Linked(linked) => linked.heal().await,
            Held::Nothing | Held::Server(_) => Err(NOT_FAULTY.into()),
        }
    }

    /// Removes everything in the place.
    ///
    /// # Errors
    /// If the place is not this run's own, or cannot be reached.
    pub(crate) async fn empty(&mut self) -> Result<(), BoxError> {
        match &mut self.held {
            Held::Directory(directory) => faulty::clear(&shared(directory)),
            Held::Linked(linked) => linked.empty().await,
            Held::Nothing | Held::Server(_) => Err(NOT_FAULTY.into()),
        }
    }

    /// The Redis behind the link.
    ///
    /// # Errors
    /// If there is no link.
    pub(crate) fn linked(&mut self) -> Result<&mut LinkedServer, BoxError> {
        match &mut self.held {
            Held::Linked(linked) => Ok(linked),
            _ => Err(NOT_FAULTY.into()),
        }
    }

    /// Adds a root secret, of which replicas hear when they start, to follow the last one then.
    ///
    /// # Errors
    /// If the keys are not derived, or there is no randomness.
    pub(crate) fn add_root(&mut self, signs_from: Timestamp) -> Result<(), BoxError> {
        let secret = random()?;
        let roots = self.roots()?;
        let last = roots.last().and_then(|root| root.follows);
        let generation = last.map_or(1, |(generation, _)| generation + 1);
        roots.push(RootOptions { secret, follows: Some((generation, signs_from)) });
        Ok(())
    }

    /// Drops the oldest root secret; replicas that start from now on know nothing of it.
    ///
    /// # Errors
    /// If the keys are not derived.
    pub(crate) fn drop_root(&mut self) -> Result<(), BoxError> {
        self.roots()?.remove(0);
        Ok(())
    }

    fn roots(&mut self) -> Result<&mut Vec<RootOptions>, BoxError> {
        match &mut self.options.source {
            KeySource::Derived(roots) => Ok(roots),
            KeySource::Stored(_) => Err("these keys are not derived".into()),
        }
    }

    /// Leaves nothing behind.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub(crate) async fn clear(self) -> Result<(), BoxError> {
        match self.held {
            Held::Nothing => self.options.clear().await,
            Held::Directory(directory) => Ok(directory.close()?),
            // Dropping it ends it.
            Held::Server(_) | Held::Linked(_) => Ok(()),
        }
    }
}

const NOT_FAULTY: &str = "this store is not one that this run can break";

/// The directory in which the replicas meet.
fn shared(directory: &TempDir) -> PathBuf {
    directory.path().join(DIRECTORY)
}

/// Where a server of this run's own is.
fn own(kind: ServerKind, server: &Server) -> Place {
    match kind {
        ServerKind::RedisSentinel => {
            Place::RedisSentinel { sentinels: server.urls(), service: server.url() }
        }
        ServerKind::RedisCluster => Place::RedisCluster(server.urls()),
        ServerKind::Redis | ServerKind::Postgres => Place::at(kind, server.url()),
    }
}

/// 32 random bytes.
///
/// # Errors
/// If the system has none.
pub(crate) fn random() -> Result<Secret, BoxError> {
    let random = generate(&SystemRandom::new()).map_err(|_| "the system has no randomness")?;
    Ok(random.expose())
}

/// Two digits for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
