//! Opening revocations: their settings, the first read, and the tasks that follow and write.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use crate::audit::handle::Audit;
use crate::clock::{Clock, SystemClock};
use crate::error::build::BuildError;
use crate::replica::founding::{Founding, When};
use crate::revocation::handle::{Inner, Revocations};
use crate::revocation::place::Place;
use crate::revocation::reader::{Reader, is_founded};
use crate::revocation::writer::{LONGEST_QUEUE, write};
use crate::store::contract::StoreProperties;
use crate::store::feed::RevocationStore;
use crate::store::polling::{Jitter, Polling, Wakes, check_durations, follow};
use crate::store::ring_name;

/// Builds [`Revocations`].
#[derive(Debug)]
#[must_use]
pub struct RevocationsBuilder {
    name: String,
    store: Option<Arc<dyn RevocationStore>>,
    polling: Polling,
    max_staleness: Duration,
    when: When,
    clock: Arc<dyn Clock>,
    audit: Audit,
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
            audit: Audit::default(),
        }
    }
}

impl RevocationsBuilder {
    /// Sets the store in which revocations are recorded. Required. It can be the store of the keys. The
    /// records are digests of sessions and subjects. They are no secrets: anyone can compute the digest of
    /// a subject that he can guess.
    pub fn store(mut self, store: impl RevocationStore) -> Self {
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
    ///
    /// Each request checks it. So a replica whose process was stopped for longer than this, such as by
    /// `SIGSTOP` or a frozen container, refuses the requests that waited, until it has read the store. A
    /// clock that was set back meanwhile makes no difference, unless what is held then seems to be no older
    /// than [`refresh_bound`](Revocations::refresh_bound): the next read notices that.
    pub fn max_staleness(mut self, limit: Duration) -> Self {
        self.max_staleness = limit;
        self
    }

    /// Skips the wait on a store that holds no revocations, or has lost some.
    ///
    /// A store without revocations may be new, or may have lost them. So a replica that finds it so gives
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

    /// Never founds revocations: [`open`](Self::open) fails if the store holds none of this name, and has
    /// then written nothing. Default: they are founded after a wait, see [`found_now`](Self::found_now).
    ///
    /// This protects against a wrong store or name, in tools. Another replica has to found them. With a store
    /// that is [private](crate::store::StoreProperties::is_private) to the process, it always fails.
    pub fn never_found(mut self) -> Self {
        self.when = When::Never;
        self
    }

    /// Sets the clock; it must be that of the keys, which the builder of the sessions checks. Default: the
    /// system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets where audit events go: of revocations that this replica learns from the store, reads as a whole, or
    /// restores. Give the same to the builders of the keys and the sessions. Default: to the log, with
    /// pseudonyms that change with each process.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Reads the revocations and starts the background tasks, which end with the last clone. Needs a
    /// Tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if a setting is missing or invalid, the store can't be read, or it holds no revocations and
    /// none [may](Self::never_found) be founded.
    pub async fn open(self) -> Result<Revocations, BuildError> {
        let ring = ring_name::parse("name of the revocations", &self.name, PLACE)?;
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
        let place = Place::new(ring.clone(), store.clone(), polling, self.clock, self.audit);
        place.keep_for(self.max_staleness);
        if self.when == When::Never {
            let is_founded = is_founded(&place).await;
            if !is_founded.map_err(|source| BuildError::store(&ring, source))? {
                return Err(BuildError::no_revocations(self.name));
            }
        }
        let founding =
            (!is_private).then(|| Founding::new(&*store, ring.clone(), &polling, self.when));
        let (recording, recordings) = mpsc::channel(LONGEST_QUEUE);
        let reader = Reader::new(founding);
        let inner = Inner::new(self.name.into(), place, reader, self.max_staleness, recording);
        let revocations = Revocations(Arc::new(inner));
        let began = Instant::now();
        // The status has a failed write; the next refresh tries again.
        let read = revocations.read_and_write().await;
        read.map_err(|source| BuildError::store(&ring, source))?;
        let inner = &revocations.0;
        let weak = Arc::downgrade(inner);
        let (writer, recordings) = (weak.clone(), Arc::new(Mutex::new(recordings)));
        inner.tasks.spawn("revocations writer", ring.clone(), move |_| {
            write(writer.clone(), recordings.clone())
        });
        let (wake, hinted) = (inner.wake.clone(), weak.clone());
        let hearing = inner.tasks.spawn("revocations hints", ring.clone(), move |_| {
            hear(store.clone(), ring.clone(), hinted.clone())
        });
        let _ = inner.hearing.set(hearing);
        let wakes = Wakes { store: None, wake };
        inner.tasks.spawn("revocations", inner.place.name.clone(), move |_| {
            let weak = weak.clone();
            follow(move || weak.upgrade().map(Revocations), wakes.clone(), Jitter::Random, began)
        });
        Ok(revocations)
    }
}

/// Starts a refresh for each change that the store reports, and another half a second later: changes
/// meanwhile may not have been reported. It is aborted with the last handle.
async fn hear(store: Arc<dyn RevocationStore>, ring: Arc<str>, revocations: Weak<Inner>) {
    loop {
        let changed = store.changed(&ring).await;
        let Some(inner) = revocations.upgrade() else { return };
        let (wake, pause) = (inner.wake.clone(), inner.place.polling.interval);
        drop(inner);
        if let Err(error) = changed {
            tracing::debug!(ring = &*ring, %error, "the store cannot report changes now");
            tokio::time::sleep(pause).await;
            continue;
        }
        for _ in 0..2 {
            wake.notify_one();
            tokio::time::sleep(HINT_PAUSE).await;
        }
    }
}

/// Follows the name in the store.
const PLACE: &str = ".ended";
/// The time from a change that a store reports to the next one.
const HINT_PAUSE: Duration = Duration::from_millis(500);
