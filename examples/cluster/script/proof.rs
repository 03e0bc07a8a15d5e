//! The proof: the steps over one arm after the other, the tables, the verdict.

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    BoxError,
    arms::{replica::Service, telemetry::Log},
    command::{arm::Arm, balancer::BalancerKind, pace::Pace, prove::Keys},
    figures::report,
    processes::cluster::{Cluster, ClusterOptions},
    script::steps::{Outcome, REPLICAS, Run, Step},
    script::verdict::judge,
    store::choice::Store,
    store::meeting::Meeting,
    terminal::Terminal,
};

/// Keys change so fast that several do in one step, and the script takes longer than a session lives:
/// the one of the start lasts only because it is renewed. A server gets more time to answer, and a
/// read of it may be a second old: each key has to be published earlier and to sign longer.
fn pace(store: &Store) -> Pace {
    let (signing_period, store_timeout) = match store {
        Store::File | Store::Derived => (3000, 200),
        Store::Own(_) | Store::Given(_) => (7000, 400),
    };
    Pace {
        signing_period: Duration::from_millis(signing_period),
        session_lifetime: Duration::from_secs(12),
        store_timeout: Duration::from_millis(store_timeout),
    }
}

/// The outcome of one arm, step by step.
pub(crate) struct ArmReport {
    /// The arm.
    pub(crate) arm: Arm,
    /// The steps, in their order.
    pub(crate) steps: Vec<(Step, Outcome)>,
}

/// Runs all arms, the crate's first, prints what they showed, and says by the exit status whether the proof holds.
///
/// # Errors
/// If a cluster cannot be kept up.
pub(crate) async fn prove(
    arms: &[Arm],
    balancer: BalancerKind,
    meeting: &mut Meeting,
    terminal: &Terminal,
) -> Result<ExitCode, BoxError> {
    let start = Instant::now();
    let mut reports = Vec::new();
    for &arm in arms {
        reports.push(place(arm, balancer, meeting, terminal).await?);
    }
    let (stateless, others) = reports.split_first().ok_or("no arm was chosen")?;

    for other in others {
        terminal.line(&report::tables(stateless, other));
    }
    terminal.line(&report::keys(meeting.store(), stateless));
    let reasons = judge(stateless, others);
    let seconds = start.elapsed().as_secs();
    if reasons.is_empty() {
        let holds = terminal.good("The proof holds.");
        terminal.line(&format!("{holds} {} ({seconds} s)", report::summary(stateless, others)));
        return Ok(ExitCode::SUCCESS);
    }
    terminal.line(&format!("{} ({seconds} s)", terminal.bad("The proof does not hold:")));
    for reason in reasons {
        terminal.line(&format!("  - {reason}"));
    }
    Ok(ExitCode::FAILURE)
}

/// Runs all steps over one arm, in a separate place if it needs another than the crate's arm.
async fn place(
    arm: Arm,
    balancer: BalancerKind,
    meeting: &mut Meeting,
    terminal: &Terminal,
) -> Result<ArmReport, BoxError> {
    let store = meeting.store().of_arm(arm);
    if store == *meeting.store() {
        return run(arm, balancer, meeting, terminal).await;
    }
    let mut own = Meeting::prepare(store, Keys::Shared).await?;
    let report = run(arm, balancer, &mut own, terminal).await;
    own.clear().await?;
    report
}

/// Runs all steps over one arm.
async fn run(
    arm: Arm,
    balancer: BalancerKind,
    meeting: &mut Meeting,
    terminal: &Terminal,
) -> Result<ArmReport, BoxError> {
    let (order, pace) = (Step::of(arm, meeting.store()), pace(meeting.store()));
    terminal.line(&terminal.bold(&report::arm_title(arm, meeting.store(), pace)));
    terminal.line(&format!("behind {balancer}"));
    terminal.meanwhile("starting");
    let options = ClusterOptions {
        arm,
        pace,
        replicas: REPLICAS,
        port: 0,
        log: Log::Off,
        service: Service::default(),
    };
    let cluster = Cluster::behind(balancer, options, meeting).await?;
    terminal.clear();

    let mut run = Run { cluster, jar: Arc::default(), killed: None, finding: None };
    let mut steps = Vec::new();
    for step in order {
        terminal.meanwhile(step.title());
        let outcome = step.perform(&mut run).await;
        terminal.clear();
        let outcome = outcome.map_err(|error| format!("{arm}, {}: {error}", step.title()))?;
        report::progress(terminal, arm, step, &outcome);
        steps.push((step, outcome));
    }
    run.cluster.end().await;
    terminal.line("");
    Ok(ArmReport { arm, steps })
}
