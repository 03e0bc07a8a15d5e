//! What revoked sessions take in memory, and what one more costs.
//!
//! The memory is counted at the allocator, of the thread that alone does all, without what the allocator
//! itself adds. The time of one more is that of a whole refresh which brings one session. Its longest is
//! the thread's processor time, so that the times in which another thread has the processor do not count.

use std::time::Instant;

use allocation_counter::measure;
use tokio::runtime::{Builder, Runtime};
use tower_jwt_session::Revocations;

use crate::fed::Fed;
use crate::figures::{Figure, Figures, mean, percentile};
use crate::processes::thread_time;
use crate::settings::Settings;

const PART: &str = "memory";
/// From so many sessions on the memory while growing is limited: fewer take no megabytes.
const FEW: usize = 100_000;
/// How many are added between two looks at the memory.
const STEP: usize = 10_000;
/// How many are added one by one.
const SINGLES: usize = 20_000;

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fed = Fed::default();
    let mut replica = None;
    let mut held = measure(|| replica = Some(runtime.block_on(open(&fed)))).bytes_current;
    let replica = replica.expect("opened");
    for count in [settings.revoked, settings.most_revoked] {
        let named = |what: &str| format!("{what} with {count} revoked sessions");
        let (mut most, mut peak) = (0.0_f64, 0);
        while replica.status().sessions < count {
            fed.add(STEP.min(count - replica.status().sessions));
            let grown = measure(|| refresh(&runtime, &replica));
            peak = peak.max(held + grown.bytes_max as i64);
            held += grown.bytes_current;
            let sessions = replica.status().sessions;
            if sessions >= FEW {
                most = most.max(held as f64 / sessions as f64);
            }
        }
        let each = |bytes: i64| bytes as f64 / count as f64;
        let bytes = |what: &str, found| Figure::new(PART, named(what), found, "B");
        figures.add(bytes("bytes per session", each(held)).firm_limit(48.0));
        figures.add(bytes("bytes per session, most while growing", most).firm_limit(64.0));
        figures
            .add(bytes("bytes per session, peak with the pages read", each(peak)).firm_limit(64.0));
        figures.add(bytes(
            "bytes per session by the status",
            replica.status().bytes as f64 / count as f64,
        ));
        one_more(&runtime, &replica, &fed, count, figures);
    }
}

fn one_more(
    runtime: &Runtime,
    replica: &Revocations,
    fed: &Fed,
    count: usize,
    figures: &mut Figures,
) {
    let times = |more: usize| {
        let time = |_| {
            fed.add(more);
            let (start, worked) = (Instant::now(), thread_time());
            refresh(runtime, replica);
            [thread_time() - worked, start.elapsed()].map(|time| time.as_secs_f64() * 1e6)
        };
        let times: Vec<_> = (0..SINGLES).map(time).collect();
        [0, 1].map(|clock| times.iter().map(|times| times[clock]).collect::<Vec<_>>())
    };
    let ([none, _], [one, by_wall]) = (times(0), times(1));
    let time = |what: &str, found: f64, unit| {
        Figure::new(PART, format!("one more with {count} revoked sessions, {what}"), found, unit)
    };
    let own = mean(&one) - mean(&none);
    figures.add(time("mean, less a refresh that finds none", own, "µs").limit(10.0));
    figures.add(time("mean of the whole refresh", mean(&one), "µs"));
    figures
        .add(time("longest refresh, processor time", percentile(&one, 1.0) / 1e3, "ms").limit(1.0));
    figures.add(time("longest refresh, wall time", percentile(&by_wall, 1.0) / 1e3, "ms"));
}

async fn open(fed: &Fed) -> Revocations {
    Revocations::builder("bench").store(fed.clone()).open().await.expect("good settings")
}

fn refresh(runtime: &Runtime, replica: &Revocations) {
    runtime.block_on(replica.refresh()).expect("the store does not fail");
}
