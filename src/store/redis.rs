//! A store in Redis or Valkey: a hash per ring, a field per entry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, InfoDict, RedisError, RedisResult,
};
use zeroize::Zeroizing;

use super::listener::{Listener, Source};
use super::proof::{Moves, PROVEN_FOR, Proof};
use crate::clock::Timestamp;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, Skipped, Store, StoreError,
    StoreFuture,
};

/// A [`Store`] in Redis 6 or newer, or Valkey (feature `redis`).
///
/// 1. The entries of a ring are the hash `{tower-jwt-session:<ring>}:entries`: the field is an
///    entry's name. They have no time to live.
/// 2. An insert is one script, which the server runs as a whole: `HSETNX`, and then either
///    `PUBLISH` or the value that was there first. It uses one key, so that it runs in a cluster's
///    slot too. A user who may not publish can insert all the same.
/// 3. Which refresh token of a session was redeemed last is the string
///    `{tower-jwt-session:<ring>}:family:<session>`, which expires by itself. It is compared and set
///    by one script, too.
/// 4. Replicas hear of changes on the channel `tower-jwt-session:changed`, whose messages are
///    `<database>/<ring>`, over a second connection that they make when they first wait for a change.
/// 5. A connection is relied on for a second. The first read or write after that makes a new one by
///    the address in the URL, and asks it with `INFO replication` for its role and identity: after a
///    failover the old server may say for ever that it is a master, and take writes that are lost.
///    A server that is a replica is an error. What an idle replica costs is one connection per poll,
///    a busy one's at most one per second; the read that makes it waits for three round trips more
///    (TCP, login, `INFO`), and for those of TLS. [`staleness`](Store::staleness) is that second.
/// 6. A command whose connection was found dead, or led to a server that takes no writes, is sent
///    once more over a new one, which is safe: what was done twice finds its own value.
///
/// The smallest ACL for a ring named `app` is `~{tower-jwt-session:app}:* &tower-jwt-session:changed
/// +eval +hsetnx +hget +hmget +hgetall +hdel +get +set +pttl +time +info +publish +subscribe +ping`;
/// revocations of that name have the keys `~{tower-jwt-session:app.ended}:*`.
///
/// # Operation
///
/// * Everyone who can read the database can read the entries, and so
///   [`sealing_need`](Store::sealing_need) is [`Required`](super::SealingNeed::Required).
/// * The server is to keep what it was given: set `maxmemory-policy` to `noeviction`. Should it lose
///   entries all the same, by eviction, a restart without persistence or a failover to a server
///   that was behind, live replicas put them back. Nobody puts back which refresh tokens were
///   redeemed: of those sessions one that is used again goes unnoticed, once.
/// * Connect to the server that takes writes. After a failover the name in the URL has to lead to
///   the new one, and replicas follow it within a second of the next read or write. Redis Cluster is
///   reached through a proxy or an endpoint that follows the slots; Sentinel isn't asked.
/// * TLS is switched on by the application, beside this crate in its own `Cargo.toml`, for example
///   with `redis = { version = "1", features = ["tokio-rustls-comp"] }`; then `rediss://` works.
///
/// ```no_run
/// use tower_jwt_session::store::{Entry, EntryName, Insertion, RedisStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let replica = RedisStore::connect("redis://:password@redis.example:6379/0").await?;
/// let other_replica = replica.clone();
///
/// let name = EntryName::parse("generation-0").ok_or("not a name")?;
/// let entry = |value: &str| Entry {
///     name: name.clone(),
///     value: value.as_bytes().to_vec().into(),
/// };
/// let first = replica.insert("main", &entry("first")).await?;
/// assert_eq!(first, Insertion::Inserted);
///
/// let second = other_replica.insert("main", &entry("second")).await?;
/// assert_eq!(second, Insertion::Exists(entry("first").value));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    server: Arc<Server>,
    listener: Listener<Channel>,
}

struct Server {
    client: Client,
    /// Host and port, or the path of a socket.
    address: String,
    proof: Proof<MultiplexedConnection>,
}

/// Why a command was not done.
enum Failure {
    /// The address leads to no server that can be relied on.
    Unproven(Arc<StoreError>),
    Command(RedisError),
}

