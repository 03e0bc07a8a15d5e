//! Logouts at a fleet of replicas over one store: how long they take, and how soon all replicas know; what
//! they cost the store and the network.
//!
//! A logout begins at its time, whether or not earlier ones have ended, at a random replica. Every tenth is
//! watched at all replicas, each 50 ms; at the end all are asked for all.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until};

use crate::counted::Counts;
use crate::engine::{Engine, Kind, SERVERS, until};
use crate::figures::{Figure, Figures, percentile};
use crate::fleet::Fleet;
use crate::forwarder::Forwarder;
use crate::settings::Settings;

/// Which of the logouts are watched at all replicas.
const WATCHED: usize = 10;
/// The default interval of polls.
const INTERVAL: Duration = Duration::from_secs(15);
/// Longer than the measurement of one logout alone.
const NEVER: Duration = Duration::from_secs(3600);

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    for kind in SERVERS {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let engine = Engine::start(kind).await;
            under_load(kind, &engine, Duration::ZERO, settings, figures).await;
            under_load(kind, &engine, FAR, settings, figures).await;
            alone(kind, &engine, settings, figures).await;
        });
    }
}

/// The time to a server that is far away, in each direction.
const FAR: Duration = Duration::from_millis(20);

async fn under_load(
    kind: Kind,
    engine: &Engine,
    delay: Duration,
    settings: &Settings,
    figures: &mut Figures,
) {
    let Settings { replicas, logouts, load_seconds, .. } = *settings;
    let part = if delay.is_zero() { "load" } else { "load, 20 ms each way" };
    let forwarder = Forwarder::to(engine.port(), delay).await;
    let fleet = Arc::new(Fleet::open(&engine.door_at(forwarder.port), replicas, INTERVAL).await);
    // The first writes need not wait: counts begin when those are over.
    let warm = logouts * 2;
    let all = logouts * load_seconds as usize;
    let tokens = fleet.tokens(warm + all);
    let look = || (Instant::now(), Snapshot::of(&fleet.counts), forwarder.bytes());
    let Outcome { times, failed, seen, looks: [before, after] } =
        log_out(&fleet, &tokens, warm, logouts, look).await;
    let seconds = (after.0 - before.0).as_secs_f64();
    let has_seen = async || tokens.iter().all(|token| fleet.accepting(token) == 0);
    let all_seen = until(fleet.bound(), has_seen).await;

    let named = |what: &str| format!("{kind}, {replicas} replicas, {logouts} logouts/s, {what}");
    let figure = |what: &str, found, unit| Figure::new(part, named(what), found, unit);
    let slowest = if delay.is_zero() { 250.0 } else { 500.0 };
    let (of_all, of_each) = (all as f64, replicas as f64);
    let per_second =
        |count: fn(&Snapshot) -> f64| (count(&after.1) - count(&before.1)) / of_each / seconds;
    figures.add(figure("p50", percentile(&times, 0.5), "ms"));
    figures.add(figure("p99", percentile(&times, 0.99), "ms").limit(slowest));
    figures.add(figure("longest", percentile(&times, 1.0), "ms"));
    figures.add(figure("failed", failed as f64, "").firm_limit(0.0));
    let unseen = tokens.iter().map(|token| fleet.accepting(token)).sum::<usize>();
    let unseen = if all_seen.is_some() { 0 } else { unseen };
    figures.add(figure("not seen within the bound", unseen as f64, "").firm_limit(0.0));
    figures.add(figure("p99 until a replica saw it", percentile(&seen, 0.99), "ms"));
    let bound = fleet.bound().as_secs_f64() * 1e3;
    let longest = percentile(&seen, 1.0);
    figures.add(figure("longest until a replica saw it", longest, "ms").firm_limit(bound));
    let writes = (after.1.writes - before.1.writes) / of_all;
    figures
        .add(figure("writes per logout", writes, "").firm_limit(writes_limit(replicas, logouts)));
    figures
        .add(figure("hints per replica and second", per_second(|it| it.hints), "").firm_limit(2.1));
    figures.add(figure("reads per replica and second", per_second(|it| it.reads), ""));
    let bytes = (after.2 - before.2) as f64 / of_each;
    figures.add(figure("bytes to a replica per logout", bytes / of_all, "B").firm_limit(200.0));
    figures.add(figure("bytes to a replica per second", bytes / seconds, "B"));
}

