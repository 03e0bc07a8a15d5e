//! Validating a token with many revocations, and recording one more.

use std::hint::black_box;

use benches::{User, sessions_with_ended, with_cache};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::runtime::Builder;
use tower_jwt_session::Algorithm;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{KeyRing, Login, Sessions};

const ENDED: [usize; 3] = [0, 1_000, 100_000];

/// How many sessions are looked up in turn, so that it is not always the same place in memory.
const SESSIONS: usize = 1_000;

fn revocations(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("revocations");
    let mut validate = |variant: &str, sessions: &Sessions<User>| {
        let login = |number| Login::new(format!("subject-{number}"), User::reference());
        let issue = |number| sessions.issue(&login(number)).expect("a private key");
        let tokens: Vec<_> = (0..SESSIONS).map(issue).collect();
        let mut tokens = tokens.iter().cycle();
        group.bench_function(BenchmarkId::new("validate", variant), |bencher| {
            bencher.iter(|| {
                let token = tokens.next().expect("there is always a next");
                assert!(sessions.validate(black_box(token.as_str())).is_ok());
            });
        });
    };
    validate("none", &with_cache(&ring(), 0));
    let mut full = None;
    for count in ENDED {
        let sessions = runtime.block_on(sessions_with_ended(ring(), count));
        validate(&count.to_string(), &sessions);
        full = Some(sessions).filter(|_| count == 100_000).or(full);
    }
    let Some(sessions) = full else { return };
    let mut number = 0;
    group.bench_function(BenchmarkId::new("end", "100000"), |bencher| {
        bencher.to_async(&runtime).iter(|| {
            number += 1;
            let (sessions, session_id) = (sessions.clone(), format!("further-{number}"));
            async move { assert!(sessions.revoke_session(&session_id).await.is_ok()) }
        });
    });
}

fn ring() -> KeyRing {
    KeyRing::fixed([fixed_key(Algorithm::HS256)]).build().expect("one good key")
}

criterion_group!(benches, revocations);
criterion_main!(benches);