impl RedisStore {
    /// Connects to the server at `url`: `redis://[user][:password@]host[:port][/database]`, or
    /// `redis+unix:///path`. What has a meaning in a URL (`/ ? # @ %`) is written `%2F` and so on
    /// in a password.
    ///
    /// # Errors
    ///
    /// If `url` isn't one, or the server can't be reached or refuses the user. The error never
    /// shows the password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        // What stands before it would be taken for the host, and shown.
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let after_host = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
        if !scheme.contains("unix") && after_host.contains('@') {
            return Err(StoreError::new(
                "could not read the URL of Redis: it has an @ after the host; write / as %2F, ? as \
                 %3F and # as %23 in its password",
            ));
        }
        let client = Client::open(url)
            .map_err(|source| StoreError::with_source("could not read the URL of Redis", source))?;
        Self::with_client(client).await
    }

    /// Connects with a client of the application's own, for example one with certificates.
    ///
    /// # Errors
    ///
    /// If the server can't be reached, refuses the user or is a replica.
    pub async fn with_client(client: Client) -> Result<Self, StoreError> {
        let address = client.get_connection_info().addr().to_string();
        let proof = Proof::of(connect(&client, &address).await?);
        let server = Arc::new(Server { client, address, proof });
        let listener = Listener::new(Channel(Arc::clone(&server)));
        Ok(Self { server, listener })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("address", &self.server.address).finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let (key, mut loaded) = (key(ring), Loaded::default());
            let command = redis::cmd("HGETALL").arg(&key).take();
            let fields: Option<Vec<(Vec<u8>, Vec<u8>)>> =
                self.server.fields(ring, &key, &command, &mut loaded).await?;
            for (name, value) in fields.into_iter().flatten() {
                loaded.take(&key, &String::from_utf8_lossy(&name), value.len(), value);
            }
            Ok(loaded)
        })
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let (key, mut loaded) = (key(ring), Loaded::default());
            if names.is_empty() {
                return Ok(loaded);
            }
            let mut command = redis::cmd("HMGET").arg(&key).take();
            for name in names {
                command.arg(name.as_str());
            }
            let values: Option<Vec<Option<Vec<u8>>>> =
                self.server.fields(ring, &key, &command, &mut loaded).await?;
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
            script.arg(INSERT).arg(1).arg(key(ring)).arg(entry.name.as_str());
            // Of an entry that only tries whether the store takes writes nobody needs to hear.
            let told = if entry.name.is_probe() { "" } else { ring };
            script.arg(entry.value.as_slice()).arg(CHANNEL);
            script.arg(format!("{}/{told}", self.server.database()));
            let found: Option<Vec<u8>> = self
                .server
                .query(&script)
                .await
                .map_err(|error| self.server.failed("insert into", ring, error))?;
            Ok(match found {
                Some(value) => Insertion::Exists(Zeroizing::new(value)),
                None => Insertion::Inserted,
            })
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.server
                .query(redis::cmd("HDEL").arg(key(ring)).arg(name.as_str()))
                .await
                .map_err(|error| self.server.failed("remove from", ring, error))
        })
    }

    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move {
            let Redemption { family, sequence, at, keep_for } = redemption;
            let mut script = redis::cmd("EVAL");
            script.arg(REDEEM).arg(1).arg(family_key(ring, family)).arg(sequence);
            // The server's clock is none of ours: it is told how long, not until when.
            let keep_for =
                u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST);
            script.arg(at.as_unix_millis()).arg(keep_for);
            let (sequence, at): (u32, i64) =
                self.server.query(&script).await.map_err(|error| {
                    self.server.failed("redeem a refresh token of", ring, error)
                })?;
            Ok(Redeemed { sequence, at: Timestamp::from_unix_millis(at) })
        })
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.listener.changed(ring).await;
            Ok(())
        })
    }

    fn notifies(&self) -> bool {
        true
    }

    /// What another server has taken since the connection was proven is missed for as long.
    fn staleness(&self) -> Duration {
        PROVEN_FOR
    }
}

impl Server {
    /// Reads fields of a ring's hash; none where something else stands in its place.
    async fn fields<T: FromRedisValue>(
        &self,
        ring: &str,
        key: &str,
        command: &Cmd,
        loaded: &mut Loaded,
    ) -> Result<Option<T>, StoreError> {
        // Both are sent before the first is answered: one round trip.
        let time = redis::cmd("TIME");
        let (time, fields) = tokio::join!(self.query(&time), self.query(command));
        let time = time.map_err(|error| self.failed("read", ring, error))?;
        loaded.store_time = Some(store_time(time));
        match fields {
            Err(Failure::Command(error)) if error.code() == Some("WRONGTYPE") => {
                let reason = "is not a hash: remove it".to_owned();
                loaded.skipped.push(Skipped { name: key.to_owned(), reason });
                Ok(None)
            }
            fields => fields.map(Some).map_err(|error| self.failed("read", ring, error)),
        }
    }

    /// Sends a command, and once more if its connection was found dead or led to a server that
    /// takes no writes.
    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut is_first = true;
        loop {
            let proven = self.connection().await.map_err(Failure::Unproven)?;
            let mut connection = MultiplexedConnection::clone(&proven);
            let error = match command.query_async(&mut connection).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_repeated = error.is_connection_dropped() || leads_elsewhere(&error);
            // Nothing comes any more over a connection whose answer did not come in time.
            if is_repeated || error.is_timeout() {
                self.proof.forget(&proven).await;
            }
            if !(is_repeated && std::mem::take(&mut is_first)) {
                return Err(Failure::Command(error));
            }
        }
    }

    fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// A connection that leads to the current server.
    async fn connection(&self) -> Result<Arc<MultiplexedConnection>, Arc<StoreError>> {
        self.proof.current(&self.address, || connect(&self.client, &self.address)).await
    }

    fn failed(&self, verb: &str, ring: &str, failure: Failure) -> StoreError {
        let context = format!("could not {verb} the ring {ring} in Redis at {}", self.address);
        match failure {
            Failure::Unproven(error) => StoreError::with_source(context, error),
            Failure::Command(error) => StoreError::with_source(context, error),
        }
    }
}

