//! The step in which the server dies between logouts: one that was recorded before stays so, and one
//! that cannot be recorded is answered 503.

use tokio::time::Instant;

use crate::{
    BoxError,
    script::replay::{ask_all, bound},
    script::revocation::watch,
    script::steps::Run,
    script::tour::{UNAUTHORIZED, UNAVAILABLE, Visitor},
    users::client::{Credentials, Jar},
    users::tally::{Expect, Tally},
};

/// Logs one user out and kills the server; another tries to log out, and again when it is back.
///
/// # Errors
/// If the cluster itself fails, or the server does not start again.
pub(crate) async fn unrecorded(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let bound = bound(&run.cluster).await?;
    let mut visitor = Visitor::new(run.cluster.url());
    let (ended, kept) = (Jar::default(), Jar::default());
    visitor.login(&ended, "bob", "builder", Expect::Success).await;
    visitor.login(&kept, "alice", "wonderland", Expect::Success).await;
    let stolen = ended.copy();
    let stolen = Credentials::CopyOf(&stolen);
    visitor.post("/logout", Credentials::Cookie(&ended), Expect::Success).await;

    run.cluster.meeting.server().ok_or("there is no server to kill")?.kill();
    let asked = Instant::now();
    let answer = visitor.post("/logout", Credentials::Cookie(&kept), UNAVAILABLE).await;
    let refused_in = asked.elapsed();
    let detail = answer.map(|it| it.json["detail"].to_string()).unwrap_or_default();
    if !detail.contains("was not recorded") {
        visitor.surprise("a logout does not say that it was not recorded");
    }
    let stays = Credentials::CopyOf(&kept);
    visitor.tally.merge(ask_all(&run.cluster.clients(), stays, Expect::Success).await);

    run.cluster.meeting.server().ok_or("there is no server to start")?.restart().await?;
    let back = Instant::now();
    // A new process knows only what the server has kept, and knows it with its first request.
    run.cluster.restart(0).await?;
    let clients = run.cluster.clients();
    visitor.tally.merge(ask_all(&clients[..1], stolen, UNAUTHORIZED).await);
    let (watched, ()) = watch(&clients, stolen, async {}).await;
    let taken_for = watched.taken_for(back);
    visitor.tally.merge(watched.tally);
    // Of the same age: the other has not just expired.
    visitor.tally.merge(ask_all(&clients, stays, Expect::Success).await);

    let copy = kept.copy();
    let again = visitor.post("/logout", Credentials::Cookie(&kept), Expect::Success);
    let again = async {
        again.await;
        Instant::now()
    };
    let (watched, answered) = watch(&clients, Credentials::CopyOf(&copy), again).await;
    let taken_for = taken_for.max(watched.taken_for(answered));
    visitor.tally.merge(watched.tally);

    if taken_for > bound {
        visitor.surprise(&format!(
            "a revoked session was accepted for {taken_for:?}, longer than {bound:?}"
        ));
    }
    run.finding = Some(format!(
        "a recorded logout survived kill -9 of the server, also on a new replica; while the server was down: \
         503 after {} ms with the reason, and the session stayed valid; after its return the next logout \
         was effective within {} ms (bound: {} ms)",
        refused_in.as_millis(),
        taken_for.as_millis(),
        bound.as_millis(),
    ));
    Ok(visitor.tally)
}
