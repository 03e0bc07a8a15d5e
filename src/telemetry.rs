//! What a service tells its operators: metrics, through the facade of the crate `metrics`, and
//! events, through `tracing`.
//!
//! 1. The application installs the recorder of its choice, for example that of
//!    `metrics-exporter-prometheus`, first of all. Handles are made when a ring counts for the first
//!    time, so that counting costs no more than an addition; without a recorder it costs nothing. A
//!    recorder that comes after the first session was validated misses that ring's counters.
//! 2. Gauges are set at each refresh, and when [`KeyRing::ready`](crate::KeyRing::ready) is asked:
//!    let the readiness check do so, and they stay right even where nothing is refreshed.
//! 3. Labels are the ring's name and the outcomes below, and nothing that a client sends. Rings in one
//!    process that have one name are counted as one: name them differently. [`Revocations`](crate::Revocations)
//!    named
//!    `app` are the ring `app.ended`, and have the last good reading and readiness as rings do.
//! 4. [Fixed](crate::KeyRing::fixed) rings are all named `fixed`, and have counters alone. Generation,
//!    age and rotation are known of rings that [rotate](crate::KeyRing::builder) here, or are
//!    [derived](crate::KeyRing::derived), which are never overdue: their keys come with the time.
//!
//! ```
//! use tower_jwt_session::testing::{self, ManualClock};
//! use tower_jwt_session::{Login, Sessions, telemetry};
//! # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! # use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
//! # #[derive(Default)]
//! # struct ValidTokens(Arc<AtomicU64>);
//! # impl Recorder for ValidTokens {
//! #     fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
//! #     fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
//! #     fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
//! #     fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
//! #         let is_valid = key.labels().any(|label| label.value() == "valid");
//! #         if is_valid { Counter::from_arc(self.0.clone()) } else { Counter::noop() }
//! #     }
//! #     fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge { Gauge::noop() }
//! #     fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram { Histogram::noop() }
//! # }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let recorder = ValidTokens::default();
//! # let valid = recorder.0.clone();
//! // In `main` it is `metrics::set_global_recorder`, or the exporter's own `install`.
//! metrics::with_local_recorder(&recorder, || {
//!     telemetry::describe();
//!     let keys = testing::fixed_ring(ManualClock::default());
//!     let sessions = Sessions::<()>::builder(keys, "https://app.example", "app").build()?;
//!     let token = sessions.issue(&Login::new("alice", ()))?;
//!     sessions.validate(token.as_str())?;
//! #   assert_eq!(valid.load(Ordering::Relaxed), 1);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Metrics
//!
//! All begin with `tower_jwt_session_` and have the label `ring`.
//!
//! | metric | kind | what |
//! |---|---|---|
//! | `validations_total` | counter | tokens that were validated; `outcome` is `valid` or [`RejectionKind::as_str`] |
//! | `cache_lookups_total` | counter | lookups in the cache of verified tokens, one for each validation; `outcome` is `hit` or `miss` |
//! | `rejections_total` | counter | requests that the layers have refused, and refresh tokens that the token endpoint has; `outcome` is [`RejectionKind::as_str`] |
//! | `issued_total` | counter | sessions that were issued or renewed; `outcome` is `issued` or [`OperationErrorKind::as_str`](crate::OperationErrorKind::as_str) |
//! | `revocations` | gauge | what has been ended, of sessions, subjects and times, and is held |
//! | `revocations_recorded_total` | counter | revocations that this replica was to record; `outcome` is `recorded` or `failed`: a logout that was answered 503 |
//! | `refreshes_total` | counter | readings of the store, directory or followed issuer; `outcome` is `ok`, `unwritten` (read, and then not written) or `failed` |
//! | `refresh_failures` | gauge | how many refreshes have failed in a row |
//! | `refresh_lag_seconds` | gauge | how long ago the last good reading was |
//! | `write_failures_total` | counter | writes to the store that failed |
//! | `write_lag_seconds` | gauge | how long ago the store last took a write; one is tried when there was none for 40 refresh intervals |
//! | `task_panics_total` | counter | panics in a background task, which is restarted |
//! | `keys` | gauge | the keys that are held and verify |
//! | `ready` | gauge | 1 if this replica is ready, or else 0 |
//! | `signing_generation` | gauge | the generation of the key that signs; of the last, while none does |
//! | `key_age_seconds` | gauge | how long ago the key that signs was made, or its time began, in a derived ring |
//! | `rotation_overdue` | gauge | 1 if [rotation is overdue](crate::RingStatus::rotation_overdue), or else 0 |
//! | `clock_offset_seconds` | gauge | this replica's time less the store's, positive where the replica is ahead; only of stores that have a clock |
//!
//! # Events
//!
//! Their targets begin with `tower_jwt_session`. Nothing of a request is told above debug, but that
//! the service itself is at fault, and that a refresh token was used again.
//!
//! | level | event | fields | when |
//! |---|---|---|---|
//! | error | a login was lost | mistake | no layer issued what a handler returned |
//! | error | no layer of these sessions | mistake | a handler asked for a session, and none or another's layer stands around it |
//! | error | a session could not be issued | error | the request is answered 500 or 503 |
//! | error | a refresh token could not be redeemed | error | the request is answered 500 or 503; the same token may be tried again |
//! | error | the end of a session could not be recorded | error | the request is answered 503; the session goes on |
//! | warn | a session could not be renewed | error | the old one goes on |
//! | warn | a refresh token was used again: its session is ended | session_id | someone has a copy of it, or a client came back late with one that it had used |
//! | warn | rotation is overdue | ring, generation, signs_until | no successor could be made in time; once, until it is over |
//! | error | a background task panicked; restarting it | ring, task, pause | a bug in this crate or in a store; please report it |
//! | warn | issuing is paused: no key signs | ring, reason, until | logins answer 503, for the reason in [`PauseReason`](crate::PauseReason), and until then; once for each |
//! | warn | a key was revoked | ring, generation, kid | here or at another replica |
//! | warn | refresh failed; serving the last known keys | ring, error | once for each other failure |
//! | warn | cannot write to the store; what it holds is still served | ring, error | no revocation and no key can be recorded; once for each other failure |
//! | warn | skipped an entry | ring, entry, reason | an entry of the store, or a key of an issuer, can't be used; once |
//! | warn | an entry of the ring was not believed | ring, reason | it contradicts what is held |
//! | warn | the store had lost entries of the ring | ring, restored | it was purged or restored; they were put back |
//! | warn | private keys rest unsealed in the store | ring, fix | at the start, in a private directory |
//! | warn | this replica's clock differs from the store's | ring, offset_ms, uncertainty_ms, clock_skew | by more than half of `clock_skew`; once, until it agrees again |
//! | warn | this replica is not ready because of its clock | ring, offset_ms, uncertainty_ms, clock_skew | it differs by more than `clock_skew`, and this replica holds the clock lease |
//! | warn | a token of this ring was issued in the future: a replica's clock is wrong | ring, clock_skew | the token's signature is valid; at most once in 10 minutes |
//! | warn | the issuer has put another key under a key ID in use | ring, kid | it has to be suspected |
//! | warn | another server of the store answers | store, before, now | its address leads to another server than before, as after a failover or a restart |
//! | warn | no word of changes at present; polling goes on | error, cause | the connection that listens was lost |
//! | warn | the store had lost what was ended; it is put back | ring, restored | it was purged or restored |
//! | warn | skipped an entry of what has been ended | ring, entry, reason | it can't be used; once |
//! | warn | a newer version has ended what this one does not understand: update this replica | ring, format | once |
//! | warn | cannot refresh revocations; serving the last known set until stale_limit | ring, error, stale_limit | once for each other failure |
//! | warn | a replica answered a newcomer and restored nothing | ring | it seems to have died; the newcomer asks again |
//! | info | waiting for live replicas before founding | ring, wait | the store holds nothing of the ring, or not all |
//! | info | this replica's clock agrees with the store's again | ring, offset_ms | to half of `clock_skew` |
//! | info | the clock no longer makes this replica unready | ring, offset_ms | it is right again, or the lease is over |
//! | info | rotation is no longer overdue | ring, generation | the successor is there |
//! | info | refreshes succeed again | ring | after a failure |
//! | info | writes to the store succeed again | ring | after a failure |
//! | info | issuing is no longer paused | ring, generation | a key signs again |
//! | info | a key stops signing ahead of its time | ring, generation, kid, at | a rotation was ordered, here or at another replica |
//! | info | published a key | ring, generation, kid, signs_from | this replica has made it |
//! | debug | a session ends | session_id | a handler has ended it |
//! | debug | rejected a request | reason, about, found, expected | the reason that the client does not see, with the part of the token that it is about |
//! | debug | a request comes from another site | origin, host, sec_fetch_site | the cross-site guard has refused it; what it found, or `none` |
//! | debug | a request has more than one credential | places | where they are, and nothing of them |
//! | debug | refused a refresh token | reason, about, found, expected | the same of a refresh token |
//! | debug | something else stands in an entry's place | ring, entry, reason | an insert found what can't be read |
//! | debug | the store cannot report changes now | ring, error | polling goes on |
//! | debug | still no word of changes | error, cause | a further attempt to listen has failed |

