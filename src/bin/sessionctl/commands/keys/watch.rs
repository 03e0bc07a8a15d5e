//! `keys watch`: prints what changes in a ring.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tower_jwt_session::{RingRecords, Timestamp};

use crate::commands::keys::status::{paused, state};
use crate::commands::keys::target::TargetOptions;
use crate::failure::Failure;
use crate::store::opened::Access;
use crate::terminal::Terminal;
use crate::time;

/// The options of `keys watch`.
#[derive(Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    target: TargetOptions,
    /// How often the store is read.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = time::duration)]
    interval: Duration,
}

/// One change.
#[derive(Serialize)]
struct Change {
    at: Timestamp,
    ring: String,
    change: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.at, self.change)
    }
}

impl Watch {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let target = self.target.open(Access::Read, terminal).await?;
        let mut before = BTreeMap::new();
        loop {
            let (at, facts) = match target.operator.read().await {
                Ok(records) => (records.read_at, facts(&records)),
                Err(error) => {
                    let mut facts = before.clone();
                    facts.insert("store".to_owned(), Failure::from(error).to_string());
                    (Timestamp::from(std::time::SystemTime::now()), facts)
                }
            };
            for (about, fact) in &facts {
                if before.get(about) != Some(fact) {
                    let (ring, change) = (target.ring.clone(), format!("{about}: {fact}"));
                    terminal.show(&Change { at, ring, change })?;
                }
            }
            for about in before.keys().filter(|about| !facts.contains_key(*about)) {
                let (ring, change) = (target.ring.clone(), format!("{about}: no more"));
                terminal.show(&Change { at, ring, change })?;
            }
            before = facts;
            tokio::time::sleep(self.interval.max(Duration::from_secs(1))).await;
        }
    }
}

/// What can change, by what it is about.
fn facts(records: &RingRecords) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for key in &records.keys {
        let status = &key.status;
        let retired = status.retire_at.map(|at| format!(", retired for {at}")).unwrap_or_default();
        let about = format!("key {} (generation {})", status.key_id, status.generation);
        facts.insert(about, format!("{}{retired}", state(status.state)));
    }
    let signer = records.signing_key_id.clone();
    facts.insert("signing key".to_owned(), signer.unwrap_or_else(|| "none".to_owned()));
    if let Some(pause) = &records.issuing_paused {
        facts.insert("issuing".to_owned(), paused(pause, records.read_at));
    }
    if records.waiting_replicas > 0 {
        facts.insert("waiting replicas".to_owned(), records.waiting_replicas.to_string());
    }
    for skipped in &records.skipped {
        facts.insert("unreadable".to_owned(), skipped.clone());
    }
    facts
}
