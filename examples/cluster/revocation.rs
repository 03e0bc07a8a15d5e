//! The step in which the key that signs is revoked: its sessions end on every replica, in time.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    BoxError,
    client::{Client, Credentials},
    steps::Run,
    tally::{Expect, Tally},
    tour::{Scribe, UNAUTHORIZED},
};

/// How often a replica is asked whether it still takes the session.
const PAUSE: Duration = Duration::from_millis(5);
/// When to give up on that, which is far past any bound.
const PATIENCE: Duration = Duration::from_secs(10);

/// Revokes the key of a session that was just made, and measures until when any replica took it.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn revoke(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let mut scribe = Scribe::new(run.cluster.url());
    let (token, maker) = scribe.login_for_token("alice", "wonderland").await?;
    let leaked = Credentials::Bearer { token: &token, maker: &maker };
    for _ in run.cluster.replicas() {
        scribe.get("/me", leaked, Expect::Success).await;
    }

    let mut watches = JoinSet::new();
    for replica in run.cluster.replicas() {
        watches.spawn(watch(replica.url.clone(), token.clone(), maker.clone()));
    }
    sleep(10 * PAUSE).await;
    let asked = Instant::now();
    let revoked = scribe.post("/admin/revoke-key", leaked, Expect::Success).await;
    let (told, revoked) = (Instant::now(), revoked.ok_or("the revocation was not answered")?);
    let Some(bound) = revoked.json["everywhere_within_ms"].as_u64() else {
        return Ok(scribe.tally); // It was refused, which has been noted.
    };
    let mut last_taken = asked;
    while let Some(watched) = watches.join_next().await {
        let (tally, taken) = watched?;
        scribe.tally.merge(tally);
        last_taken = last_taken.max(taken);
    }

    let bound = Duration::from_millis(bound);
    let taken_for = last_taken.saturating_duration_since(told);
    if taken_for > bound {
        let surprise = format!("a revoked key was taken for {taken_for:?}, longer than {bound:?}");
        scribe.surprise(&surprise);
    }
    run.finding = Some(format!(
        "stored in {} ms; {} ms later every replica refused its sessions (bound: {} ms); a new login \
         was good everywhere",
        (told - asked).as_millis(),
        taken_for.as_millis(),
        bound.as_millis(),
    ));

    // It stays refused, and whoever logs in again has a session of another key.
    let (again, maker) = scribe.login_for_token("alice", "wonderland").await?;
    for _ in run.cluster.replicas() {
        scribe.get("/me", leaked, UNAUTHORIZED).await;
        let again = Credentials::Bearer { token: &again, maker: &maker };
        let answer = scribe.get("/me", again, Expect::Success).await;
        if answer.is_some_and(|it| it.json["kid"] == revoked.json["kid"]) {
            scribe.surprise("the revoked key still signs");
        }
    }
    Ok(scribe.tally)
}

/// Asks one replica, alone, until it refuses the session; returns when it last took it.
async fn watch(url: String, token: String, maker: String) -> (Tally, Instant) {
    let (client, mut tally) = (Client::new(&url), Tally::default());
    let start = Instant::now();
    let mut taken = start;
    loop {
        let answer = client.get("/me", Credentials::Bearer { token: &token, maker: &maker }).await;
        if answer.as_ref().is_ok_and(|it| it.status == StatusCode::UNAUTHORIZED) {
            tally.record(&answer, UNAUTHORIZED, &maker);
            return (tally, taken);
        }
        if answer.as_ref().is_ok_and(|it| it.status.is_success()) {
            taken = Instant::now();
        }
        tally.record(&answer, Expect::Success, &maker);
        if start.elapsed() > PATIENCE {
            tally.note_surprise("a replica does not come to refuse a revoked key".to_owned());
            return (tally, taken);
        }
        sleep(PAUSE).await;
    }
}
