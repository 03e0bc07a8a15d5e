//! Metrics, through the facade of the crate `metrics`, and events, through `tracing`.
//!
//! 1. The application installs a recorder of its choice, for example that of
//!    `metrics-exporter-prometheus`, before anything else. Handles are made when a ring counts for the
//!    first time, so that counting costs one addition; without a recorder it costs nothing. A recorder
//!    that is installed after the first validation misses that ring's counters.
//! 2. Gauges are set at each refresh, and when [`KeyRing::ready`](crate::KeyRing::ready) is called. Call
//!    it in the readiness check: then they stay current also where nothing is refreshed.
//! 3. Labels are the ring's name and the outcomes below; a client cannot influence them. Rings of one
//!    process with the same name are counted together: give them different names.
//!    [`Revocations`](crate::Revocations) named `app` have the label `app.ended`, with the same metrics of
//!    refreshes and readiness as rings.
//! 4. [Fixed](crate::KeyRing::fixed) rings are all named `fixed`, and have only counters. Generation, age,
//!    fingerprint, pause and rotation exist for rings that [rotate](crate::KeyRing::builder) or are
//!    [derived](crate::KeyRing::derived). A derived ring is never overdue: its keys follow from the time.
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
//! // In `main`, use `metrics::set_global_recorder` or the exporter's own `install`.
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
//! All begin with `tower_jwt_session_`. A counter's alert is on its increase over some minutes.
//!
//! | metric | type | unit | labels | meaning | alert |
//! |---|---|---|---|---|---|
//! | `validations_total` | counter | count | ring, outcome | validated tokens; `outcome` is `valid` or [`RejectionKind::as_str`](crate::RejectionKind::as_str) | `unknown_key`, `issued_in_future` or `bad_signature` rises steeply |
//! | `cache_lookups_total` | counter | count | ring, outcome | lookups in the cache of verified tokens, one for each validation; `outcome` is `hit` or `miss` | |
//! | `rejections_total` | counter | count | ring, outcome | requests refused by the layers, and tokens refused by the token endpoint and the revocation endpoint; `outcome` is [`RejectionKind::as_str`](crate::RejectionKind::as_str). With [several issuers](crate::SessionsBuilder::also_accept_sessions) `ring` is that of the issuer whose token it is; without one, and for an issuer that is not accepted, that of the main sessions | an outcome rises steeply |
//! | `issued_total` | counter | count | ring, outcome | tokens issued or renewed; `outcome` is `issued` or [`OperationErrorKind::as_str`](crate::OperationErrorKind::as_str) | `no_signing_key` rises |
//! | `logouts_total` | counter | count | ring, reach, outcome | logouts; `reach` is `this`, `others` or `everywhere`; `outcome` is `recorded`, `cookie_only` (the sessions have no revocations: a copy of the token stays valid), or `failed` (answered 500 or 503: the session stays valid) | `failed` rises |
//! | `token_refreshes_total` | counter | count | ring, outcome | refresh tokens presented; `outcome` is `refreshed`, `repeated` (within the grace: the same successor), `reused` (the session is ended), `rejected`, or `failed` (answered 500 or 503: the token may be tried again) | `failed` or `reused` rises |
//! | `revocations` | gauge | count | ring | revocations held: sessions, subjects and cutoff times | |
//! | `revocations_recorded_total` | counter | count | ring, outcome | revocations on this replica, those of logouts included; `outcome` is `recorded` or `failed` | `failed` rises |
//! | `renewal_hooks_total` | counter | count | ring, outcome | calls of [`on_renewal`](crate::SessionsBuilder::on_renewal); `outcome` is `kept`, `replaced`, `ended`, or, where the old claims stay, `failed`, `timed_out` or `panicked` | `failed`, `timed_out` or `panicked` rises |
//! | `refreshes_total` | counter | count | ring, outcome | reads of the store, directory or followed issuer; `outcome` is `ok`, `unwritten` (read, but a write failed) or `failed` | |
//! | `refresh_failures` | gauge | count | ring | refreshes that failed in a row | |
//! | `refresh_lag_seconds` | gauge | seconds | ring | time since the last successful read ended | above 2 minutes; for a followed issuer `refresh_failures` above 0 for 10 minutes instead: it is read every few minutes, up to 1 hour |
//! | `feed_lag_seconds` | gauge | seconds | ring | the age that the revocations in use may have: time since the last complete read of them began, and the store's [staleness](crate::store::StoreProperties::staleness) | above 2 minutes; at `max_staleness` (24 hours) every request is refused |
//! | `audit_events_total` | counter | count | ring, kind | [audit events](crate::audit); `kind` is [`AuditKind::as_str`](crate::audit::AuditKind::as_str) | `key_revoked`, `refresh_token_reused` or `ring_founded` rises unexpectedly |
//! | `audit_records_total` | counter | count | ring, outcome | audit events given to the [sink](crate::audit::AuditSink); `outcome` is `recorded`, `retried` (an attempt failed), `withheld` (a login answered 503), or `lost` | `withheld` or `lost` rises |
//! | `store_writes_total` | counter | count | ring, operation, outcome | writes to the store; `operation` is below; `outcome` is `ok`, `failed`, or `unfinished` (a time limit passed, or the caller has gone) | `failed` or `unfinished` rises |
//! | `store_write_seconds` | histogram | seconds | ring, operation | their durations, those that failed included | the 99th percentile is above 1 second |
//! | `write_lag_seconds` | gauge | seconds | ring | time since the last successful write; a test entry is written if there was none for 40 refresh intervals | above 30 minutes |
//! | `task_panics_total` | counter | count | ring | panics in background tasks, which are restarted | rises |
//! | `keys` | gauge | count | ring | keys that verify | 0 |
//! | `keys_revoked` | gauge | count | ring | keys held that were revoked | rises |
//! | `key_fingerprint` | gauge | | ring | 48 bits of the [fingerprint](crate::KeyRingStatus::fingerprint), as a number to compare: equal on all replicas that hold the same keys | differs between replicas for 2 minutes |
//! | `ready` | gauge | | ring | 1 if this replica is ready, otherwise 0 | 0 for 5 minutes |
//! | `signing_generation` | gauge | | ring | generation of the signing key; of the last one, while none signs | |
//! | `key_age_seconds` | gauge | seconds | ring | time since the signing key was made; in a derived ring, since its period began | |
//! | `rotation_overdue` | gauge | | ring | 1 if [rotation is overdue](crate::KeyRingStatus::rotation_overdue), otherwise 0 | 1 |
//! | `issuing_paused` | gauge | | ring | 1 if [no key signs](crate::KeyRingStatus::issuing_paused), otherwise 0 | 1 |
//! | `clock_offset_seconds` | gauge | seconds | ring | this replica's time minus the store's, positive if the replica is ahead; only for stores with a clock | beyond half of `clock_skew` (30 seconds) either way |
//!
//! Operations of writes: `insert` and `remove` of entries (keys, marks and notes), `append` of revoked sessions,
//! `advance` of the cutoff of a subject or of everyone, `restore` of cutoffs that the store has lost, `redeem` of
//! a refresh token, and `probe`, the test entry. Several logouts at once are one `append`.
//!
//! Exporters decide how a histogram is shown: that of `metrics-exporter-prometheus` is a summary with quantiles
//! unless buckets are set for it.
//!
//! # Events
//!
//! Their targets begin with `tower_jwt_session`. Data of refused requests is logged at debug, unless the
//! application chooses [another level](crate::SessionsBuilder::log_failures). Levels above info report faults of the
//! service.
//!
//! | level | event | fields | when |
//! |---|---|---|---|
//! | error | a login was lost | mistake, around | no layer is around a handler that returned `Login`, or a gRPC method returned `Login::bearer` |
//! | error | a logout was lost | mistake, around | no layer is around a handler that returned `Logout` |
//! | error | a session cannot be ended | mistake | a `Logout` that needs revocations is answered 500 |
//! | error | a requirement can never be met | mistake | `require_scope` was given a text without a scope; when the layer is built |
//! | error | an operation of a handler failed | error | a handler returned an `OperationError`: 500 or 503 |
//! | error | a handler cannot use the sessions | mistake | it asked for a session, and no layer, or that of other sessions, is around it; or it returned `Login::bearer` beside another response |
//! | error | the token router has no refresh tokens | mistake | `token_router` of sessions without `refresh_tokens`; when the router is built |
//! | error | the login page requires a session | login_page, mistake | the page to which browsers without a session are sent refused one of them; once for each layer |
//! | error | the login page is not found | login_page, fix | browsers without a session are sent to a path that is answered 404; once for each layer |
//! | error | no protected resource is described | mistake | `resource_metadata_router` without `protected_resource` is answered 500 |
//! | error | a session could not be issued | error | the request is answered 500 or 503 |
//! | error | a token was not revoked | error | the revocation endpoint answered 503; the token is still valid |
//! | error | a token cannot be revoked | error | the revocation endpoint is there, but the sessions have no revocations |
//! | error | a refresh token could not be redeemed | error | the request is answered 500 or 503; the same token may be tried again |
//! | error | a logout was not recorded | error | the request is answered 503; the session stays valid |
//! | warn | the session cookie is for local development | name | sessions with [`for_local_development`](crate::CookieTransport::for_local_development) are built; a login for another host is a 500 |
//! | warn | a login came from a page by plain http; browsers drop its cookie | fix | the page's host is not this machine; once for each layer |
//! | warn | a GET logged a user out | fix | the logout succeeds; once for each layer |
//! | warn | a request comes from another origin | origin, host, sec_fetch_site, fix | the same at warn, if the browser says that the origin is of the same site: perhaps a page of yours; once per origin, for the first 16 |
//! | warn | cannot revoke the session before a login | session_id, error | the login succeeds; the session before it stays valid |
//! | warn | a session could not be renewed | error | the old token stays valid |
//! | warn | the renewal hook failed; the claims stay | ring, session_id, error | it returned an error, panicked, or gave no answer within 1 second; at most once a minute |
//! | error | cannot revoke a session that the renewal hook ended | session_id, error | its cookie is cleared; a copy of its token stays valid until it expires |
//! | warn | rotation is overdue | ring, generation, signs_until | no successor could be made in time; once per occurrence |
//! | error | a background task panicked; restarting it | ring, task, pause | a bug in this crate or in a store; please report it |
//! | warn | issuing is paused: no key signs | ring, reason, until | logins answer 503 for the [`PauseReason`](crate::PauseReason), until then; once per pause |
//! | warn | refresh failed; nothing was read yet | ring, error | after [`start_without_keys`](crate::IssuerRingBuilder::start_without_keys): tokens of the issuer are answered 503; its keys are fetched again within a minute or one `unknown_key_cooldown`; once per different error |
//! | warn | refresh failed; serving the last known state | ring, error | once per different error; keys and revocations are used until their limits, such as `max_staleness` |
//! | warn | cannot write to the store; still serving what was read | ring, error | no revocation and no key can be recorded; once per different error |
//! | warn | skipped an entry | ring, entry, reason | an entry of the store, or a key of an issuer, is unusable; once |
//! | warn | ignored an entry that contradicts a known one | ring, reason | it contradicts what is held |
//! | warn | private keys are unsealed in the store | ring, fix | at the start, in a private directory; fine if this service alone can read it and its backups |
//! | warn | this replica's clock differs from the store's | ring, offset_ms, uncertainty_ms, clock_skew | by more than half of `clock_skew`; once per occurrence |
//! | warn | this replica is not ready because of its clock | ring, offset_ms, uncertainty_ms, clock_skew | it differs by more than `clock_skew`, and this replica holds the clock lease |
//! | warn | a token of this ring was issued in the future: a replica's clock is wrong | ring, clock_skew, fix | the token's signature is valid; at most once in 10 minutes |
//! | warn | the issuer replaced the key of a key ID | ring, kid | the issuer may be compromised |
//! | warn | another server of the store answers | store, before, now | its address leads to another server, as after a failover or a restart |
//! | warn | cannot listen for changes; polling only | error, cause | the connection for changes was lost |
//! | warn | the new server of the store may evict entries | error | its `maxmemory-policy` is not `noeviction` |
//! | warn | cannot read maxmemory-policy of Redis; set it to noeviction | address | the server refuses to say it |
//! | warn | cannot remove expired revocations | feed, error | the directory keeps more than is needed; tried again within the hour |
//! | warn | cannot delete expired revocations in PostgreSQL | error | the tables keep more than is needed; tried again |
//! | warn | a login could not read the cutoffs; using the last known | ring, error | a cutoff that this replica does not know yet ends the login, too |
//! | warn | the store lost entries of the ring | ring, lost | it was purged or restored, or a replica's clock is far ahead, which `sessionctl doctor` shows; the audit event `ring_restored` says that they are there again |
//! | warn | the clock was set back; reading all revocations | ring | this replica's clock was ahead, and may have dropped some too early |
//! | warn | the store lost revocations; reading all | ring | it was purged, restored, or another server took over |
//! | warn | a replica announced a restoration and restored nothing; asking again | ring | that replica seems to have died |
//! | info | waiting for live replicas before founding | ring, wait, fix | the store is empty, as at the first start of a service, or incomplete; requests answer 503 until then |
//! | info | this replica's clock agrees with the store's again | ring, offset_ms | within half of `clock_skew` |
//! | info | this replica is no longer unready because of its clock | ring, offset_ms | it agrees again, or the lease has expired |
//! | info | rotation is no longer overdue | ring, generation | the successor was made |
//! | info | refreshes succeed again | ring | after a failure |
//! | info | the issuer's keys changed | ring, added, removed | a followed issuer rotates its keys: their IDs |
//! | info | writes to the store succeed again | ring | after a failure |
//! | info | issuing is no longer paused | ring, generation | a key signs again |
//! | error | lost an audit event | ring, kind, event_id, error | the [sink](crate::audit::AuditSink) did not record it within 10 minutes, or too many others waited |
//! | warn | the audit sink failed | error | once, until it succeeds; logins are answered 503 |
//! | info | the audit sink succeeds again | | after a failure |
//! | info | audit event | kind, origin, outcome, at, event_id, ring, issuer, session_id, subject, reach, reason, generation, kid, effective_at, count | each [audit event](crate::audit), with the target `tower_jwt_session::audit`; fields that do not apply are left out |
//! | debug | cannot publish a change of the feed | feed, error | other replicas see it when they poll |
//! | debug | deleted expired revocations | revocations, registers | by this replica, of all feeds in PostgreSQL |
//! | debug | rejected a request | reason, about, found, expected, session_id, kind, entrance, ring | the reason, which the client does not see, and the part of the token; `session_id`, as in audit events, only after a valid signature; `entrance` is `layer`, `token_endpoint` or `revocation_endpoint`; `ring` is as in `rejections_total`; at the level and the rate of [`log_failures`](crate::SessionsBuilder::log_failures) |
//! | debug | suppressed refusals of one kind | ring, kind, suppressed | how many were not logged in the last minute in which there were any; at the same level |
//! | debug | a request comes from another origin | origin, host, sec_fetch_site, fix | the cross-site guard refused it, or lets it set no cookie; the values found, or `none` |
//! | debug | found an unreadable entry under the name of a new one | ring, entry, reason | an insert found data that can't be read |
//! | debug | ignored a key for encryption | ring, entry, reason | a followed issuer publishes it beside its keys for signatures |
//! | debug | the store cannot report changes now | ring, error | once per failure |
//! | debug | still cannot listen for changes | error, cause | another attempt failed |

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::audit::deliver::AUDIT_RECORDS;
use crate::audit::handle::AUDIT_EVENTS;
use crate::replica::writes::WRITE_LAG;
use crate::store::measured::{STORE_WRITE_SECONDS, STORE_WRITES};
use crate::tasks::TASK_PANICS;

