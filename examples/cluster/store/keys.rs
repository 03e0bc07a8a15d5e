//! The configuration that replicas share, and how a replica opens keys, revocations and refresh tokens
//! with it. Each store is one line here.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
#[cfg(feature = "redis")]
use tower_jwt_session::store::RedisStore;
use tower_jwt_session::{
    Clock, KeyRing, RefreshTokens, Revocations, Root, RotationPolicy, Timestamp,
    store::{FileStore, RefreshTokenStore, RevocationStore, Store},
};
#[cfg(feature = "postgres")]
use {sqlx::postgres::PgPoolOptions, tower_jwt_session::store::PostgresStore};

use crate::{
    BoxError,
    command::{algorithm::Signing, pace::Pace},
    store::{sealing_key, server::ServerKind},
};

/// How often replicas poll the store, if it does not report changes.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// The directory of a store, in the directory that is this run's own.
pub(crate) const DIRECTORY: &str = "store";

/// The configuration of the keys. It is secret, so it is neither an argument nor shown.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeyOptions {
    /// The name of the ring, which no other run has.
    pub(crate) ring: String,
    /// Where its keys come from.
    pub(crate) source: KeySource,
    /// Where the replicas meet: for their keys, unless these are derived, and in any case for the
    /// sessions that are ended.
    pub(crate) place: Place,
    /// The algorithm of new keys.
    pub(crate) algorithm: Signing,
    /// Whether the run begins, so that there is no replica to wait for.
    pub(crate) founds: bool,
    /// What may differ from replica to replica, and for how long.
    pub(crate) limits: Limits,
}

/// How far clocks may differ, and how old the known revocations may be.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Limits {
    /// The largest difference between two clocks.
    pub(crate) clock_skew: Duration,
    /// How long the last known revocations are used while the store cannot be read; the crate's own
    /// default if there is none.
    pub(crate) max_staleness: Option<Duration>,
}

impl Default for Limits {
    /// For replicas on one machine.
    fn default() -> Self {
        Self { clock_skew: Duration::from_millis(100), max_staleness: None }
    }
}

/// Where keys come from.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) enum KeySource {
    /// From nowhere: each replica derives them from the newest of these that has begun to sign.
    Derived(Vec<RootOptions>),
    /// From the place where the replicas meet. The first of these keys, as base64 or hexadecimal digits, seals
    /// the private keys there, and all decrypt: read access to the place alone yields no key.
    Stored(Vec<String>),
}

/// The store that replicas share.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) enum Place {
    /// In the subdirectory [`DIRECTORY`] of this directory, which goes with it.
    Directory(PathBuf),
    /// In this directory, which stays.
    Kept(PathBuf),
    /// In the Redis of this URL.
    Redis(String),
    /// In the Redis that these Sentinels name.
    RedisSentinel { sentinels: Vec<String>, service: String },
    /// In the Redis Cluster with nodes at these URLs.
    RedisCluster(Vec<String>),
    /// In the PostgreSQL of this URL.
    Postgres(String),
}

impl Place {
    /// The place behind one URL.
    pub(crate) fn at(kind: ServerKind, url: String) -> Self {
        match kind {
            ServerKind::Postgres => Self::Postgres(url),
            _ => Self::Redis(url),
        }
    }
}

/// What a replica opens.
pub(crate) type Opened = (KeyRing, Revocations, RefreshTokens);

/// 32 random bytes.
pub(crate) type Secret = [u8; 32];

/// A root secret. The first has no predecessor to wait for.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct RootOptions {
    /// The secret.
    pub(crate) secret: Secret,
    /// Its number among the roots, and when it follows its predecessor.
    pub(crate) follows: Option<(u32, Timestamp)>,
}

