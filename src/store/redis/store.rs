//! A store in Redis or Valkey: a hash per ring, a field per entry.

use std::sync::Arc;

use redis::{Client, Cmd, FromRedisValue, RedisError};

use crate::clock::Timestamp;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, Skipped, Store, StoreError, StoreFuture, StoreProperties,
};
use crate::store::listener::Listener;
use crate::store::proof;
use crate::store::redemption::{Redeemed, Redemption, RefreshTokenStore};
use crate::store::redis::address::read_url;
use crate::store::redis::channel::{CHANNEL, Channel, message};
use crate::store::redis::cluster::Cluster;
use crate::store::redis::connection::Servers;
use crate::store::redis::feed_write::Shards;
use crate::store::redis::redeem::redeem;
use crate::store::redis::sentinel::Sentinels;
use crate::store::redis::server::{Cause, entries_key};

/// A [`Store`] and [`RefreshTokenStore`] in Redis 6 or newer, or Valkey (feature `redis`).
///
/// 1. The entries of a ring are the hash `{tower-jwt-session:<ring>}:entries`: the field is an
///    entry's name. They have no time to live.
/// 2. An insert is one atomic script: `HSETNX`, and then either `PUBLISH` or the existing value. All
///    keys of a ring have one hash tag, and so one slot of a cluster. A user without the right to
///    publish can still insert.
/// 3. The latest redeemed refresh token of a session is the string
///    `{tower-jwt-session:<ring>}:family:<session>`, which expires by itself. One atomic script
///    compares and sets it.
/// 4. Replicas receive changes on the channel `tower-jwt-session:changed`, with messages
///    `<database>/<ring>`, over a second connection, made when they first wait for a change.
/// 5. A connection is trusted for one second. The first read or write after that connects anew to the
///    address in the URL, and asks for role and identity with `INFO replication`: after a failover the
///    old server may claim for ever to be the master, and accept writes that are lost. A server that
///    is a replica is an error. This costs an idle replica one connection per poll, a busy one at most
///    one per second; the read that connects takes three more round trips (TCP, login, `INFO`), and
///    those of TLS. The store's [`staleness`](StoreProperties::staleness) is that second.
/// 6. A command whose connection was dead, or led to a server that accepts no writes, is sent once more
///    over a new connection. That is safe: a repeated insert finds its own value.
/// 7. A `maxmemory-policy` other than `noeviction` is refused when the store is opened.
/// 8. A [feed](crate::store::RevocationStore) of revocations, which needs Redis 6.2, has the keys
///    `{tower-jwt-session:<feed>:<shard>}:…`, of one shard, in a cluster of 16: the hash `state`; the
///    streams `log:<number>`, a new one every hour, with up to 500 records in an entry; the strings
///    `register:…`. Logs and registers expire when all their records may be dropped. Advances are one
///    script, by the server's clock. Times are exact up to the year 287396.
/// 9. A feed is a [gap](crate::store::FeedRead::Gap) after a restart of the server, a failover, a purge
///    or the restoration of an older copy, and when one of its keys was removed: the log to which was
///    written last at once, `state` at once, an older log within 10 seconds. Changes of a feed are
///    published at most twice a second.
///
/// [`sentinel`](Self::sentinel) and [`cluster`](Self::cluster) say how they find the server in point 5.
///
/// The smallest ACL for a ring named `app` is `~{tower-jwt-session:app}:* &tower-jwt-session:changed
/// +eval +hsetnx +hget +hmget +hgetall +hdel +get +set +pttl +time +info +publish +subscribe +ping`;
/// revocations of that name have the keys `~{tower-jwt-session:app.ended}:*`. That of a feed named `app`
/// is `~{tower-jwt-session:app:*}:* &tower-jwt-session:changed +eval +hget +hmget +hset +hdel +hexists
/// +exists +get +mget +set +pexpireat +xadd +xrange +time +info +publish +subscribe +ping`.
///
/// An attacker with read access to the database can read the entries, so keys
/// [have to be sealed](crate::store::SealingNeed::Required). How to operate the server is in the
/// [guide](crate::guide::stores#redis).
///
/// ```no_run
/// use tower_jwt_session::store::RedisStore;
/// use tower_jwt_session::{KeyRing, SealingKey};
///
/// # async fn open(sealing: SealingKey) -> Result<KeyRing, Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://:password@redis.example:6379/0").await?;
/// let keys = KeyRing::builder("app").store(store).seal_with([sealing]).open().await?;
/// # Ok(keys)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisStore {
    servers: Arc<Servers>,
    channel: Channel,
    listener: Listener<Channel>,
    pub(crate) shards: Arc<Shards>,
}

