//! `sessionctl`: the operator's tool for rings and sessions in a store.
//!
//! Exit status: 0 done, 1 failed or declined, 2 wrong usage (nothing was done), 130 interrupted.

mod commands;
mod credential;
mod failure;
mod options;
mod secret;
mod store;
mod terminal;
mod time;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::options::OutputOptions;
use crate::terminal::Terminal;

/// Operates the keys and sessions of services that use tower-jwt-session.
///
/// Exit status: 0 done, 1 failed or declined, 2 wrong usage (nothing was done), 130 interrupted.
#[derive(Parser)]
#[command(name = "sessionctl", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(flatten)]
    output: OutputOptions,
    #[command(subcommand)]
    command: Command,
}

/// The commands, each in a file of that name.
#[derive(Subcommand)]
enum Command {
    /// Finds users in the audit trail.
    #[command(subcommand)]
    Audit(commands::audit::Command),
    /// Asks the status routes of all replicas, and shows the production checklist: one line each. Exit status
    /// 1 if a check failed.
    Doctor(commands::doctor::command::Doctor),
    /// Shows, rotates and revokes the keys of a ring.
    #[command(subcommand)]
    Keys(commands::keys::command::Command),
    /// Founds a ring in an empty store.
    #[command(subcommand)]
    Ring(commands::ring::Command),
    /// Revokes sessions, and has claims reloaded.
    #[command(subcommand)]
    Sessions(commands::sessions::command::Command),
    /// Asks what a store can do.
    #[command(subcommand)]
    Store(commands::store::Command),
    /// Explains tokens.
    #[command(subcommand)]
    Token(commands::token::command::Command),
}

impl Command {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Audit(command) => command.run(terminal).await,
            Self::Doctor(doctor) => doctor.run(terminal).await,
            Self::Keys(command) => command.run(terminal).await,
            Self::Ring(command) => command.run(terminal).await,
            Self::Sessions(command) => command.run(terminal).await,
            Self::Store(command) => command.run(terminal).await,
            Self::Token(command) => command.run(terminal).await,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // First: an error about the command line repeats what it found.
    if let Err(failure) = secret::check_arguments(std::env::args_os()) {
        eprintln!("error: {failure}");
        return failure.status.into();
    }
    let line = CommandLine::parse();
    // For the whole process: each connection with TLS asks for it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let terminal = Terminal::new(&line.output);
    let done = tokio::select! {
        done = line.command.run(&terminal) => done,
        _ = tokio::signal::ctrl_c() => Err(terminal.interrupted()),
    };
    let status = match done {
        Ok(()) => 0,
        Err(failure) => terminal.fail(&failure),
    };
    // A thread may still wait for an answer at the terminal.
    std::process::exit(status.into())
}
