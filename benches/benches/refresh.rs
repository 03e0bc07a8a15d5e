//! Validating while the ring is refreshed, from a store that answers at once, after 200 ms, or
//! never: the slowest validations too must take the same.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::measure::median;
use benches::{SUBJECT, accepts, with_cache};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tower_jwt_session::Algorithm;
use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, MemoryStore, Store, StoreFuture, StoreProperties,
};
use tower_jwt_session::{KeyRing, Login, RotationPolicy, Sessions};

/// The names of the stores, and their delays.
const STORES: [(&str, Duration); 3] = [
    ("at-once", Duration::ZERO),
    ("after-200ms", Duration::from_millis(200)),
    ("never", Duration::MAX),
];

fn refresh(criterion: &mut Criterion) {
    let replicas = STORES.map(|(name, delay)| Replica::new(name, delay));
    let mut group = criterion.benchmark_group("refresh");
    for replica in &replicas {
        group.bench_function(BenchmarkId::new("validate", replica.name), |bencher| {
            bencher.iter(|| assert!(replica.validates()));
        });
    }
    group.finish();
    compare_slowest(&replicas);
}

/// Compares the 99th percentiles, which stores take turns in, and fails where they differ by more
/// than a machine's other work explains. A validation that waits for a refresh would be slower a
/// hundred-thousandfold.
fn compare_slowest(replicas: &[Replica]) {
    let began = replicas.iter().map(Replica::begun).collect::<Vec<_>>();
    let rounds: Vec<Vec<f64>> =
        (0..ROUNDS).map(|_| replicas.iter().map(Replica::percentile_99).collect()).collect();
    println!("| store | p99 | of at-once | reads begun |\n|---|--:|--:|--:|");
    for (place, replica) in replicas.iter().enumerate() {
        let p99 = median(rounds.iter().map(|round| round[place]));
        let ratio = median(rounds.iter().map(|round| round[place] / round[0]));
        let reads = replica.begun() - began[place];
        println!("| {} | {p99:.0} ns | {ratio:.2} | {reads} |", replica.name);
        assert!(ratio < 2.0, "validation is slower where the store answers {}", replica.name);
        assert!(reads > 0, "the store was never read meanwhile");
    }
    let failure = |replica: &Replica| replica.sessions.keys().status().failure;
    assert_eq!(failure(&replicas[0]), None);
    assert_eq!(failure(&replicas[1]), None);
    assert!(failure(&replicas[2]).is_some_and(|failure| failure.contains("took longer")));
}

const ROUNDS: usize = 101;
const VALIDATIONS: usize = 3000;

/// A replica whose ring is refreshed all the time, by threads of its own.
struct Replica {
    name: &'static str,
    sessions: Sessions<()>,
    token: String,
    store: DelayedStore,
    _runtime: Runtime,
}

impl Replica {
    fn new(name: &'static str, delay: Duration) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let store = DelayedStore::default();
        let policy = RotationPolicy::new()
            .refresh_interval(Duration::from_millis(20))
            .refresh_timeout(Duration::from_millis(300));
        let ring = KeyRing::builder("bench").store(store.clone()).rotation(policy);
        let ring = runtime.block_on(ring.algorithm(Algorithm::HS256).open()).expect("opens");
        let sessions = with_cache::<()>(&ring, 0);
        let token = sessions.issue(&Login::new(SUBJECT, ())).expect("a key signs");
        let token = token.as_str().to_owned();
        // From now on, so that it opens.
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        store.delay.store(delay, Ordering::Relaxed);
        Self { name, sessions, token, store, _runtime: runtime }
    }

    fn validates(&self) -> bool {
        accepts(&self.sessions, black_box(&self.token))
    }

    /// How many reads of its store have begun.
    fn begun(&self) -> u64 {
        self.store.begun.load(Ordering::Relaxed)
    }

    /// The minimum time of the slowest hundredth of some validations, in nanoseconds.
    fn percentile_99(&self) -> f64 {
        let mut each: Vec<_> = (0..VALIDATIONS)
            .map(|_| {
                let start = Instant::now();
                assert!(self.validates());
                start.elapsed()
            })
            .collect();
        each.sort_unstable();
        each[VALIDATIONS * 99 / 100].as_secs_f64() * 1e9
    }
}

/// A store in memory that takes its time to be read.
#[derive(Clone, Debug, Default)]
struct DelayedStore {
    content: MemoryStore,
    /// In milliseconds.
    delay: Arc<AtomicU64>,
    begun: Arc<AtomicU64>,
}

impl Store for DelayedStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::Relaxed);
            match self.delay.load(Ordering::Relaxed) {
                0 => {}
                u64::MAX => std::future::pending().await,
                delay => tokio::time::sleep(Duration::from_millis(delay)).await,
            }
            self.content.load(ring).await
        })
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        self.content.insert(ring, entry)
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        self.content.remove(ring, name)
    }

    fn properties(&self) -> StoreProperties {
        self.content.properties()
    }
}

criterion_group!(benches, refresh);
criterion_main!(benches);
