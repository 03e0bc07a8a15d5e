//! A cluster of real processes that proves one sentence: any request can land on any replica.
//!
//! ```text
//! cargo run --release --example cluster             # the proof: two arms, a table, an exit status
//! cargo run --release --example cluster -- serve    # the same cluster, for curl and a browser
//! cargo run --release --example cluster -- compare  # every arm through the same faults
//! cargo run --release --example cluster -- watch    # every arm side by side, on a page
//! cargo run --release --example cluster -- load     # requests per second, with and without sessions
//! cargo run --release --example cluster -- diagnose # "users report random logouts": how to find the cause
//! cargo run --release --example cluster -- --help   # the keys in other places, and all options
//! ```
//!
//! Replicas of one small application, each an operating-system process, are behind a naive
//! round-robin balancer. They share their keys, and which sessions were ended early, and nothing else: in
//! a directory, in Redis or PostgreSQL, or the keys derived from one secret. A scripted client logs in once, and then the script kills
//! replicas, restarts and adds them and rotates the keys, all under load; it kills the server that
//! the keys are in, revokes a key, and ends sessions of which there are copies. It runs twice: over sessions from `tower-jwt-session`, and, as
//! the control, over sessions in each process's memory. The first must lose no session; the second
//! must lose some, else the script would prove nothing.
//!
//! | room | what is in it |
//! |---|---|
//! | `arms/` | the application, with its sessions in different places: `stateless.rs` is the crate at work, `memory.rs` is what it replaces, `replicated/` and `database/` are the other usual cures |
//! | `balancer/` | the naive balancer, a separate process |
//! | `store/` | where the replicas meet: `keys.rs` opens the crate's rings and revocations |
//! | `processes/` | the parent's view: processes, replicas and balancers, real ones among them |
//! | `users/` | cookie jars, requests, load and counts |
//! | `script/` | the proof: `steps.rs` is what is done to each arm, `verdict.rs` is what counts as a pass |
//! | `faults/`, `compare/` | faults and events, and every arm in each of them |
//! | `diagnose/` | eight causes of lost sessions, and how each is found |
//! | `page/` | the cluster in a browser: `serve`, `watch` |
//! | `figures/` | tables and pictures |
//! | `command/` | the command line |

mod arms;
mod balancer;
mod command;
mod compare;
mod diagnose;
mod faults;
mod figures;
mod page;
mod processes;
mod script;
mod store;
mod terminal;
mod users;

use std::process::ExitCode;

use command::{
    algorithm::Signing,
    args::{self, Command},
    diagnose::DiagnoseOptions,
    prove::{Keys, ProveOptions},
};
use store::{choice::Store, meeting::Meeting};
use terminal::Terminal;

/// Any error; every message is for the person at the terminal.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The status of a run that Ctrl-C ended, as shells count it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err((problem, usage)) => {
            eprintln!("cluster: {problem}\n\n{usage}");
            return ExitCode::from(2);
        }
    };
    let terminal = Terminal::detect();
    let outcome = match command {
        Command::Print(text) => {
            println!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Prove(ProveOptions { store, keys, arms, algorithm, balancer }) => {
            let prove = async |meeting: &mut Meeting| {
                script::proof::prove(&arms, balancer, meeting, &terminal).await
            };
            run(store, keys, algorithm, prove, ExitCode::from(INTERRUPTED)).await
        }
        Command::Serve(mut options) => {
            let store = std::mem::replace(&mut options.store, Store::File);
            let algorithm = options.algorithm;
            let serve =
                async |meeting: &mut Meeting| page::serve::serve(options, meeting, &terminal).await;
            run(store, Keys::Shared, algorithm, serve, ExitCode::SUCCESS).await
        }
        Command::Compare(options) => {
            let compare = compare::run::compare(&options, &terminal);
            until_interrupted(compare, ExitCode::from(INTERRUPTED)).await
        }
        Command::Watch(options) => page::watch::server::watch(options, &terminal).await,
        Command::Load(options) => {
            let load = figures::measure::measure(&options, &terminal);
            until_interrupted(load, ExitCode::from(INTERRUPTED)).await
        }
        Command::Diagnose(DiagnoseOptions { causes }) => {
            let diagnose = diagnose::play::diagnose(&causes, &terminal);
            until_interrupted(diagnose, ExitCode::from(INTERRUPTED)).await
        }
        Command::Replica(options) => arms::alone::run(options).await,
        Command::Keys(options) => {
            let keys = balancer::key_files::run(options);
            until_interrupted(keys, ExitCode::SUCCESS).await
        }
        Command::Child => arms::replica::run().await,
        Command::Balancer { port, affinity } => balancer::proxy::run(port, affinity).await,
    };
    outcome.unwrap_or_else(|reason| {
        eprintln!("cluster: {reason}");
        ExitCode::FAILURE
    })
}

/// Works over a place for the keys, until it is done or Ctrl-C ends it, and leaves nothing behind.
async fn run(
    store: Store,
    sharing: Keys,
    algorithm: Signing,
    work: impl AsyncFnOnce(&mut Meeting) -> Result<ExitCode, BoxError>,
    interrupted: ExitCode,
) -> Result<ExitCode, BoxError> {
    let mut meeting = Meeting::prepare(store, sharing).await?.sign_with(algorithm);
    let outcome = until_interrupted(work(&mut meeting), interrupted).await;
    let cleared = meeting.clear().await;
    outcome.and_then(|status| cleared.map(|()| status))
}

/// Works until it is done or Ctrl-C ends it; dropping the work kills the processes it started.
async fn until_interrupted(
    work: impl Future<Output = Result<ExitCode, BoxError>>,
    interrupted: ExitCode,
) -> Result<ExitCode, BoxError> {
    // The signal has to win at any moment.
    tokio::select! {
        outcome = work => outcome,
        () = processes::process::interrupted() => {
            println!();
            Ok(interrupted)
        }
    }
}
