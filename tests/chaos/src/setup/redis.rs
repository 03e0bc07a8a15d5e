//! Commands to the Redis of a run, beside its replicas.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, cmd};

use crate::Problem;
use crate::server::Server;

/// A busy machine is slow.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends one command, with this password.
pub(crate) async fn send_as<T: FromRedisValue>(
    port: u16,
    password: &str,
    command: &Cmd,
) -> Result<T, Problem> {
    let failed = |error: redis::RedisError| format!("Redis: {error}");
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    let client = Client::open(format!("redis://:{password}@127.0.0.1:{port}")).map_err(failed)?;
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    command.query_async(&mut connection.map_err(failed)?).await.map_err(failed)
}

/// Sends one command, its words separated by spaces.
pub(crate) async fn send<T: FromRedisValue>(server: &Server, words: &str) -> Result<T, Problem> {
    let mut words = words.split(' ');
    let mut command = cmd(words.next().unwrap_or_default());
    command.arg(words.collect::<Vec<_>>());
    send_as(server.port, &server.password, &command).await
}

/// The keys of one type.
pub(crate) async fn keys_of_type(server: &Server, kind: &str) -> Result<Vec<String>, Problem> {
    let mut found = Vec::new();
    for key in send::<Vec<String>>(server, "KEYS *").await? {
        let of: String = send_as(server.port, &server.password, cmd("TYPE").arg(&key)).await?;
        if of == kind {
            found.push(key);
        }
    }
    Ok(found)
}
