//! Connections to Redis beside those of a store, which wait on a machine that is busy.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};

use crate::scenarios::PROMPT;

/// Connects to the server at a URL.
pub(crate) async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PROMPT))
        .set_response_timeout(Some(PROMPT));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}
