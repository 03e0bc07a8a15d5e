//! An open store of any kind.

use std::path::Path;

use tower_jwt_session::Timestamp;
#[cfg(feature = "postgres")]
use tower_jwt_session::store::PostgresStore;
#[cfg(feature = "redis")]
use tower_jwt_session::store::RedisStore;
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedRead, FileStore, Insertion, Loaded, Register,
    RegisterId, RevocationStore, RevokedSession, Store, StoreFuture, StoreProperties,
};

use crate::failure::Failure;
use crate::store::address::Address;
use crate::terminal::Terminal;

/// An open store. Clones share its connections; each user of its hints takes its own.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    File(FileStore),
    #[cfg(feature = "redis")]
    Redis(RedisStore),
    #[cfg(feature = "postgres")]
    Postgres(PostgresStore),
}

/// What a command does to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// Makes the directory, or the tables, if they are missing.
    Create,
}

impl Opened {
    /// Opens a store. Only with [`Access::Create`] is a directory or table made.
    ///
    /// # Errors
    ///
    /// If it is not there, cannot be reached, or this build has not its feature.
    pub(crate) async fn open(
        address: &Address,
        access: Access,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let opening = Self::open_now(address, access);
        terminal.progress(&format!("connecting to {address}"), opening).await
    }

    async fn open_now(address: &Address, access: Access) -> Result<Self, Failure> {
        match address {
            Address::Directory(path) => directory(path, access).map(Self::File),
            #[cfg(feature = "redis")]
            Address::Redis(url) => Ok(Self::Redis(RedisStore::connect(url).await?)),
            #[cfg(feature = "redis")]
            Address::Sentinel(urls, service) => {
                Ok(Self::Redis(RedisStore::sentinel(urls, service).await?))
            }
            #[cfg(feature = "redis")]
            Address::Cluster(urls) => Ok(Self::Redis(RedisStore::cluster(urls).await?)),
            #[cfg(not(feature = "redis"))]
            Address::Redis(_) | Address::Sentinel(..) | Address::Cluster(_) => {
                Err(not_built_in(address, "redis"))
            }
            #[cfg(feature = "postgres")]
            Address::Postgres(url) => postgres(url, access).await.map(Self::Postgres),
            #[cfg(not(feature = "postgres"))]
            Address::Postgres(_) => Err(not_built_in(address, "postgres")),
        }
    }

    fn inner(&self) -> &dyn RevocationStore {
        match self {
            Self::File(store) => store,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store,
        }
    }
}

#[cfg(not(all(feature = "postgres", feature = "redis")))]
fn not_built_in(address: &Address, feature: &str) -> Failure {
    Failure::usage(format!(
        "--store {address}: this build has no such store; install it with `cargo install \
         tower-jwt-session --features cli,{feature}`"
    ))
}

fn directory(path: &Path, access: Access) -> Result<FileStore, Failure> {
    let found = std::fs::symlink_metadata(path);
    let shown = path.display();
    match &found {
        Err(error) if access != Access::Create => {
            return Err(Failure::failed(format!(
                "the store file:{shown}: {error}: expected the directory that the service's `FileStore` uses; \
                 nothing was made; if the path is right and the directory was deleted, `mkdir -m 700 {shown}` as the \
                 service's user, and live replicas restore what they hold"
            )));
        }
        Ok(found) if !found.is_dir() => {
            return Err(Failure::failed(format!(
                "the store file:{shown}: found no directory there: expected the one that the \
                 service's `FileStore` uses"
            )));
        }
        _ => {}
    }
    let mut builder = FileStore::builder(path);
    #[cfg(unix)]
    if let Ok(found) = &found {
        use std::os::unix::fs::MetadataExt;
        if found.mode() & 0o070 == 0o070 {
            builder = builder.allow_group();
        } else if access != Access::Read {
            owned_by_this_user(path, found.uid())?;
        }
    }
    builder.open().map_err(|error| {
        let failure = Failure::from(error);
        #[cfg(unix)]
        if let (Ok(found), Some(user)) = (&found, this_user()) {
            use std::os::unix::fs::MetadataExt;
            if found.uid() != user {
                let owner = found.uid();
                return Failure::failed(format!(
                    "{failure}; the directory belongs to user {owner}, and this is user {user}: run it as that \
                     user, `sudo -u '#{owner}' sessionctl …`"
                ));
            }
        }
        failure
    })
}

/// `None` where there is no such file: the service's own check of modes has to do.
#[cfg(unix)]
fn this_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|own| own.uid())
}

/// Refuses to write files that the service could not read.
#[cfg(unix)]
fn owned_by_this_user(path: &Path, owner: u32) -> Result<(), Failure> {
    let Some(own) = this_user().filter(|own| *own != owner) else { return Ok(()) };
    Err(Failure::failed(format!(
        "the store file:{path}: the directory belongs to user {owner}, and this is user {own}, whose \
         files the service could not read; nothing was written: run it as that user, `sudo -u \
         '#{owner}' sessionctl …`",
        path = path.display(),
    )))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, access: Access) -> Result<PostgresStore, Failure> {
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
    use std::time::Duration;

    // Its error may repeat a part of the URL.
    let options: PgConnectOptions = url.parse().map_err(|_| {
        Failure::usage(
            "--store: could not read the URL of PostgreSQL: expected \
             postgres://USER@HOST:PORT/DATABASE; percent-encode `/ ? # @ %` in a password",
        )
    })?;
    // One connection first: a pool hides why it has none.
    let failed =
        |error: sqlx::Error| Failure::failed(format!("could not connect to PostgreSQL: {error}"));
    let probe = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options);
    let probe = tokio::time::timeout(Duration::from_secs(10), probe).await;
    let probe = probe
        .map_err(|_| Failure::failed("could not connect to PostgreSQL within 10 seconds"))?
        .map_err(failed)?;
    drop(probe);
    let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(10));
    let store = PostgresStore::new(pool.connect_with(options).await.map_err(failed)?);
    if access == Access::Create {
        store.migrate().await?;
    }
    Ok(store)
}

impl Store for Opened {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.inner().load(ring)
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        self.inner().read(ring, names)
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        self.inner().insert(ring, entry)
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        self.inner().remove(ring, name)
    }

    fn time<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Option<Timestamp>> {
        self.inner().time(ring)
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        self.inner().changed(ring)
    }

    fn properties(&self) -> StoreProperties {
        self.inner().properties()
    }
}

impl RevocationStore for Opened {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        self.inner().append(feed, sessions, now)
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        self.inner().advance(feed, advance)
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        self.inner().restore(feed, held, now)
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        self.inner().registers(feed, ids)
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        self.inner().read_feed(feed, cursor)
    }
}