impl KeyOptions {
    /// Opens the keys and the revocations, and the refresh tokens over the same store.
    ///
    /// # Errors
    /// If the place cannot be used, or the periods contradict each other.
    pub(crate) async fn open(
        &self,
        pace: Pace,
        clock: impl Clock + Copy,
    ) -> Result<Opened, BoxError> {
        match &self.place {
            Place::Directory(path) => {
                self.open_in(FileStore::open(path.join(DIRECTORY))?, pace, clock).await
            }
            Place::Kept(path) => self.open_in(FileStore::open(path)?, pace, clock).await,
            #[cfg(feature = "redis")]
            Place::Redis(url) => self.open_in(RedisStore::connect(url).await?, pace, clock).await,
            #[cfg(feature = "redis")]
            Place::RedisSentinel { sentinels, service } => {
                self.open_in(RedisStore::sentinel(sentinels, service).await?, pace, clock).await
            }
            #[cfg(feature = "redis")]
            Place::RedisCluster(urls) => {
                self.open_in(RedisStore::cluster(urls).await?, pace, clock).await
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(url) => self.open_in(postgres(url).await?, pace, clock).await,
            #[cfg(not(all(feature = "postgres", feature = "redis")))]
            _ => Err(NOT_BUILT_IN.into()),
        }
    }

    async fn open_in(
        &self,
        store: impl RevocationStore + RefreshTokenStore + Clone,
        pace: Pace,
        clock: impl Clock + Copy,
    ) -> Result<Opened, BoxError> {
        // A user waits for it, which is better than a failure.
        let write_timeout = 3 * pace.store_timeout;
        let refresh_tokens =
            RefreshTokens::new().store(store.clone()).redeem_timeout(write_timeout);
        let revocations = Revocations::builder(&self.ring)
            .clock(clock)
            .store(store.clone())
            .refresh_interval(REFRESH_INTERVAL)
            .refresh_timeout(pace.store_timeout)
            .insert_timeout(write_timeout);
        let revocations = if self.founds { revocations.found_now() } else { revocations };
        let revocations = match self.limits.max_staleness {
            Some(limit) => revocations.max_staleness(limit),
            None => revocations,
        };
        let rotation = rotation(pace, self.limits);
        let keys = match &self.source {
            KeySource::Derived(roots) => self.derive(roots, rotation, clock)?,
            KeySource::Stored(sealing_keys) => {
                let sealing_keys = sealing_keys.iter().map(|text| sealing_key::parsed(text));
                let sealing_keys = sealing_keys.collect::<Result<Vec<_>, _>>()?;
                let keys =
                    KeyRing::builder(&self.ring).clock(clock).store(store).rotation(rotation);
                let keys = keys.algorithm(self.algorithm.algorithm());
                let keys = if self.founds { keys.found_now() } else { keys };
                keys.seal_with(sealing_keys).open().await?
            }
        };
        Ok((keys, revocations.open().await?, refresh_tokens))
    }

    fn derive(
        &self,
        roots: &[RootOptions],
        rotation: RotationPolicy,
        clock: impl Clock,
    ) -> Result<KeyRing, BoxError> {
        let mut roots = roots.iter().map(|root| match root.follows {
            None => Root::new(root.secret),
            Some((generation, signs_from)) => {
                Root::new(root.secret).map(|root| root.successor(generation, signs_from))
            }
        });
        let first = roots.next().ok_or("there is no root secret")??;
        let builder = KeyRing::derived(&self.ring, first).rotation(rotation).clock(clock);
        let mut builder = builder.algorithm(self.algorithm.algorithm());
        for root in roots {
            builder = builder.root(root?);
        }
        Ok(builder.build()?)
    }

    /// Removes what the run has left in its place, when nobody uses it any more. Which refresh tokens
    /// were redeemed is forgotten there by itself.
    ///
    /// # Errors
    /// If the place cannot be used.
    pub(crate) async fn clear(&self) -> Result<(), BoxError> {
        match &self.place {
            Place::Directory(path) => Ok(std::fs::remove_dir_all(path)?),
            Place::Kept(_) => Ok(()),
            #[cfg(feature = "redis")]
            Place::Redis(url) => empty(&RedisStore::connect(url).await?, &self.ring).await,
            #[cfg(feature = "redis")]
            Place::RedisSentinel { sentinels, service } => {
                empty(&RedisStore::sentinel(sentinels, service).await?, &self.ring).await
            }
            #[cfg(feature = "redis")]
            Place::RedisCluster(urls) => empty(&RedisStore::cluster(urls).await?, &self.ring).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(url) => empty(&postgres(url).await?, &self.ring).await,
            #[cfg(not(all(feature = "postgres", feature = "redis")))]
            _ => Err(NOT_BUILT_IN.into()),
        }
    }
}

/// Periods that are short enough to watch. Every one has a default for a real service.
fn rotation(pace: Pace, limits: Limits) -> RotationPolicy {
    RotationPolicy::new()
        .signing_period(pace.signing_period)
        .max_token_lifetime(pace.session_lifetime)
        .clock_skew(limits.clock_skew)
        .refresh_interval(REFRESH_INTERVAL)
        .refresh_timeout(pace.store_timeout)
        .insert_timeout(pace.store_timeout)
        .jwks_max_age(Duration::from_secs(1))
        .max_overdue_signing(Duration::from_secs(60))
}

/// A pool as an application has one anyway.
#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<PostgresStore, BoxError> {
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(3));
    let store = PostgresStore::new(pool.connect_lazy(url)?);
    store.migrate().await?;
    Ok(store)
}

#[cfg_attr(not(any(feature = "postgres", feature = "redis")), expect(dead_code))]
async fn empty(store: &impl Store, ring: &str) -> Result<(), BoxError> {
    // The keys, and under the same name the revocations.
    for ring in [ring, &format!("{ring}.ended")] {
        for entry in store.load(ring).await?.entries {
            store.remove(ring, &entry.name).await?;
        }
    }
    Ok(())
}

#[cfg(not(all(feature = "postgres", feature = "redis")))]
const NOT_BUILT_IN: &str = "this build does not support that store";