/// Connects by the address, to a server that takes writes; with its incarnation, which changes
/// when a replica becomes the master.
async fn connect(
    client: &Client,
    address: &str,
) -> Result<(MultiplexedConnection, Option<String>), StoreError> {
    let asked = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let info = redis::cmd("INFO").arg("replication").query_async(&mut connection).await?;
        Ok((connection, info))
    };
    let (connection, info): (_, InfoDict) =
        asked.await.map_err(failed(format_args!("connect to Redis at {address}")))?;
    let text = |field| info.get::<String>(field);
    match text("role").as_deref() {
        Some("master") => Ok((connection, text("master_replid"))),
        role => {
            let role = role.unwrap_or("unknown");
            let master = text("master_host").unwrap_or_default();
            Err(StoreError::new(format!(
                "could not connect to Redis at {address}: its role is {role} (of \
                 {master:?}), expected master; let the address lead to the server that takes \
                 writes"
            )))
        }
    }
}

/// Whether the server is not, or not yet, one to be asked. A script's error is wrapped in Redis 6.
fn leads_elsewhere(error: &RedisError) -> bool {
    let is_wrapped = || error.to_string().contains("-READONLY");
    matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "LOADING")) || is_wrapped()
}

/// The channel of all rings, over a connection of its own.
#[derive(Clone)]
struct Channel(Arc<Server>);

impl Source for Channel {
    /// With what begins the messages from the store's own database.
    type Connection = (PubSubSink, PubSubStream, String);

    fn moves(&self) -> Moves {
        self.0.proof.moves()
    }

    async fn connect(&self) -> Result<Self::Connection, StoreError> {
        let Server { client, address, .. } = &*self.0;
        // Never to a server from before a failover.
        let context = format!("could not listen to Redis at {address}");
        let proven = self.0.connection().await;
        proven.map_err(|error| StoreError::with_source(context, error))?;
        let subscribe = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(CHANNEL).await?;
            Ok((sink, stream, format!("{}/", self.0.database())))
        };
        subscribe.await.map_err(failed(format_args!("listen to Redis at {address}")))
    }

    async fn next((_, stream, own): &mut Self::Connection) -> Result<String, StoreError> {
        while let Some(message) = stream.next().await {
            // A channel is one for all databases of a server.
            let message = String::from_utf8_lossy(message.get_payload_bytes());
            if let Some(ring) = message.strip_prefix(&**own) {
                return Ok(ring.to_owned());
            }
        }
        Err(StoreError::new("the connection that listens to Redis was lost"))
    }

    async fn ping((sink, ..): &mut Self::Connection) -> Result<(), StoreError> {
        let pong: RedisResult<redis::Value> = sink.ping().await;
        pong.map(drop).map_err(failed(format_args!("listen to Redis any longer")))
    }
}

/// What `TIME` returns: seconds since 1970, and microseconds.
fn store_time((seconds, micros): (i64, i64)) -> Timestamp {
    Timestamp::from_unix_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000))
}

fn key(ring: &str) -> String {
    format!("{{tower-jwt-session:{ring}}}:entries")
}

fn family_key(ring: &str, family: &EntryName) -> String {
    format!("{{tower-jwt-session:{ring}}}:family:{family}")
}

fn failed(attempt: fmt::Arguments<'_>) -> impl FnOnce(RedisError) -> StoreError {
    let context = format!("could not {attempt}");
    move |source| StoreError::with_source(context, source)
}

const CHANNEL: &str = "tower-jwt-session:changed";

/// Shorter than what a ring waits by default, so that a silent connection is noticed.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Returns nothing if it has inserted, else the value that is there.
const INSERT: &str = "\
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then
    redis.pcall('PUBLISH', ARGV[3], ARGV[4])
    return false
end
return redis.call('HGET', KEYS[1], ARGV[1])";

/// Returns the sequence that was redeemed last, and when. Both are numbers that Lua's hold exactly.
/// The longest time to live wins, and one without end stays so.
const REDEEM: &str = "\
local last = redis.call('GET', KEYS[1])
local sequence, at = string.match(last or '', '^(%d+) (-?%d+)')
if last and not sequence then
    return redis.error_reply('ERR what is there is no redemption: remove it')
end
local is_newer = not last or tonumber(sequence) < tonumber(ARGV[1])
if is_newer then
    sequence, at = ARGV[1], ARGV[2]
end
local life, keep = redis.call('PTTL', KEYS[1]), tonumber(ARGV[3])
local value = sequence .. ' ' .. at
if life == -1 then
    if is_newer then redis.call('SET', KEYS[1], value) end
elseif life < keep then
    redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
elseif is_newer then
    redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', life))
end
return {tonumber(sequence), tonumber(at)}";

/// A thousand years, in milliseconds: far from where a time to live overflows.
const LONGEST: u64 = 1000 * 365 * 24 * 60 * 60 * 1000;
