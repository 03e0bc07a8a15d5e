//! A cluster of real processes that proves one sentence: any request can land on any replica.
//!
//! ```text
//! cargo run --release --example cluster             # the proof: two arms, a table, an exit status
//! cargo run --release --example cluster -- serve    # the same cluster, for curl and a browser
//! ```
//!
//! Replicas of one small application, each an operating-system process, stand behind a naive
//! round-robin balancer. They share a directory of keys and nothing else. A scripted client
//! logs in once, and then the script kills replicas, restarts and adds them and rotates the keys,
//! all under load. It runs twice: over sessions from `tower-jwt-session`, and, as the control,
//! over sessions in each process's memory. The first must lose no session; the second must lose
//! some, else the script would prove nothing.
//!
//! Where to read: `stateless.rs` is the crate at work, `memory.rs` is what it replaces, `steps.rs`
//! is what is done to both, `verdict.rs` is what counts as a pass.

mod app;
mod args;
mod balancer;
mod client;
mod cluster;
mod headers;
mod load;
mod memory;
mod pool;
mod process;
mod replica;
mod report;
mod script;
mod serve;
mod stateless;
mod steps;
mod table;
mod tally;
mod terminal;
mod tour;
mod verdict;

use std::process::ExitCode;

use args::Command;
use terminal::Terminal;

/// Whatever went wrong; every message is meant for the person at the terminal.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The status of a run that Ctrl-C ended, as shells count it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("cluster: {problem}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let terminal = Terminal::detect();
    let outcome = match command {
        Command::Help => {
            println!("{}", args::USAGE);
            Ok(ExitCode::SUCCESS)
        }
        // Dropping the losing future is what kills the processes it started.
        Command::Prove(keys) => tokio::select! {
            outcome = script::prove(keys, &terminal) => outcome,
            () = process::interrupted() => Ok(ExitCode::from(INTERRUPTED)),
        },
        Command::Serve(options) => serve::serve(options, &terminal).await,
        Command::Replica(options) => replica::run(options).await,
        Command::Balancer { port } => balancer::run(port).await,
    };
    outcome.unwrap_or_else(|reason| {
        eprintln!("cluster: {reason}");
        ExitCode::FAILURE
    })
}
