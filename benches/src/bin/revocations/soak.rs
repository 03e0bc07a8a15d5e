//! Login, validation and logout, again and again: it must not get slower, and what has ended must leave the
//! memory.
//!
//! Some hundred clients do it at once, since a logout waits for the next write of its replica. The revocations'
//! end is brought on by the clock, by which the replica counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{Algorithm, KeyRing, Login, Revocations, Sessions};

use crate::counted::Counted;
use crate::engine::{Engine, Kind, NAME, now};
use crate::figures::{Figure, Figures};
use crate::processes::resident;
use crate::settings::Settings;

const PART: &str = "soak";
const CLIENTS: usize = 400;
/// The first writes need not wait; cycles are counted after those.
const WARM: usize = 8 * CLIENTS;
/// Longer than revocations are kept.
const LONG: Duration = Duration::from_secs(4 * 24 * 3600);

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    for kind in [Kind::Redis, Kind::Postgres, Kind::Files] {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(soak(kind, settings.soak_cycles, figures));
    }
}

async fn soak(kind: Kind, cycles: usize, figures: &mut Figures) {
    let engine = Engine::start(kind).await;
    let clock = ManualClock::new(now());
    let store = Counted::new(engine.door().store().await);
    let builder = Revocations::builder(NAME).store(store).clock(clock.clone()).found_now();
    let revocations = builder.open().await.expect("opens");
    let ring = KeyRing::fixed([fixed_key(Algorithm::HS256)]).clock(clock.clone());
    let ring = ring.build().expect("one good key");
    let sessions = Sessions::<()>::builder(ring, "https://id.test", "shop");
    let sessions = sessions.revocations(revocations.clone()).build().expect("good settings");
    let empty = revocations.status().bytes as f64;
    cycle(&sessions, WARM).await;
    let tenth = cycles / 10;
    let (start, mut rates) = (Instant::now(), Vec::new());
    for _ in 0..10 {
        let start = Instant::now();
        cycle(&sessions, tenth).await;
        rates.push(tenth as f64 / start.elapsed().as_secs_f64());
    }
    let seconds = start.elapsed().as_secs_f64();
    let named = |what: &str| format!("{kind}, {cycles} cycles, {what}");
    let figure = |what: &str, found, unit| Figure::new(PART, named(what), found, unit);
    figures.add(figure("cycles per second", cycles as f64 / seconds, ""));
    figures.add(figure("first tenth's pace of the last's", rates[0] / rates[9], "").limit(1.1));
    let status = revocations.status();
    assert_eq!(status.sessions, WARM + 10 * tenth);
    let full = status.bytes as f64;
    figures.add(figure("resident memory", resident() / 1e6, "MB"));
    clock.advance(LONG);
    revocations.refresh().await.expect("reads");
    let status = revocations.status();
    figures
        .add(figure("sessions held after their end", status.sessions as f64, "").firm_limit(0.0));
    figures.add(figure("bytes held before", full, "B"));
    figures.add(
        figure("bytes held after, of those at first", status.bytes as f64 / empty, "")
            .firm_limit(1.1),
    );
}

/// So many cycles, by all clients together.
async fn cycle(sessions: &Sessions<()>, cycles: usize) {
    let left = Arc::new(AtomicUsize::new(cycles));
    let client = |number| {
        let (sessions, left) = (sessions.clone(), left.clone());
        tokio::spawn(async move {
            let login = Login::new(format!("client-{number}"), ());
            let take = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                let token = sessions.login(&login).await.expect("a private key");
                let session = sessions.validate(token.as_str()).expect("a good token");
                sessions.logout(&session).await.expect("is recorded");
                assert!(sessions.validate(token.as_str()).is_err(), "the session has ended");
            }
        })
    };
    for client in (0..CLIENTS).map(client).collect::<Vec<_>>() {
        client.await.expect("all is answered right");
    }
}
