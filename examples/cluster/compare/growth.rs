//! What many sessions cost: they are made, each is used once, and replicas and store are read again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    BoxError,
    arms::app::CROWD_PASSWORD,
    compare::counters::Counters,
    compare::outcome::Growth,
    processes::cluster::Cluster,
    users::client::{Client, Credentials, Jar},
    users::crowd::username,
};

/// How many sessions are made at most.
const MOST_SESSIONS: u64 = 5000;
/// How many users log in at the same time.
const AT_ONCE: usize = 8;
/// Where the names of those users begin, which nobody else uses.
const FIRST: usize = 1_000_000;
/// How long copies may be on their way.
const SETTLE: Duration = Duration::from_millis(300);

/// Makes sessions for so long, and measures what grows.
///
/// # Errors
/// If a user panicked.
pub(crate) async fn measure(cluster: &mut Cluster<'_>, time: Duration) -> Result<Growth, BoxError> {
    // What a first request of each connection costs is not the sessions'.
    log_in(cluster.url(), AT_ONCE as u64 * 8, FIRST, time).await?;
    let before = Counters::read(cluster).await;
    let sessions = log_in(cluster.url(), MOST_SESSIONS, 2 * FIRST, time).await?;
    sleep(SETTLE).await;
    let after = Counters::read(cluster).await;
    let per_1000 = |bytes: i64| bytes * 1000 / i64::try_from(sessions.max(1)).unwrap_or(i64::MAX);
    Ok(Growth {
        sessions,
        replicas_per_1000: after.replicas_grown(&before).map(per_1000),
        store_per_1000: after.store_grown(&before).map(per_1000),
        copied_per_session: after.sent_since(&before) / sessions.max(1),
        peers: after.peers(),
    })
}

/// Logs users in, each of whom then asks once; returns how many sessions were made.
async fn log_in(base: &str, most: u64, first: usize, time: Duration) -> Result<u64, BoxError> {
    let (begun, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let end = Instant::now() + time;
    let mut users = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (begun, made, client) = (Arc::clone(&begun), Arc::clone(&made), Client::new(base));
        users.spawn(async move {
            while Instant::now() < end {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                if number >= most {
                    break;
                }
                let jar = Jar::default();
                let name = username(first + usize::try_from(number).unwrap_or_default());
                let answer = client.login(&jar, &name, CROWD_PASSWORD).await;
                if answer.is_ok_and(|it| it.status.is_success()) {
                    made.fetch_add(1, Ordering::Relaxed);
                    let _ = client.get("/me", Credentials::Cookie(&jar)).await;
                }
            }
        });
    }
    while let Some(user) = users.join_next().await {
        user?;
    }
    Ok(made.load(Ordering::Relaxed))
}
