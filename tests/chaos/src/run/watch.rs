//! What a monitoring sees: readiness, status, metrics and log of each replica, several times a second.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::run::ask::{Answer, page};
use crate::run::load::Load;
use crate::run::signs::{self, Signs};
use crate::setup::cluster::client;
use crate::setup::replica::Peer;

const EVERY: Duration = Duration::from_millis(250);
/// A balancer waits no longer for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a replica said of itself last.
#[derive(Clone, Default)]
pub(crate) struct Health {
    /// When it was asked.
    pub(crate) asked: Option<Instant>,
    /// Whether it is ready, reads and writes.
    pub(crate) well: bool,
    /// Its keys.
    pub(crate) fingerprint: String,
    /// All that it said.
    pub(crate) words: String,
}

/// The findings of the watch.
#[derive(Default)]
pub(crate) struct Watch {
    findings: Mutex<Findings>,
}

#[derive(Default)]
struct Findings {
    signs: Signs,
    health: Vec<Health>,
    asked: u64,
    unready: u64,
}

impl Watch {
    /// Starts to watch; it ends when the set is dropped.
    pub(crate) fn start(self: &Arc<Self>, load: &Arc<Load>) -> JoinSet<()> {
        self.findings().health = vec![Health::default(); load.peers.len()];
        let mut tasks = JoinSet::new();
        for peer in &load.peers {
            tasks.spawn(Arc::clone(self).observe(Arc::clone(load), Arc::clone(peer)));
        }
        tasks
    }

    fn findings(&self) -> std::sync::MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signs that were seen.
    pub(crate) fn signs(&self) -> Signs {
        self.findings().signs.clone()
    }

    /// What the replicas said last.
    pub(crate) fn health(&self) -> Vec<Health> {
        self.findings().health.clone()
    }

    /// How many readiness answers there were, and how many were not 200.
    pub(crate) fn readiness(&self) -> (u64, u64) {
        let findings = self.findings();
        (findings.asked, findings.unready)
    }

    async fn observe(self: Arc<Self>, load: Arc<Load>, peer: Arc<Peer>) {
        let client = client(TIMEOUT);
        let mut before = Before::default();
        let mut read = std::fs::metadata(&peer.log).map_or(0, |log| log.len());
        loop {
            let asked = Instant::now();
            let ready = page(&client, &peer.url, "/health/ready").await;
            peer.put_in_rotation(ready.is_good());
            self.note_readiness(&peer, asked, &ready);
            let status = page(&client, &peer.url, "/health/status").await;
            let metrics = page(&client, &peer.url, "/metrics").await;
            let lines = new_lines(&peer.log, &mut read);
            let since = load.timeline.since_begin().map(|since| since.as_secs_f64());
            self.note_signs(&mut before, since, &status, &metrics, &lines);
            sleep(EVERY.saturating_sub(asked.elapsed())).await;
        }
    }

    fn note_readiness(&self, peer: &Peer, asked: Instant, ready: &Answer) {
        let mut findings = self.findings();
        findings.asked += 1;
        findings.unready += u64::from(!ready.is_good());
        let (words, body) = match ready {
            Answer::Status(_, body) => (ready.words(), serde_json::from_str(body).ok()),
            Answer::Unreachable(reason) => (reason.clone(), None),
        };
        let body: Value = body.unwrap_or_default();
        let works = |place: &str| body.pointer(place) == Some(&Value::Bool(true));
        let well = ready.is_good()
            && ["/ring", "/revocations"]
                .iter()
                .all(|it| works(&format!("{it}/reads_ok")) && works(&format!("{it}/writes_ok")));
        let fingerprint = body["ring"]["fingerprint"].as_str().unwrap_or_default().to_owned();
        findings.health[peer.index] = Health { asked: Some(asked), well, fingerprint, words };
    }

    fn note_signs(
        &self,
        before: &mut Before,
        since: Option<f64>,
        status: &Answer,
        metrics: &Answer,
        lines: &[String],
    ) {
        let status: Value = match status {
            Answer::Status(_, body) => serde_json::from_str(body).unwrap_or_default(),
            Answer::Unreachable(_) => Value::Null,
        };
        let fields = signs::of_status(&status);
        let metrics = match metrics {
            Answer::Status(_, text) => signs::of_metrics(text),
            Answer::Unreachable(_) => BTreeMap::new(),
        };
        let Some(since) = since else {
            before.fields.extend(fields.into_keys());
            before.metrics.extend(metrics);
            return;
        };
        let findings = &mut *self.findings();
        let signs = &mut findings.signs;
        for (field, words) in fields {
            if !before.fields.contains(&field) {
                signs.status.entry(field).or_insert(since);
                signs.words.insert(words);
            }
        }
        for metric in signs::worse(&metrics, &before.metrics) {
            signs.metric.entry(metric).or_insert(since);
        }
        for line in lines {
            if let Some(phrase) = signs::of_log(line) {
                signs.log.entry(phrase).or_insert(since);
                signs.words.insert(line.clone());
            }
        }
    }
}

/// What was there before the fault.
#[derive(Default)]
struct Before {
    fields: BTreeSet<String>,
    metrics: BTreeMap<String, f64>,
}

/// The whole lines that were written since the last call.
fn new_lines(log: &Path, read: &mut u64) -> Vec<String> {
    let Ok(mut file) = std::fs::File::open(log) else { return Vec::new() };
    let mut text = Vec::new();
    if file.seek(SeekFrom::Start(*read)).and_then(|_| file.read_to_end(&mut text)).is_err() {
        return Vec::new();
    }
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    *read += whole as u64;
    String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned).collect()
}
