//! Ending sessions on every replica: handles on one store, each with a clock of its own that is
//! moved by hand.

mod altered;
mod answers;
mod ending;
mod following;
mod founding;
mod hints;
mod hostile;
mod loss;
mod others;
mod pace;
mod panics;
mod races;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod reload;
mod renamed;
mod restoring;
mod retention;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod routes;
mod settings;
mod staleness;
mod writes;

use std::time::Duration;

use tower_jwt_session::store::RevocationStore;
use tower_jwt_session::testing::{ManualClock, fixed_ring};
use tower_jwt_session::{
    Clock as _, KeyRing, Login, NotReady, NotReadyKind, RejectionKind, Revocations,
    RevocationsBuilder, Session, Sessions, Timestamp,
};

use crate::support::replicas::{START, seconds};
use crate::support::{PLACE, SMALL_CACHE};
use crate::token::answer;

/// The largest difference between two clocks: the default.
const SKEW: Duration = Duration::from_secs(60);
/// How long a revocation is kept: the default stale limit, the ring's longest token lifetime, and four
/// skews.
const RETENTION: Duration = Duration::from_secs((24 + 24) * 60 * 60 + 4 * 60);

/// How much later than a cutoff a login may be that it ends, where the login did not know of it.
const SLACK: Duration = Duration::from_secs(600);

/// Revocations that are read when a test says so: the background waits for longer than any runs.
fn builder(store: impl RevocationStore, clock: &ManualClock) -> RevocationsBuilder {
    let builder = Revocations::builder("app").store(store).clock(clock.clone());
    builder.refresh_interval(seconds(60))
}

/// One replica: its clock, its revocations, its sessions. All have the same key.
struct Replica {
    clock: ManualClock,
    revocations: Revocations,
    sessions: Sessions<()>,
}

impl Replica {
    async fn open(store: impl RevocationStore) -> Self {
        Self::open_at(store, START).await
    }

    async fn open_at(store: impl RevocationStore, now: Timestamp) -> Self {
        let clock = ManualClock::new(now);
        Self::of(builder(store, &clock), clock).await
    }

    async fn of(builder: RevocationsBuilder, clock: ManualClock) -> Self {
        let revocations = builder.open().await.unwrap();
        let ring = fixed_ring(clock.clone());
        let sessions = Sessions::builder(ring, "https://app.example", "app");
        let sessions = sessions.token_cache_bytes(SMALL_CACHE);
        let sessions = sessions.revocations(revocations.clone()).build().unwrap();
        Self { clock, revocations, sessions }
    }

    fn login(&self, subject: &str) -> String {
        self.sessions.issue(&Login::new(subject, ())).unwrap().as_str().to_owned()
    }

    fn session(&self, token: &str) -> Session<()> {
        self.sessions.validate(token).unwrap()
    }

    fn judge(&self, token: &str) -> Result<(), RejectionKind> {
        answer(&self.sessions, token).map(|_| ()).map_err(|rejection| rejection.kind())
    }

    async fn logout(&self, token: &str) {
        self.sessions.logout(&self.session(token)).await.unwrap();
    }

    async fn refresh(&self) {
        self.revocations.refresh().await.unwrap();
    }

    /// How many revocations are held: of sessions, of subjects, of all.
    fn counts(&self) -> [usize; 3] {
        let status = self.revocations.status();
        [status.sessions, status.subjects, usize::from(status.logins_before.is_some())]
    }
}

/// It is not ready, because it last read the store at that time.
#[track_caller]
fn assert_stale(unready: &NotReady, refreshed_at: Timestamp, limit: Duration) {
    assert_eq!(unready.kind(), NotReadyKind::Stale);
    let expected = [format!("refreshed at {refreshed_at}"), format!("max_staleness ({limit:?})")];
    assert!(expected.iter().all(|it| unready.to_string().contains(it)), "{unready}");
}

/// Lets time pass for all.
fn pass(replicas: &[&Replica], duration: Duration) {
    for replica in replicas {
        replica.clock.advance(duration);
    }
}
