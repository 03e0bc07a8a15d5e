//! The step in which the key that signs is revoked: its sessions end on every replica, in time.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    script::steps::Run,
    script::tour::{UNAUTHORIZED, Visitor},
    users::client::{Client, Credentials},
    users::tally::{Expect, Tally},
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
    let mut visitor = Visitor::new(run.cluster.url());
    let (token, maker) = visitor.login_for_token("alice", "wonderland").await?;
    let leaked = Credentials::Bearer { token: &token, maker: &maker };
    for _ in run.cluster.replicas() {
        visitor.get("/me", leaked, Expect::Success).await;
    }

    let thieves = run.cluster.clients();
    let revoke = async {
        let asked = Instant::now();
        let revoked = visitor.post("/admin/revoke-key", leaked, Expect::Success).await;
        (asked, Instant::now(), revoked)
    };
    let (watched, (asked, answered, revoked)) = watch(&thieves, leaked, revoke).await;
    let taken_for = watched.taken_for(answered);
    visitor.tally.merge(watched.tally);
    let revoked = revoked.ok_or("the revocation was not answered")?;
    let Some(bound) = revoked.json["everywhere_within_ms"].as_u64() else {
        return Ok(visitor.tally); // It was refused, which has been noted.
    };

    let bound = Duration::from_millis(bound);
    if taken_for > bound {
        let surprise =
            format!("a revoked key was accepted for {taken_for:?}, longer than {bound:?}");
        visitor.surprise(&surprise);
    }
    run.finding = Some(format!(
        "recorded in {} ms; {} ms later every replica refused its sessions (bound: {} ms); a new login \
         was valid everywhere",
        (answered - asked).as_millis(),
        taken_for.as_millis(),
        bound.as_millis(),
    ));

    // It stays refused, and a new login gets a token of another key.
    let (again, maker) = visitor.login_for_token("alice", "wonderland").await?;
    for _ in run.cluster.replicas() {
        visitor.get("/me", leaked, UNAUTHORIZED).await;
        let again = Credentials::Bearer { token: &again, maker: &maker };
        let answer = visitor.get("/me", again, Expect::Success).await;
        if answer.is_some_and(|it| it.json["kid"] == revoked.json["kid"]) {
            visitor.surprise("the revoked key still signs");
        }
    }
    Ok(visitor.tally)
}

/// The result for copies of a revoked session.
pub(crate) struct Watched {
    /// The counts.
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
            tally.note_surprise("a replica still accepts a revoked session".to_owned());
            return (tally, taken);
        }
        sleep(PAUSE).await;
    }
}
