//! The comparison: one arm after the other, the tables, the picture, the judgment.

use std::{fs::OpenOptions, io, path::Path, process::ExitCode, time::Duration};

use tokio::time::Instant;

use crate::{
    BoxError,
    arms::{replica::Service, telemetry::Log},
    command::{arm::Arm, compare::CompareOptions, pace::Pace, prove::Keys},
    compare::counters::{self, Unasked},
    compare::growth,
    compare::outcome::{ArmOutcome, Comparison, Phase},
    compare::script::{self, REPLICAS},
    compare::verdict::judge,
    faults::event::Event,
    figures::{compare, compare_svg},
    processes::cluster::{Cluster, ClusterOptions},
    store::choice::Store,
    store::meeting::Meeting,
    store::server::{Programs, ServerKind},
    terminal::Terminal,
    users::crowd::Crowd,
};

/// Keys sign for longer than a fault takes, and change by themselves a few times; nothing expires.
const PACE: Pace = Pace {
    signing_period: Duration::from_secs(20),
    session_lifetime: Duration::from_secs(60),
    store_timeout: Duration::from_millis(400),
};
/// How many users there are.
const USERS: usize = 24;
/// How long each waits between two requests.
const PAUSE: Duration = Duration::from_millis(80);
/// How long one who was logged out waits before the next login.
const OUT: Duration = Duration::from_millis(400);

/// Runs the arms, prints and writes what they showed, and says by the exit status whether each showed
/// what it has to.
///
/// # Errors
/// If an arm cannot be run, or a file cannot be written.
pub(crate) async fn compare(
    options: &CompareOptions,
    terminal: &Terminal,
) -> Result<ExitCode, BoxError> {
    let start = Instant::now();
    for path in [&options.json, &options.svg].into_iter().flatten() {
        // Minutes later is too late for a mistake.
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| cannot_write(path, &error))?;
    }
    let has_redis = cfg!(feature = "redis") && Programs::find(ServerKind::Redis).is_ok();
    let mut arms = Vec::new();
    for arm in chosen(options.arms.as_deref(), has_redis, terminal)? {
        terminal.line(&compare::arm_title(terminal, arm));
        let store =
            if has_redis && arm.has_store() { Store::Own(ServerKind::Redis) } else { Store::File };
        let mut meeting = Meeting::prepare(store, Keys::Shared).await?.with_link().await?;
        let outcome = run(arm, options, &mut meeting, terminal).await;
        meeting.clear().await?;
        let outcome = outcome.map_err(|error| format!("{arm}: {error}"))?;
        terminal.line(&compare::growth(&outcome));
        arms.push(outcome);
    }
    let reasons = judge(&arms);
    let comparison =
        Comparison { seconds: options.seconds, users: USERS, replicas: REPLICAS, arms, reasons };
    terminal.line(&compare::tables(&comparison));
    write(options.json.as_deref(), || Ok(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    write(options.svg.as_deref(), || Ok(compare_svg::draw(&comparison)))?;

    let seconds = start.elapsed().as_secs();
    if comparison.reasons.is_empty() {
        let holds = terminal.good("Each arm shows what it has to show.");
        terminal.line(&format!("{holds} ({seconds} s)"));
        return Ok(ExitCode::SUCCESS);
    }
    let text = terminal.bad("An arm does not show what it has to show:");
    terminal.line(&format!("{text} ({seconds} s)"));
    for reason in &comparison.reasons {
        terminal.line(&format!("  - {reason}"));
    }
    Ok(ExitCode::FAILURE)
}

/// The arms to run; says of those that cannot be run how they could be.
fn chosen(
    asked: Option<&[Arm]>,
    has_redis: bool,
    terminal: &Terminal,
) -> Result<Vec<Arm>, BoxError> {
    let missing = "it takes the feature `redis` (--features redis) and an installed redis-server \
                   (apt install redis-server)";
    let can_run = |arm: &Arm| has_redis || !arm.needs_redis();
    match asked {
        Some(arms) => match arms.iter().find(|arm| !can_run(arm)) {
            Some(arm) => Err(format!("cannot run the arm `{arm}`: {missing}").into()),
            None => Ok(arms.to_vec()),
        },
        None => {
            for arm in Arm::COMPARED.iter().filter(|arm| !can_run(arm)) {
                terminal.line(&format!("NOT COMPARED: the arm `{arm}`: {missing}\n"));
            }
            Ok(Arm::COMPARED.into_iter().filter(can_run).collect())
        }
    }
}

/// Runs one arm.
async fn run(
    arm: Arm,
    options: &CompareOptions,
    meeting: &mut Meeting,
    terminal: &Terminal,
) -> Result<ArmOutcome, BoxError> {
    terminal.meanwhile("starting");
    let cluster = ClusterOptions {
        arm,
        pace: PACE,
        replicas: REPLICAS,
        port: 0,
        log: Log::Off,
        service: Service::default(),
    };
    let mut cluster = Cluster::start(cluster, meeting).await?;
    let unasked = Unasked::measure(&mut cluster).await;
    let bound_ms = counters::bound(&cluster).await;
    terminal.clear();

    let crowd = Crowd::start(cluster.url(), USERS, PAUSE);
    crowd.set_out(OUT);
    let watched_for = Duration::from_secs(options.seconds.into());
    let faults = options.faults.iter().map(|&fault| Phase::Fault(fault));
    let mut rows = Vec::new();
    for phase in [Phase::Steady].into_iter().chain(faults) {
        if let Phase::Fault(fault) = phase
            && fault.concerns(&cluster).is_err()
        {
            continue;
        }
        terminal.meanwhile(phase.title());
        let mut row = script::run(phase, &mut cluster, &crowd, watched_for, unasked).await;
        if arm == Arm::Replicated
            && phase == Phase::Fault(Event::Kill)
            && row.as_ref().is_ok_and(|row| row.tally.unexpected_401 == 0)
        {
            // The copies happened to be sent between the last login and the kill, for once.
            row = script::run(phase, &mut cluster, &crowd, watched_for, unasked).await;
        }
        terminal.clear();
        let row = row.map_err(|error| format!("{phase}: {error}"))?;
        terminal.line(&compare::progress(terminal, &row));
        rows.push(row);
    }
    drop(crowd);
    let store = cluster.meeting.store().clone();
    let growth = growth::measure(&mut cluster, watched_for).await?;
    cluster.end().await;
    Ok(ArmOutcome { arm, store, rows, growth, bound_ms, background_commands: unasked.per_second })
}

/// Writes a file, if one was asked for.
fn write(
    path: Option<&Path>,
    content: impl FnOnce() -> Result<String, BoxError>,
) -> Result<(), BoxError> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, content()?).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> BoxError {
    format!("cannot write {}: {error}", path.display()).into()
}