pub(crate) const VALIDATIONS: &str = "tower_jwt_session_validations_total";
pub(crate) const CACHE_LOOKUPS: &str = "tower_jwt_session_cache_lookups_total";
pub(crate) const REJECTIONS: &str = "tower_jwt_session_rejections_total";
pub(crate) const ISSUED: &str = "tower_jwt_session_issued_total";
pub(crate) const RECORDED: &str = "tower_jwt_session_revocations_recorded_total";
pub(crate) const TOKEN_REFRESHES: &str = "tower_jwt_session_token_refreshes_total";
pub(crate) const LOGOUTS: &str = "tower_jwt_session_logouts_total";
pub(crate) const RENEWAL_HOOKS: &str = "tower_jwt_session_renewal_hooks_total";
pub(crate) const KEYS: &str = "tower_jwt_session_keys";
pub(crate) const REVOCATIONS: &str = "tower_jwt_session_revocations";
pub(crate) const REFRESHES: &str = "tower_jwt_session_refreshes_total";
pub(crate) const REFRESH_FAILURES: &str = "tower_jwt_session_refresh_failures";
pub(crate) const REFRESH_LAG: &str = "tower_jwt_session_refresh_lag_seconds";
pub(crate) const FEED_LAG: &str = "tower_jwt_session_feed_lag_seconds";
pub(crate) const READY: &str = "tower_jwt_session_ready";
pub(crate) const SIGNING_GENERATION: &str = "tower_jwt_session_signing_generation";
pub(crate) const KEY_AGE: &str = "tower_jwt_session_key_age_seconds";
pub(crate) const KEYS_REVOKED: &str = "tower_jwt_session_keys_revoked";
pub(crate) const KEY_FINGERPRINT: &str = "tower_jwt_session_key_fingerprint";
pub(crate) const ISSUING_PAUSED: &str = "tower_jwt_session_issuing_paused";
pub(crate) const ROTATION_OVERDUE: &str = "tower_jwt_session_rotation_overdue";
pub(crate) const CLOCK_OFFSET: &str = "tower_jwt_session_clock_offset_seconds";

