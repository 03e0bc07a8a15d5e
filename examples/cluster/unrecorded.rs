//! The step in which the server dies between logouts: one that was recorded before stays so, and one
//! that cannot be recorded is not told to have been.

use tokio::time::Instant;

use crate::{
    BoxError,
    client::{Credentials, Jar},
    replay::{ask_all, bound},
    revocation::watch,
    steps::Run,
    tally::{Expect, Tally},
    tour::{Scribe, UNAUTHORIZED, UNAVAILABLE},
};

/// Logs one user out and kills the server; another tries to log out, and again when it is back.
///
/// # Errors
/// If the cluster itself fails, or the server does not start again.
pub(crate) async fn unrecorded(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let bound = bound(&run.cluster).await?;
    let mut scribe = Scribe::new(run.cluster.url());
    let (ended, kept) = (Jar::default(), Jar::default());
    scribe.login(&ended, "bob", "builder", Expect::Success).await;
    scribe.login(&kept, "alice", "wonderland", Expect::Success).await;
    let stolen = ended.copy();
    let stolen = Credentials::CopyOf(&stolen);
    scribe.post("/logout", Credentials::Cookie(&ended), Expect::Success).await;

    run.cluster.meeting.server().ok_or("there is no server to kill")?.kill();
    let asked = Instant::now();
    let answer = scribe.post("/logout", Credentials::Cookie(&kept), UNAVAILABLE).await;
    let refused_in = asked.elapsed();
    let detail = answer.map(|it| it.json["detail"].to_string()).unwrap_or_default();
    if !detail.contains("could not be recorded") {
        scribe.surprise("a logout does not say that it was not recorded");
    }
    let stays = Credentials::CopyOf(&kept);
    scribe.tally.merge(ask_all(&run.cluster.clients(), stays, Expect::Success).await);

    run.cluster.meeting.server().ok_or("there is no server to start")?.restart().await?;
    let back = Instant::now();
    // A new process knows only what the server has kept, and knows it with its first request.
    run.cluster.restart(0).await?;
    let clients = run.cluster.clients();
    scribe.tally.merge(ask_all(&clients[..1], stolen, UNAUTHORIZED).await);
    let (watched, ()) = watch(&clients, stolen, async {}).await;
    let taken_for = watched.taken_for(back);
    scribe.tally.merge(watched.tally);
    // Of the same age: the other has not just expired.
    scribe.tally.merge(ask_all(&clients, stays, Expect::Success).await);

    let copy = kept.copy();
    let again = scribe.post("/logout", Credentials::Cookie(&kept), Expect::Success);
    let again = async {
        again.await;
        Instant::now()
    };
    let (watched, told) = watch(&clients, Credentials::CopyOf(&copy), again).await;
    let taken_for = taken_for.max(watched.taken_for(told));
    scribe.tally.merge(watched.tally);

    if taken_for > bound {
        scribe.surprise(&format!("a session was taken for {taken_for:?}, longer than {bound:?}"));
    }
    run.finding = Some(format!(
        "recorded, then kill -9: it was kept, also for a replica that is new; while away: 503 in {} ms, which \
         says so, and the session went on; back: its next logout held within {} ms (bound: {} ms)",
        refused_in.as_millis(),
        taken_for.as_millis(),
        bound.as_millis(),
    ));
    Ok(scribe.tally)
}
