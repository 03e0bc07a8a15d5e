//! `keys rotate`, `keys revoke` and `keys replace-all`: says what will happen, asks, writes the marks,
//! and waits until live replicas have reacted.

use std::fmt;

use clap::Args;
use serde::Serialize;
use tower_jwt_session::{
    KeyStatus, OperationError, RingChange, RingChangeKind, RingRecords, Timestamp,
};

use crate::commands::keys::status::{REFUSED, paused};
use crate::commands::keys::target::{Target, TargetOptions};
use crate::failure::Failure;
use crate::store::opened::Access;
use crate::terminal::Terminal;
use crate::time::{When, words};

/// The options of `keys rotate`.
#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    wait: WaitOptions,
}

/// The options of `keys revoke`.
#[derive(Args)]
pub(crate) struct Revoke {
    /// The key's ID: `kid` in the header of its tokens, and in `keys status`.
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    key_id: String,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    wait: WaitOptions,
}

/// The options of `keys replace-all`.
#[derive(Args)]
pub(crate) struct ReplaceAll {
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    wait: WaitOptions,
}

#[derive(Args)]
struct WaitOptions {
    /// Does not wait until a live replica has made the next key.
    #[arg(long)]
    no_wait: bool,
}

impl Rotate {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        change(&self.target, &self.wait, terminal, RingRecords::plan_rotation).await
    }
}

impl Revoke {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let plan = |records: &RingRecords| records.plan_revocation(&self.key_id);
        change(&self.target, &self.wait, terminal, plan).await
    }
}

impl ReplaceAll {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        change(&self.target, &self.wait, terminal, RingRecords::plan_replacement).await
    }
}

/// What was done.
#[derive(Serialize)]
struct Report {
    store: String,
    ring: String,
    #[serde(flatten)]
    change: RingChange,
    /// The key that signs now.
    signs_now: Option<String>,
    /// The key that a live replica has made since; `None` if none was awaited, or none came.
    new_key: Option<KeyStatus>,
    /// Whether no live replica has made a key, though one was awaited.
    no_replica_reacted: bool,
    read_at: Timestamp,
}

async fn change(
    target: &TargetOptions,
    wait: &WaitOptions,
    terminal: &Terminal,
    plan: impl Fn(&RingRecords) -> Result<RingChange, OperationError>,
) -> Result<(), Failure> {
    let target = target.open(Access::Write, terminal).await?;
    let records = target.read(terminal).await?;
    target.check(&records)?;
    let planned = plan(&records).map_err(|error| {
        let error = Failure::from(error);
        Failure::failed(format!("{error}; nothing was written"))
    })?;
    for warning in target.warnings(&records) {
        terminal.say(format_args!("warning: {warning}"));
    }
    if planned.key_ids.is_empty() {
        let (ring, address) = (&target.ring, &target.address);
        terminal.say(format_args!("ring {ring} in {address}: written already, nothing to do"));
    } else {
        terminal.confirm(Plan { change: &planned, target: &target, now: records.read_at }).await?;
    }
    // The answer may have taken a while: what has come by now is no reaction.
    let records = target.read(terminal).await?;
    let note = |key_id: &str| terminal.wrote(mark(&planned.kind, key_id));
    let applying = target.operator.apply(&planned, note);
    let mut change = terminal.progress("writing", applying).await?;
    // As it is now, with the marks that were there before.
    let after = target.read(terminal).await?;
    is_read_back(&change, &after)?;
    if let Ok(now) = plan(&after) {
        change.signer = now.signer;
    }
    let awaits = !wait.no_wait && !change.key_ids.is_empty() && change.makes_key;
    let (mut new_key, mut now) = (None, after);
    if awaits {
        let limit = records.replica_lead().max(LEAST_WAIT);
        let text = format!("waiting up to {} for a key of a live replica", words(limit));
        let new = target.operator.new_key(&records, limit);
        new_key = terminal.progress(&text, new).await?.map(|key| key.status);
        now = target.read(terminal).await?;
        if change.signer.is_none() {
            change.signer = now.next_signer.clone();
            change.issuing_paused = now.issuing_paused;
        }
    }
    terminal.show(&Report {
        store: target.address.to_string(),
        ring: target.ring,
        no_replica_reacted: awaits && new_key.is_none(),
        new_key,
        change,
        signs_now: now.signing_key_id,
        read_at: now.read_at,
    })
}

