//! Children that cannot outlive their parent, and the lines by which the two talk.
//!
//! A child's standard input is its life line: the parent holds the other end, so end-of-file means
//! that the parent is gone, however it went, and the child exits. No signal handler is needed
//! for that, nor any cleaning up that a `kill -9` could skip.

use std::{
    io::Write,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::BoxError;

/// How long a child may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// A child process. Dropping it kills it.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: ChildStdin,
    lines: Option<ProcessLines>,
}

/// The lines that a child prints.
pub(crate) type ProcessLines = Lines<BufReader<ChildStdout>>;

impl Process {
    /// Starts this executable again with `arguments`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // A group of its own: Ctrl-C at the terminal reaches the parent only, which then decides.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        let lines = Some(BufReader::new(stdout).lines());
        Ok(Self { name: name.to_owned(), child, stdin, lines })
    }

    /// Its address, as soon as it listens, and its further lines.
    ///
    /// # Errors
    /// If it ends or hangs before it listens, or was asked before.
    pub(crate) async fn listens(&mut self) -> Result<(String, ProcessLines), BoxError> {
        let name = &self.name;
        let mut lines = self.lines.take().ok_or_else(|| format!("{name} was read before"))?;
        match timeout(START_TIMEOUT, lines.next_line()).await {
            Ok(Ok(Some(address))) => Ok((address, lines)),
            Ok(_) => {
                let status = self.child.wait().await?;
                Err(format!("{name} ended before it listened ({status})").into())
            }
            Err(_) => Err(format!("{name} did not listen within {START_TIMEOUT:?}").into()),
        }
    }

    /// The number by which the operating system knows it, for as long as it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it one line, which may be secret.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) async fn tell(&mut self, line: &str) -> Result<(), BoxError> {
        let sent = self.stdin.write_all(format!("{line}\n").as_bytes()).await;
        sent.map_err(|error| {
            format!("{} does not read its standard input: {error}", self.name).into()
        })
    }

    /// Sends it a signal, by its name.
    ///
    /// # Errors
    /// If it has ended, or `kill` cannot be called.
    pub(crate) async fn signal(&self, signal: &str) -> Result<(), BoxError> {
        let name = &self.name;
        let id = self.id().ok_or_else(|| format!("{name} has ended"))?;
        let mut kill = Command::new("/bin/sh");
        let sent = kill.args(["-c", &format!("kill -{signal} {id}")]).status().await;
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cannot send SIG{signal} to {name}: {status}").into()),
            Err(error) => Err(format!("cannot start `/bin/sh`: {error}").into()),
        }
    }

    /// Kills it as `kill -9` does, and returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        // An error says that it is gone already.
        let _ = self.child.kill().await;
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it fails, or takes longer than `limit`.
    pub(crate) async fn wait(&mut self, limit: Duration) -> Result<(), BoxError> {
        let name = &self.name;
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{name} failed ({status})").into()),
            Ok(Err(error)) => Err(format!("{name}: {error}").into()),
            Err(_) => Err(format!("{name} did not end within {limit:?}").into()),
        }
    }
}

/// In a child: the lines that the parent sends, until it is gone.
pub(crate) struct Orders(Lines<BufReader<Stdin>>);

impl Orders {
    /// Takes over standard input.
    pub(crate) fn new() -> Self {
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    /// The next line; `None` once the parent is gone.
    pub(crate) async fn next(&mut self) -> Option<String> {
        // Input that cannot be read any more is as good as a parent that is gone.
        self.0.next_line().await.ok().flatten()
    }
}

/// In a child: sends one line to the parent.
pub(crate) fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    // If the parent is gone, end-of-file on standard input ends this process anyway.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Resolves when the user asks to stop: Ctrl-C, or a polite `kill`.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                result = tokio::signal::ctrl_c() => if result.is_ok() { return },
                received = terminate.recv() => if received.is_some() { return },
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No handler could be set: the default action of the signal ends the process.
        std::future::pending::<()>().await;
    }
}
