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
use tokio::time::{Instant, timeout_at};

use crate::clock::{Moment, Timestamp};
use crate::cooldown::Cooldown;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::CryptoBackend;
use crate::error::operation::OperationError;
use crate::keyring::core::RingCore;
use crate::keyring::error::RingError;
use crate::keyring::issuer::discovery::Places;
use crate::keyring::issuer::document::{self, Parsed, RsaAlgorithm};
use crate::keyring::issuer::fetch::{Endpoint, FetchError, PlainHttp};
use crate::keyring::issuer::found::cut;
use crate::keyring::issuer::freshness;
use crate::keyring::issuer::http_client::{ClientError, HttpClient};
use crate::keyring::refreshes::Report;
use crate::keyring::source::{Issues, KeySource, SourceFuture};
use crate::keys::key::Key;
use crate::keys::key_set::{Following, KeySet, RingKey};
use crate::store::contract::Skipped;

/// The source of a ring that follows an issuer, whose name is the ring's.
pub(crate) struct IssuerSource {
    pub(crate) origin: Origin,
    pub(crate) client: Arc<dyn HttpClient>,
    pub(crate) limits: Limits,
    pub(crate) starts_without_keys: bool,
    /// When a fetch was last begun or requested. Requests touch only this.
    pub(crate) cooldown: Cooldown,
    /// Held for a whole fetch, so that fetches follow each other.
    pub(crate) pace: Mutex<Pace>,
}

/// Where the keys are found.
pub(crate) enum Origin {
    Jwks(Endpoint),
    /// At the URL that the issuer's description names.
    Described(Places),
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
    pub(crate) backend: CryptoBackend,
    pub(crate) plain_http: PlainHttp,
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
    /// Fetches the keys and publishes them.
    pub(crate) async fn update(&self, ring: &RingCore) -> Result<Report, RingError> {
        let mut pace = self.pace.lock().await;
        let max_staleness = self.limits.max_staleness;
        let began = Moment::now(&*ring.clock);
        self.cooldown.begin(began.time);
        let fetched = self.fetch(&ring.name).await;
        let before = ring.keys().clone();
        match fetched {
            Ok((Parsed { keys, skipped, not_for_signatures }, fresh_for)) => {
                *pace = Pace { failures: 0, fresh_for, fetched: Some(began) };
                warn_of_replaced(&ring.name, &before, &keys);
                // From before the fetch: an answer may be as old as that.
                let until = began.time + max_staleness;
                // The same snapshot if nothing has changed: cached tokens are bound to it.
                let same = |(held, key): (&RingKey, &Key)| held.key.is_same(key);
                let is_same =
                    before.keys().len() == keys.len() && before.keys().iter().zip(&keys).all(same);
                if !is_same {
                    log_changed(&ring.name, &before, &keys, &not_for_signatures);
                }
                if !is_same || !before.extend(until) {
                    ring.publish(KeySet::followed(keys, until, self.limits.following()));
                }
                Ok(Report { skipped, ..Report::default() })
            }
            Err(error) => {
                pace.failures = pace.failures.saturating_add(1);
                // By the time of day, which may have been set back, they may still verify.
                if pace.fetched.is_some_and(|fetched| fetched.age(&*ring.clock) >= max_staleness) {
                    let keys = before.keys().iter().map(|key| key.key.clone()).collect();
                    ring.publish(KeySet::followed(
                        keys,
                        Timestamp::from_unix_millis(0),
                        self.limits.following(),
                    ));
                }
                Err(error.into())
            }
        }
    }

    async fn fetch(&self, issuer: &str) -> Result<(Parsed, Option<Duration>), FetchError> {
        let Limits { timeout, document_bytes: limit, .. } = self.limits;
        let deadline = Instant::now() + timeout;
        // It names the one that is late.
        let late = |endpoint: &Endpoint| {
            let text = format!("no whole answer within {timeout:?}");
            endpoint.error(ClientError::new(text))
        };
        let found;
        let (endpoint, described) = match &self.origin {
            Origin::Jwks(endpoint) => (endpoint, None),
            Origin::Described(places) => {
                let plain_http = &self.limits.plain_http;
                let finding = places.find_keys(issuer, &*self.client, limit, plain_http);
                found = timeout_at(deadline, finding).await.map_err(|_| late(&places.first))??;
                (&found.keys, found.rsa_algorithm)
            }
        };
        let rsa_algorithm = RsaAlgorithm { set: self.limits.rsa_algorithm, described };
        let getting = endpoint.get(&*self.client, limit);
        let got = timeout_at(deadline, getting).await.map_err(|_| late(endpoint))?;
        let answer = got.map_err(|cause| endpoint.error(cause))?;
        let parsed = document::parse(&answer, rsa_algorithm, self.limits.backend)
            .map_err(|cause| endpoint.error(cause))?;
        Ok((parsed, freshness::remaining(&answer.headers)))
    }
}

