//! The source that follows an issuer: another service's public keys, for a service that only
//! validates. It fetches them, and decides when to fetch again.
//!
//! 1. Requests never wait for a fetch. A request that names an unknown key is refused at once, and
//!    starts at most one fetch per cooldown.
//! 2. An answer replaces all keys: withdrawn keys no longer verify. An answer without a usable key
//!    is a failure.
//! 3. After a failure the last keys verify up to `max_staleness` after their fetch; no task has to
//!    run for that limit to hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::{Clock, Moment, Timestamp};
use crate::cooldown::Cooldown;
use crate::crypto::algorithm::Algorithm;
use crate::error::operation::OperationError;
use crate::keyring::core::RingCore;
use crate::keyring::error::RingError;
use crate::keyring::issuer::document::{self, Parsed};
use crate::keyring::issuer::fetch::{Cause, Description, Endpoint, FetchError};
use crate::keyring::issuer::found::{Answer, cut};
use crate::keyring::issuer::freshness;
use crate::keyring::issuer::http_client::{ClientError, HttpClient};
use crate::keyring::report::Report;
use crate::keyring::source::{FollowedIssuer, Issues, KeySource, SourceFuture};
use crate::keys::key::Key;
use crate::keys::key_set::KeySet;

/// The source of a ring that follows an issuer.
pub(crate) struct IssuerSource {
    pub(crate) issuer: Arc<str>,
    pub(crate) location: JwksLocation,
    pub(crate) client: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    /// When a fetch was last begun or requested. Requests touch only this.
    pub(crate) cooldown: Cooldown,
    /// Held for a whole fetch, so that fetches follow each other.
    pub(crate) pace: Mutex<Pace>,
}

/// Where an issuer publishes its keys.
#[derive(Clone, Debug)]
pub(crate) enum JwksLocation {
    /// There.
    Jwks(Endpoint),
    /// At the `jwks_uri` of this discovery document.
    Discovered(Endpoint),
}

/// The limits that an issuer is followed within.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) document_bytes: usize,
    pub(crate) least_refresh: Duration,
    pub(crate) most_refresh: Duration,
    pub(crate) default_max_age: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) max_staleness: Duration,
    pub(crate) rsa_algorithm: Option<Algorithm>,
    pub(crate) http_on_loopback: bool,
}

/// The keys of an answer, and how long they verify.
pub(crate) struct Fetched {
    pub(crate) keys: Vec<Key>,
    pub(crate) until: Timestamp,
}

/// The outcome of the last fetches, for the time of the next one.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many failed since the last that did not.
    failures: u32,
    /// How long the last good answer stays fresh, if it said so.
    fresh_for: Option<Duration>,
    /// When the last good fetch began.
    fetched: Option<Moment>,
}

impl IssuerSource {
    /// Fetches the keys. Returns them and how long they verify.
    pub(crate) async fn fetch(
        &self,
        pace: &mut Pace,
        before: Option<&KeySet>,
    ) -> Result<(Fetched, Report), FetchError> {
        let began = Moment::now(&*self.clock);
        let now = began.time;
        self.cooldown.begin(now);
        let (JwksLocation::Jwks(first) | JwksLocation::Discovered(first)) = &self.location;
        let timeout = self.limits.timeout;
        let fetched = tokio::time::timeout(timeout, self.documents()).await.unwrap_or_else(|_| {
            let text = format!("no whole answer within {timeout:?}");
            Err(first.error(ClientError::new(text)))
        });
        let (Parsed { keys, skipped }, fresh_for) = fetched.inspect_err(|_| {
            pace.failures = pace.failures.saturating_add(1);
        })?;
        *pace = Pace { failures: 0, fresh_for, fetched: Some(began) };
        if let Some(before) = before {
            self.warn_of_replaced(before, &keys);
        }
        // From before the fetch: an answer may be as old as that.
        let until = now + self.limits.max_staleness;
        Ok((Fetched { keys, until }, Report { skipped, ..Report::default() }))
    }

    /// Warns of each key ID whose key was replaced by another.
    fn warn_of_replaced(&self, before: &KeySet, keys: &[Key]) {
        for of_one_id in keys.chunk_by(|one, other| one.key_id() == other.key_id()) {
            let key_id = of_one_id[0].key_id();
            let held: Vec<_> = before.of_key_id(key_id).map(|held| &held.key).collect();
            let is_new = |key: &Key| !held.iter().any(|held| document::is_same(held, key));
            let is_gone = |held: &&Key| !of_one_id.iter().any(|key| document::is_same(held, key));
            if of_one_id.iter().any(is_new) && held.iter().any(is_gone) {
                let (ring, kid) = (&*self.issuer, cut(key_id));
                tracing::warn!(ring, kid, "the issuer replaced the key of a key ID");
            }
        }
    }

    async fn documents(&self) -> Result<(Parsed, Option<Duration>), FetchError> {
        let discovered;
        let endpoint = match &self.location {
            JwksLocation::Jwks(endpoint) => endpoint,
            JwksLocation::Discovered(endpoint) => {
                discovered = self.discover(endpoint).await?;
                &discovered
            }
        };
        let answer = self.get(endpoint).await?;
        let parsed = document::parse(&answer, self.limits.rsa_algorithm)
            .map_err(|reason| endpoint.error(Cause::Document(reason)))?;
        if parsed.keys.is_empty() {
            let first =
                parsed.skipped.first().map(|first| format!("{}: {}", first.name, first.reason));
            let found = first.unwrap_or_else(|| "`keys` is empty".to_owned());
            let reason = format!("the JWKS holds no key that can be used: {found}");
            return Err(endpoint.error(Cause::Document(reason)));
        }
        Ok((parsed, freshness::remaining(&answer.headers)))
    }

