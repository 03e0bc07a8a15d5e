//! `store check`: what a store can do, what it holds, and whether it is fit.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;
use tower_jwt_session::store::{
    Entry, EntryName, FeedRead, Insertion, RevocationStore, SealingNeed, Store,
};
use tower_jwt_session::{ClockOffset, KeySeal, RingRecords, Timestamp};

use crate::commands::keys::status::state;
use crate::commands::keys::target::{Target, TargetOptions};
use crate::failure::Failure;
use crate::store::address::Address;
use crate::store::opened::{Access, Opened};
use crate::terminal::Terminal;

/// The commands about stores.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Reads and writes a probe entry, and shows what the store can do, how fast it answers, and how
    /// much it holds. Exit status 1 if a ring cannot use it.
    Check(Check),
}

/// The options of `store check`.
#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    target: TargetOptions,
    /// The name of the revocations, as the service gives it to `Revocations::builder`. Otherwise the
    /// ring's.
    #[arg(long, value_name = "NAME")]
    revocations: Option<String>,
}

impl Command {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(terminal).await,
        }
    }
}

/// What was found.
#[derive(Serialize)]
struct Report {
    store: String,
    ring: String,
    /// Why it is not fit; empty if it is.
    problems: Vec<String>,
    warnings: Vec<String>,
    /// Whether replicas are notified of changes, or only poll.
    notifies: bool,
    staleness_seconds: f64,
    /// Whether private keys have to be sealed there.
    sealing: &'static str,
    clock_offset: Option<ClockOffset>,
    /// Mode and owner of a directory.
    permissions: Option<String>,
    reads: Latency,
    /// None if the store takes no writes.
    writes: Option<Latency>,
    keys: Vec<(&'static str, usize)>,
    sealed_keys: usize,
    /// When the newest key was made.
    newest_key: Option<Timestamp>,
    waiting_replicas: usize,
    revoked_sessions: usize,
    /// Subjects that were logged out everywhere, or whose claims are stale, and the cutoff for all.
    registers: usize,
}

/// Times of several operations, in milliseconds.
#[derive(Serialize)]
struct Latency {
    min_ms: f64,
    median_ms: f64,
    max_ms: f64,
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let millis = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        let last = times.len().saturating_sub(1);
        Self { min_ms: millis(0), median_ms: millis(last / 2), max_ms: millis(last) }
    }
}

impl Check {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let target = self.target.open(Access::Write, terminal).await?;
        let name = self.revocations.as_deref().unwrap_or(&target.ring);
        // As `Revocations` names it.
        let feed = format!("{name}.ended");
        let checking = check(&target, &feed);
        let report = terminal.progress("reading and writing", checking).await?;
        terminal.show(&report)?;
        match report.problems.len() {
            0 => Ok(()),
            count => Err(Failure::failed(format!("{} is not fit: {count} problems", report.store))),
        }
    }
}

async fn check(target: &Target, feed: &str) -> Result<Report, Failure> {
    let Target { store, ring, .. } = target;
    let mut reads = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        store.load(ring).await?;
        reads.push(began.elapsed());
    }
    let records = target.operator.read().await?;
    let mut problems = Vec::new();
    let writes = match write(store, ring).await {
        Ok(times) => Some(Latency::of(times)),
        Err(error) => {
            problems.push(format!("it takes no writes: {error}"));
            None
        }
    };
    let (mut revoked_sessions, mut registers) = (0, 0);
    match count(store, feed).await {
        Ok(counts) => (revoked_sessions, registers) = counts,
        Err(error) => problems.push(format!("revocations {feed} cannot be read: {error}")),
    }
    problems.extend(faults(&records));
    let properties = store.properties();
    let mut warnings = target.warnings(&records);
    let count = |seal| records.keys.iter().filter(|key| key.seal == seal).count();
    let unsealed = count(KeySeal::Unsealed);
    if properties.sealing_need == SealingNeed::Required && unsealed > 0 {
        warnings.push(format!(
            "{unsealed} private keys are unsealed, and others can read this store: seal them with \
             `KeyRingBuilder::seal_with`"
        ));
    }
    Ok(Report {
        store: target.address.to_string(),
        ring: ring.clone(),
        problems,
        warnings,
        notifies: properties.notifies,
        staleness_seconds: properties.staleness.as_secs_f64(),
        sealing: match properties.sealing_need {
            SealingNeed::Required => "required",
            SealingNeed::Advised => "advised",
            _ => "not applicable",
        },
        clock_offset: records.clock_offset,
        permissions: match &target.address {
            Address::Directory(path) => permissions(path),
            _ => None,
        },
        reads: Latency::of(reads),
        writes,
        keys: keys_by_state(&records),
        sealed_keys: records.keys.len() - unsealed,
        newest_key: records.keys.iter().map(|key| key.status.times.published).max(),
        waiting_replicas: records.waiting_replicas,
        revoked_sessions,
        registers,
    })
}

