//! The ring of a command, and its operator's handle.

use clap::Args;
use tower_jwt_session::{KeyRing, KeySeal, RingOperator, RingRecords};

use crate::failure::Failure;
use crate::options::{RingOptions, SealingOptions};
use crate::store::address::Address;
use crate::store::opened::{Access, Opened};
use crate::store::options::StoreOptions;
use crate::terminal::Terminal;

/// Which ring in which store, and the keys that check its seals.
#[derive(Args)]
pub(crate) struct TargetOptions {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    ring: RingOptions,
    #[command(flatten)]
    sealing: SealingOptions,
}

/// An operator's handle, and where its store is.
pub(crate) struct Target {
    pub(crate) operator: RingOperator,
    pub(crate) store: Opened,
    pub(crate) address: Address,
    pub(crate) ring: String,
    checks_seals: bool,
}

impl TargetOptions {
    /// Opens the store.
    pub(crate) async fn open(
        &self,
        access: Access,
        terminal: &Terminal,
    ) -> Result<Target, Failure> {
        let (ring, keys) = (self.ring.name()?, self.sealing.keys()?);
        let address = self.store.address()?;
        let checks_seals = !keys.is_empty();
        let store = Opened::open(&address, access, terminal).await?;
        let operator = KeyRing::operate(&ring, store.clone()).map_err(|error| {
            Failure::usage(format!("--ring {ring:?}: {}", error.help().unwrap_or("not a name")))
        })?;
        Ok(Target { operator: operator.seal_with(keys), store, address, ring, checks_seals })
    }
}

impl Target {
    /// Reads the ring.
    pub(crate) async fn read(&self, terminal: &Terminal) -> Result<RingRecords, Failure> {
        let text = format!("reading ring {} in {}", self.ring, self.address);
        Ok(terminal.progress(&text, self.operator.read()).await?)
    }

    /// What a person should know of the records before relying on them.
    pub(crate) fn warnings(&self, records: &RingRecords) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(version) = records.newer_format {
            warnings.push(format!(
                "found entries of format {version}, newer than this tool reads: nothing can be \
                 changed with it; use the version that the replicas run"
            ));
        }
        let count = |seal| records.keys.iter().filter(|key| key.seal == seal).count();
        match (count(KeySeal::Unsealed), count(KeySeal::NotOpened)) {
            (_, sealed) if sealed > 0 && !self.checks_seals => warnings.push(format!(
                "the records of {sealed} sealed keys were not authenticated: no sealing key is given; \
                 give `--sealing-key-file FILE`"
            )),
            (_, sealed) if sealed > 0 => {
                let unopened = records.keys.iter().filter(|key| key.seal == KeySeal::NotOpened);
                let ids: Vec<_> = unopened.map(|key| &*key.status.key_id).collect();
                warnings.push(format!(
                    "none of the sealing keys given opens {}: not authenticated; give every sealing \
                     key in use",
                    ids.join(", ")
                ));
            }
            (unsealed, _) if unsealed > 0 && self.checks_seals => warnings.push(format!(
                "found {unsealed} unsealed keys, although sealing keys are given: an attacker with write \
                 access to the store can have made them"
            )),
            _ => {}
        }
        if records.rings > 1 {
            let rings = records.rings;
            warnings.push(format!("found {rings} rings of this name: the oldest one signs"));
        }
        if records.waiting_replicas > 0 {
            let waiting = records.waiting_replicas;
            warnings
                .push(format!("{waiting} replicas wait for the ring to be founded or restored"));
        }
        if let Some(offset) = records.clock_offset
            && offset.offset_ms.unsigned_abs() > 5000 + offset.uncertainty_ms
        {
            warnings.push(format!(
                "the clock of this machine is {} ms {} the store's: times below are off by as much; \
                 set it right",
                offset.offset_ms.unsigned_abs(),
                if offset.offset_ms > 0 { "ahead of" } else { "behind" },
            ));
        }
        warnings.extend(records.skipped.iter().map(|skipped| format!("unreadable: {skipped}")));
        warnings
    }

    /// Refuses a store without that ring, and says which rings a directory holds.
    pub(crate) fn check(&self, records: &RingRecords) -> Result<(), Failure> {
        if !records.keys.is_empty() || !records.skipped.is_empty() {
            return Ok(());
        }
        let others = self.address.rings();
        Err(Failure::failed(format!(
            "{} holds no key of ring {:?}: expected the store and the ring's name of the \
             service{others}; nothing was written",
            self.address, self.ring
        )))
    }
}
