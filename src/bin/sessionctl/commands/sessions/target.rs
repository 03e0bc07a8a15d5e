//! Where revocations are recorded, and for how long tokens need them: from the store's own records.

use std::time::Duration;

use clap::Args;
use tower_jwt_session::store::Store as _;
use tower_jwt_session::{KeyRing, Revocations};

use crate::failure::Failure;
use crate::options::RingOptions;
use crate::store::address::Address;
use crate::store::opened::{Access, Opened};
use crate::store::options::StoreOptions;
use crate::store::read_only::ReadOnly;
use crate::terminal::Terminal;
use crate::time;

/// The store, and the names in it.
#[derive(Args)]
pub(crate) struct Target {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    ring: RingOptions,
    /// The name of the revocations, as the service gives it to `Revocations::builder`, if it is not the
    /// ring's.
    #[arg(long, value_name = "NAME")]
    revocations: Option<String>,
    /// The longest lifetime of a token, for a service whose keys are not in this store: then no ring is read.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    max_token_lifetime: Option<Duration>,
}

/// What was read before anything is written.
pub(crate) struct Place {
    pub(crate) store: Opened,
    pub(crate) address: Address,
    /// The name of the revocations.
    pub(crate) name: String,
    /// The longest lifetime of a token, as the keys in the store say it.
    pub(crate) token_lifetime: Duration,
    /// How many sessions and subjects are revoked already.
    pub(crate) counts: [usize; 2],
    /// The longest time until a replica with default settings has read a change.
    pub(crate) refresh_bound: Duration,
    pub(crate) notifies: bool,
}

impl Target {
    /// Reads what the store holds, and writes nothing.
    ///
    /// # Errors
    ///
    /// If it holds no such ring, or no such revocations.
    pub(crate) async fn read(&self, terminal: &Terminal) -> Result<Place, Failure> {
        let name = match &self.revocations {
            Some(name) => name.clone(),
            None => self.ring.name()?,
        };
        let address = self.store.address()?;
        let store = Opened::open(&address, Access::Write, terminal).await?;
        let reading = self.read_from(store, address, name);
        terminal.progress("reading the store", reading).await
    }

    async fn read_from(
        &self,
        store: Opened,
        address: Address,
        name: String,
    ) -> Result<Place, Failure> {
        let token_lifetime = match self.max_token_lifetime {
            Some(lifetime) => lifetime,
            None => recorded_lifetime(&store, &self.ring.name()?, &address).await?,
        };
        let properties = store.properties();
        let opening = Revocations::builder(&name).store(ReadOnly(store.clone())).never_found();
        let revocations = opening.open().await.map_err(|error| match error.is_no_revocations() {
            true => Failure::failed(format!(
                "found no revocations of the name {name} in {address}, and nothing was written: check \
                 --store and --revocations; if the store lost them just now, live replicas restore them: \
                 try again"
            )),
            false => error.into(),
        })?;
        let status = revocations.status();
        if let Some(format) = status.newer_format {
            return Err(Failure::failed(format!(
                "the revocations {name} were written by a newer version (format {format}), and nothing was \
                 written: install that version of sessionctl"
            )));
        }
        Ok(Place {
            store,
            address,
            name,
            token_lifetime,
            counts: [status.sessions, status.subjects],
            refresh_bound: revocations.refresh_bound(),
            notifies: properties.notifies,
        })
    }
}

/// The longest lifetime of a token of the ring's keys, as their records say it.
async fn recorded_lifetime(
    store: &Opened,
    ring: &str,
    address: &Address,
) -> Result<Duration, Failure> {
    let records = KeyRing::operate(ring, store.clone())?.read().await?;
    if let Some(format) = records.newer_format {
        return Err(Failure::failed(format!(
            "the ring {ring} was written by a newer version (format {format}), and nothing was written: \
             install that version of sessionctl"
        )));
    }
    let lifetimes = records.keys.iter().map(|key| {
        let times = key.status.times;
        times.verifies_until - times.signs_latest
    });
    lifetimes.max().ok_or_else(|| {
        let others = address.rings();
        if let Some(first) = records.skipped.first() {
            return Failure::failed(format!(
                "found entries of ring {ring} in {address}, and none is a key that can be read: {first}; \
                 nothing was written"
            ));
        }
        Failure::failed(format!(
            "found no keys of ring {ring} in {address}, and nothing was written: check --store and --ring{others}; \
             for a service whose keys are elsewhere, give --revocations and --max-token-lifetime"
        ))
    })
}
