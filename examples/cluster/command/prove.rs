//! `prove`: the script over chosen arms.

use std::str::FromStr;

use crate::{
    command::{algorithm::Signing, arm::Arm, balancer::BalancerKind, flags::Flags},
    store::choice::Store,
};

/// The text of `prove --help`.
pub(crate) const USAGE: &str = "\
The proof: one script over the arms, a table. Exit status 0 only if it holds.

Usage: cargo run --release --example cluster -- prove [options]

Options:
  --arms A,B,…     stateless (the crate), and what it is compared with: memory, sticky,
                   replicated, database (stateless,memory); database takes the feature redis, and
                   starts a Redis of its own unless `--store` names one
  --keys KEYS      shared; or private: no replica sees another's keys, and the proof has to
                   fail (shared)
  --store STORE    where the replicas' keys and revocations meet (file):
      file         in a directory
      derived      the keys nowhere: they are derived from one root secret; the others in a directory
      redis        in a Redis that the cluster starts, kills and starts again, and likewise
      redis-sentinel   in a Redis with two replicas and three Sentinels
      redis-cluster    in a Redis Cluster of three masters and three replicas
      postgres     in a PostgreSQL
      redis://host:port, postgres://user:password@host:port/database
                   in a server that is there, and is not killed
                   They take their feature: --features redis,postgres before the `--`.
  --algorithm ALG  what signs the sessions: EdDSA, ES256 or HS256 (EdDSA)
  --balancer B     own; or haproxy or nginx, with their file of examples/deploy (own)";

/// The options of the proof.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProveOptions {
    /// Where the keys meet.
    pub(crate) store: Store,
    /// Who sees them there.
    pub(crate) keys: Keys,
    /// Which arms: first the crate, then those that it is compared with.
    pub(crate) arms: Vec<Arm>,
    /// What signs the crate's sessions.
    pub(crate) algorithm: Signing,
    /// What is in front of the replicas.
    pub(crate) balancer: BalancerKind,
}

/// Who sees a replica's keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    /// All replicas.
    Shared,
    /// Itself alone, so that the proof can be seen to fail.
    Private,
}

impl ProveOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is wrong, or two contradict each other.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let store = flags.store()?;
        let keys = flags.take("keys")?.unwrap_or(Keys::Shared);
        if keys == Keys::Private && store.as_ref().is_some_and(|store| *store != Store::File) {
            return Err("`--keys private` is for `--store file`".to_owned());
        }
        let arms = flags.arms()?.unwrap_or_else(|| vec![Arm::Stateless, Arm::Memory]);
        if arms[0] != Arm::Stateless {
            return Err(format!("--arms: found `{}` first, expected `stateless`", arms[0]));
        }
        let store = store.unwrap_or(Store::File);
        let algorithm = flags.algorithm(&store)?.unwrap_or_default();
        let balancer = flags.take("balancer")?.unwrap_or_default();
        Ok(Self { store, keys, arms, algorithm, balancer })
    }
}

impl FromStr for Keys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "shared" => Ok(Self::Shared),
            "private" => Ok(Self::Private),
            _ => Err("expected `shared` or `private`"),
        }
    }
}
