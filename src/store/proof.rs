//! The proof that a store talks to the current server: a fresh connection to the configured address.
//!
//! A connection outlives a failover. The server at its other end may have become a replica, which can
//! be seen, or be isolated, which cannot: it still accepts writes. So a connection is trusted for
//! [`PROVEN_FOR`], and then another is made to the address, which also shows the incarnation of the
//! server; no two servers share one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::store::contract::{StoreError, StoreProperties};

/// The last proof. Readers and writers share it, and its failure.
#[derive(Debug)]
pub(crate) struct Proof<T> {
    state: Mutex<State<T>>,
    /// How many times another server has answered.
    moves: watch::Sender<u64>,
}

#[derive(Debug)]
struct State<T> {
    proven: Option<(Instant, Arc<T>)>,
    failed: Option<(Instant, Arc<StoreError>)>,
    incarnation: Option<String>,
}

impl<T> Proof<T> {
    /// Starts with what has just been proven, if anything was, and counts moves there.
    pub(crate) fn new(proven: Option<(T, Option<String>)>, moves: watch::Sender<u64>) -> Self {
        let (proven, incarnation) = proven.unzip();
        let proven = proven.map(|proven| (Instant::now(), Arc::new(proven)));
        let state = State { proven, failed: None, incarnation: incarnation.flatten() };
        Self { state: Mutex::new(state), moves }
    }

    /// Returns the value proven less than [`PROVEN_FOR`] ago, or runs `prove`, which returns the value,
    /// the incarnation of the server, and when its connection was begun.
    ///
    /// # Errors
    ///
    /// The error of `prove`, also if another caller started it after this call.
    pub(crate) async fn current<F>(
        &self,
        store: &str,
        prove: impl FnOnce() -> F,
    ) -> Result<Arc<T>, Arc<StoreError>>
    where
        F: Future<Output = Result<(T, Option<String>, Instant), StoreError>>,
    {
        let called = Instant::now();
        let mut state = self.state.lock().await;
        if let Some((at, proven)) = &state.proven
            && at.elapsed() < PROVEN_FOR
        {
            return Ok(Arc::clone(proven));
        }
        if let Some((began, error)) = &state.failed
            && *began >= called
        {
            return Err(Arc::clone(error));
        }
        let began = Instant::now();
        state.proven = None;
        match prove().await {
            Ok((proven, incarnation, since)) => {
                if state.incarnation.is_some() && state.incarnation != incarnation {
                    let (before, now) = (state.incarnation.take(), &incarnation);
                    tracing::warn!(store, ?before, ?now, "another server of the store answers");
                    self.moves.send_modify(|moves| *moves += 1);
                }
                state.incarnation = incarnation;
                let proven = Arc::new(proven);
                state.proven = Some((since, Arc::clone(&proven)));
                Ok(proven)
            }
            Err(error) => {
                let error = Arc::new(error);
                state.failed = Some((began, Arc::clone(&error)));
                Err(error)
            }
        }
    }

    /// Discards the proof, unless it was renewed since.
    pub(crate) async fn forget(&self, proven: &Arc<T>) {
        let mut state = self.state.lock().await;
        if state.proven.as_ref().is_some_and(|(_, held)| Arc::ptr_eq(held, proven)) {
            state.proven = None;
        }
    }
}

/// The properties of a store on a server whose connections are proven.
pub(crate) fn properties() -> StoreProperties {
    StoreProperties {
        notifies: true,
        // Writes to another server since the connection was proven are missed for as long.
        staleness: PROVEN_FOR,
        ..StoreProperties::default()
    }
}

/// How long a proof counts, and so how long a store may miss writes to another server.
const PROVEN_FOR: Duration = Duration::from_secs(1);