use metrics::{Unit, describe_counter, describe_gauge};

use crate::store::refreshes::{REFRESH_FAILURES, REFRESH_LAG, REFRESHES};
use crate::store::writes::{WRITE_FAILURES, WRITE_LAG};
use crate::tasks::TASK_PANICS;

pub(crate) const VALIDATIONS: &str = "tower_jwt_session_validations_total";
pub(crate) const CACHE_LOOKUPS: &str = "tower_jwt_session_cache_lookups_total";
pub(crate) const REJECTIONS: &str = "tower_jwt_session_rejections_total";
pub(crate) const ISSUED: &str = "tower_jwt_session_issued_total";
pub(crate) const RECORDED: &str = "tower_jwt_session_revocations_recorded_total";
pub(crate) const KEYS: &str = "tower_jwt_session_keys";
pub(crate) const REVOCATIONS: &str = "tower_jwt_session_revocations";
pub(crate) const READY: &str = "tower_jwt_session_ready";
pub(crate) const SIGNING_GENERATION: &str = "tower_jwt_session_signing_generation";
pub(crate) const KEY_AGE: &str = "tower_jwt_session_key_age_seconds";
pub(crate) const ROTATION_OVERDUE: &str = "tower_jwt_session_rotation_overdue";
pub(crate) const CLOCK_OFFSET: &str = "tower_jwt_session_clock_offset_seconds";

