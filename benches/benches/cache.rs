//! Validating a token that was verified before: one, many, and many that do not fit.

use std::cell::Cell;

use benches::{Fixture, accepts, with_cache};
use criterion::{Criterion, criterion_group, criterion_main};
use tower_jwt_session::Algorithm;
use tower_jwt_session::Sessions;

fn cache(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache");
    let fixture = Fixture::new(Algorithm::HS256);
    let tokens = fixture.tokens(10_000);
    let mut measure = |id: &str, sessions: &Sessions<_>, tokens: &[String]| {
        for token in tokens.iter().chain(tokens) {
            assert!(accepts(sessions, token));
        }
        let next = Cell::new(0);
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                next.set((next.get() + 7919) % tokens.len());
                assert!(accepts(sessions, &tokens[next.get()]));
            });
        });
    };
    measure("one-token", &fixture.cached, &tokens[..1]);
    measure("10000-tokens", &fixture.cached, &tokens);
    let small = with_cache(fixture.sessions.keys(), 1024 * 1024);
    measure("10000-tokens-in-a-tenth-of-the-room", &small, &tokens);
    measure("10000-tokens-without-a-cache", &fixture.sessions, &tokens);
}

criterion_group!(benches, cache);
criterion_main!(benches);
