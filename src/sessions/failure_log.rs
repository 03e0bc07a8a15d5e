//! The log of refused credentials: at the level that the application chooses, and so many a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Level;

use crate::clock::Timestamp;
use crate::error::rejection::{Rejection, RejectionKind};

/// What refused a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    Layer,
    TokenEndpoint,
    RevocationEndpoint,
}

impl Entrance {
    fn as_str(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::TokenEndpoint => "token_endpoint",
            Self::RevocationEndpoint => "revocation_endpoint",
        }
    }
}

/// Logs at a level that is known at run time alone.
macro_rules! log_at {
    ($level:expr, $($event:tt)*) => {
        match $level {
            Level::ERROR => tracing::event!(Level::ERROR, $($event)*),
            Level::WARN => tracing::event!(Level::WARN, $($event)*),
            Level::INFO => tracing::event!(Level::INFO, $($event)*),
            Level::DEBUG => tracing::event!(Level::DEBUG, $($event)*),
            _ => tracing::event!(Level::TRACE, $($event)*),
        }
    };
}

/// The log of refusals. A caller never waits for another.
pub(crate) struct FailureLog {
    ring: Arc<str>,
    level: Level,
    per_minute: u32,
    /// For each kind the minute, and in the low half how many there were in it.
    counts: Box<[AtomicU64]>,
}

impl FailureLog {
    pub(crate) fn new(ring: Arc<str>, level: Level, per_minute: u32) -> Self {
        let counts = RejectionKind::NAMES.iter().map(|_| AtomicU64::new(0)).collect();
        Self { ring, level, per_minute, counts }
    }

    /// Logs that a credential was refused.
    #[cold]
    pub(crate) fn log(&self, rejection: &Rejection, entrance: Entrance, now: Timestamp) {
        let (level, ring) = (self.level, rejection.ring().unwrap_or(&self.ring));
        let (is_logged, suppressed) = self.admit(rejection.kind(), now);
        let (reason, kind) = (rejection.kind(), rejection.kind().as_str());
        if suppressed > 0 {
            log_at!(level, ring, kind, suppressed, "suppressed refusals of one kind");
        }
        if is_logged {
            let (about, entrance) = (rejection.about(), entrance.as_str());
            let (found, expected) = (rejection.found(), rejection.expected());
            let session_id = rejection.session_id();
            log_at!(
                level, %reason, about, found, expected, session_id, kind, entrance, ring,
                "rejected a request"
            );
        }
    }

    /// Counts a refusal. Returns whether it is logged, and how many of its kind were not in an earlier minute.
    fn admit(&self, kind: RejectionKind, now: Timestamp) -> (bool, u64) {
        let place = RejectionKind::NAMES.iter().position(|name| *name == kind.as_str());
        let Some(count) = place.and_then(|place| self.counts.get(place)) else { return (true, 0) };
        let limit = u64::from(self.per_minute);
        // Of the low bits: minutes are as good as those of a clock that is set to any time.
        let minute = (now.as_unix_seconds().div_euclid(60) as u64) << 32;
        let next = |old: u64| match old & !LOW == minute {
            true if old & LOW < LOW => Some(old + 1),
            true => None,
            false => Some(minute | 1),
        };
        let old = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let old = old.unwrap_or_else(|full| full);
        match old & !LOW == minute {
            true => (old & LOW < limit, 0),
            false => (true, (old & LOW).saturating_sub(limit)),
        }
    }
}

const LOW: u64 = u32::MAX as u64;
