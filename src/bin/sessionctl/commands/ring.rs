//! `ring create`: founds a ring in an empty store.

use std::fmt;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tower_jwt_session::store::Store;
use tower_jwt_session::{Algorithm, KeyRing, KeyRingStatus, RotationPolicy};

use crate::failure::Failure;
use crate::options::{RingOptions, SealingOptions};
use crate::store::opened::{Access, Opened};
use crate::store::options::StoreOptions;
use crate::terminal::Terminal;
use crate::time;

/// The commands about rings.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Founds a ring in an empty store, with its first keys, so that the first replicas need not wait.
    /// Refuses a store that holds an entry of that ring. Makes the directory or the tables if they are
    /// missing.
    Create(Box<Create>),
}

/// The options of `ring create`.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    ring: RingOptions,
    #[command(flatten)]
    sealing: SealingOptions,
    /// Writes the private keys unsealed: anyone with read access to the store can sign as the service.
    #[arg(long)]
    dangerous_unsealed: bool,
    /// The algorithm of the first keys, as the service sets it.
    #[arg(long, value_name = "ALG", default_value = "EdDSA")]
    algorithm: Algorithm,
    #[command(flatten)]
    policy: PolicyOptions,
}

/// The service's `RotationPolicy`. It is the policy of the first keys; later ones are made by replicas.
#[derive(Args)]
struct PolicyOptions {
    /// How long a key signs.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    signing_period: Option<Duration>,
    /// The longest life of any token.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    max_token_lifetime: Option<Duration>,
    /// The largest difference between two clocks.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    clock_skew: Option<Duration>,
    /// How often a replica reads the store.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    refresh_interval: Option<Duration>,
    /// The timeout of one read.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    refresh_timeout: Option<Duration>,
    /// The timeout of one write.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    insert_timeout: Option<Duration>,
    /// How long the JWKS may be cached.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    jwks_max_age: Option<Duration>,
    /// How long a key may sign past its time without a successor.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    max_overdue_signing: Option<Duration>,
}

impl PolicyOptions {
    fn policy(&self) -> RotationPolicy {
        type Set = fn(RotationPolicy, Duration) -> RotationPolicy;
        let settings: [(Option<Duration>, Set); 8] = [
            (self.signing_period, RotationPolicy::signing_period),
            (self.max_token_lifetime, RotationPolicy::max_token_lifetime),
            (self.clock_skew, RotationPolicy::clock_skew),
            (self.refresh_interval, RotationPolicy::refresh_interval),
            (self.refresh_timeout, RotationPolicy::refresh_timeout),
            (self.insert_timeout, RotationPolicy::insert_timeout),
            (self.jwks_max_age, RotationPolicy::jwks_max_age),
            (self.max_overdue_signing, RotationPolicy::max_overdue_signing),
        ];
        let given = settings.into_iter().filter_map(|(value, set)| Some((value?, set)));
        given.fold(RotationPolicy::new(), |policy, (value, set)| set(policy, value))
    }
}

/// What was made.
#[derive(Serialize)]
struct Report {
    store: String,
    #[serde(flatten)]
    status: KeyRingStatus,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "founded ring {} in {}", self.status.ring, self.store)?;
        for key in &self.status.keys {
            writeln!(f, "{:>4}  {} {}", key.generation, key.algorithm, key.key_id)?;
        }
        Ok(())
    }
}

impl Command {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(terminal).await,
        }
    }
}

impl Create {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let (ring, keys) = (self.ring.name()?, self.sealing.keys()?);
        let address = self.store.address()?;
        if keys.is_empty() && !self.dangerous_unsealed {
            return Err(Failure::usage(
                "--sealing-key-file is missing: expected the service's sealing key, which \
                 `openssl rand -base64 32` makes; or give `--dangerous-unsealed` if the service says \
                 so, too",
            ));
        }
        let algorithm = self.algorithm;
        terminal
            .confirm(format_args!(
                "will found ring {ring} in {address} with {algorithm} keys, {}",
                if keys.is_empty() { "unsealed" } else { "sealed" },
            ))
            .await?;
        let store = Opened::open(&address, Access::Create, terminal).await?;
        let loaded = store.load(&ring).await?;
        let entries = loaded.entries.len() + loaded.skipped.len();
        if entries > 0 {
            return Err(Failure::failed(format!(
                "{address} holds {entries} entries of ring {ring}: expected none; nothing was written. \
                 A ring that exists needs no `ring create`: see `keys status`"
            )));
        }
        let mut builder = KeyRing::builder(&ring)
            .store(store.clone())
            .algorithm(algorithm)
            .rotation(self.policy.policy())
            .found_now();
        if keys.is_empty() {
            builder = builder.dangerous_unsealed();
        }
        let opening = builder.seal_with(keys).open();
        let made = terminal.progress("making the first keys", opening).await?;
        terminal.show(&Report { store: address.to_string(), status: made.status() })
    }
}