/// Inserts and removes probe entries, of which replicas take no notice.
async fn write(store: &Opened, ring: &str) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    for time in 0..TIMES {
        let name = EntryName::parse(format!("probe-sessionctl-{}-{time}", std::process::id()));
        let name = name.ok_or_else(|| Failure::failed("no name of a probe"))?;
        let entry = Entry::new(name, b"{\"version\":1}".to_vec());
        let began = Instant::now();
        let inserted = store.insert(ring, &entry).await?;
        times.push(began.elapsed());
        store.remove(ring, &entry.name).await?;
        if let Insertion::Unreadable(reason) = inserted {
            return Err(Failure::failed(format!("{}: {reason}", entry.name)));
        }
    }
    Ok(times)
}

/// How many sessions and registers are in a feed.
async fn count(store: &Opened, feed: &str) -> Result<(usize, usize), Failure> {
    let (mut sessions, mut registers, mut cursor) = (0, std::collections::BTreeSet::new(), None);
    loop {
        let FeedRead::Page(page) = store.read_feed(feed, cursor.as_ref()).await? else {
            return Err(Failure::failed("it changed too much meanwhile: repeat the command"));
        };
        sessions += page.sessions.len();
        registers.extend(page.registers.iter().map(|(id, _)| *id));
        if !page.has_more {
            return Ok((sessions, registers.len()));
        }
        cursor = Some(page.cursor);
    }
}

/// What keeps a ring from using the store.
fn faults(records: &RingRecords) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(version) = records.newer_format {
        faults.push(format!("it holds entries of format {version}, newer than this version reads"));
    }
    let unreadable = records.skipped.iter();
    faults.extend(unreadable.map(|skipped| format!("an entry cannot be read: {skipped}")));
    if let Some(offset) = records.clock_offset {
        let least = offset.offset_ms.unsigned_abs().saturating_sub(offset.uncertainty_ms);
        if least > MOST_OFFSET_MS {
            faults.push(format!(
                "its clock and this machine's differ by {} ms: expected at most {MOST_OFFSET_MS}; set \
                 the wrong one right",
                offset.offset_ms.unsigned_abs()
            ));
        }
    }
    faults
}

fn keys_by_state(records: &RingRecords) -> Vec<(&'static str, usize)> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for key in &records.keys {
        let state = state(key.status.state);
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    counts
}

#[cfg(unix)]
fn permissions(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    let (mode, user, group) = (found.mode() & 0o7777, found.uid(), found.gid());
    Some(format!("mode {mode:04o}, user {user}, group {group}"))
}

#[cfg(not(unix))]
fn permissions(_path: &Path) -> Option<String> {
    None
}

const TIMES: usize = 9;
/// Half of the default `clock_skew`, beyond which replicas warn.
const MOST_OFFSET_MS: u64 = 30_000;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store        {}, ring {}", self.store, self.ring)?;
        let notifies = if self.notifies { "reported within about a second" } else { "polled" };
        writeln!(f, "changes      {notifies}, staleness {} s", self.staleness_seconds)?;
        writeln!(f, "sealing      {}, {} keys are sealed", self.sealing, self.sealed_keys)?;
        match self.clock_offset {
            Some(offset) => {
                let ClockOffset { offset_ms, uncertainty_ms, .. } = offset;
                writeln!(
                    f,
                    "clock        this machine's is {offset_ms} ms ahead, ± {uncertainty_ms}"
                )?;
            }
            None => writeln!(f, "clock        the store has none")?,
        }
        if let Some(permissions) = &self.permissions {
            writeln!(f, "permissions  {permissions}")?;
        }
        writeln!(f, "reads        {}", self.reads)?;
        match &self.writes {
            Some(writes) => writeln!(f, "writes       {writes}")?,
            None => writeln!(f, "writes       failed")?,
        }
        let keys: Vec<_> =
            self.keys.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
        write!(f, "keys         {keys}")?;
        if let Some(newest) = self.newest_key {
            write!(f, ", the newest made at {newest}")?;
        }
        writeln!(f)?;
        writeln!(f, "revocations  {} sessions, {} cutoffs", self.revoked_sessions, self.registers)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min_ms, median_ms, max_ms } = self;
        write!(f, "min {min_ms:.1} ms, median {median_ms:.1} ms, max {max_ms:.1} ms")
    }
}
