//! The proof: the steps over one arm and then the other, the table, the verdict.

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    BoxError,
    args::{Arm, Pace},
    cluster::Cluster,
    meeting::Meeting,
    report,
    steps::{Outcome, REPLICAS, Run, Step},
    store::Store,
    terminal::Terminal,
    verdict::judge,
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
    /// The steps, in their order.
    pub(crate) steps: Vec<(Step, Outcome)>,
}

/// Runs both arms, prints what they showed, and says by the exit status whether the proof holds.
///
/// # Errors
/// If a cluster cannot be kept up.
pub(crate) async fn prove(
    meeting: &mut Meeting,
    terminal: &Terminal,
) -> Result<ExitCode, BoxError> {
    let start = Instant::now();
    let stateless = run(Arm::Stateless, meeting, terminal).await?;
    let memory = run(Arm::Memory, meeting, terminal).await?;

    terminal.line(&report::tables(&stateless, &memory));
    terminal.line(&report::keys(meeting.store(), &stateless));
    let reasons = judge(&stateless, &memory);
    let seconds = start.elapsed().as_secs();
    if reasons.is_empty() {
        let holds = terminal.good("The proof holds.");
        terminal.line(&format!("{holds} {} ({seconds} s)", report::summary(&stateless, &memory)));
        return Ok(ExitCode::SUCCESS);
    }
    terminal.line(&format!("{} ({seconds} s)", terminal.bad("The proof does not hold:")));
    for reason in reasons {
        terminal.line(&format!("  - {reason}"));
    }
    Ok(ExitCode::FAILURE)
}

/// Runs all steps over one arm.
async fn run(arm: Arm, meeting: &mut Meeting, terminal: &Terminal) -> Result<ArmReport, BoxError> {
    let (order, pace) = (Step::of(arm, meeting.store()), pace(meeting.store()));
    terminal.line(&terminal.bold(&report::arm_title(arm, meeting.store(), pace)));
    terminal.meanwhile("starting");
    let cluster = Cluster::start(arm, pace, meeting, REPLICAS, 0).await?;
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
    run.cluster.stop().await;
    terminal.line("");
    Ok(ArmReport { steps })
}
