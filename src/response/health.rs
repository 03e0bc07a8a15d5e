//! The health and status documents of a service's sessions: JSON, format version 1.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::not_ready::{NotReady, NotReadyKind};
use crate::keyring::skew::reading::ClockOffset;
use crate::response::respond::json;
use crate::sessions::handle::Sessions;

/// Members are only added within one version.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<R, V> {
    version: u32,
    /// The version of this crate.
    crate_version: &'static str,
    /// This replica's clock, when it answers.
    time: Timestamp,
    ready: bool,
    reasons: Vec<String>,
    #[serde(flatten)]
    own: State<R, V>,
    /// The other issuers whose sessions are accepted.
    issuers: Vec<Issuer<R, V>>,
}

#[derive(Serialize)]
struct Issuer<R, V> {
    ready: bool,
    #[serde(flatten)]
    state: State<R, V>,
}

#[derive(Serialize)]
struct State<R, V> {
    /// The `iss` of the tokens, as an operator needs it to revoke a user's sessions.
    issuer: String,
    /// That name and all others that are accepted.
    accepted_issuers: Vec<String>,
    audiences: Vec<String>,
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
    let document = document(sessions, |sessions| {
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
        State::new(sessions, ring, revocations)
    });
    let status = if document.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &document)
}

/// Everything, always 200.
pub(crate) fn status<C>(sessions: &Sessions<C>) -> Response<Bytes> {
    let document = document(sessions, |sessions| {
        let revocations = sessions.revocations().map(|revocations| revocations.status());
        State::new(sessions, sessions.keys().status(), revocations)
    });
    json(StatusCode::OK, &document)
}

impl<R, V> State<R, V> {
    fn new<C>(sessions: &Sessions<C>, ring: R, revocations: Option<V>) -> Self {
        let policy = &sessions.0.policy;
        Self {
            issuer: policy.issuers.first.to_string(),
            accepted_issuers: policy.issuers.all().collect(),
            audiences: policy.audiences.all().map(str::to_owned).collect(),
            ring,
            revocations,
        }
    }
}

fn document<C, R, V>(
    sessions: &Sessions<C>,
    state: impl Fn(&Sessions<C>) -> State<R, V>,
) -> Document<R, V> {
    let mut reasons = Vec::new();
    let mut is_other_ready = false;
    let issuers = sessions.0.others.iter().map(|other| {
        let of_other: Vec<_> = unready(other).collect();
        let ready = of_other.is_empty();
        is_other_ready |= ready;
        // All replicas lose a followed issuer's keys at once: the others' requests still succeed.
        let counts = |reason: &NotReady| match reason.kind() {
            NotReadyKind::Stale => false,
            NotReadyKind::NoKeysYet => !other.0.ready_without_keys,
            _ => true,
        };
        reasons.extend(of_other.into_iter().filter(counts));
        Issuer { ready, state: state(other) }
    });
    let issuers = issuers.collect();
    let spares_keys = is_other_ready && sessions.0.ready_without_keys;
    let is_spared = |reason: &NotReady| {
        spares_keys && matches!(reason.kind(), NotReadyKind::NoKeysYet | NotReadyKind::Stale)
    };
    let of_keys = sessions.keys().ready().err().filter(|reason| !is_spared(reason));
    let own = of_keys.into_iter().chain(revocations_unready(sessions));
    let reasons: Vec<_> = own.chain(reasons).collect();
    Document {
        version: VERSION,
        crate_version: env!("CARGO_PKG_VERSION"),
        time: sessions.now(),
        ready: reasons.is_empty(),
        reasons: reasons.iter().map(NotReady::to_string).collect(),
        own: state(sessions),
        issuers,
    }
}

/// Why the keys and the revocations of one issuer's sessions are not ready.
fn unready<C>(sessions: &Sessions<C>) -> impl Iterator<Item = NotReady> {
    sessions.keys().ready().err().into_iter().chain(revocations_unready(sessions))
}

fn revocations_unready<C>(sessions: &Sessions<C>) -> Option<NotReady> {
    sessions.revocations().and_then(|revocations| revocations.ready().err())
}
