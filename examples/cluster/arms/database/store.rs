//! The store of `tower-sessions` in Redis, over the client that this package has for its own store.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, aio::MultiplexedConnection,
};
use time::OffsetDateTime;
use tokio::{sync::Mutex, time::timeout};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result as Stored},
};

use crate::BoxError;

/// The name of the application's data within a session of `tower-sessions`.
pub(crate) const DATA: &str = "session";

/// The store: one key per session, which Redis drops when the session expires.
#[derive(Clone)]
pub(crate) struct RedisSessions {
    client: Client,
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
    prefix: Arc<str>,
    timeout: Duration,
    round_trips: Arc<AtomicU64>,
}

/// The type that the macro `async_trait` writes.
type Pending<'a, T> = Pin<Box<dyn Future<Output = Stored<T>> + Send + 'a>>;

impl SessionStore for RedisSessions {
    fn create<'a, 'b, 'c>(&'a self, record: &'b mut Record) -> Pending<'c, ()>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async {
            let made: Option<String> = self.ask(self.set(record)?.arg("NX")).await?;
            made.map(drop).ok_or_else(|| Error::Backend("the identifier is taken".to_owned()))
        })
    }

    fn save<'a, 'b, 'c>(&'a self, record: &'b Record) -> Pending<'c, ()>
    where
        'a: 'c,
        'b: 'c,
    {
        // If it was deleted meanwhile, it stays so.
        Box::pin(async { self.ask(self.set(record)?.arg("XX")).await })
    }

    fn load<'a, 'b, 'c>(&'a self, id: &'b Id) -> Pending<'c, Option<Record>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async {
            let text: Option<String> = self.ask(redis::cmd("GET").arg(self.key(id))).await?;
            let record = text.map(|text| serde_json::from_str(&text)).transpose();
            record.map_err(|error| Error::Decode(error.to_string()))
        })
    }

    fn delete<'a, 'b, 'c>(&'a self, id: &'b Id) -> Pending<'c, ()>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async { self.ask(redis::cmd("DEL").arg(self.key(id))).await })
    }
}

impl RedisSessions {
    /// Sessions of this ring in the Redis of this URL, whose answers may take so long.
    ///
    /// # Errors
    /// If it is no URL of a Redis.
    pub(crate) fn open(url: &str, ring: &str, timeout: Duration) -> Result<Self, BoxError> {
        Ok(Self {
            client: Client::open(url)?,
            connection: Arc::default(),
            prefix: format!("{ring}:session:").into(),
            timeout,
            round_trips: Arc::default(),
        })
    }

    /// How often Redis was asked.
    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    fn key(&self, id: &Id) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Deletes every session of a user.
    ///
    /// # Errors
    /// If Redis fails.
    pub(crate) async fn delete_all_of(&self, subject: &str) -> Stored<()> {
        let mut cursor: u64 = 0;
        loop {
            let pattern = format!("{}*", self.prefix);
            let page = redis::cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).take();
            let (next, keys): (u64, Vec<String>) = self.ask(&page).await?;
            for key in keys {
                let text: Option<String> = self.ask(redis::cmd("GET").arg(&key)).await?;
                let record = text.and_then(|text| serde_json::from_str::<Record>(&text).ok());
                let data = record.and_then(|mut record| record.data.remove(DATA));
                if data.is_some_and(|data| data["subject"] == subject) {
                    let _: u64 = self.ask(redis::cmd("DEL").arg(&key)).await?;
                }
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn set(&self, record: &Record) -> Stored<Cmd> {
        let text =
            serde_json::to_string(record).map_err(|error| Error::Encode(error.to_string()))?;
        let rest = (record.expiry_date - OffsetDateTime::now_utc()).whole_milliseconds().max(1);
        let rest = i64::try_from(rest).map_err(|error| Error::Encode(error.to_string()))?;
        Ok(redis::cmd("SET").arg(self.key(&record.id)).arg(text).arg("PX").arg(rest).take())
    }

    /// One round trip. A connection on which it failed is not used again.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Stored<T> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let asked = async { command.query_async(&mut self.connected().await?).await };
        let failure = match timeout(self.timeout, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("Redis did not answer within {:?}", self.timeout),
        };
        // If the lock is held, somebody connects again.
        if let Ok(mut held) = self.connection.try_lock() {
            *held = None;
        }
        Err(Error::Backend(failure))
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(held.insert(connection).clone())
    }
}

impl fmt::Debug for RedisSessions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessions").finish_non_exhaustive()
    }
}
