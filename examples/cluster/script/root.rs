//! The step for keys that are derived: no single one can be revoked, but their root secret can be
//! replaced, with and without regard for the sessions of the old one.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::{Instant, sleep, sleep_until};
use tower_jwt_session::{Clock as _, SystemClock};

use crate::{
    BoxError,
    script::steps::Run,
    script::tour::{UNAUTHORIZED, Visitor},
    users::client::Credentials,
    users::tally::{Expect, Tally},
};

/// How long before a new root signs it is given out: every replica has to have it by then.
const NOTICE: Duration = Duration::from_secs(6);
/// More than the clocks differ.
const MARGIN: Duration = Duration::from_millis(300);

/// Gives out a new root secret, lets it take over, and takes the old one away.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn replace(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let mut visitor = Visitor::new(run.cluster.url());
    let (token, maker) = visitor.login_for_token("alice", "wonderland").await?;
    let who = Credentials::Bearer { token: &token, maker: &maker };
    visitor.post("/admin/revoke-key", who, CONFLICT).await;

    // Replicas are configured anew, one after the other, and nobody notices.
    let load = run.load();
    let takes_over = Instant::now() + NOTICE;
    run.cluster.meeting.add_root(SystemClock.now() + NOTICE)?;
    restart_all(run).await?;
    if Instant::now() > takes_over {
        visitor.surprise("the replicas did not have the new root in time");
    }
    let (old, maker) = visitor.login_for_token("alice", "wonderland").await?;
    let old = Credentials::Bearer { token: &old, maker: &maker };
    let issued = Instant::now();
    sleep_until(takes_over + MARGIN).await;
    let (new, maker) = visitor.login_for_token("alice", "wonderland").await?;
    let new = Credentials::Bearer { token: &new, maker: &maker };
    for _ in run.cluster.replicas() {
        visitor.get("/me", old, Expect::Success).await;
        visitor.get("/me", new, Expect::Success).await;
    }
    visitor.tally.merge(load.finish().await?);

    // As if the old one had leaked: its sessions end before their time.
    run.cluster.meeting.drop_root()?;
    restart_all(run).await?;
    for _ in run.cluster.replicas() {
        visitor.get("/me", old, UNAUTHORIZED).await;
        visitor.get("/me", new, Expect::Success).await;
    }
    let age = issued.elapsed();
    if age >= run.cluster.pace().session_lifetime {
        visitor.surprise("the session of the old root had expired, so this step proves nothing");
    }
    run.finding = Some(format!(
        "a single derived key cannot be revoked (409); a new root took over, and no session was lost; \
         after the old root was removed every replica refused its sessions, {:.1} s old",
        age.as_secs_f64(),
    ));
    Ok(visitor.tally)
}

async fn restart_all(run: &mut Run<'_>) -> Result<(), BoxError> {
    for index in 0..run.cluster.replicas().len() {
        run.cluster.restart(index).await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

const CONFLICT: Expect = Expect::Status(StatusCode::CONFLICT);
