//! How long a replica needs until it holds what a store has, and how long its other tasks wait meanwhile.
//!
//! It starts on a runtime of one thread, beside a task that wakes each millisecond. How much later than that
//! it wakes is compared with a run that only sleeps. The median of five starts counts. Beside it is the
//! processor time between two wakes: what the task waits for where no other program has the processor.

use std::time::{Duration, Instant};

use benches::measure::median;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower_jwt_session::Revocations;

use crate::counted::Counted;
use crate::engine::{Engine, Kind, NAME, fill};
use crate::figures::{Figure, Figures, percentile};
use crate::processes::thread_time;
use crate::settings::Settings;

const PART: &str = "start";
const STARTS: usize = 5;

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    for kind in [Kind::Redis, Kind::Postgres, Kind::Files] {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let count = settings.revoked;
        let [time, stall, busy] = runtime.block_on(measure(kind, count));
        let limit = if kind == Kind::Files { 5.0 } else { 3.0 };
        let named = |what: &str| format!("{kind}, {count} revoked sessions, {what}");
        figures.add(Figure::new(PART, named("until open"), time, "s").limit(limit));
        let what = named("stall of the executor, 99.9th percentile less an idle run's");
        figures.add(Figure::new(PART, what, stall, "ms").limit(5.0));
        let what = named("processor time between two wakes, 99.9th percentile");
        figures.add(Figure::new(PART, what, busy, "ms").limit(5.0));
    }
}

async fn measure(kind: Kind, count: usize) -> [f64; 3] {
    let engine = Engine::start(kind).await;
    fill(&*engine.door().store().await, count).await;
    let (mut times, mut stalls, mut stretches) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let store = engine.door().store().await;
        let start = Instant::now();
        let open = async {
            let builder = Revocations::builder(NAME).store(Counted::new(store)).found_now();
            builder.open().await.expect("opens")
        };
        let (opened, [late, busy]) = lateness(open).await;
        times.push(start.elapsed().as_secs_f64());
        assert_eq!(opened.status().sessions, count);
        let ((), [idle, _]) = lateness(sleep(start.elapsed())).await;
        stalls.push(percentile(&late, 0.999) - percentile(&idle, 0.999));
        stretches.push(percentile(&busy, 0.999));
    }
    [times, stalls, stretches].map(|values| median(values.into_iter()))
}

/// The milliseconds by which a task that wakes each millisecond is late, until the work is done; and those of
/// the processor between two wakes.
async fn lateness<T>(work: impl Future<Output = T>) -> (T, [Vec<f64>; 2]) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let ticking = tokio::spawn(async move {
        let [mut late, mut busy] = [Vec::new(), Vec::new()];
        loop {
            let (start, worked) = (Instant::now(), thread_time());
            tokio::select! {
                _ = &mut stopped => return [late, busy],
                () = sleep(TICK) => {}
            }
            late.push(start.elapsed().saturating_sub(TICK).as_secs_f64() * 1e3);
            busy.push((thread_time() - worked).as_secs_f64() * 1e3);
        }
    });
    let done = work.await;
    drop(stop);
    (done, ticking.await.expect("ticks"))
}

const TICK: Duration = Duration::from_millis(1);