/// Logs another set of keys than before, and keys beside it that are for encryption. The first keys are no change.
fn log_changed(ring: &str, before: &KeySet, keys: &[Key], not_for_signatures: &[Skipped]) {
    for Skipped { name, reason } in not_for_signatures {
        tracing::debug!(ring, entry = name, reason, "ignored a key for encryption");
    }
    if before.keys().is_empty() {
        return;
    }
    let held = || before.keys().iter().map(|held| &held.key);
    let added = keys.iter().filter(|key| !held().any(|held| held.is_same(key)));
    let removed = held().filter(|held| !keys.iter().any(|key| key.is_same(held)));
    let (added, removed) = (key_ids(added), key_ids(removed));
    tracing::info!(ring, added, removed, "the issuer's keys changed");
}

/// The IDs of the first few keys.
fn key_ids<'k>(keys: impl Iterator<Item = &'k Key>) -> String {
    let ids: Vec<_> = keys.map(|key| cut(key.key_id())).collect();
    let more = if ids.len() > 8 { " and others" } else { "" };
    format!("[{}]{more}", ids[..ids.len().min(8)].join(", "))
}

/// Warns of each key ID whose key was replaced by another.
fn warn_of_replaced(ring: &str, before: &KeySet, keys: &[Key]) {
    for of_one_id in keys.chunk_by(|one, other| one.key_id() == other.key_id()) {
        let key_id = of_one_id[0].key_id();
        let held: Vec<_> = before.of_key_id(key_id).map(|held| &held.key).collect();
        let is_new = |key: &Key| !held.iter().any(|held| held.is_pair_of(key));
        let is_gone = |held: &&Key| !of_one_id.iter().any(|key| held.is_pair_of(key));
        if of_one_id.iter().any(is_new) && held.iter().any(is_gone) {
            tracing::warn!(ring, kid = cut(key_id), "the issuer replaced the key of a key ID");
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

impl Limits {
    pub(crate) fn following(&self) -> Following {
        Following { max_staleness: self.max_staleness, cooldown: self.cooldown }
    }

    /// The time until the next fetch; `random` spreads the followers of one issuer.
    ///
    /// After an answer: until most of its lifetime is over, so that the next is there before it
    /// ends. After a failure: the cooldown, and twice as long each further time; at most a minute, or the
    /// cooldown, before the first answer.
    fn wait(&self, pace: &Pace, random: u16) -> Duration {
        let base = match pace.failures {
            0 => {
                let fresh = pace.fresh_for.unwrap_or(self.default_max_age);
                let fresh = fresh.clamp(self.least_refresh, self.most_refresh);
                (fresh / 4 * 3).max(self.least_refresh)
            }
            failures => {
                let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                // Without any keys the replica may wait for them before it gets requests.
                let most = if pace.fetched.is_some() { self.most_refresh } else { MINUTE };
                self.cooldown.saturating_mul(factor).min(most.max(self.cooldown))
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
        Box::pin(async { ring.record(self.update(ring).await).map(drop) })
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

    fn max_staleness(&self) -> Option<Duration> {
        Some(self.limits.max_staleness)
    }

    fn starts_without_keys(&self) -> bool {
        self.starts_without_keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::Clock;

    const SECOND: Duration = Duration::from_secs(1);

    /// Always shows one time.
    #[derive(Debug)]
    struct StoppedClock;

    impl Clock for StoppedClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_seconds(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn wait(failures: u32, fresh_for: Option<u32>, random: u16) -> Duration {
        let fresh_for = fresh_for.map(|seconds| SECOND * seconds);
        let fetched = Some(Moment::now(&StoppedClock));
        Limits::default().wait(&Pace { failures, fresh_for, fetched }, random)
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

    #[test]
    fn first_keys_are_tried_again_within_a_minute_or_the_cooldown() {
        for (cooldown, expected) in [(30, [30, 60, 60]), (1, [1, 2, 60]), (300, [300; 3])] {
            let limits = Limits { cooldown: SECOND * cooldown, ..Limits::default() };
            let pace = |failures| Pace { failures, ..Pace::default() };
            let waits = [1, 2, 40].map(|failures| limits.wait(&pace(failures), 0).as_secs());
            assert_eq!(waits, expected);
        }
    }
}
