//! The proof: the steps over one arm and then the other, the table, the verdict.

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    BoxError,
    args::{Arm, Keys, Pace},
    cluster::Cluster,
    report,
    steps::{Outcome, REPLICAS, Run, Step},
    terminal::Terminal,
    verdict::judge,
};

/// Keys change so fast that several do in one step, and the script takes longer than a session lives:
/// the one of the start lasts only because it is renewed.
const PACE: Pace =
    Pace { signing_period: Duration::from_secs(3), session_lifetime: Duration::from_secs(12) };

/// What one arm showed, step by step.
pub(crate) struct ArmReport {
    /// The steps, in their order.
    pub(crate) steps: Vec<(Step, Outcome)>,
}

/// Runs both arms, prints what they showed, and says by the exit status whether the proof holds.
///
/// # Errors
/// If a cluster cannot be kept up.
pub(crate) async fn prove(keys: Keys, terminal: &Terminal) -> Result<ExitCode, BoxError> {
    let start = Instant::now();
    let stateless = run(Arm::Stateless, keys, terminal).await?;
    let memory = run(Arm::Memory, keys, terminal).await?;

    terminal.line(&report::tables(&stateless, &memory));
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
async fn run(arm: Arm, keys: Keys, terminal: &Terminal) -> Result<ArmReport, BoxError> {
    terminal.line(&terminal.bold(&report::arm_title(arm, PACE)));
    terminal.meanwhile("starting");
    let cluster = Cluster::start(arm, PACE, keys, REPLICAS, 0).await?;
    terminal.clear();

    let mut run = Run { cluster, jar: Arc::default(), killed: None };
    let mut steps = Vec::new();
    for step in Step::ALL {
        terminal.meanwhile(step.title());
        let outcome = step.perform(&mut run).await;
        terminal.clear();
        let outcome = outcome.map_err(|error| format!("{arm}, {}: {error}", step.title()))?;
        report::progress(terminal, arm, step, &outcome);
        steps.push((step, outcome));
    }
    run.cluster.stop().await?;
    terminal.line("");
    Ok(ArmReport { steps })
}
