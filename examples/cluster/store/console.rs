//! Commands to a Redis of this run's own, beside what the replicas ask of it.

use crate::BoxError;

/// Sends one command to the server at `url`, and returns its answer as text.
///
/// # Errors
/// If the server is not reached, or refuses the command.
#[cfg(feature = "redis")]
pub(crate) async fn ask(url: &str, words: &[&str]) -> Result<String, BoxError> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (name, arguments) = words.split_first().ok_or("no command")?;
    let mut command = redis::cmd(name);
    for argument in arguments {
        command.arg(*argument);
    }
    Ok(command.query_async(&mut connection).await?)
}

/// Without the feature there is no such server.
///
/// # Errors
/// Always.
#[cfg(not(feature = "redis"))]
pub(crate) async fn ask(_: &str, _: &[&str]) -> Result<String, BoxError> {
    Err("this build does not know Redis; it takes the feature `redis`".into())
}