    /// Asks the issuer's description where the keys are. OpenID Connect Discovery 1.0, section 4.3:
    /// it must name the very issuer that was asked.
    async fn discover(&self, endpoint: &Endpoint) -> Result<Endpoint, FetchError> {
        let answer = self.get(endpoint).await?;
        let description = Description::parse(&answer).map_err(|cause| endpoint.error(cause))?;
        if description.issuer != *self.issuer {
            let found = cut(&description.issuer);
            let expected = cut(&self.issuer);
            let reason =
                format!("it describes another issuer: found `issuer` {found}; expected {expected}");
            return Err(endpoint.error(Cause::Document(reason)));
        }
        Endpoint::parse(&description.jwks_uri, self.limits.http_on_loopback).map_err(|_| {
            let url = cut(&description.jwks_uri);
            let reason = format!("found `jwks_uri` {url}; expected an https URL");
            endpoint.error(Cause::Document(reason))
        })
    }

    async fn get(&self, endpoint: &Endpoint) -> Result<Answer, FetchError> {
        let got = endpoint.get(&*self.client, self.limits.document_bytes).await;
        got.map_err(|cause| endpoint.error(cause))
    }
}

impl Limits {
    /// The time until the next fetch; `random` spreads the followers of one issuer.
    ///
    /// After an answer: until most of its lifetime is over, so that the next is there before it
    /// ends. After a failure: the cooldown, and twice as long each further time.
    fn wait(&self, pace: &Pace, random: u16) -> Duration {
        let base = match pace.failures {
            0 => {
                let fresh = pace.fresh_for.unwrap_or(self.default_max_age);
                let fresh = fresh.clamp(self.least_refresh, self.most_refresh);
                (fresh / 4 * 3).max(self.least_refresh)
            }
            failures => {
                let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                self.cooldown.saturating_mul(factor).min(self.most_refresh.max(self.cooldown))
            }
        };
        base + base / 8 * u32::from(random) / 0x1_0000
    }
}

impl KeySource for IssuerSource {
    fn issues(&self) -> Issues {
        Issues::Never
    }

    fn refresh<'a>(&'a self, ring: &'a RingCore) -> SourceFuture<'a, Result<(), OperationError>> {
        Box::pin(async {
            let mut pace = self.pace.lock().await;
            let before = ring.keys().clone();
            let result = match self.fetch(&mut pace, Some(&before)).await {
                Ok((Fetched { keys, until }, report)) => {
                    // The same snapshot if nothing has changed: cached tokens are bound to it.
                    let held = before.keys().iter().map(|held| &held.key);
                    let is_same = held.len() == keys.len()
                        && held.zip(&keys).all(|(held, key)| document::is_same(held, key));
                    if !is_same || !before.extend(until) {
                        ring.publish(KeySet::followed(keys, until));
                    }
                    Ok(report)
                }
                Err(error) => {
                    // By the time of day, which may have been set back, they may still verify.
                    let limit = self.limits.max_staleness;
                    if pace.fetched.is_some_and(|fetched| fetched.age(&*self.clock) >= limit) {
                        let keys = before.keys().iter().map(|key| key.key.clone()).collect();
                        ring.publish(KeySet::followed(keys, Timestamp::from_unix_millis(0)));
                    }
                    Err(RingError::from(error).into())
                }
            };
            ring.refreshes.record(Report::outcome(&result));
            result.map(drop)
        })
    }

    fn due<'a>(&'a self, _: &'a RingCore, _: Instant, random: u16) -> SourceFuture<'a, Instant> {
        Box::pin(async move {
            // From the end of a fetch: it may have taken long.
            let now = Instant::now();
            now + self.limits.wait(&*self.pace.lock().await, random)
        })
    }

    fn request_refetch(&self, ring: &RingCore, now: Timestamp) {
        if self.cooldown.try_begin(now) {
            ring.wake.notify_one();
        }
    }

    fn followed_issuer(&self) -> Option<FollowedIssuer<'_>> {
        let max_staleness = self.limits.max_staleness;
        Some(FollowedIssuer { issuer: &self.issuer, max_staleness })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(failures: u32, fresh_for: Option<u32>, random: u16) -> Duration {
        let pace =
            Pace { failures, fresh_for: fresh_for.map(|seconds| SECOND * seconds), fetched: None };
        Limits::default().wait(&pace, random)
    }

    #[test]
    fn keys_are_fetched_before_the_last_answer_ends() {
        for (fresh_for, least) in [(None, 450), (Some(600), 450), (Some(3600), 2700)] {
            assert_eq!(wait(0, fresh_for, 0), SECOND * least);
            let latest = wait(0, fresh_for, u16::MAX);
            assert!(latest > SECOND * least * 11 / 10, "there is jitter: {latest:?}");
            assert!(latest < SECOND * fresh_for.unwrap_or(600));
        }
    }

    #[test]
    fn what_the_issuer_says_of_freshness_is_bounded() {
        for fresh_for in [0, 1, 60, 80] {
            assert_eq!(wait(0, Some(fresh_for), 0), SECOND * 60);
        }
        assert_eq!(wait(0, Some(u32::MAX), 0), SECOND * 2700);
    }

    #[test]
    fn failures_are_retried_ever_more_slowly() {
        let waits: Vec<_> =
            (1..=9).map(|failures| wait(failures, Some(600), 0).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(wait(u32::MAX, None, 0), SECOND * 3600);
    }
}
