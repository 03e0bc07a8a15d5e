//! How long a replica needs until it holds what a store has, and how long its other tasks wait meanwhile.
//!
//! It starts on a runtime of one thread, beside a task that wakes each millisecond. How much later than that
//! it wakes is compared with a run that only sleeps. The median of five starts counts.

use std::time::{Duration, Instant};

use benches::measure::median;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower_jwt_session::Revocations;

use crate::counted::Counted;
use crate::engine::{Engine, Kind, NAME, fill};
use crate::figures::{Figure, Figures, percentile};
use crate::settings::Settings;

const PART: &str = "start";
const STARTS: usize = 5;

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    for kind in [Kind::Redis, Kind::Postgres, Kind::Files] {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let count = settings.revoked;
        let [time, stall] = runtime.block_on(measure(kind, count));
        let limit = if kind == Kind::Files { 5.0 } else { 3.0 };
        let named = |what: &str| format!("{kind}, {count} revoked sessions, {what}");
        figures.add(Figure::new(PART, named("until open"), time, "s").limit(limit));
        let what = named("stall of the executor, 99.9th percentile less an idle run's");
        figures.add(Figure::new(PART, what, stall, "ms").limit(5.0));
    }
}

async fn measure(kind: Kind, count: usize) -> [f64; 2] {
    let engine = Engine::start(kind).await;
    fill(&*engine.door().store().await, count).await;
    let (mut times, mut stalls) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let store = engine.door().store().await;
        let start = Instant::now();
        let open = async {
            let builder = Revocations::builder(NAME).store(Counted::new(store)).found_now();
            builder.open().await.expect("opens")
        };
        let (opened, busy) = lateness(open).await;
        times.push(start.elapsed().as_secs_f64());
        assert_eq!(opened.status().sessions, count);
        let ((), idle) = lateness(sleep(start.elapsed())).await;
        stalls.push(percentile(&busy, 0.999) - percentile(&idle, 0.999));
    }
    [median(times.into_iter()), median(stalls.into_iter())]
}

/// The milliseconds by which a task that wakes each millisecond is late, until the work is done.
async fn lateness<T>(work: impl Future<Output = T>) -> (T, Vec<f64>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let ticking = tokio::spawn(async move {
        let mut late = Vec::new();
        loop {
            let start = Instant::now();
            tokio::select! {
                _ = &mut stopped => return late,
                () = sleep(TICK) => {}
            }
            late.push(start.elapsed().saturating_sub(TICK).as_secs_f64() * 1e3);
        }
    });
    let done = work.await;
    drop(stop);
    (done, ticking.await.expect("ticks"))
}

const TICK: Duration = Duration::from_millis(1);