/// A store behind a cache may show it later; all others at once.
fn is_read_back(change: &RingChange, records: &RingRecords) -> Result<(), Failure> {
    let is_marked = |key_id: &&String| {
        let Some(key) = records.key(key_id) else { return true };
        let is_revoked = key.status.state == tower_jwt_session::KeyState::Revoked;
        is_revoked || key.status.retire_at.is_some()
    };
    match change.key_ids.iter().find(|key_id| !is_marked(key_id)) {
        None => Ok(()),
        Some(key_id) => Err(Failure::failed(format!(
            "the mark of {key_id} was written, and a read of the store does not show it: repeat the \
             command, and run `store check`"
        ))),
    }
}

fn mark(kind: &RingChangeKind, key_id: &str) -> String {
    match kind {
        RingChangeKind::Rotate => format!("retirement of {key_id}"),
        _ => format!("revocation of {key_id}"),
    }
}

const LEAST_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What will happen.
struct Plan<'a> {
    change: &'a RingChange,
    target: &'a Target,
    now: Timestamp,
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { change, target, now } = self;
        writeln!(f, "ring {} in {}", target.ring, target.address)?;
        let keys = change.key_ids.join(", ");
        match &change.kind {
            RingChangeKind::Rotate => writeln!(
                f,
                "will retire {keys}: no new token is signed with it, its tokens stay valid, nobody is logged out"
            )?,
            RingChangeKind::Revoke(_) => writeln!(
                f,
                "will revoke {keys}: its tokens are refused, users who hold one log in again; other sessions stay \
                 valid, also those that were renewed from a token of it and are signed by a later key \
                 (`replace-all` ends them)"
            )?,
            _ => writeln!(
                f,
                "will revoke every key, {keys}: all tokens are refused, all users log in again; a live \
                 replica makes new keys"
            )?,
        }
        signer(f, change, *now)?;
        known_by(f, change, *now)
    }
}

/// Which key signs, and whether issuing pauses.
fn signer(f: &mut fmt::Formatter<'_>, change: &RingChange, now: Timestamp) -> fmt::Result {
    if let Some(pause) = &change.issuing_paused {
        writeln!(f, "{}", paused(pause, now))?;
    }
    match &change.signer {
        Some(signer) if signer.from > now => {
            writeln!(f, "signs then: {} from {}", signer.key_id, When { at: signer.from, now })
        }
        Some(signer) => writeln!(f, "signs then: {}", signer.key_id),
        None => writeln!(f, "signs then: a key that a live replica has to make first"),
    }
}

/// When the change has effect.
fn known_by(f: &mut fmt::Formatter<'_>, change: &RingChange, now: Timestamp) -> fmt::Result {
    let known_by = When { at: change.known_by, now };
    match &change.kind {
        RingChangeKind::Rotate => writeln!(f, "every replica knows by {known_by}"),
        _ => writeln!(f, "refused {REFUSED}\na key that is made now may sign from {known_by}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks: Vec<_> =
            self.change.key_ids.iter().map(|key_id| mark(&self.change.kind, key_id)).collect();
        if marks.is_empty() {
            writeln!(f, "written before")?;
        } else {
            writeln!(f, "written and read back: {}", marks.join("; "))?;
        }
        if let Some(key_id) = &self.signs_now {
            writeln!(f, "signs now: {key_id}")?;
        }
        let then = self.change.signer.as_ref().map(|signer| &signer.key_id);
        if self.signs_now.is_none()
            || then.is_some_and(|then| self.signs_now.as_ref() != Some(then))
        {
            signer(f, &self.change, self.read_at)?;
        }
        known_by(f, &self.change, self.read_at)?;
        if let Some(key) = &self.new_key {
            writeln!(f, "a live replica made {}, generation {}", key.key_id, key.generation)?;
        }
        if self.no_replica_reacted {
            writeln!(
                f,
                "no live replica made a key in that time: none seems to run, or none can write the \
                 store; the next one to start makes it"
            )?;
        }
        Ok(())
    }
}
