//! The step in which the key that signs is revoked: its sessions end on every replica, in time.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    client::{Client, Credentials},
    steps::Run,
    tally::{Expect, Tally},
    tour::{Scribe, UNAUTHORIZED},
};

/// How often a replica is asked whether it still takes the session.
const PAUSE: Duration = Duration::from_millis(30);
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

    let thieves = run.cluster.clients();
    let revoke = async {
        let asked = Instant::now();
        let revoked = scribe.post("/admin/revoke-key", leaked, Expect::Success).await;
        (asked, Instant::now(), revoked)
    };
    let (watched, (asked, told, revoked)) = watch(&thieves, leaked, revoke).await;
    let taken_for = watched.taken_for(told);
    scribe.tally.merge(watched.tally);
    let revoked = revoked.ok_or("the revocation was not answered")?;
    let Some(bound) = revoked.json["everywhere_within_ms"].as_u64() else {
        return Ok(scribe.tally); // It was refused, which has been noted.
    };

    let bound = Duration::from_millis(bound);
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

/// What became of copies of a session that was ended.
pub(crate) struct Watched {
    /// What was counted.
    pub(crate) tally: Tally,
    last_taken: Option<Instant>,
}

impl Watched {
    /// How long after that time any replica took one.
    pub(crate) fn taken_for(&self, since: Instant) -> Duration {
        self.last_taken.map_or(Duration::ZERO, |taken| taken.saturating_duration_since(since))
    }
}

/// Shows copies of a session to every replica, over and over, while it is being ended, until all of
/// them refuse it.
pub(crate) async fn watch<T>(
    thieves: &[Client],
    copied: Credentials<'_>,
    end: impl Future<Output = T>,
) -> (Watched, T) {
    let watches = join_all(thieves.iter().map(|thief| replay(thief, copied)));
    let (watches, ended) = tokio::join!(watches, end);
    let mut watched = Watched { tally: Tally::default(), last_taken: None };
    for (tally, taken) in watches {
        watched.tally.merge(tally);
        watched.last_taken = watched.last_taken.max(taken);
    }
    (watched, ended)
}

/// Asks one replica, alone, until it refuses the session; returns when it last took it.
async fn replay(thief: &Client, copied: Credentials<'_>) -> (Tally, Option<Instant>) {
    let (maker, mut tally) = (copied.maker(), Tally::default());
    let (start, mut taken) = (Instant::now(), None);
    loop {
        let answer = thief.get("/me", copied).await;
        if answer.as_ref().is_ok_and(|it| it.status == StatusCode::UNAUTHORIZED) {
            tally.record(&answer, UNAUTHORIZED, &maker);
            return (tally, taken);
        }
        if answer.as_ref().is_ok_and(|it| it.status.is_success()) {
            taken = Some(Instant::now());
        }
        tally.record(&answer, Expect::Success, &maker);
        if start.elapsed() > PATIENCE {
            tally.note_surprise("a replica does not come to refuse what was ended".to_owned());
            return (tally, taken);
        }
        sleep(PAUSE).await;
    }
}
