//! Opening revocations: their settings, the first read, and the tasks that follow and write.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::Instant;

use super::log::Log;
use crate::clock::{Clock, Moment, SystemClock};
use crate::cooldown::Cooldown;
use crate::error::build::BuildError;
use crate::keyring::refreshes::Refreshes;
use crate::revocation::handle::{Inner, LONGEST_QUEUE, Revocations, Snapshot, write};
use crate::revocation::log_writer::{LogWriter, WHOLE_EVERY};
use crate::store::contract::{Store, StoreProperties};
use crate::store::founding::{Founding, When};
use crate::store::polling::{Jitter, Polling, Wakes, check_durations, follow};
use crate::store::ring_name;
use crate::store::writes::Writes;

/// Builds [`Revocations`].
#[derive(Debug)]
#[must_use]
pub struct RevocationsBuilder {
    name: String,
    store: Option<Arc<dyn Store>>,
    polling: Polling,
    max_staleness: Duration,
    when: When,
    clock: Arc<dyn Clock>,
}

impl Revocations {
    /// Returns a builder of the revocations called `name`: 1 to 58 of `a-z A-Z 0-9 . _ -`, the first
    /// not a dot. The name distinguishes revocations in one store. It may equal the name of a key ring
    /// there.
    ///
    /// Services that issue with the same `iss` share a name. Other services need another name, since
    /// their subjects are other users.
    pub fn builder(name: impl Into<String>) -> RevocationsBuilder {
        RevocationsBuilder {
            name: name.into(),
            store: None,
            polling: Polling {
                interval: Duration::from_secs(15),
                timeout: Duration::from_secs(5),
                insert_timeout: Duration::from_secs(10),
                staleness: Duration::ZERO,
            },
            max_staleness: Duration::from_secs(24 * 60 * 60),
            when: When::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl RevocationsBuilder {
    /// Sets the store in which revocations are recorded. Required. It can be the store of the keys. The
    /// records are not secret, but contain session IDs and subjects.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the polling interval of the store, used when it reports no change. Up to a tenth is added at
    /// random, so that replicas don't read at the same time. Default: 15 seconds.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.polling.interval = interval;
        self
    }

    /// Sets the timeout of one read of the store. Default: 5 seconds.
    pub fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.polling.timeout = timeout;
        self
    }

    /// Sets the timeout of one write to the store. A logout fails after twice that time, since it may
    /// have to wait for another write. Default: 10 seconds.
    pub fn insert_timeout(mut self, timeout: Duration) -> Self {
        self.polling.insert_timeout = timeout;
        self
    }

    /// Sets how long a replica uses the last known revocations while the store can't be read. After that
    /// it answers 503 to every request with a valid session. Default: 24 hours.
    ///
    /// While partitioned, a replica may keep accepting a session that was revoked elsewhere, for up to
    /// this long. The limit also counts for how long revocations are kept.
    pub fn max_staleness(mut self, limit: Duration) -> Self {
        self.max_staleness = limit;
        self
    }

    /// Skips the wait on a store that holds no revocations.
    ///
    /// Such a store may be new, or may have lost its contents. So a replica that finds it empty gives
    /// live replicas the time to restore what they hold: 3 seconds if the store reports changes, otherwise
    /// [`refresh_bound`](Revocations::refresh_bound) + `insert_timeout`. Meanwhile it is not
    /// [ready](Revocations::ready), and answers 503 to requests with a valid session.
    /// [`open`](Self::open) does not wait for that. A store that is private to the process needs no wait.
    ///
    /// Use it only if no other replica can be alive: for the first start of a service, and in tests.
    pub fn found_now(mut self) -> Self {
        self.when = When::AtOnce;
        self
    }

    /// Sets the clock; use the same for the keys. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the revocations and starts the background tasks, which end with the last clone. Needs a
    /// Tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if a setting is missing or invalid, or the store can't be read.
    pub async fn open(self) -> Result<Revocations, BuildError> {
        let ring = ring_name::parse(&self.name, PLACE)?;
        let Some(store) = self.store else {
            let help = "set the store that records revocations, for example that of the keys: \
                       `.store(store.clone())`";
            return Err(BuildError::invalid("store", "missing", help));
        };
        let StoreProperties { is_private, staleness, .. } = store.properties();
        let polling = Polling { staleness, ..self.polling };
        check_durations([
            ("refresh_interval", polling.interval, false),
            ("refresh_timeout", polling.timeout, false),
            ("insert_timeout", polling.insert_timeout, false),
            ("max_staleness", self.max_staleness, false),
        ])?;
        let bound = polling.bound();
        if self.max_staleness < bound {
            let help = format!("set it to at least {bound:?}, the longest time between two reads");
            let value = format_args!("{:?}", self.max_staleness);
            return Err(BuildError::invalid("max_staleness", value, help));
        }
        let writer = LogWriter {
            ring: ring.clone(),
            store: store.clone(),
            polling,
            claimed: AtomicU64::new(0),
            needed: AtomicU64::new(0),
            writes: Writes::new(ring.clone(), self.clock.clone(), polling.interval),
            clock: self.clock,
        };
        writer.need(self.max_staleness);
        let keep = polling.interval.saturating_mul(WHOLE_EVERY);
        let mut log = Log::new(keep);
        if !is_private {
            log.founding = Some(Founding::new(&*store, ring.clone(), &polling, self.when));
        }
        let (recording, recordings) = mpsc::channel(LONGEST_QUEUE);
        let wake = Arc::new(Notify::new());
        let revocations = Revocations(Arc::new(Inner {
            name: self.name.into(),
            refreshes: Refreshes::new(ring.clone(), writer.clock.clone()),
            log: Mutex::new(log),
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            read: ArcSwap::from_pointee(Moment::now(&*writer.clock)),
            known_at: AtomicI64::new(i64::MIN),
            writer,
            tasks: Arc::default(),
            max_staleness: self.max_staleness,
            cooldown: Cooldown::new(COOLDOWN),
            wake: wake.clone(),
            recording,
            versions: watch::Sender::new(0),
        }));
        let began = Instant::now();
        // The status has a failed write; the next refresh tries again.
        let read = revocations.read_and_write().await;
        read.map_err(|source| BuildError::store(&ring, source))?;
        let inner = &revocations.0;
        let weak = Arc::downgrade(inner);
        let recordings = Arc::new(Mutex::new(recordings));
        let writer = weak.clone();
        inner.tasks.spawn("revocations writer", ring.clone(), move |is_restart| {
            write(writer.clone(), recordings.clone(), is_restart)
        });
        let wakes = Wakes { store: Some((store, ring.clone())), wake };
        inner.tasks.spawn("revocations", ring, move |_| {
            let weak = weak.clone();
            follow(move || weak.upgrade().map(Revocations), wakes.clone(), Jitter::Random, began)
        });
        Ok(revocations)
    }
}

/// Follows the name in the store.
const PLACE: &str = ".ended";
/// How often tokens can cause a read.
const COOLDOWN: Duration = Duration::from_secs(1);
