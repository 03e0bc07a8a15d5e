//! One fault, from its start to its verdict.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::run::ask::page;
use crate::run::copies::Copies;
use crate::run::heal::healed;
use crate::run::load::Load;
use crate::run::outcome::{End, Outcome};
use crate::run::watch::Watch;
use crate::setup::cluster::{Cluster, client};
use crate::setup::replica::program;
use crate::{Fault, Problem, variable};

/// Load before and after the fault.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(1);
/// How long users may take to finish.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A run takes half a minute, on a machine that has nothing else to do.
const LONGEST: Duration = Duration::from_secs(240);

/// What a fault acts on.
pub struct Scene {
    /// The store and the replicas.
    pub(crate) cluster: Cluster,
    /// The users.
    pub(crate) load: Arc<Load>,
}

/// Builds what all runs need.
pub async fn prepare() {
    let built = tokio::task::spawn_blocking(program).await;
    built.expect("the example builds");
}

/// Does it. `CHAOS_SECONDS` makes the fault longer.
pub async fn perform(fault: &Fault) -> End {
    let missing = [Some(fault.store.installed()), fault.needs.map(|needs| needs())];
    if let Some(missing) = missing.into_iter().flatten().find_map(Result::err) {
        return End::Skipped(missing);
    }
    match timeout(LONGEST + Duration::from_secs(variable("CHAOS_SECONDS", 0)), run(fault)).await {
        Ok(Ok(outcome)) => End::Done(Box::new(outcome)),
        Ok(Err(problem)) => End::Broken(problem),
        Err(_) => End::Broken(format!("it did not end within {LONGEST:?}")),
    }
}

async fn run(fault: &Fault) -> Result<Outcome, Problem> {
    let hold = Duration::from_secs(fault.hold.max(variable("CHAOS_SECONDS", 0)));
    let cluster = Cluster::start(fault).await?;
    let peers = cluster.peers();
    let bound = stated_bound(&peers[0].url).await?;
    let copies = Copies::new(bound, fault.allows);
    let load = Arc::new(Load::new(peers, copies, fault.allows.refused).await?);
    let watch = Arc::new(Watch::default());
    let watching = watch.start(&load);
    let users = load.start();
    sleep(BEFORE).await;
    let before = load.tally.counts().problems.clone();
    if let Some(problem) = before.first() {
        return Err(format!("{problem} (nothing was broken yet)"));
    }

    let mut scene = Scene { cluster, load: Arc::clone(&load) };
    load.timeline.begin();
    (fault.inject)(&mut scene).await.map_err(|problem| format!("to begin it: {problem}"))?;
    sleep(hold).await;
    (fault.lift)(&mut scene).await.map_err(|problem| format!("to end it: {problem}"))?;
    load.timeline.lift();
    let healed = healed(&load, &watch, Duration::from_secs(fault.heals.within)).await;
    sleep(AFTER.max(bound + Duration::from_millis(1500))).await;
    finish(&load, users).await;
    drop(watching);

    let ended = load.accepted_in_the_end().await;
    let mut outcome = Outcome {
        counts: load.tally.counts().clone(),
        signs: watch.signs(),
        readiness: watch.readiness(),
        healed: healed.map(|after| after.as_secs_f64()),
        ended,
        bound: bound.as_secs_f64(),
        invariants: Vec::new(),
    };
    outcome.judge(fault);
    Ok(outcome)
}

/// Lets the users finish; those that wait for a replica that does not answer give up.
async fn finish(load: &Load, mut users: JoinSet<()>) {
    load.stop();
    let finished = async { while users.join_next().await.is_some() {} };
    // What is left ends with the set.
    let _ = timeout(LAST_ANSWERS, finished).await;
}

/// The longest time until a revocation holds at every replica that sees the store.
pub(crate) async fn stated_bound(url: &str) -> Result<Duration, Problem> {
    let answer = page(&client(Duration::from_secs(5)), url, "/health/status").await;
    let crate::run::ask::Answer::Status(200, body) = answer else { return Err(answer.words()) };
    let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    let bound = status["revocations"]["refresh_bound_ms"].as_u64();
    bound.map(Duration::from_millis).ok_or_else(|| "no refresh_bound_ms in the status".to_owned())
}
