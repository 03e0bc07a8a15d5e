//! `load`: requests per second, with and without sessions.

use crate::command::{arm::Arm, flags::Flags};

/// The text of `load --help`.
pub(crate) const USAGE: &str = "\
Requests per second and latencies, of the crate and beside it, in one run.

Usage: cargo run --release --example cluster -- load [options]

Options:
  --seconds N      how long each figure is measured, 1 to 600 (10)
  --replicas N     behind the balancer, 1 to 9 (1, then 3, then 5)
  --arm ARM        one of them alone (all in turn, in short rounds, and compared):
      bare         the same routes, and no sessions: the reference
      stateless    the crate; it remembers tokens that it has verified
      cold         the crate without that memory: every request verifies its token anew
      memory       sessions in the memory of the process";

/// The options of `load`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoadOptions {
    /// How long each figure is measured.
    pub(crate) seconds: u32,
    /// The numbers of replicas behind the balancer, one after the other.
    pub(crate) replicas: Vec<usize>,
    /// Which kinds of sessions.
    pub(crate) arms: Vec<Arm>,
}

impl LoadOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is wrong.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        if flags.store()?.is_some() {
            return Err("`load` derives its keys, and takes no `--store`".to_owned());
        }
        let seconds = match flags.take("seconds")?.unwrap_or(10) {
            seconds @ 1..=600 => seconds,
            seconds => return Err(format!("--seconds {seconds}: expected 1 to 600")),
        };
        let arms = match flags.take("arm")? {
            None => Arm::MEASURED.to_vec(),
            Some(arm) if Arm::MEASURED.contains(&arm) => vec![arm],
            Some(arm) => return Err(format!("`--arm {arm}` is not for `load`")),
        };
        let replicas = flags.replicas()?.map_or(vec![1, 3, 5], |count| vec![count]);
        Ok(Self { seconds, replicas, arms })
    }
}
