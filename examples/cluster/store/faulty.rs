//! What can happen to the place where the replicas meet: it dies, is slow, is emptied, or fails over.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    store::console,
    store::link::Link,
    store::server::{Server, ServerKind},
};

/// How long a follower may take to hold everything.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether the place can be used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Condition {
    /// As usual.
    Up,
    /// Each message takes longer.
    Slow,
    /// Not at all.
    Down,
}

/// A Redis of this run's own, and the link that leads to it.
pub(crate) struct LinkedServer {
    /// The server.
    pub(crate) server: Server,
    link: Link,
    is_down: bool,
}

impl LinkedServer {
    /// Puts a link before a server.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn new(server: Server) -> Result<Self, BoxError> {
        let link = Link::to(server.port).await?;
        Ok(Self { server, link, is_down: false })
    }

    /// The URL for the replicas.
    pub(crate) fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}", self.server.password, self.link.port)
    }

    /// Whether it can be used.
    pub(crate) fn condition(&self) -> Condition {
        match (self.is_down, self.link.is_slow()) {
            (true, _) => Condition::Down,
            (false, true) => Condition::Slow,
            (false, false) => Condition::Up,
        }
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
        self.is_down = true;
    }

    /// Starts the server again if it is down, and lets the link be as fast as it can.
    ///
    /// # Errors
    /// If the server does not start.
    pub(crate) async fn heal(&mut self) -> Result<(), BoxError> {
        self.link.slow(Duration::ZERO);
        if self.is_down {
            self.server.restart().await?;
            self.is_down = false;
        }
        Ok(())
    }

    /// Delays each message to and from the server.
    pub(crate) fn slow(&mut self, delay: Duration) {
        self.link.slow(delay);
    }

    /// Removes everything from the server.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub(crate) async fn empty(&self) -> Result<(), BoxError> {
        console::ask(&self.server.url(), &["FLUSHALL"]).await.map(drop)
    }

    /// Starts a follower, kills the server, promotes the follower, and leads the link to it. What the
    /// server had not yet sent to the follower is lost.
    ///
    /// # Errors
    /// If the follower does not start, or does not get everything in time.
    pub(crate) async fn fail_over(&mut self) -> Result<(), BoxError> {
        let follower = Server::start(ServerKind::Redis, &self.server.password).await?;
        let url = follower.url();
        let port = self.server.port.to_string();
        console::ask(&url, &["REPLICAOF", "127.0.0.1", &port]).await?;
        let start = Instant::now();
        while !console::ask(&url, &["INFO", "replication"]).await?.contains("master_link_status:up")
        {
            if start.elapsed() > FOLLOW_TIMEOUT {
                return Err(
                    format!("the follower of Redis held nothing in {FOLLOW_TIMEOUT:?}").into()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.server.kill();
        console::ask(&url, &["REPLICAOF", "NO", "ONE"]).await?;
        self.link.lead_to(follower.port);
        self.server = follower;
        Ok(())
    }
}

/// Where a directory is while it is away.
fn away(directory: &Path) -> PathBuf {
    directory.with_extension("away")
}

/// Whether a directory is there.
pub(crate) fn condition(directory: &Path) -> Condition {
    if away(directory).exists() { Condition::Down } else { Condition::Up }
}

/// Moves a directory away, as a volume that is not mounted.
///
/// # Errors
/// If it cannot be moved.
pub(crate) fn take_away(directory: &Path) -> Result<(), BoxError> {
    Ok(std::fs::rename(directory, away(directory))?)
}

/// Moves it back.
///
/// # Errors
/// If it cannot be moved.
pub(crate) fn bring_back(directory: &Path) -> Result<(), BoxError> {
    Ok(std::fs::rename(away(directory), directory)?)
}

/// Removes every entry of a directory.
///
/// # Errors
/// If one cannot be removed.
pub(crate) fn clear(directory: &Path) -> Result<(), BoxError> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_away_and_comes_back() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("store");
        std::fs::create_dir(&directory).expect("it is new");
        std::fs::write(directory.join("entry"), "x").expect("it is there");
        take_away(&directory).expect("it can be moved");
        assert_eq!((condition(&directory), directory.exists()), (Condition::Down, false));
        bring_back(&directory).expect("it can be moved");
        assert_eq!(
            (condition(&directory), directory.join("entry").exists()),
            (Condition::Up, true)
        );
        clear(&directory).expect("it is ours");
        assert!(directory.exists() && !directory.join("entry").exists());
    }
}
