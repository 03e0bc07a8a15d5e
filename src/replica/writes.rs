//! Whether a store accepts writes: recorded separately from reads, and tested while nothing is due to
//! be written.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::gauge;

use crate::clock::{Clock, Moment, Timestamp};
use crate::crypto::backend;
use crate::store::contract::{Entry, EntryName, Insertion, Store, StoreError};
use crate::store::measured::{self, Operation, PROBE, measured};
use crate::sync::lock;

/// The state of one replica's writes to its place in a store.
#[derive(Debug)]
pub(crate) struct Writes {
    ring: Arc<str>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    /// The kinds of writes to this place.
    operations: &'static [Operation],
    /// The entry that is inserted and removed as a test.
    probe: EntryName,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The error of the last write, until one succeeds.
    failure: Option<String>,
    written: Option<Moment>,
    /// When a write was last tried.
    tried: Moment,
}

impl Writes {
    /// For a replica that reads the store in this interval.
    pub(crate) fn new(
        ring: Arc<str>,
        clock: Arc<dyn Clock>,
        interval: Duration,
        operations: &'static [Operation],
    ) -> Self {
        // Without randomness two replicas may share a name; each then finds it taken once.
        let mut random = [0; 8];
        let _ = backend::fill_random(&mut random);
        let name =
            EntryName::parse(format!("{}{:016x}", EntryName::PROBE, u64::from_ne_bytes(random)));
        let tried = Moment::now(&*clock);
        Self {
            ring,
            clock,
            interval,
            operations,
            probe: name.expect("letters, hyphens and digits"),
            state: Mutex::new(State { failure: None, written: None, tried }),
        }
    }

    /// Returns the error of the last write; `None` once another has succeeded.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.state).failure.clone()
    }

    /// When a write last succeeded.
    pub(crate) fn written_at(&self) -> Option<Timestamp> {
        lock(&self.state).written.map(|written| written.time)
    }

    pub(crate) fn set_metrics(&self) {
        measured::show_zeros(&self.ring, self.operations);
        let written = lock(&self.state).written;
        if let Some(written) = written {
            let lag = written.age(&*self.clock).as_secs_f64();
            gauge!(WRITE_LAG, "ring" => self.ring.clone()).set(lag);
        }
    }

    /// A write succeeded.
    pub(crate) fn succeeded(&self) {
        let now = Moment::now(&*self.clock);
        let mut state = lock(&self.state);
        (state.tried, state.written) = (now, Some(now));
        if state.failure.take().is_some() {
            tracing::info!(ring = &*self.ring, "writes to the store succeed again");
        }
    }

    /// A write failed: warns once for each different error.
    pub(crate) fn failed(&self, error: &StoreError) {
        let (now, error) = (Moment::now(&*self.clock), error.to_string());
        let mut state = lock(&self.state);
        state.tried = now;
        if state.failure.as_ref() != Some(&error) {
            let ring = &*self.ring;
            tracing::warn!(ring, error, "cannot write to the store; still serving what was read");
            state.failure = Some(error);
        }
    }

    /// Whether writes are to be tested: once per interval after a failure, to notice when they succeed
    /// again; otherwise when nothing was written for 40 intervals, to notice a store that accepts no
    /// writes before a user's logout fails.
    pub(crate) fn is_probe_due(&self) -> bool {
        let (tried, is_failing) = {
            let state = lock(&self.state);
            (state.tried, state.failure.is_some())
        };
        let pause = self.interval.saturating_mul(if is_failing { 1 } else { HEALTHY_EVERY });
        tried.age(&*self.clock) >= pause
    }

    /// Inserts and removes a small entry. The caller records how it went.
    ///
    /// # Errors
    ///
    /// If the entry can't be written.
    pub(crate) async fn probe(&self, store: &dyn Store) -> Result<(), StoreError> {
        measured(&self.ring, PROBE, self.probe_unmeasured(store)).await
    }

    async fn probe_unmeasured(&self, store: &dyn Store) -> Result<(), StoreError> {
        let entry = Entry { name: self.probe.clone(), value: b"{\"version\":1}".to_vec().into() };
        if store.insert(&self.ring, &entry).await? != Insertion::Inserted {
            // Left behind when it could not be removed; or the store says so of equal values.
            store.remove(&self.ring, &entry.name).await?;
            store.insert(&self.ring, &entry).await?;
        }
        store.remove(&self.ring, &entry.name).await
    }
}

const HEALTHY_EVERY: u32 = 40;

pub(crate) const WRITE_LAG: &str = "tower_jwt_session_write_lag_seconds";
