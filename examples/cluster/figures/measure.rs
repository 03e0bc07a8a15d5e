//! The load run: requests per second and latencies of several arms, in turn and in short rounds, so
//! that whatever else the machine does meets all of them.

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    BoxError,
    arms::{replica::Service, telemetry::Log},
    command::{arm::Arm, load::LoadOptions, pace::Pace, prove::Keys},
    figures::load_report::{self, Figures},
    processes::cluster::{Cluster, ClusterOptions},
    store::choice::Store,
    store::meeting::Meeting,
    terminal::Terminal,
    users::client::{Client, Credentials},
    users::connection::Connection,
    users::tally::Tally,
};

/// The usual one: no key changes and no session ends while something is measured.
const PACE: Pace = Pace {
    signing_period: Duration::from_secs(24 * 60 * 60),
    session_lifetime: Duration::from_secs(60 * 60),
    store_timeout: Duration::from_secs(2),
};
/// How many connections ask at the same time, each again as soon as it is answered.
pub(crate) const CONNECTIONS: usize = 16;
/// How long one arm is under load before the next has its turn.
pub(crate) const ROUND: Duration = Duration::from_millis(500);
/// How long an arm is under load before its first round.
const WARM_UP: Duration = Duration::from_millis(200);
/// How many rounds a second has.
const ROUNDS_PER_SECOND: u32 = 2;
/// How long the last answers of a round may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which way the requests go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// To one replica.
    Direct,
    /// Through the balancer, to so many.
    Balanced(usize),
}

/// Starts a cluster for each arm, measures all of them on every way, and prints a table.
///
/// # Errors
/// If a cluster cannot be kept up. Failed requests are an exit status.
pub(crate) async fn measure(
    options: &LoadOptions,
    terminal: &Terminal,
) -> Result<ExitCode, BoxError> {
    // Derived keys: there is no place that would have to be polled, or cleared.
    let mut meetings = Vec::new();
    for _ in &options.arms {
        meetings.push(Meeting::prepare(Store::Derived, Keys::Shared).await?);
    }
    terminal.meanwhile("starting");
    let mut clusters = Vec::new();
    for (&arm, meeting) in options.arms.iter().zip(&mut meetings) {
        let options = ClusterOptions {
            arm,
            pace: PACE,
            replicas: 1,
            port: 0,
            log: Log::Off,
            service: Service::default(),
        };
        clusters.push(Cluster::start(options, meeting).await?);
    }
    let mut measured = Vec::new();
    let balanced = options.replicas.iter().map(|&count| Way::Balanced(count));
    for way in std::iter::once(Way::Direct).chain(balanced) {
        if let Way::Balanced(count) = way {
            for cluster in &mut clusters {
                cluster.grow(count - cluster.replicas().len()).await?;
            }
        }
        terminal.clear();
        terminal.meanwhile(&way.to_string());
        let arms = row(way, &clusters, options.seconds).await;
        measured.push((way, arms.map_err(|error| format!("{way}: {error}"))?));
    }
    terminal.clear();
    for cluster in clusters {
        cluster.end().await;
    }
    terminal.line(&load_report::report(&measured));
    let failures = load_report::failures(&measured);
    for failure in &failures {
        terminal.line(&terminal.bad(failure));
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures every arm that can go this way.
async fn row(way: Way, clusters: &[Cluster<'_>], seconds: u32) -> Result<Vec<Figures>, BoxError> {
    let mut targets = Vec::new();
    for cluster in clusters {
        // Each replica of the control knows its own sessions only: it would refuse.
        if cluster.arm() == Arm::Memory && matches!(way, Way::Balanced(2..)) {
            continue;
        }
        let target = Target::log_in(way, cluster).await?;
        fire(&target, WARM_UP).await?;
        targets.push((target, Figures::new(cluster.arm())));
    }
    for _ in 0..seconds * ROUNDS_PER_SECOND {
        for (target, figures) in &mut targets {
            let (tally, took) = fire(target, ROUND)
                .await
                .map_err(|error| format!("{} at {}: {error}", figures.arm(), target.base))?;
            figures.add(tally, took);
        }
        // The order rotates: no arm always follows the same one.
        targets.reverse();
    }
    Ok(targets.into_iter().map(|(_, figures)| figures).collect())
}

/// Where requests go, and the session that they carry.
struct Target {
    base: Arc<str>,
    token: Arc<str>,
}

impl Target {
    async fn log_in(way: Way, cluster: &Cluster<'_>) -> Result<Self, BoxError> {
        let base = match way {
            Way::Direct => &cluster.replicas()[0].url,
            Way::Balanced(_) => cluster.url(),
        };
        let form = serde_json::json!({ "username": "alice", "password": "wonderland" });
        let path = "/login?transport=bearer";
        let answer = Client::new(base).post(path, Credentials::Nobody, Some(form)).await?;
        let token = answer.json["access_token"].as_str();
        let token =
            token.ok_or_else(|| format!("{}: no login: {}", cluster.arm(), answer.status))?;
        Ok(Self { base: base.into(), token: token.into() })
    }
}

/// All connections at once. Returns what they counted, and how long it took.
///
/// # Errors
/// If the target cannot be reached, or answers stay away.
async fn fire(target: &Target, round: Duration) -> Result<(Tally, Duration), BoxError> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(&target.base, &target.token).await?);
    }
    let start = Instant::now();
    let mut users: JoinSet<Tally> =
        connections.into_iter().map(|connection| work(connection, start + round)).collect();
    let mut tally = Tally::default();
    let finish = async {
        while let Some(user) = users.join_next().await {
            tally.merge(user?);
        }
        Ok::<_, BoxError>(())
    };
    timeout(round + PATIENCE, finish).await.map_err(|_| "no answers in time")??;
    Ok((tally, start.elapsed()))
}

/// One connection, until the round is over or an answer is wrong.
async fn work(mut connection: Connection, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut asked = Instant::now();
    while asked < end {
        tally.requests += 1;
        if let Err(error) = connection.ask().await {
            tally.failed += 1;
            tally.note_surprise(error.to_string());
            break;
        }
        let answered = Instant::now();
        tally.micros.push(u64::try_from((answered - asked).as_micros()).unwrap_or(u64::MAX));
        asked = answered;
    }
    tally
}
