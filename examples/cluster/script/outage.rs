//! The step in which the server that the keys are in is killed under load, stays away while keys
//! change, and comes back.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    BoxError,
    figures::report::grouped,
    processes::cluster::Cluster,
    script::steps::{Run, come_to},
    users::client::{Client, Credentials},
    users::tally::Tally,
};

/// How many signing periods the server is away: long enough that a key takes over and signs past
/// its time, since nobody can publish a successor.
const PERIODS_AWAY: u32 = 2;
/// How long replicas may take to warn, and to stop it.
const WARNING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take until a key signs that was made after the server's return.
const ROTATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Kills the server and starts it again. Only the warnings in the status may show it.
///
/// # Errors
/// If the cluster itself fails, or the server does not start again.
pub(crate) async fn outage(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let load = run.load();
    sleep(Duration::from_millis(500)).await;
    let mut surprises = Vec::new();

    let away = PERIODS_AWAY * run.cluster.pace().signing_period;
    run.cluster.meeting.server().ok_or("there is no server to kill")?.kill();
    let killed = Instant::now();
    let (requests, kids) = (load.requests(), load.kids());
    let warned = |states: &[Value]| states.iter().all(warns);
    if !come_to(&run.cluster, WARNING_TIMEOUT, warned).await {
        surprises.push("a replica does not warn that the server is down");
    }
    sleep(away.saturating_sub(killed.elapsed())).await;
    let taken_over = load.kids().difference(&kids).count();
    if taken_over == 0 {
        surprises.push("no key took over while the server was down");
    }
    let answered = load.requests() - requests;
    // A key of HS256 is never public: those that were met stand for the known ones.
    let published = &published(&run.cluster).await? | &load.kids();

    run.cluster.meeting.server().ok_or("there is no server to start")?.restart().await?;
    let (gone, back) = (killed.elapsed(), Instant::now());
    let well = |states: &[Value]| !states.iter().any(warns);
    if !come_to(&run.cluster, WARNING_TIMEOUT, well).await {
        surprises.push("a replica still warns although the server is back");
    }
    let caught_up = back.elapsed();
    let rotated = async {
        while load.kids().is_subset(&published) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(ROTATION_TIMEOUT, rotated).await.is_err() {
        surprises.push("no new key signs although the server is back");
    }
    run.finding = Some(format!(
        "down for {:.1} s: {} requests answered, {taken_over} key changes, every replica logged a \
         warning; after its return: caught up in {:.2} s, the next new key after {:.1} s",
        gone.as_secs_f64(),
        grouped(answered),
        caught_up.as_secs_f64(),
        back.elapsed().as_secs_f64(),
    ));
    let mut tally = load.finish().await?;
    for surprise in surprises {
        tally.note_surprise(surprise.to_owned());
    }
    Ok(tally)
}

/// Whether the status of a replica shows that it cannot read or write its store.
fn warns(status: &Value) -> bool {
    let parts = [&status["ring"], &status["revocations"]];
    parts.iter().any(|part| part["failure"].is_string() || part["write_failure"].is_string())
}

/// The public keys.
async fn published(cluster: &Cluster<'_>) -> Result<BTreeSet<String>, BoxError> {
    let answer =
        Client::new(cluster.url()).get("/.well-known/jwks.json", Credentials::Nobody).await?;
    let keys = answer.json["keys"].as_array().ok_or("there is no JWKS")?;
    Ok(keys.iter().filter_map(|key| key["kid"].as_str()).map(str::to_owned).collect())
}