/// Gives the metrics' units and descriptions to the recorder that is installed. Call it once, after
/// that; nothing else depends on it.
pub fn describe() {
    describe_counter!(VALIDATIONS, Unit::Count, "Session tokens that were validated, by outcome.");
    describe_counter!(CACHE_LOOKUPS, Unit::Count, "Lookups in the token cache, by outcome.");
    describe_counter!(REJECTIONS, Unit::Count, "Requests that were rejected, by outcome.");
    describe_counter!(ISSUED, Unit::Count, "Sessions that were issued or renewed, by outcome.");
    describe_counter!(REFRESHES, Unit::Count, "Refreshes of keys or revocations, by outcome.");
    describe_gauge!(REFRESH_FAILURES, Unit::Count, "Refreshes that have failed in a row.");
    describe_gauge!(REFRESH_LAG, Unit::Seconds, "Time since the store was last read.");
    describe_gauge!(WRITE_LAG, Unit::Seconds, "Time since the store last took a write.");
    describe_counter!(WRITE_FAILURES, Unit::Count, "Writes to the store that failed.");
    describe_counter!(RECORDED, Unit::Count, "Revocations that were to be recorded, by outcome.");
    describe_counter!(TASK_PANICS, Unit::Count, "Panics in background tasks.");
    describe_gauge!(REVOCATIONS, Unit::Count, "What has been ended before its time, and is held.");
    describe_gauge!(KEYS, Unit::Count, "Keys that are held and verify.");
    describe_gauge!(READY, "Whether this replica is ready.");
    describe_gauge!(SIGNING_GENERATION, "The generation of the key that signs.");
    describe_gauge!(KEY_AGE, Unit::Seconds, "The age of the key that signs.");
    describe_gauge!(ROTATION_OVERDUE, "Whether the rotation of the keys is overdue.");
    describe_gauge!(CLOCK_OFFSET, Unit::Seconds, "This replica's time less the store's.");
}
