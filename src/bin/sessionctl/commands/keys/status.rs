//! `keys status`: the keys of a ring as the store holds them.

use std::fmt;

use clap::Args;
use serde::Serialize;
use tower_jwt_session::{KeySeal, KeyState, RingRecords};

use crate::commands::keys::target::TargetOptions;
use crate::failure::Failure;
use crate::store::opened::Access;
use crate::terminal::Terminal;
use crate::time::When;

/// The options of `keys status`.
#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    target: TargetOptions,
}

/// What it prints.
#[derive(Serialize)]
struct Report {
    store: String,
    #[serde(flatten)]
    records: RingRecords,
    authenticated: bool,
    warnings: Vec<String>,
}

impl Status {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let target = self.target.open(Access::Read, terminal).await?;
        let records = target.read(terminal).await?;
        target.check(&records)?;
        terminal.show(&Report {
            store: target.address.to_string(),
            authenticated: records.are_authenticated(),
            warnings: target.warnings(&records),
            records,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = &self.records;
        let (now, next) = (records.read_at, records.next_signer.as_ref());
        writeln!(f, "ring {} in {}, read at {now}", records.ring, self.store)?;
        for key in &records.keys {
            let status = &key.status;
            let (times, at) = (&status.times, |at| When { at, now });
            write!(
                f,
                "{:>4}  {:<6} {:<10}",
                status.generation,
                status.algorithm,
                state(status.state)
            )?;
            write!(f, " {:<9} {}", seal(key.seal), status.key_id)?;
            match status.state {
                // What will happen: a revocation or a retirement comes before the record's own time.
                KeyState::Signing => {
                    let next = next.map_or(times.signs_until, |next| next.from);
                    let until = times.signs_until.min(next);
                    write!(f, "\n      signs until {}", at(until))?;
                    match times.signs_from <= now {
                        true => write!(f, ", since {}", at(times.signs_from))?,
                        // Since when is not recorded.
                        false => write!(f, ", since its predecessor ended early")?,
                    }
                }
                KeyState::Published => {
                    let next = next.filter(|next| next.key_id == status.key_id);
                    let from = next.map_or(times.signs_from, |next| next.from);
                    write!(f, "\n      signs from {}", at(from))?;
                }
                KeyState::Verifying => {
                    write!(f, "\n      verifies until {}", at(times.verifies_until))?;
                }
                KeyState::Revoked => {
                    write!(f, "\n      in the store until {}", at(times.verifies_until))?;
                }
                _ => {}
            }
            if let Some(retired) = status.retire_at {
                write!(f, ", retired for {}", at(retired))?;
            }
            writeln!(f)?;
        }
        if let Some(pause) = &records.issuing_paused {
            writeln!(f, "{}", paused(pause, now))?;
        }
        match &records.next_signer {
            Some(next) => {
                writeln!(f, "signs next: {} from {}", next.key_id, When { at: next.from, now })?;
            }
            None => {
                writeln!(f, "signs next: no key of the store; a live replica makes the next one")?
            }
        }
        let lead = crate::time::words(records.replica_lead());
        writeln!(f, "a new key signs {lead} after it was made, or later (replica lead)")?;
        writeln!(f, "a revoked key is refused {REFUSED}")?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// When replicas refuse the tokens of a revoked key.
pub(crate) const REFUSED: &str = "usually within a second, at the latest within the replicas' refresh bound (22.5 s \
                                  with default settings)";

/// A pause of issuing in words.
pub(crate) fn paused(
    pause: &tower_jwt_session::IssuingPaused,
    now: tower_jwt_session::Timestamp,
) -> String {
    let until = match pause.until {
        Some(at) => format!("until {}", When { at, now }),
        None => "until a live replica has made a key and every replica has it".to_owned(),
    };
    let reason = format!("{:?}", pause.reason).to_lowercase();
    format!("issuing is paused {until} ({reason}): logins, renewals and refreshes answer 503")
}

pub(crate) fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Published => "published",
        KeyState::Signing => "signing",
        KeyState::Verifying => "verifying",
        KeyState::Revoked => "revoked",
        _ => "gone",
    }
}

fn seal(seal: KeySeal) -> &'static str {
    match seal {
        KeySeal::Unsealed => "unsealed",
        KeySeal::Opened => "sealed",
        _ => "sealed?",
    }
}
