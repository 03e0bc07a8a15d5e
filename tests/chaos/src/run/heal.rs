//! Whether all is well again: every replica is ready, reads and writes, all know the same keys, logins work
//! everywhere, and a logout is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::run::ask::{login, logout, me};
use crate::run::load::Load;
use crate::run::watch::Watch;
use crate::setup::cluster::client;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// More than a second, so that a slow answer is no failure.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Waits until all is well: after how long, or what is still wrong.
pub(crate) async fn healed(
    load: &Arc<Load>,
    watch: &Watch,
    within: Duration,
) -> Result<Duration, String> {
    let start = Instant::now();
    loop {
        let wrong = match is_well(watch, start) {
            Ok(()) => match works(load).await {
                Ok(()) => return Ok(start.elapsed()),
                Err(wrong) => wrong,
            },
            Err(wrong) => wrong,
        };
        if start.elapsed() > within {
            return Err(wrong);
        }
        sleep(EVERY).await;
    }
}

/// By what the replicas say of themselves.
fn is_well(watch: &Watch, since: Instant) -> Result<(), String> {
    let health = watch.health();
    for (index, replica) in health.iter().enumerate() {
        let fresh = replica.asked.is_some_and(|asked| asked > since);
        if !fresh || !replica.well {
            return Err(format!("replica-{}: {}", index + 1, replica.words));
        }
    }
    let keys: BTreeSet<_> = health.iter().map(|replica| &replica.fingerprint).collect();
    match keys.len() {
        1 => Ok(()),
        _ => Err(format!("replicas know different keys: {keys:?}")),
    }
}

/// By trying.
async fn works(load: &Load) -> Result<(), String> {
    let client = client(TIMEOUT);
    let mut last = None;
    for (index, peer) in load.peers.iter().enumerate() {
        let (answer, token) = login(&client, &peer.url, 1_000_000 + index as u64).await;
        let token = token.ok_or_else(|| format!("a login: {}", answer.words()))?;
        for other in &load.peers {
            let answer = me(&client, &other.url, &token).await;
            if !answer.is_good() {
                return Err(format!("a new session: {}", answer.words()));
            }
        }
        last = Some((peer, token));
    }
    if let Some((peer, token)) = last {
        let answer = logout(&client, &peer.url, &token).await;
        if !answer.is_good() {
            return Err(format!("a logout: {}", answer.words()));
        }
        load.copies.ended(token, peer.index);
    }
    Ok(())
}
