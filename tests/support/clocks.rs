//! Replicas whose clocks are wrong, on a store with a clock.

use tower_jwt_session::{KeyRing, NotReadyKind, Timestamp};

use super::replicas::{REFRESH, Replica, START};
use super::stores::TestStore;

/// Beyond the skew of 30 seconds, in milliseconds.
pub(crate) const OFF: i64 = 90_000;

pub(crate) const HOUR: i64 = 60 * 60 * 1000;

/// Replicas on one store, each with a clock that is off by so many milliseconds from the true time,
/// which the store shows.
pub(crate) struct Fleet {
    pub(crate) store: TestStore,
    pub(crate) now: Timestamp,
    pub(crate) replicas: Vec<(Replica, TestStore, i64)>,
}

pub(crate) fn shifted(time: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(time.as_unix_millis() + millis)
}

impl Fleet {
    /// The first replica's clock is right: it makes the ring's keys.
    pub(crate) async fn new<const N: usize>(offsets: [i64; N]) -> Self {
        let store = TestStore::new();
        store.show_time(START);
        Replica::open(store.sibling(), START).await;
        let mut fleet = Self { store, now: START, replicas: Vec::new() };
        for offset in offsets {
            fleet.join(offset).await;
        }
        fleet
    }

    pub(crate) async fn join(&mut self, offset: i64) {
        let store = self.store.sibling();
        let replica = Replica::open(store.clone(), shifted(self.now, offset)).await;
        self.replicas.push((replica, store, offset));
    }

    pub(crate) fn pass(&mut self, millis: i64) {
        self.now = shifted(self.now, millis);
        self.store.show_time(self.now);
        for (replica, _, offset) in &self.replicas {
            replica.clock.set(shifted(self.now, *offset));
        }
    }

    /// Sets a replica's clock.
    pub(crate) fn step(&mut self, replica: usize, offset: i64) {
        self.replicas[replica].2 = offset;
        self.pass(0);
    }

    /// A poll's time passes, and all read in turn.
    pub(crate) async fn poll(&mut self) {
        self.pass(REFRESH.as_millis() as i64);
        for (replica, ..) in &self.replicas {
            replica.refresh().await;
            assert!(self.unready().len() <= 1, "{:?}", self.unready());
        }
    }

    pub(crate) fn ring(&self, replica: usize) -> &KeyRing {
        &self.replicas[replica].0.ring
    }

    /// The replicas that are not ready because of their clocks.
    pub(crate) fn unready(&self) -> Vec<usize> {
        let unready = |replica: &usize| match self.ring(*replica).ready() {
            Ok(()) => false,
            Err(unready) => {
                assert_eq!(unready.kind(), NotReadyKind::Clock, "{unready}");
                true
            }
        };
        (0..self.replicas.len()).filter(unready).collect()
    }

    pub(crate) async fn leases(&self) -> Vec<String> {
        let names = self.store.names().await.into_iter();
        names.filter(|name| name.starts_with("clock-")).collect()
    }
}
