//! A store in Redis or Valkey: a hash per ring, a field per entry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, InfoDict, RedisError, RedisResult,
};
use tokio::sync::watch;

use super::listener::{Listener, Source};
use super::proof::{self, Proof};
use crate::clock::Timestamp;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, Skipped, Store, StoreError,
    StoreFuture, StoreProperties,
};

/// A [`Store`] in Redis 6 or newer, or Valkey (feature `redis`).
///
/// 1. The entries of a ring are the hash `{tower-jwt-session:<ring>}:entries`: the field is an
///    entry's name. They have no time to live.
/// 2. An insert is one atomic script: `HSETNX`, and then either `PUBLISH` or the existing value. It
///    uses one key, so it also runs in a cluster's slot. A user without the right to publish can
///    still insert.
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
///
/// The smallest ACL for a ring named `app` is `~{tower-jwt-session:app}:* &tower-jwt-session:changed
/// +eval +hsetnx +hget +hmget +hgetall +hdel +get +set +pttl +time +info +publish +subscribe +ping`;
/// revocations of that name have the keys `~{tower-jwt-session:app.ended}:*`.
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
    server: Arc<Server>,
    listener: Listener<Channel>,
}

struct Server {
    client: Client,
    /// Host and port, or the path of a socket.
    address: String,
    proof: Proof<MultiplexedConnection>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The reason why a command failed: a [`RedisError`], or that the address leads to no current server.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl RedisStore {
    /// Connects to the server at `url`: `redis://[user][:password@]host[:port][/database]`, or
    /// `redis+unix:///path`. Percent-encode `/ ? # @ %` in a password: `%2F` and so on.
    ///
    /// # Errors
    ///
    /// Fails if `url` is not such a URL, or the server can't be reached or refuses the user. The error
    /// never shows the password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        // Without a scheme, a user and password would be taken for the host, and shown.
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

    /// Connects with the application's client, for example one with certificates.
    ///
    /// # Errors
    ///
    /// Fails if the server can't be reached, refuses the user or is a replica.
    pub async fn with_client(client: Client) -> Result<Self, StoreError> {
        let address = client.get_connection_info().addr().to_string();
        let proof = Proof::new(Some(connect(&client, &address).await?));
        let server = Arc::new(Server { client, address, proof });
        let listener = Listener::new(Channel(Arc::clone(&server)));
        Ok(Self { server, listener })
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
            // A probe wakes nobody.
            let notified = if entry.name.is_probe() { "" } else { ring };
            script.arg(&*entry.value).arg(CHANNEL);
            script.arg(format!("{}/{notified}", self.server.database()));
            let found: Option<Vec<u8>> = self.server.run("insert into", ring, &script).await?;
            Ok(found.map_or(Insertion::Inserted, |value| Insertion::Exists(value.into())))
        })
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let command = redis::cmd("HDEL").arg(key(ring)).arg(name.as_str()).take();
            self.server.run("remove from", ring, &command).await
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
            // The server has its own clock: it gets a duration, not a time.
            let keep_for =
                u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST);
            script.arg(at.as_unix_millis()).arg(keep_for);
            let (sequence, at): (u32, i64) =
                self.server.run("redeem a refresh token of", ring, &script).await?;
            Ok(Redeemed { sequence, at: Timestamp::from_unix_millis(at) })
        })
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(self.listener.changed(ring))
    }

    fn properties(&self) -> StoreProperties {
        proof::properties()
    }
}

impl Server {
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
        let (time, fields) = tokio::join!(self.query(&time), self.query(command));
        // Seconds since 1970, and microseconds.
        let (seconds, micros): (i64, i64) = time.map_err(self.failed("read", ring))?;
        let millis = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        loaded.store_time = Some(Timestamp::from_unix_millis(millis));
        let is_of_another_type =
            |cause: &Cause| cause.downcast_ref().and_then(RedisError::code) == Some("WRONGTYPE");
        match fields {
            Err(cause) if is_of_another_type(&cause) => {
                loaded.skipped.push(Skipped::new(key, "is not a hash: remove it"));
                Ok(None)
            }
            fields => fields.map(Some).map_err(self.failed("read", ring)),
        }
    }

    /// Sends the command of an operation on a ring.
    async fn run<T: FromRedisValue>(
        &self,
        verb: &str,
        ring: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        self.query(command).await.map_err(self.failed(verb, ring))
    }

    /// Sends a command, and once more if its connection was dead or led to a server that accepts no
    /// writes.
    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Cause> {
        let mut is_first = true;
        loop {
            let proven = self.connection().await?;
            let mut connection = MultiplexedConnection::clone(&proven);
            let error = match command.query_async(&mut connection).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_repeated = error.is_connection_dropped() || leads_elsewhere(&error);
            // A connection whose answer did not arrive in time is not used again.
            if is_repeated || error.is_timeout() {
                self.proof.forget(&proven).await;
            }
            if !(is_repeated && std::mem::take(&mut is_first)) {
                return Err(error.into());
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

    fn failed(&self, verb: &str, ring: &str) -> impl FnOnce(Cause) -> StoreError {
        let context = format!("could not {verb} the ring {ring} in Redis at {}", self.address);
        move |cause| StoreError::with_source(context, cause)
    }
}

/// Connects to the address, which must be a server that accepts writes. Returns its incarnation, too,
/// which changes when a replica becomes the master.
async fn connect(
    client: &Client,
    address: &str,
) -> Result<(MultiplexedConnection, Option<String>), StoreError> {
    let context = format!("could not connect to Redis at {address}");
    let asked = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let info = redis::cmd("INFO").arg("replication").query_async(&mut connection).await?;
        Ok::<(_, InfoDict), RedisError>((connection, info))
    };
    let failed = |error| StoreError::with_source(&*context, error);
    let (connection, info) = asked.await.map_err(failed)?;
    let text = |field| info.get::<String>(field);
    match text("role").as_deref() {
        Some("master") => Ok((connection, text("master_replid"))),
        role => {
            let role = role.unwrap_or("unknown");
            let master = text("master_host").unwrap_or_default();
            Err(StoreError::new(format!(
                "{context}: its role is {role} (of {master:?}), expected master; let the address \
                 lead to the server that takes writes"
            )))
        }
    }
}

/// Whether the server is not, or not yet, a master that serves. Redis 6 wraps a script's error.
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

    fn moves(&self) -> watch::Receiver<u64> {
        self.0.proof.moves()
    }

    async fn connect(&self) -> Result<Self::Connection, StoreError> {
        let Server { client, address, .. } = &*self.0;
        let subscribe = async {
            // Never to a server from before a failover.
            self.0.connection().await?;
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(CHANNEL).await?;
            Ok::<_, Cause>((sink, stream, format!("{}/", self.0.database())))
        };
        let failed = |cause| {
            StoreError::with_source(format!("could not listen to Redis at {address}"), cause)
        };
        subscribe.await.map_err(failed)
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
        let failed = |error| StoreError::with_source("could not keep listening to Redis", error);
        pong.map(drop).map_err(failed)
    }
}

fn key(ring: &str) -> String {
    format!("{{tower-jwt-session:{ring}}}:entries")
}

fn family_key(ring: &str, family: &EntryName) -> String {
    format!("{{tower-jwt-session:{ring}}}:family:{family}")
}

const CHANNEL: &str = "tower-jwt-session:changed";

/// Shorter than what a ring waits by default, so that a silent connection is noticed.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Returns nothing if it has inserted, otherwise the existing value.
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
