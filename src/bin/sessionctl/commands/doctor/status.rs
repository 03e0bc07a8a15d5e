//! A replica's answers: the status document, as far as the checklist needs it.

use serde::Deserialize;
use tokio::task::JoinSet;
use tower_jwt_session::Timestamp;

use crate::commands::doctor::fetch::{Answer, Fetcher};

/// A replica, and what it answered.
pub(crate) struct Replica {
    pub(crate) url: String,
    /// The status document, or why there is none.
    pub(crate) status: Result<(Answer, Status), String>,
    /// The status code of `/health/ready`.
    pub(crate) ready: Result<u16, String>,
}

/// The document of `/health/status`, format 1. Members of later versions are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    version: u32,
    pub(crate) crate_version: Option<String>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) ready: bool,
    #[serde(default)]
    pub(crate) reasons: Vec<String>,
    #[serde(default)]
    pub(crate) accepted_issuers: Vec<String>,
    #[serde(default)]
    pub(crate) audiences: Vec<String>,
    pub(crate) ring: Ring,
    pub(crate) revocations: Option<Revocations>,
    #[serde(default)]
    pub(crate) issuers: Vec<Issuer>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Ring {
    pub(crate) ring: String,
    pub(crate) fingerprint: String,
    pub(crate) signing_key_id: Option<String>,
    #[serde(default)]
    pub(crate) keys: Vec<Key>,
    pub(crate) refreshed_at: Option<Timestamp>,
    pub(crate) failure: Option<String>,
    pub(crate) write_failure: Option<String>,
    pub(crate) sealed: Option<bool>,
    #[serde(default)]
    pub(crate) task_panics: u64,
    #[serde(default)]
    pub(crate) rotation_overdue: bool,
    pub(crate) issuing_paused: Option<Paused>,
    pub(crate) clock_offset: Option<Offset>,
    #[serde(default)]
    pub(crate) skipped: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) key_id: String,
    pub(crate) algorithm: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Paused {
    pub(crate) reason: String,
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Offset {
    pub(crate) offset_ms: i64,
    pub(crate) uncertainty_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Revocations {
    pub(crate) name: String,
    pub(crate) refreshed_at: Timestamp,
    #[serde(default)]
    pub(crate) refresh_bound_ms: u64,
    pub(crate) failure: Option<String>,
    pub(crate) write_failure: Option<String>,
    #[serde(default)]
    pub(crate) task_panics: u64,
    #[serde(default)]
    pub(crate) skipped: Vec<String>,
    pub(crate) newer_format: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Issuer {
    pub(crate) issuer: String,
    pub(crate) ready: bool,
    pub(crate) ring: Option<Ring>,
}

impl Replica {
    /// Asks all replicas at the same time; they are in the order of their URLs.
    pub(crate) async fn ask_all(fetcher: &Fetcher, urls: Vec<String>) -> Vec<Self> {
        let mut asking = JoinSet::new();
        for (place, url) in urls.into_iter().enumerate() {
            let fetcher = fetcher.clone();
            asking.spawn(async move { (place, Self::ask(&fetcher, url).await) });
        }
        let mut replicas = asking.join_all().await;
        replicas.sort_by_key(|(place, _)| *place);
        replicas.into_iter().map(|(_, replica)| replica).collect()
    }

    async fn ask(fetcher: &Fetcher, url: String) -> Self {
        let [status, ready] = ["status", "ready"].map(|route| format!("{url}/health/{route}"));
        let (status, ready) = tokio::join!(fetcher.get(&status), fetcher.get(&ready));
        let status = status.and_then(|answer| {
            let status = parse(&answer)?;
            Ok((answer, status))
        });
        Self { url, status, ready: ready.map(|answer| answer.status.as_u16()) }
    }

    /// The document, if there is one.
    pub(crate) fn document(&self) -> Option<&Status> {
        self.status.as_ref().ok().map(|(_, status)| status)
    }
}

fn parse(answer: &Answer) -> Result<Status, String> {
    if answer.status != 200 {
        return Err(format!("/health/status answered {}", answer.status));
    }
    let status: Status = serde_json::from_slice(&answer.body).map_err(|error| {
        format!("/health/status is not the document of `status_router`: {error}")
    })?;
    match status.version {
        1 => Ok(status),
        version => {
            Err(format!("/health/status has format {version}, this sessionctl reads format 1"))
        }
    }
}
