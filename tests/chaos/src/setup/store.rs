//! The store of one run: its own directory, Redis or PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Problem;
use crate::link::Link;
use crate::server::{Programs, Server, ServerKind};
use crate::setup::process::{family, run, signal};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Files in a directory.
    Directory,
    /// The same, on a file system of their own, which can be full.
    Volume,
    /// A Redis server.
    Redis,
    /// A PostgreSQL server.
    Postgres,
}

impl StoreKind {
    /// The word for `--store`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Directory | Self::Volume => "directory",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }

    /// Whether this machine has what the store takes.
    ///
    /// # Errors
    /// What is missing, and how to install it.
    pub fn installed(self) -> Result<(), Problem> {
        match self {
            Self::Directory => Ok(()),
            Self::Volume => Volume::mount(1).map(drop),
            Self::Redis => Programs::find(ServerKind::Redis).map(drop),
            Self::Postgres => Programs::find(ServerKind::Postgres).map(drop),
        }
    }
}

/// What every server needs who connects. It is no secret: the server lives for one run.
const PASSWORD: &str = "chaos";

/// The store.
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    home: TempDir,
    server: Option<Server>,
    volume: Option<Volume>,
}

impl Store {
    /// Makes it, empty.
    pub(crate) async fn start(kind: StoreKind) -> Result<Self, Problem> {
        let home = tempfile::Builder::new().prefix("chaos-").tempdir();
        let home = home.map_err(|error| format!("cannot make a directory: {error}"))?;
        // A replica whose clock can be set reads it there.
        let right = std::fs::write(home.path().join("offset"), "+0");
        right.map_err(|error| format!("cannot write a file: {error}"))?;
        let server = match kind {
            StoreKind::Directory | StoreKind::Volume => None,
            StoreKind::Redis => Some(Server::start(ServerKind::Redis, PASSWORD).await?),
            StoreKind::Postgres => Some(Server::start(ServerKind::Postgres, PASSWORD).await?),
        };
        let volume = match kind {
            StoreKind::Volume => Some(Volume::mount(VOLUME_MEGABYTES)?),
            _ => None,
        };
        Ok(Self { kind, home, server, volume })
    }

    /// A directory of the run's own.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The directory of the files.
    pub(crate) fn directory(&self) -> PathBuf {
        match &self.volume {
            Some(volume) => volume.path().join("store"),
            None => self.home().join("store"),
        }
    }

    /// The file system of the files.
    pub(crate) fn volume(&self) -> Result<&Volume, Problem> {
        self.volume.as_ref().ok_or_else(|| "this store has no separate file system".to_owned())
    }

    /// The server.
    pub(crate) fn server(&mut self) -> Result<&mut Server, Problem> {
        self.server.as_mut().ok_or_else(|| "this store is no server".to_owned())
    }

    /// A way of one replica to the server; none to a directory.
    pub(crate) async fn link(&self) -> Result<Option<Link>, Problem> {
        let Some(server) = &self.server else { return Ok(None) };
        let link = Link::to(server.port).await;
        link.map(Some).map_err(|error| format!("cannot make a link: {error}"))
    }

    /// The option `--store` of a replica that uses this way.
    pub(crate) fn option(&self, link: Option<&Link>) -> String {
        match (self.kind, link) {
            (StoreKind::Redis, Some(link)) => {
                format!("redis://:{PASSWORD}@127.0.0.1:{}", link.port)
            }
            (StoreKind::Postgres, Some(link)) => {
                format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", link.port)
            }
            _ => format!("file:{}", self.directory().display()),
        }
    }
}

impl Drop for Store {
    /// A process that is stopped does not end.
    fn drop(&mut self) {
        for id in self.server.as_ref().and_then(Server::id).map(family).into_iter().flatten() {
            // One may have ended.
            let _ = signal(id, "CONT");
        }
    }
}

/// Room for the files of a run, and not for much more.
const VOLUME_MEGABYTES: u32 = 4;

/// A small file system in memory.
pub(crate) struct Volume(TempDir);

impl Volume {
    /// Mounts it, which takes rights.
    fn mount(megabytes: u32) -> Result<Self, Problem> {
        let directory = tempfile::Builder::new().prefix("chaos-volume-").tempdir();
        let volume = Self(directory.map_err(|error| error.to_string())?);
        let size = format!("size={megabytes}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(volume.path());
        let mounted = run(&mut mount);
        mounted.map_err(|problem| format!("a file system takes the right to mount: {problem}"))?;
        Ok(volume)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // It fails if it was never mounted.
        let _ = run(Command::new("umount").arg("-l").arg(self.path()));
    }
}
