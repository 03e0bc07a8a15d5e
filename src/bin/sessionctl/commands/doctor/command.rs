//! `doctor`: the production checklist, asked of the replicas' status routes. It only reads.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::commands::doctor::fetch::{self, Fetcher};
use crate::commands::doctor::line::{Line, Outcome};
use crate::commands::doctor::status::Replica;
use crate::commands::doctor::{edge, replicas};
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::time;

/// The options of `doctor`.
#[derive(Args)]
pub(crate) struct Doctor {
    /// The address of each replica's status routes, such as http://10.0.0.5:9000: of the replicas themselves,
    /// not of a balancer.
    #[arg(value_name = "URL", required = true)]
    replicas: Vec<String>,
    /// The URL of the JWKS, as other services fetch it.
    #[arg(long, value_name = "URL")]
    jwks: Option<String>,
    /// The service's address as users reach it: status and metrics must not be there.
    #[arg(long, value_name = "URL")]
    public: Option<String>,
    /// The service's clock_skew.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = time::duration)]
    clock_skew: Duration,
    /// The longest time for one answer.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = time::duration)]
    timeout: Duration,
    /// Warnings count as failures.
    #[arg(long)]
    strict: bool,
}

/// The whole checklist.
#[derive(Serialize)]
struct Report {
    ok: bool,
    failed: usize,
    warnings: usize,
    lines: Vec<Line>,
}

impl Doctor {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let fetcher = Fetcher::new(self.timeout)?;
        let mut urls = Vec::new();
        for url in &self.replicas {
            let url = fetch::base(url)?;
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        let jwks = self.jwks.as_deref().map(fetch::url).transpose()?;
        let public = self.public.as_deref().map(fetch::base).transpose()?;
        let asking = async {
            let replicas = Replica::ask_all(&fetcher, urls).await;
            let mut lines = replicas::check(&replicas, self.clock_skew);
            lines.push(edge::jwks(&fetcher, jwks.as_deref(), &replicas).await);
            lines.extend(edge::public(&fetcher, public.as_deref()).await);
            lines
        };
        let lines = terminal.progress("asking the replicas", asking).await;
        let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
        let (failed, warnings) = (count(Outcome::Failed), count(Outcome::Warning));
        let ok = failed == 0 && !(self.strict && warnings > 0);
        let all = lines.len();
        terminal.show(&Report { ok, failed, warnings, lines })?;
        match ok {
            true => Ok(()),
            false => Err(Failure::failed(format!(
                "{failed} of {all} checks failed, {warnings} with a warning"
            ))),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