/// Registers the metrics' units and descriptions with the installed recorder. Call it once, after the
/// recorder is installed. It is optional.
pub fn describe() {
    describe_counter!(VALIDATIONS, Unit::Count, "Validated session tokens, by outcome.");
    describe_counter!(CACHE_LOOKUPS, Unit::Count, "Lookups in the token cache, by outcome.");
    describe_counter!(REJECTIONS, Unit::Count, "Rejected requests, by outcome.");
    describe_counter!(ISSUED, Unit::Count, "Issued or renewed sessions, by outcome.");
    describe_counter!(REFRESHES, Unit::Count, "Refreshes of keys or revocations, by outcome.");
    describe_gauge!(REFRESH_FAILURES, Unit::Count, "Refreshes that have failed in a row.");
    describe_gauge!(REFRESH_LAG, Unit::Seconds, "Time since the last successful read.");
    describe_gauge!(WRITE_LAG, Unit::Seconds, "Time since the last successful write to the store.");
    describe_counter!(AUDIT_EVENTS, Unit::Count, "Audit events, by kind.");
    describe_counter!(AUDIT_RECORDS, Unit::Count, "Audit events given to the sink, by outcome.");
    describe_counter!(STORE_WRITES, Unit::Count, "Writes to the store, by operation and outcome.");
    describe_histogram!(
        STORE_WRITE_SECONDS,
        Unit::Seconds,
        "The duration of writes to the store, by operation."
    );
    describe_gauge!(FEED_LAG, Unit::Seconds, "The largest age of the revocations in use.");
    describe_counter!(RECORDED, Unit::Count, "Revocations on this replica, by outcome.");
    describe_counter!(TOKEN_REFRESHES, Unit::Count, "Redeemed refresh tokens, by outcome.");
    describe_counter!(LOGOUTS, Unit::Count, "Logouts, by reach and outcome.");
    describe_counter!(RENEWAL_HOOKS, Unit::Count, "Calls of the renewal hook, by outcome.");
    describe_counter!(TASK_PANICS, Unit::Count, "Panics in background tasks.");
    describe_gauge!(
        REVOCATIONS,
        Unit::Count,
        "Revocations held: sessions, subjects and cutoff times."
    );
    describe_gauge!(KEYS, Unit::Count, "Keys that verify.");
    describe_gauge!(READY, "Whether this replica is ready.");
    describe_gauge!(SIGNING_GENERATION, "The generation of the key that signs.");
    describe_gauge!(KEY_AGE, Unit::Seconds, "The age of the key that signs.");
    describe_gauge!(ROTATION_OVERDUE, "Whether the rotation of the keys is overdue.");
    describe_gauge!(KEYS_REVOKED, Unit::Count, "Keys held that were revoked.");
    describe_gauge!(KEY_FINGERPRINT, "Equal on all replicas that hold the same keys.");
    describe_gauge!(ISSUING_PAUSED, "Whether issuing is paused because no key signs.");
    describe_gauge!(CLOCK_OFFSET, Unit::Seconds, "This replica's time minus the store's.");
}
