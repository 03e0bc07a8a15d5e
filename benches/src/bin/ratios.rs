//! Prints what a cold validation and an issue cost, as multiples of the bare primitive.
//!
//! With an algorithm's name as an argument, only that algorithm's. The paths take turns, some hundred times for a short while, and are compared within a turn; the
//! median over the turns is printed. So what else the machine does disturbs all paths alike, and
//! the figures of two machines can be laid side by side.

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{ALGORITHMS, Fixture, ISSUING};
use jsonwebtoken::Algorithm;

const ROUNDS: usize = 301;
const TURN: Duration = Duration::from_micros(500);

/// Does its work once, and says whether the result was right.
type Path<'a> = (&'static str, Box<dyn Fn() -> bool + 'a>);

fn main() {
    let only = std::env::args().nth(1);
    let wanted =
        |algorithm: &Algorithm| only.as_ref().is_none_or(|only| *only == format!("{algorithm:?}"));
    println!("| path | median | of raw |\n|---|--:|--:|");
    for algorithm in ALGORITHMS.into_iter().filter(wanted) {
        let fixture = Fixture::new(algorithm);
        let (signed, signature) = fixture.signed();
        let token = &*fixture.token;
        let paths: [Path<'_>; 4] = [
            ("raw", Box::new(|| fixture.raw.verifies(black_box(signed), &signature))),
            ("ours", Box::new(|| fixture.validates(black_box(token)))),
            ("ours-unit-claims", Box::new(|| fixture.validates_unit(black_box(token)))),
            ("jsonwebtoken", Box::new(|| fixture.jwt.validates(black_box(token)))),
        ];
        compare("validate", fixture.name, &paths);
    }
    for algorithm in ISSUING.into_iter().filter(wanted) {
        let fixture = Fixture::new(algorithm);
        let (signed, _) = fixture.signed();
        let length = fixture.token.len();
        let paths: [Path<'_>; 3] = [
            ("raw", Box::new(|| fixture.raw.sign(black_box(signed)) > 0)),
            ("ours", Box::new(|| fixture.issues())),
            ("jsonwebtoken", Box::new(|| fixture.jwt.issue().len() == length)),
        ];
        compare("issue", fixture.name, &paths);
    }
}

/// Measures the paths in turn; the first is the baseline.
fn compare(operation: &str, algorithm: &str, paths: &[Path<'_>]) {
    let iterations = iterations(&paths[0].1);
    let rounds: Vec<Vec<f64>> = (0..ROUNDS)
        .map(|_| paths.iter().map(|(_, path)| nanoseconds(path, iterations)).collect())
        .collect();
    for (place, (name, _)) in paths.iter().enumerate() {
        let nanoseconds = median(rounds.iter().map(|round| round[place]));
        let ratio = median(rounds.iter().map(|round| round[place] / round[0]));
        println!("| {operation}/{algorithm}/{name} | {nanoseconds:.0} ns | {ratio:.2} |");
    }
}

/// How often `path` goes into a turn; this warms it up, too.
fn iterations(path: &dyn Fn() -> bool) -> u32 {
    let start = Instant::now();
    let mut iterations = 0;
    while start.elapsed() < 20 * TURN {
        assert!(path());
        iterations += 1;
    }
    (iterations / 20).max(3)
}

/// What one of `iterations` takes.
fn nanoseconds(path: &dyn Fn() -> bool, iterations: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..iterations {
        assert!(path());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(iterations)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