/// A write waits 200 ms for others once the first has come: with 15 logouts a second it has four. 0.2 would need
/// a longer wait than a logout may take. The rest is for other writes and for jitter.
fn writes_limit(replicas: usize, logouts: usize) -> f64 {
    let each = logouts as f64 / replicas as f64;
    (1.0 / (1.0 + 0.2 * each)).max(0.2) * 1.25
}

struct Snapshot {
    writes: f64,
    reads: f64,
    hints: f64,
}

impl Snapshot {
    fn of(counts: &Counts) -> Self {
        let [writes, reads, hints] = [&counts.writes, &counts.reads, &counts.hints].map(Counts::of);
        Self { writes, reads, hints }
    }
}

/// How the logouts went, in milliseconds.
pub(crate) struct Outcome<T> {
    times: Vec<f64>,
    failed: usize,
    /// From the end of a logout until a replica refused its token.
    seen: Vec<f64>,
    /// What was seen before the first that counts, and after the last.
    pub(crate) looks: [T; 2],
}

/// Ends the sessions of these tokens, so many a second. The first few do not count.
pub(crate) async fn log_out<T>(
    fleet: &Arc<Fleet>,
    tokens: &[String],
    warm: usize,
    per_second: usize,
    look: impl Fn() -> T,
) -> Outcome<T> {
    let (start, mut random, mut running) = (Instant::now(), 0x9e37_79b9_7f4a_7c15_u64, Vec::new());
    let mut before = None;
    for (number, token) in tokens.iter().enumerate() {
        let due = start + Duration::from_secs_f64(number as f64 / per_second as f64);
        sleep_until(due).await;
        if number == warm {
            before = Some(look());
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = random as usize % fleet.replicas.len();
        let (fleet, token) = (fleet.clone(), token.clone());
        running.push(tokio::spawn(async move {
            let session = fleet.replicas[at].validate(&token).expect("a good token");
            let ended = fleet.replicas[at].logout(&session).await;
            let done = Instant::now();
            if let Err(error) = ended {
                eprintln!("a logout failed: {error}");
                return None;
            }
            let is_watched = number % WATCHED == 0;
            let watch = async move { watch(&fleet, &token, done).await };
            Some(((done - due).as_secs_f64() * 1e3, is_watched.then(|| tokio::spawn(watch))))
        }));
    }
    let after = look();
    let looks = [before.expect("some count"), after];
    let mut outcome = Outcome { times: Vec::new(), failed: 0, seen: Vec::new(), looks };
    for logout in running.into_iter().skip(warm) {
        let Some((time, watching)) = logout.await.expect("does not panic") else {
            outcome.failed += 1;
            continue;
        };
        outcome.times.push(time);
        if let Some(watching) = watching {
            outcome.seen.extend(watching.await.expect("does not panic"));
        }
    }
    outcome
}

/// The milliseconds until each replica refuses the token; of one that does not, the time that was waited.
async fn watch(fleet: &Fleet, token: &str, done: Instant) -> Vec<f64> {
    let mut accepting: Vec<_> = fleet.replicas.iter().collect();
    let mut seen = Vec::new();
    loop {
        let before = accepting.len();
        let waited = done.elapsed();
        accepting.retain(|replica| replica.validate(token).is_ok());
        let now_seen = before - accepting.len();
        let is_over = waited > fleet.bound();
        let count = if is_over { before } else { now_seen };
        seen.extend(std::iter::repeat_n(waited.as_secs_f64() * 1e3, count));
        if is_over || accepting.is_empty() {
            return seen;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The bytes that one logout alone brings to each replica.
async fn alone(kind: Kind, engine: &Engine, settings: &Settings, figures: &mut Figures) {
    let forwarder = Forwarder::to(engine.port(), Duration::ZERO).await;
    let replicas = settings.replicas;
    // That of the logout is not behind the forwarder.
    let own = Fleet::open(&engine.door(), 1, NEVER).await;
    let others = Fleet::open(&engine.door_at(forwarder.port), replicas, NEVER).await;
    let tokens = own.tokens(if settings.is_quick { 1 } else { 5 });
    let mut found = Vec::new();
    for token in &tokens {
        // Nothing is in flight.
        sleep(Duration::from_secs(2)).await;
        let before = forwarder.bytes();
        let session = own.replicas[0].validate(token).expect("a good token");
        own.replicas[0].logout(&session).await.expect("is recorded");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(others.accepting(token), 0);
        found.push((forwarder.bytes() - before) as f64 / replicas as f64);
    }
    let most = percentile(&found, 1.0);
    let what = format!("{kind}, bytes to a replica for one logout alone");
    figures.add(Figure::new("load", what, most, "B").limit(600.0));
}
