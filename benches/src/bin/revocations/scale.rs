//! What ten thousand replicas ask of one store: by arithmetic, from what fleets of two sizes cost its server.
//!
//! A replica's reads and bytes do not depend on how many others there are, since each reads all logouts. The
//! server's processor time is the one of the smaller fleet, and that of each further replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::counted::Counts;
use crate::engine::{Engine, Kind, SERVERS};
use crate::figures::{Figure, Figures};
use crate::fleet::Fleet;
use crate::forwarder::Forwarder;
use crate::load::log_out;
use crate::processes::processor_time;
use crate::settings::Settings;

const PART: &str = "scale";
const REPLICAS: f64 = 10_000.0;
const LOGOUTS: usize = 100;
/// The sizes of the fleets.
const FLEETS: [usize; 2] = [10, 40];
const INTERVAL: Duration = Duration::from_secs(15);

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    let seconds = if settings.is_quick { 1 } else { 15 };
    for kind in SERVERS {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let [few, many] = FLEETS.map(|count| runtime.block_on(measure(kind, count, seconds)));
        let named = |what: &str| format!("{kind}, 10,000 replicas, {LOGOUTS} logouts/s: {what}");
        let figure = |what: &str, found, unit| Figure::new(PART, named(what), found, unit);
        figures.add(figure("reads of the feed per second", many.reads * REPLICAS, ""));
        figures.add(figure("from the store per second", many.bytes * REPLICAS / 1e6, "MB"));
        let [less, more] = FLEETS.map(|count| count as f64);
        let each = (many.processor - few.processor) / (more - less);
        figures.add(figure("the server's processor time for a replica's second", each * 1e6, "µs"));
        let all = few.processor + each * (REPLICAS - less);
        figures.add(figure("processors that the server needs", all, ""));
    }
}

/// What a fleet costs in a second: each replica, and the server.
struct Cost {
    reads: f64,
    bytes: f64,
    processor: f64,
}

async fn measure(kind: Kind, count: usize, seconds: usize) -> Cost {
    let engine = Engine::start(kind).await;
    let forwarder = Forwarder::to(engine.port(), Duration::ZERO).await;
    let fleet = Arc::new(Fleet::open(&engine.door_at(forwarder.port), count, INTERVAL).await);
    let tokens = fleet.tokens(LOGOUTS * (seconds + 1));
    let look = || {
        let (reads, bytes) = (Counts::of(&fleet.counts.reads), forwarder.bytes() as f64);
        (Instant::now(), [reads, bytes, processor_time(engine.port()).as_secs_f64()])
    };
    let [before, after] = log_out(&fleet, &tokens, LOGOUTS, LOGOUTS, look).await.looks;
    let taken = (after.0 - before.0).as_secs_f64();
    let [reads, bytes, processor] =
        [0, 1, 2].map(|place| (after.1[place] - before.1[place]) / taken);
    Cost { reads: reads / count as f64, bytes: bytes / count as f64, processor }
}
