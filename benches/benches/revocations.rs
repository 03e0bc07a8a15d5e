//! Validating a token beside many sessions that were ended, and ending one more.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jsonwebtoken::Algorithm;
use tokio::runtime::Builder;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{IssueSession, KeyRing, Revocations, Sessions};

const ENDED: [usize; 3] = [0, 1_000, 100_000];

/// How many sessions are looked up in turn, so that it is not always the same place in memory.
const SESSIONS: usize = 1_000;

fn revocations(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("revocations");
    let mut validate = |variant: &str, sessions: &Sessions<()>| {
        let login = |number| IssueSession::new(format!("subject-{number}"), ());
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
    validate("none", &sessions(None));
    let mut full = None;
    for count in ENDED {
        let sessions = runtime.block_on(with_ended(count));
        validate(&count.to_string(), &sessions);
        full = Some(sessions).filter(|_| count == 100_000).or(full);
    }
    let Some(sessions) = full else { return };
    let mut number = 0;
    group.bench_function(BenchmarkId::new("end", "100000"), |bencher| {
        bencher.to_async(&runtime).iter(|| {
            number += 1;
            let (sessions, session_id) = (sessions.clone(), format!("further-{number}"));
            async move { assert!(sessions.end_session(&session_id).await.is_ok()) }
        });
    });
}

fn sessions(revocations: Option<Revocations>) -> Sessions<()> {
    let ring = KeyRing::fixed([fixed_key(Algorithm::HS256)]).expect("one good key");
    let mut builder = Sessions::builder(ring, "https://id.test", "shop");
    if let Some(revocations) = revocations {
        builder = builder.revocations(revocations);
    }
    builder.build().expect("good settings")
}

/// Sessions that know of so many that were ended, and half as many subjects.
async fn with_ended(count: usize) -> Sessions<()> {
    let revocations = Revocations::builder("bench").store(MemoryStore::new()).open().await;
    let sessions = Arc::new(sessions(Some(revocations.expect("opens"))));
    let end = |number| {
        let sessions = sessions.clone();
        tokio::spawn(async move {
            match number % 2 {
                0 => sessions.end_session(&format!("session-{number:014}")).await,
                _ => sessions.end_subject(&format!("else-{number:031}")).await,
            }
        })
    };
    // Not all at once: each has a limit to its time.
    for start in (0..count).step_by(1_000) {
        let endings: Vec<_> = (start..count.min(start + 1_000)).map(end).collect();
        for ending in endings {
            ending.await.expect("ends").expect("is recorded");
        }
    }
    let status = sessions.revocations().expect("are there").status();
    assert_eq!(status.sessions + status.subjects, count);
    Sessions::clone(&sessions)
}

criterion_group!(benches, revocations);
criterion_main!(benches);
