//! The counters of one `Sessions`: validations, cache lookups, rejections, issued tokens, logouts.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, counter};

use crate::error::operation::{OperationError, OperationErrorKind};
use crate::error::rejection::RejectionKind;
use crate::sessions::logout::Reach;
use crate::telemetry::{CACHE_LOOKUPS, ISSUED, LOGOUTS, REJECTIONS, TOKEN_REFRESHES, VALIDATIONS};

/// Counts what the requests of one `Sessions` do. Its handles are made when the first is needed.
pub(crate) struct Counters {
    ring: Arc<str>,
    handles: OnceLock<Handles>,
}

struct Handles {
    valid: Counter,
    invalid: Outcomes,
    hit: Counter,
    miss: Counter,
    rejected: Outcomes,
    issued: Counter,
    not_issued: Outcomes,
    refreshes: Outcomes,
    logouts: [Outcomes; 3],
}

impl Counters {
    /// Counts under the name of the ring whose keys the sessions use.
    pub(crate) fn new(ring: Arc<str>) -> Self {
        Self { ring, handles: OnceLock::new() }
    }

    /// Counts a validation; `is_cached` where there is a cache.
    #[inline]
    pub(crate) fn valid(&self, is_cached: Option<bool>) {
        let handles = self.handles();
        handles.looked_up(is_cached);
        handles.valid.increment(1);
    }

    #[cold]
    pub(crate) fn invalid(&self, is_cached: Option<bool>, kind: RejectionKind) {
        let handles = self.handles();
        handles.looked_up(is_cached);
        handles.invalid.count(kind.as_str());
    }

    pub(crate) fn rejected(&self, kind: RejectionKind) {
        self.handles().rejected.count(kind.as_str());
    }

    pub(crate) fn issued<T>(&self, result: &Result<T, OperationError>) {
        let handles = self.handles();
        match result {
            Ok(_) => handles.issued.increment(1),
            Err(error) => handles.not_issued.count(error.kind().as_str()),
        }
    }

    /// Counts the redemption of a refresh token, and whether it was a repeated one.
    pub(crate) fn refreshed(&self, is_repeated: &Result<bool, &OperationError>) {
        self.handles().refreshes.count(match is_repeated {
            Ok(false) => "refreshed",
            Ok(true) => "repeated",
            Err(error) => match error.rejection() {
                Some(rejection) if rejection.kind() == RejectionKind::Reused => "reused",
                Some(rejection) if !rejection.is_temporary() => "rejected",
                _ => "failed",
            },
        });
    }

    /// Counts a logout.
    pub(crate) fn logged_out(&self, reach: Reach, outcome: LogoutOutcome) {
        self.handles().logouts[reach as usize].count(match outcome {
            LogoutOutcome::Recorded => "recorded",
            LogoutOutcome::CookieOnly => "cookie_only",
            LogoutOutcome::Failed => "failed",
        });
    }

    #[inline]
    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| Handles::new(&self.ring))
    }
}

impl Handles {
    #[inline]
    fn looked_up(&self, is_cached: Option<bool>) {
        match is_cached {
            Some(true) => self.hit.increment(1),
            Some(false) => self.miss.increment(1),
            None => {}
        }
    }

    #[cold]
    fn new(ring: &Arc<str>) -> Self {
        let of_requests = OF_REQUESTS.map(|kind| kind.as_str());
        let of_tokens = RejectionKind::NAMES.iter().filter(|text| !of_requests.contains(text));
        let of_issuing = OF_ISSUING.map(|kind| kind.as_str());
        Self {
            valid: handle(VALIDATIONS, ring, "valid"),
            invalid: Outcomes::new(VALIDATIONS, ring, of_tokens),
            hit: handle(CACHE_LOOKUPS, ring, "hit"),
            miss: handle(CACHE_LOOKUPS, ring, "miss"),
            rejected: Outcomes::new(REJECTIONS, ring, RejectionKind::NAMES),
            issued: handle(ISSUED, ring, "issued"),
            not_issued: Outcomes::new(ISSUED, ring, &of_issuing),
            refreshes: Outcomes::new(TOKEN_REFRESHES, ring, &OF_REFRESHES),
            logouts: [Reach::This, Reach::Others, Reach::Everywhere].map(|reach| {
                let outcomes = OF_LOGOUTS.iter().map(|outcome| {
                    let (ring, reach) = (ring.clone(), reach.as_str());
                    (
                        *outcome,
                        counter!(LOGOUTS, "ring" => ring, "reach" => reach, "outcome" => *outcome),
                    )
                });
                Outcomes(outcomes.collect())
            }),
        }
    }
}

/// One counter per outcome, all registered at once, so that a dashboard shows zeros first.
struct Outcomes(Box<[(&'static str, Counter)]>);

impl Outcomes {
    fn new<'t>(
        name: &'static str,
        ring: &Arc<str>,
        outcomes: impl IntoIterator<Item = &'t &'static str>,
    ) -> Self {
        let outcomes = outcomes.into_iter();
        Self(outcomes.map(|outcome| (*outcome, handle(name, ring, outcome))).collect())
    }

    fn count(&self, outcome: &'static str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == outcome) {
            counter.increment(1);
        }
    }
}

fn handle(name: &'static str, ring: &Arc<str>, outcome: &'static str) -> Counter {
    counter!(name, "ring" => ring.clone(), "outcome" => outcome)
}

/// How a logout went.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogoutOutcome {
    Recorded,
    CookieOnly,
    Failed,
}

const OF_REFRESHES: [&str; 5] = ["refreshed", "repeated", "reused", "rejected", "failed"];
const OF_LOGOUTS: [&str; 3] = ["recorded", "cookie_only", "failed"];

/// The kinds that validating a token never returns.
const OF_REQUESTS: [RejectionKind; 8] = [
    RejectionKind::Missing,
    RejectionKind::Ambiguous,
    RejectionKind::Forbidden,
    RejectionKind::InsufficientScope,
    RejectionKind::InsufficientUserAuthentication { max_age: Duration::ZERO },
    RejectionKind::StaleClaims,
    RejectionKind::Reused,
    RejectionKind::CrossSite,
];

/// The kinds of errors of issuing a token.
const OF_ISSUING: [OperationErrorKind; 8] = [
    OperationErrorKind::NoSigningKey,
    OperationErrorKind::InvalidClaims,
    OperationErrorKind::LifetimeReached,
    OperationErrorKind::Rejected,
    OperationErrorKind::ClockOutOfRange,
    OperationErrorKind::TooLong,
    OperationErrorKind::NotConfigured,
    OperationErrorKind::RandomGenerator,
];
