//! The health and status documents of a service's sessions: JSON, format version 1.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::keyring::skew::reading::ClockOffset;
use crate::response::respond::json;
use crate::sessions::handle::Sessions;

/// Members are only added within one version.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<R, V> {
    version: u32,
    ready: bool,
    reasons: Vec<String>,
    ring: R,
    revocations: Option<V>,
}

/// The values that a balancer compares between replicas.
#[derive(Serialize)]
struct Ring {
    name: String,
    fingerprint: String,
    generation: Option<u64>,
    clock_offset: Option<ClockOffset>,
    reads_ok: bool,
    writes_ok: bool,
}

#[derive(Serialize)]
struct Revocations {
    name: String,
    sessions: usize,
    subjects: usize,
    reads_ok: bool,
    writes_ok: bool,
}

/// The answer of a process that runs.
pub(crate) fn live() -> Response<Bytes> {
    #[derive(Serialize)]
    struct Live {
        version: u32,
        live: bool,
    }
    json(StatusCode::OK, &Live { version: VERSION, live: true })
}

/// 200 if the replica should get requests, else 503.
pub(crate) fn ready<C>(sessions: &Sessions<C>) -> Response<Bytes> {
    let ring = sessions.keys().status();
    let ring = Ring {
        name: ring.ring,
        fingerprint: ring.fingerprint,
        generation: ring.generation,
        clock_offset: ring.clock_offset,
        reads_ok: ring.failure.is_none(),
        writes_ok: ring.write_failure.is_none(),
    };
    let revocations = sessions.revocations().map(|revocations| {
        let status = revocations.status();
        Revocations {
            name: status.name,
            sessions: status.sessions,
            subjects: status.subjects,
            reads_ok: status.failure.is_none(),
            writes_ok: status.write_failure.is_none(),
        }
    });
    let document = document(sessions, ring, revocations);
    let status = if document.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &document)
}

/// Everything, always 200.
pub(crate) fn status<C>(sessions: &Sessions<C>) -> Response<Bytes> {
    let revocations = sessions.revocations().map(|revocations| revocations.status());
    json(StatusCode::OK, &document(sessions, sessions.keys().status(), revocations))
}

fn document<C, R, V>(sessions: &Sessions<C>, ring: R, revocations: Option<V>) -> Document<R, V> {
    let of_keys = sessions.keys().ready().err().map(|reason| reason.to_string());
    let of_revocations = sessions.revocations().and_then(|revocations| revocations.ready().err());
    let of_revocations = of_revocations.map(|reason| reason.to_string());
    let reasons: Vec<_> = of_keys.into_iter().chain(of_revocations).collect();
    Document { version: VERSION, ready: reasons.is_empty(), reasons, ring, revocations }
}
