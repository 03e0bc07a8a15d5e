//! `serve`: one cluster, for curl and a browser.

use crate::{
    command::{algorithm::Signing, arm::Arm, flags::Flags},
    store::choice::Store,
};

/// The text of `serve --help`.
pub(crate) const USAGE: &str = "\
Keeps a cluster up for curl and a browser, until Ctrl-C.

Usage: cargo run --release --example cluster -- serve [options]

Options:
  --replicas N     how many replicas, 1 to 9 (3)
  --port P         where the balancer listens on 127.0.0.1; 0 picks a free port (8080)
  --arm ARM        stateless (the crate), memory, sticky, replicated or database (stateless)
  --log LEVEL      the replicas' logs on standard error: off, error, warn, info or debug (warn)
  --store STORE    as in `prove --help`, for the arm `stateless` (file), and `redis` or
                   `redis://host:port` for the arm `database` (redis)
  --algorithm ALG  what signs the sessions of `stateless`: EdDSA, ES256 or HS256 (EdDSA)";

/// The options of `serve`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServeOptions {
    /// How many replicas, 1 to 9.
    pub(crate) replicas: usize,
    /// Where the balancer listens.
    pub(crate) port: u16,
    /// Which kind of sessions.
    pub(crate) arm: Arm,
    /// Where the keys meet.
    pub(crate) store: Store,
    /// The level of the replicas' logs.
    pub(crate) log: String,
    /// What signs the crate's sessions.
    pub(crate) algorithm: Signing,
}

impl ServeOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is wrong, or two contradict each other.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let store = flags.store()?;
        let arm = flags.take("arm")?.unwrap_or(Arm::Stateless);
        if !Arm::COMPARED.contains(&arm) {
            return Err(format!("`--arm {arm}` is for `load`"));
        }
        match (arm, &store) {
            (Arm::Stateless, _) | (_, None) => {}
            (Arm::Database, Some(store)) if store.of_arm(arm) == *store => {}
            (Arm::Database, Some(store)) => {
                return Err(format!(
                    "`--arm database` keeps its sessions in Redis, not in `{store}`: expected \
                     `--store redis` or `--store redis://host:port`"
                ));
            }
            _ => return Err(format!("`--arm {arm}` has no keys, and takes no `--store`")),
        }
        let store = store.unwrap_or(Store::File);
        let algorithm = flags.algorithm(&store)?;
        if arm != Arm::Stateless && algorithm.is_some() {
            return Err(format!("`--arm {arm}` has no keys, and takes no `--algorithm`"));
        }
        Ok(Self {
            replicas: flags.replicas()?.unwrap_or(3),
            port: flags.take("port")?.unwrap_or(8080),
            arm,
            store: store.of_arm(arm),
            log: flags.level()?.unwrap_or_else(|| "warn".to_owned()),
            algorithm: algorithm.unwrap_or_default(),
        })
    }
}
