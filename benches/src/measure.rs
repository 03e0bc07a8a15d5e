//! Measures paths in turn, so that what else the machine does disturbs all alike.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Does its work so many times, and says how long that took.
pub type Path<'a> = Box<dyn Fn(u32) -> Duration + 'a>;

/// A path of one thread. Each time the result has to be right.
pub fn path<'a>(work: impl Fn() -> bool + 'a) -> Path<'a> {
    Box::new(move |times| time(times, &work))
}

/// A path that two threads take at once, until the slower one is through.
pub fn two_threads<'a>(work: impl Fn() -> bool + Sync + 'a) -> Path<'a> {
    Box::new(move |times| {
        let start = Barrier::new(2);
        let run = || {
            start.wait();
            time(times, &work)
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(run);
            run().max(other.join().expect("the results are right"))
        })
    })
}

fn time(times: u32, work: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        assert!(black_box(work()));
    }
    start.elapsed()
}

const ROUNDS: usize = 41;
const TURN: Duration = Duration::from_micros(500);

/// The time of one pass in nanoseconds: of the subject and of the reference, and their ratio. The
/// two take turns; medians over the rounds, the ratio's over those within a round.
pub fn compare(subject: &Path<'_>, reference: &Path<'_>) -> Comparison {
    let (of_subject, of_reference) = (times_of(subject), times_of(reference));
    let nanoseconds =
        |path: &Path<'_>, times: u32| path(times).as_secs_f64() * 1e9 / f64::from(times);
    let rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|_| [nanoseconds(subject, of_subject), nanoseconds(reference, of_reference)])
        .collect();
    Comparison {
        subject: median(rounds.iter().map(|[subject, _]| *subject)),
        reference: median(rounds.iter().map(|[_, reference]| *reference)),
        ratio: median(rounds.iter().map(|[subject, reference]| subject / reference)),
    }
}

/// The result of [`compare`].
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Nanoseconds of one pass.
    pub subject: f64,
    /// Nanoseconds of one pass of the reference.
    pub reference: f64,
    /// The subject's of the reference's.
    pub ratio: f64,
}

/// How often a path goes into a turn; this warms it up, too.
fn times_of(path: &Path<'_>) -> u32 {
    let mut times = 1;
    loop {
        let taken = path(times);
        if taken >= TURN {
            return (f64::from(times) * TURN.as_secs_f64() / taken.as_secs_f64()).ceil() as u32;
        }
        times *= 2;
    }
}

/// The value in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
