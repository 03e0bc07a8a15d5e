//! The balancer as its parent holds it: a process, and which replicas it has seen.

use std::{collections::HashMap, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::{BoxError, processes::process::Process};

/// How long the balancer may take to see a change.
const SEEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The state of a replica that the balancer last reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seen {
    /// Ready.
    Up,
    /// Not ready, or not to be reached.
    Down,
    /// Taken out.
    Removed,
}

/// The process.
pub(crate) struct Balancer {
    /// Where it listens.
    pub(crate) url: String,
    /// The process.
    pub(crate) process: Process,
    /// What it has reported, by address.
    pub(crate) seen: watch::Receiver<HashMap<String, Seen>>,
}

impl Balancer {
    /// Starts it at `port` of 127.0.0.1, with or without affinity by cookie.
    ///
    /// # Errors
    /// If it does not come up.
    pub(crate) async fn start(port: u16, affinity: bool) -> Result<Self, BoxError> {
        let (port, affinity) = (port.to_string(), affinity.to_string());
        let arguments = ["balancer", "--port", &port, "--affinity", &affinity];
        let mut process = Process::start("the balancer", &arguments)?;
        let (url, mut lines) = process.listens().await?;
        let (sender, seen) = watch::channel(HashMap::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((url, state)) = read_event(&line) {
                    sender.send_modify(|seen| {
                        seen.insert(url.to_owned(), state);
                    });
                }
            }
        });
        Ok(Self { url, process, seen })
    }

    /// Gives a replica a share of the requests, once it is ready.
    ///
    /// # Errors
    /// If the balancer has ended.
    pub(crate) async fn add(&mut self, url: &str) -> Result<(), BoxError> {
        self.process.tell(&format!("add {url}")).await
    }

    /// Takes a replica out; returns when it has answered its last request.
    ///
    /// # Errors
    /// If the balancer has ended, or the replica does not answer.
    pub(crate) async fn remove(&mut self, url: &str) -> Result<(), BoxError> {
        self.process.tell(&format!("remove {url}")).await?;
        self.sees(url, Seen::Removed).await
    }

    /// Returns when the balancer has seen a replica so.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn sees(&mut self, url: &str, state: Seen) -> Result<(), BoxError> {
        let change = self.seen.wait_for(|seen| seen.get(url) == Some(&state));
        match timeout(SEEN_TIMEOUT, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the balancer has ended".into()),
            Err(_) => Err(format!("the balancer did not see {url} as {state:?}").into()),
        }
    }
}

fn read_event(line: &str) -> Option<(&str, Seen)> {
    let (event, url) = line.split_once(' ')?;
    let state = match event {
        "up" => Seen::Up,
        "down" => Seen::Down,
        "removed" => Seen::Removed,
        _ => return None,
    };
    Some((url, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_a_word_and_an_address() {
        assert_eq!(read_event("up http://a"), Some(("http://a", Seen::Up)));
        assert_eq!(read_event("removed http://a"), Some(("http://a", Seen::Removed)));
        assert_eq!(read_event("up"), None);
        assert_eq!(read_event("went http://a"), None);
    }
}
