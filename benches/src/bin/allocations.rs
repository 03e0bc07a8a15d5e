//! Prints how often a cold validation and an issue allocate, and how much.

use allocation_counter::{AllocationInfo, measure};
use benches::{ALGORITHMS, Fixture, ISSUING};

fn main() {
    println!("| path | allocations | bytes | most bytes at once |\n|---|--:|--:|--:|");
    for algorithm in ALGORITHMS {
        let fixture = Fixture::new(algorithm);
        let (name, token) = (fixture.name, &*fixture.token);
        row("validate", name, "ours", || fixture.validates(token));
        row("validate", name, "ours-unit-claims", || fixture.validates_unit(token));
        row("validate", name, "jsonwebtoken", || fixture.jwt.validates(token));
    }
    for algorithm in ISSUING {
        let fixture = Fixture::new(algorithm);
        let (name, length) = (fixture.name, fixture.token.len());
        row("issue", name, "ours", || fixture.issues());
        row("issue", name, "jsonwebtoken", || fixture.jwt.issue().len() == length);
    }
}

fn row(operation: &str, algorithm: &str, variant: &str, path: impl Fn() -> bool) {
    // What is made once is made here.
    assert!(path());
    let mut good = false;
    let AllocationInfo { count_total, bytes_total, bytes_max, .. } = measure(|| good = path());
    assert!(good);
    println!("| {operation}/{algorithm}/{variant} | {count_total} | {bytes_total} | {bytes_max} |");
}
