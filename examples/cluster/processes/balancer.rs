//! The balancer as its parent holds it: a process, and which replicas it has seen.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

use crate::{
    BoxError,
    command::balancer::BalancerKind,
    processes::process::Process,
    processes::program::{AllSeen, Program, Seen},
};

/// How long the balancer may take to see a change.
const SEEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a balancer that only learns from requests gets one.
const POKE_EVERY: Duration = Duration::from_millis(50);

/// The process.
pub(crate) struct Balancer {
    /// Where it listens.
    pub(crate) url: String,
    /// What it has reported, by address.
    pub(crate) seen: watch::Receiver<AllSeen>,
    running: Running,
}

enum Running {
    /// The balancer of this example, which gets orders to add and remove replicas.
    Own(Process),
    /// One that finds them at ports of its file.
    Program(Program),
}

impl Balancer {
    /// Starts it at `port` of 127.0.0.1, with or without affinity by cookie.
    ///
    /// # Errors
    /// If it does not come up, or is not installed.
    pub(crate) async fn start(
        kind: BalancerKind,
        port: u16,
        affinity: bool,
    ) -> Result<Self, BoxError> {
        if kind != BalancerKind::Own {
            let program = Program::start(kind, port, affinity).await?;
            let (url, seen) = (program.url(), program.seen());
            return Ok(Self { url, seen, running: Running::Program(program) });
        }
        let (port, affinity) = (port.to_string(), affinity.to_string());
        let arguments = ["balancer", "--port", &port, "--affinity", &affinity];
        let mut process = Process::start("the balancer", &arguments)?;
        let (url, mut lines) = process.listens().await?;
        let (sender, seen) = watch::channel(AllSeen::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((url, state)) = read_event(&line) {
                    sender.send_modify(|seen| {
                        seen.insert(url.to_owned(), state);
                    });
                }
            }
        });
        Ok(Self { url, seen, running: Running::Own(process) })
    }

    /// Where the replica at this place has to listen; 0 if that does not matter.
    ///
    /// # Errors
    /// If there is no such place.
    pub(crate) fn port_of(&self, index: usize) -> Result<u16, BoxError> {
        match &self.running {
            Running::Own(_) => Ok(0),
            Running::Program(program) => program.port_of(index),
        }
    }

    /// Gives a replica a share of the requests, once it is ready.
    ///
    /// # Errors
    /// If the balancer has ended.
    pub(crate) async fn add(&mut self, url: &str) -> Result<(), BoxError> {
        match &mut self.running {
            Running::Own(process) => process.tell(&format!("add {url}")).await,
            // It knows all places.
            Running::Program(_) => Ok(()),
        }
    }

    /// Prepares it for a replica that is about to drain.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) async fn expect_drain(&mut self, url: &str) -> Result<(), BoxError> {
        match &mut self.running {
            // It sees by itself that the replica is not ready.
            Running::Own(_) => Ok(()),
            Running::Program(program) => program.take_out(url).await,
        }
    }

    /// Takes a replica out; returns when it has answered its last request.
    ///
    /// # Errors
    /// If the balancer has ended, or the replica does not answer.
    pub(crate) async fn remove(&mut self, url: &str) -> Result<(), BoxError> {
        match &mut self.running {
            Running::Own(process) => {
                process.tell(&format!("remove {url}")).await?;
                self.sees(url, Seen::Removed).await
            }
            Running::Program(program) => {
                program.take_out(url).await?;
                self.sees_down(url).await
            }
        }
    }

    /// Returns when the balancer has seen that a replica is ready.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn sees_up(&mut self, url: &str) -> Result<(), BoxError> {
        if let Running::Program(program) = &mut self.running {
            program.put_in(url).await?;
        }
        self.sees(url, Seen::Up).await
    }

    /// Returns when the balancer has seen that a replica is not ready, or cannot be reached.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn sees_down(&mut self, url: &str) -> Result<(), BoxError> {
        let mut seen = self.seen.clone();
        let pokes = async {
            while seen.borrow_and_update().get(url) != Some(&Seen::Down) {
                match &self.running {
                    Running::Own(_) => return,
                    Running::Program(program) => program.poke().await,
                }
                tokio::time::sleep(POKE_EVERY).await;
            }
        };
        // The wait below says what is wrong.
        let _ = timeout(SEEN_TIMEOUT, pokes).await;
        self.sees(url, Seen::Down).await
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        match &mut self.running {
            Running::Own(process) => process.ended().is_some(),
            Running::Program(program) => !program.listens(),
        }
    }

    /// Ends it.
    pub(crate) async fn end(&mut self) {
        match &mut self.running {
            Running::Own(process) => process.kill().await,
            Running::Program(program) => program.end(),
        }
    }

    async fn sees(&mut self, url: &str, state: Seen) -> Result<(), BoxError> {
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
