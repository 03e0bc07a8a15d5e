//! The channel in Redis on which replicas hear of changes.

use std::sync::{Arc, OnceLock};

use futures_util::StreamExt;
use redis::RedisResult;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::watch;

use crate::store::contract::StoreError;
use crate::store::listener::Source;
use crate::store::redis::connection::Servers;
use crate::store::redis::server::Cause;

/// The channel of all rings, over a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    servers: Arc<Servers>,
    /// The first ring that is followed. Its server is the one to listen at.
    ring: Arc<OnceLock<Box<str>>>,
}

impl Channel {
    pub(crate) fn new(servers: Arc<Servers>) -> Self {
        Self { servers, ring: Arc::default() }
    }

    /// Has to be called before a ring is followed.
    pub(crate) fn follow(&self, ring: &str) {
        self.ring.get_or_init(|| ring.into());
    }
}

/// The name of the channel.
pub(crate) const CHANNEL: &str = "tower-jwt-session:changed";

/// The message about a ring: a channel is one for all databases of a server.
pub(crate) fn message(database: i64, ring: &str) -> String {
    format!("{database}/{ring}")
}

impl Source for Channel {
    /// With what begins the messages from the store's own database.
    type Connection = (PubSubSink, PubSubStream, String);

    fn moves(&self) -> watch::Receiver<u64> {
        self.servers.moves()
    }

    async fn connect(&self) -> Result<Self::Connection, StoreError> {
        let subscribe = async {
            // Never to a server from before a failover.
            let node = self.servers.node(self.ring.get().map_or("", |ring| ring)).await?;
            let (mut sink, stream) = node.client.get_async_pubsub().await?.split();
            sink.subscribe(CHANNEL).await?;
            Ok::<_, Cause>((sink, stream, message(self.servers.database(), "")))
        };
        let address = self.servers.address();
        let failed = |cause| {
            StoreError::with_source(format!("could not listen to Redis at {address}"), cause)
        };
        subscribe.await.map_err(failed)
    }

    async fn next((_, stream, own): &mut Self::Connection) -> Result<String, StoreError> {
        while let Some(message) = stream.next().await {
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