impl RedisStore {
    /// Connects to the server at `url`: `redis://[user][:password@]host[:port][/database]`, or
    /// `redis+unix:///path`. Percent-encode `/ ? # @ %` in a password: `%2F` and so on.
    ///
    /// # Errors
    ///
    /// Fails if `url` is not such a URL, or the server can't be reached, refuses the user, is a replica or
    /// may evict entries: its `maxmemory-policy` has to be `noeviction`. The error never shows the password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let info = read_url(url)?;
        let failed = |source| StoreError::with_source("could not read the URL of Redis", source);
        Self::with_client(Client::open(info).map_err(failed)?).await
    }

    /// Connects with the application's client, for example one with certificates.
    ///
    /// # Errors
    ///
    /// Fails if the server can't be reached, refuses the user, is a replica or may evict entries.
    pub async fn with_client(client: Client) -> Result<Self, StoreError> {
        Servers::at(client).await.map(Self::over)
    }

    /// Connects to the master that Redis Sentinel names, and follows it through failovers.
    ///
    /// `sentinels` are the URLs of **all** Sentinels: `redis://[user][:password@]host[:26379]`, each with
    /// its own login. `service` is the name of the service, such as `mymaster`, or a URL with the name as
    /// its host and the login at the servers: `redis://[user][:password@]mymaster[/database]`, `rediss://`
    /// for TLS. A Sentinel's user needs `+sentinel|get-master-addr-by-name`.
    ///
    /// Each time a connection is proven (point 5 of the list above), all Sentinels are asked, over new
    /// connections, and more than half of those listed have to name one address. So an old master that is
    /// isolated from them is left, although it still accepts writes. It is not proven that the master has
    /// what its predecessor had acknowledged: replication is asynchronous, see the
    /// [guide](crate::guide::stores#redis-sentinel).
    ///
    /// ```no_run
    /// # async fn open() -> Result<(), tower_jwt_session::store::StoreError> {
    /// use tower_jwt_session::store::RedisStore;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let store = RedisStore::sentinel(sentinels, "redis://:password@mymaster/0").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if a URL can't be read, no majority of the Sentinels names one master, or the master can't be
    /// reached, refuses the user, is a replica or may evict entries.
    pub async fn sentinel<U: AsRef<str>>(
        sentinels: impl IntoIterator<Item = U>,
        service: &str,
    ) -> Result<Self, StoreError> {
        Servers::of_sentinels(Sentinels::read(sentinels, service)?).await.map(Self::over)
    }

    /// Connects to a Redis Cluster.
    ///
    /// `urls` lead to some of its nodes, `redis://[user][:password@]host[:port]`, `rediss://` for TLS; the
    /// others are learned from them. The login of the first URL is used at each node.
    ///
    /// All keys of a ring are in one slot, and so at one node. Each time a connection is proven (point 5 of
    /// the list above), all masters are asked who owns the ring's slot, over a connection to each that all
    /// rings and feeds share for a second. More than half of them have to name one node, and that node has
    /// to agree. So an old master is left as soon as most others know its successor. The masters are those
    /// of which the node that was proven last knew.
    /// It is not proven that the owner has what its predecessor had acknowledged, see the
    /// [guide](crate::guide::stores#redis-cluster).
    ///
    /// The smallest ACL is that above and `+cluster|slots`, for a feed also `+pttl`; while a slot moves,
    /// `+asking`. A feed is split into 16 shards, each in a slot of its own.
    ///
    /// ```no_run
    /// # async fn open() -> Result<(), tower_jwt_session::store::StoreError> {
    /// use tower_jwt_session::store::RedisStore;
    ///
    /// let nodes = ["redis://:password@10.0.0.1:6379", "redis://:password@10.0.0.2:6379"];
    /// let store = RedisStore::cluster(nodes).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if a URL can't be read or names a database other than 0, no node answers or it has no cluster,
    /// or a master may evict entries.
    pub async fn cluster<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Self, StoreError> {
        Servers::of_cluster(Cluster::read(urls)?).await.map(Self::over)
    }

    fn over(servers: Servers) -> Self {
        let servers = Arc::new(servers);
        let channel = Channel::new(Arc::clone(&servers));
        let listener = Listener::new(channel.clone());
        let shards = Arc::new(Shards::new(Arc::clone(&servers)));
        Self { servers, channel, listener, shards }
    }
}

