//! Issuing a token, beside the bare primitive and `jsonwebtoken`.

use std::hint::black_box;

use benches::{Fixture, ISSUING};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn issue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("issue");
    for algorithm in ISSUING {
        let fixture = Fixture::new(algorithm);
        let (name, length) = (fixture.name, fixture.token.len());
        group.bench_function(BenchmarkId::new(name, "ours"), |bencher| {
            bencher.iter(|| assert!(fixture.issues()));
        });
        let (signed, signature) = fixture.signed();
        group.bench_function(BenchmarkId::new(name, "raw"), |bencher| {
            bencher.iter(|| assert_eq!(fixture.raw.sign(black_box(signed)), signature.len()));
        });
        group.bench_function(BenchmarkId::new(name, "jsonwebtoken"), |bencher| {
            bencher.iter(|| assert_eq!(fixture.jwt.issue().len(), length));
        });
    }
}

criterion_group!(benches, issue);
criterion_main!(benches);
