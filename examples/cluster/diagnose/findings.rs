//! What an operator finds by looking: at the answers that users got, and at each replica's metrics, status,
//! log, and explanation of one token.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

use tower_jwt_session::{Clock as _, SystemClock, Timestamp};

use crate::{
    BoxError,
    processes::cluster::Cluster,
    users::client::{Client, Credentials},
};

/// One answer that a user got.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request.
    pub(crate) request: &'static str,
    /// Whether the browser sent a session cookie.
    pub(crate) with_cookie: bool,
    /// Who answered.
    pub(crate) replica: String,
    /// The status.
    pub(crate) status: u16,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Findings {
    /// The answers, in their order.
    pub(crate) answers: Vec<Seen>,
    /// How many requests each replica has refused, by the reason (`GET /metrics`).
    pub(crate) refusals: BTreeMap<String, BTreeMap<String, u64>>,
    /// The status of each replica (`GET /health/status`).
    pub(crate) statuses: BTreeMap<String, Value>,
    /// The lines of each replica's log about a request.
    pub(crate) log: Vec<(String, String)>,
    /// What a replica that refused the user's token says of it.
    pub(crate) explanation: Option<(String, Value)>,
}

impl Findings {
    /// Asks every replica of the cluster. The logs are in this directory; `token` is the user's.
    ///
    /// # Errors
    /// If a replica cannot be asked, or a log cannot be read.
    pub(crate) async fn gather(
        cluster: &Cluster<'_>,
        logs: &Path,
        answers: Vec<Seen>,
        token: Option<&str>,
    ) -> Result<Self, BoxError> {
        let mut findings = Self { answers, ..Self::default() };
        for replica in cluster.replicas() {
            let (name, client) = (replica.name.clone(), Client::new(&replica.url));
            let nobody = Credentials::Nobody;
            let metrics = client.get("/metrics", nobody).await?.text;
            findings.refusals.insert(name.clone(), refusals(&metrics));
            let status = client.get("/health/status", nobody).await?.json;
            findings.statuses.insert(name.clone(), status);
            let log = fs::read_to_string(logs.join(format!("{name}.log")))?;
            let lines = log.lines().filter(|line| line.contains("request")).map(event);
            findings.log.extend(lines.map(|line| (name.clone(), line)));
            let refused = findings.answers.iter().any(|it| it.replica == name && it.status == 401);
            if let (true, None, Some(token)) = (refused, &findings.explanation, token) {
                let body = Some(json!({ "token": token }));
                let explanation = client.post("/explain", nobody, body).await?.json;
                findings.explanation = Some((name, explanation));
            }
        }
        Ok(findings)
    }

    /// How often this reason was counted.
    pub(crate) fn count(&self, reason: &str) -> u64 {
        self.refusals.values().filter_map(|counts| counts.get(reason)).sum()
    }

    /// The fingerprint of each replica's keys.
    pub(crate) fn fingerprints(&self) -> BTreeMap<&str, &str> {
        let all = self.statuses.iter().map(|(name, status)| {
            (name.as_str(), status["ring"]["fingerprint"].as_str().unwrap_or_default())
        });
        all.collect()
    }

    /// The replicas whose last read of the store is in the future, and by how many seconds: their clock is
    /// ahead of this machine's.
    pub(crate) fn clocks(&self) -> Vec<(&str, f64)> {
        let now = SystemClock.now().as_unix_millis();
        let ahead = self.statuses.iter().filter_map(|(name, status)| {
            let read = Timestamp::deserialize(&status["ring"]["refreshed_at"]).ok()?;
            Some((name.as_str(), (read.as_unix_millis() - now) as f64 / 1000.0))
        });
        ahead.filter(|(_, seconds)| *seconds > 1.0).collect()
    }
}

/// The reasons in the text of `/metrics`, without those that were never counted.
fn refusals(metrics: &str) -> BTreeMap<String, u64> {
    let lines = metrics.lines().filter(|it| it.starts_with("tower_jwt_session_rejections_total{"));
    let counts = lines.filter_map(|line| {
        let (labels, count) = line.rsplit_once(' ')?;
        let (_, outcome) = labels.split_once("outcome=\"")?;
        let (outcome, _) = outcome.split_once('"')?;
        Some((outcome.to_owned(), count.parse().ok()?))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// A line of the log without its time, level and module.
fn event(line: &str) -> String {
    line.split_once(": ").map_or(line, |(_, event)| event).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_from_metrics_and_log() {
        let metrics = "# HELP tower_jwt_session_rejections_total Rejected requests, by outcome.\n\
            tower_jwt_session_rejections_total{ring=\"a\",outcome=\"expired\"} 0\n\
            tower_jwt_session_rejections_total{ring=\"a\",outcome=\"unknown_key\"} 4\n\
            tower_jwt_session_keys{ring=\"a\"} 2\n";
        assert_eq!(refusals(metrics), [("unknown_key".to_owned(), 4)].into());
        let line = "2026-11-30T14:35:20.298988Z DEBUG tower_jwt_session::response::respond: rejected \
                    a request reason=no credential";
        assert_eq!(event(line), "rejected a request reason=no credential");
    }
}
