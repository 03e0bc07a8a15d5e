//! What a replica counts of itself: `GET /figures`, for the parent. It is not meant for the public: a
//! real service shows such numbers on a port that only its operators reach.

use axum::{Json, Router, routing::get};
use serde::{Deserialize, Serialize};

/// The answer of `GET /figures`. The counts begin with the process.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// How many sessions this process holds in its memory, its own and copies.
    pub(crate) sessions: usize,
    /// How many bytes it has sent to other replicas.
    pub(crate) bytes_sent: u64,
    /// How many bytes it has received from other replicas.
    pub(crate) bytes_received: u64,
    /// How many round trips to a store requests have waited for; none if that is not counted. The arm
    /// `stateless` does not count them: `GET /me` makes none, and what a login, a logout and a
    /// refresh wait for is inside the crate.
    pub(crate) store_round_trips: Option<u64>,
    /// How much physical memory the process has, in bytes; none where the system does not say so.
    pub(crate) memory_bytes: Option<u64>,
}

/// The route; `read` reads what the arm counts, the memory is added here.
pub(crate) fn route(read: impl Fn() -> Figures + Clone + Send + Sync + 'static) -> Router {
    let answer = move || {
        let figures = Figures { memory_bytes: memory_bytes(), ..read() };
        std::future::ready(Json(figures))
    };
    Router::new().route("/figures", get(answer))
}

/// The resident set of this process. Linux states it in kilobytes, whatever the size of its pages.
fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_of_tests_has_megabytes() {
        let memory = memory_bytes().expect("Linux says so");
        assert!((1 << 20..1 << 34).contains(&memory), "{memory}");
    }

    #[test]
    fn the_parent_reads_what_a_replica_writes() {
        let figures = Figures { sessions: 3, bytes_sent: 9, ..Figures::default() };
        let text = serde_json::to_string(&figures).expect("numbers");
        assert_eq!(serde_json::from_str::<Figures>(&text).expect("the same numbers"), figures);
    }
}
