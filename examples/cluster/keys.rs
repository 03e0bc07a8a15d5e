//! What the replicas share, and how one of them opens the ring of keys with that. Another store is
//! another line here, and nothing else.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
#[cfg(feature = "redis")]
use tower_jwt_session::store::RedisStore;
use tower_jwt_session::{
    KeyRing, Root, RotationPolicy, SealingKey, Timestamp,
    store::{FileStore, Store},
};
#[cfg(feature = "postgres")]
use {sqlx::postgres::PgPoolOptions, std::time::Duration, tower_jwt_session::store::PostgresStore};

use crate::BoxError;

/// What every replica is told of the keys. It is secret, and so it is neither an argument nor shown.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeyOptions {
    /// The name of the ring, which no other run has.
    pub(crate) ring: String,
    /// Where its keys come from.
    pub(crate) source: KeySource,
}

/// Where keys come from.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) enum KeySource {
    /// From nowhere: each replica derives them from the newest of these that has begun to sign.
    Derived(Vec<RootOptions>),
    /// From a place where the replicas meet.
    Stored {
        /// The place.
        place: Place,
        /// Seals the private keys there: who can read the place alone cannot sign.
        sealing_key: Secret,
    },
}

/// Where replicas meet.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) enum Place {
    /// In the subdirectory `keys` of this directory, which goes with it.
    Directory(PathBuf),
    /// In the Redis of this URL.
    Redis(String),
    /// In the PostgreSQL of this URL.
    Postgres(String),
}

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
    /// Opens the ring.
    ///
    /// # Errors
    /// If the place cannot be used, or the periods contradict each other.
    pub(crate) async fn open(&self, rotation: RotationPolicy) -> Result<KeyRing, BoxError> {
        let (place, sealing_key) = match &self.source {
            KeySource::Derived(roots) => return derive(&self.ring, roots, rotation),
            KeySource::Stored { place, sealing_key } => (place, sealing_key),
        };
        let ring = KeyRing::builder(&self.ring)
            .rotation(rotation)
            .seal_with([SealingKey::new(sealing_key)?]);
        let ring = match place {
            Place::Directory(path) => ring.store(FileStore::open(path.join("keys"))?),
            #[cfg(feature = "redis")]
            Place::Redis(url) => ring.store(RedisStore::connect(url).await?),
            #[cfg(feature = "postgres")]
            Place::Postgres(url) => ring.store(postgres(url).await?),
            #[cfg(not(all(feature = "postgres", feature = "redis")))]
            _ => return Err(NOT_BUILT_IN.into()),
        };
        Ok(ring.open().await?)
    }

    /// Removes what the ring has left in its place, when nobody uses it any more.
    ///
    /// # Errors
    /// If the place cannot be used.
    pub(crate) async fn clear(&self) -> Result<(), BoxError> {
        let KeySource::Stored { place, .. } = &self.source else { return Ok(()) };
        match place {
            Place::Directory(path) => Ok(std::fs::remove_dir_all(path)?),
            #[cfg(feature = "redis")]
            Place::Redis(url) => empty(&RedisStore::connect(url).await?, &self.ring).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(url) => empty(&postgres(url).await?, &self.ring).await,
            #[cfg(not(all(feature = "postgres", feature = "redis")))]
            _ => Err(NOT_BUILT_IN.into()),
        }
    }
}

fn derive(
    ring: &str,
    roots: &[RootOptions],
    rotation: RotationPolicy,
) -> Result<KeyRing, BoxError> {
    let mut roots = roots.iter().map(|root| match root.follows {
        None => Root::new(root.secret),
        Some((generation, signs_from)) => Root::successor(generation, root.secret, signs_from),
    });
    let first = roots.next().ok_or("there is no root secret")??;
    let mut builder = KeyRing::derived(ring, first).rotation(rotation);
    for root in roots {
        builder = builder.root(root?);
    }
    Ok(builder.build()?)
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
    for entry in store.load(ring).await?.entries {
        store.remove(ring, &entry.name).await?;
    }
    Ok(())
}

#[cfg(not(all(feature = "postgres", feature = "redis")))]
const NOT_BUILT_IN: &str = "this build does not know that store";