impl Store for RedisStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let (key, mut loaded) = (entries_key(ring), Loaded::default());
            let command = redis::cmd("HGETALL").arg(&key).take();
            let fields: Option<Vec<(Vec<u8>, Vec<u8>)>> =
                self.fields(ring, &key, &command, &mut loaded).await?;
            for (name, value) in fields.into_iter().flatten() {
                loaded.take(&key, &String::from_utf8_lossy(&name), value.len(), value);
            }
            Ok(loaded)
        })
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let (key, mut loaded) = (entries_key(ring), Loaded::default());
            if names.is_empty() {
                return Ok(loaded);
            }
            let mut command = redis::cmd("HMGET").arg(&key).take();
            for name in names {
                command.arg(name.as_str());
            }
            let values: Option<Vec<Option<Vec<u8>>>> =
                self.fields(ring, &key, &command, &mut loaded).await?;
            for (name, value) in names.iter().zip(values.into_iter().flatten()) {
                if let Some(value) = value {
                    loaded.take(&key, name.as_str(), value.len(), value);
                }
            }
            Ok(loaded)
        })
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            entry.check_length()?;
            let mut script = redis::cmd("EVAL");
            script.arg(INSERT).arg(1).arg(entries_key(ring)).arg(entry.name.as_str());
            // A probe wakes nobody.
            let notified = if entry.name.is_probe() { "" } else { ring };
            script.arg(&*entry.value).arg(CHANNEL);
            script.arg(message(self.servers.database(), notified));
            let found: Option<Vec<u8>> = self.servers.run("insert into", ring, &script).await?;
            Ok(found.map_or(Insertion::Inserted, |value| Insertion::Exists(value.into())))
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let command = redis::cmd("HDEL").arg(entries_key(ring)).arg(name.as_str()).take();
            self.servers.run("remove from", ring, &command).await
        })
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        self.channel.follow(ring);
        Box::pin(self.listener.changed(ring))
    }

    fn properties(&self) -> StoreProperties {
        proof::properties()
    }
}

impl RefreshTokenStore for RedisStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(redeem(&self.servers, ring, redemption))
    }
}

impl RedisStore {
    /// Reads fields of a ring's hash; none if the key holds another type.
    async fn fields<T: FromRedisValue>(
        &self,
        ring: &str,
        key: &str,
        command: &Cmd,
        loaded: &mut Loaded,
    ) -> Result<Option<T>, StoreError> {
        // Both are sent before the first is answered: one round trip.
        let time = redis::cmd("TIME");
        let (time, fields) =
            tokio::join!(self.servers.query(ring, &time), self.servers.query(ring, command));
        // Seconds since 1970, and microseconds.
        let (seconds, micros): (i64, i64) = time.map_err(self.servers.failed("read", ring))?;
        let millis = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        loaded.store_time = Some(Timestamp::from_unix_millis(millis));
        let is_of_another_type =
            |cause: &Cause| cause.downcast_ref().and_then(RedisError::code) == Some("WRONGTYPE");
        match fields {
            Err(cause) if is_of_another_type(&cause) => {
                loaded.skipped.push(Skipped::new(key, "is not a hash: remove it"));
                Ok(None)
            }
            fields => fields.map(Some).map_err(self.servers.failed("read", ring)),
        }
    }
}

/// Returns nothing if it has inserted, otherwise the existing value.
const INSERT: &str = "\
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then
    redis.pcall('PUBLISH', ARGV[3], ARGV[4])
    return false
end
return redis.call('HGET', KEYS[1], ARGV[1])";
