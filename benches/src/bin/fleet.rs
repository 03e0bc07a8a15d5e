//! Plays a fleet of replicas behind a round-robin balancer: how often a token is in the cache of the replica
//! that its request lands on, and what a validation costs on average. With `--write` it also writes
//! `fleet.md` and `fleet.svg`; with `--quick` it plays so few requests that its figures mean nothing.
//!
//! Every live session asks equally often, with exponential gaps, so that the next request is that of any live
//! session. A session makes 5 to 50 requests, then a new one takes its place. Of the fleet one replica is played:
//! each gets every n-th request, and all are alike.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use benches::report::{Line, plot};
use benches::{Fixture, User, accepts, with_cache};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tower_jwt_session::{Algorithm, CryptoBackend};

/// How many replicas a fleet has.
const FLEETS: [usize; 5] = [1, 3, 10, 100, 1_000];
/// How many sessions are live at once: about twice as many as a cache holds.
const LIVE: usize = 4_000;
/// Of a session, which makes 5 to 50.
const MEAN_REQUESTS: usize = 28;
const CACHE_BYTES: usize = 2 * 1024 * 1024;
/// How many requests of the one replica are measured, after as many that are not.
const MEASURED: usize = 10_000;
/// How many sessions have tokens of their own: more than a cache holds, so that it has forgotten one before
/// another session gets it.
const TOKENS: usize = 4 * LIVE;

fn main() {
    metrics::set_global_recorder(Hits).expect("the only recorder");
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let mut rows = Vec::new();
    for (name, fixture) in [
        ("HS256", Fixture::new(Algorithm::HS256)),
        ("Ed25519, own key, ring", Fixture::own(CryptoBackend::Ring)),
        ("Ed25519, own key, aws-lc-rs", Fixture::own(CryptoBackend::AwsLcRs)),
        ("Ed25519, public key, ring", Fixture::new(Algorithm::EdDSA)),
        ("ES256, ring", Fixture::new(Algorithm::ES256)),
        ("ES256, aws-lc-rs", Fixture::with_backend(Algorithm::ES256, CryptoBackend::AwsLcRs)),
        ("RS256, ring", Fixture::new(Algorithm::RS256)),
        ("RS256, aws-lc-rs", Fixture::with_backend(Algorithm::RS256, CryptoBackend::AwsLcRs)),
    ] {
        let mut tokens = Vec::new();
        let costs = FLEETS.map(|replicas| play(replicas, &mut tokens, &fixture, is_quick));
        eprintln!("{name}: {costs:?}");
        rows.push((name.to_owned(), costs));
        if let Some(peer) = peer(name) {
            let asked: Vec<_> = tokens.iter().take(1_000).collect();
            let start = Instant::now();
            assert!(asked.iter().all(|token| fixture.jwt.validates(token)));
            let microseconds = start.elapsed().as_secs_f64() * 1e6 / asked.len() as f64;
            rows.push((peer.to_owned(), FLEETS.map(|_| Cost { hits: 0.0, microseconds })));
        }
    }
    let table = table(&rows);
    println!("{table}");
    if std::env::args().any(|argument| argument == "--write") {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::write(directory.join("fleet.md"), table).expect("the table is written");
        std::fs::write(directory.join("fleet.svg"), plot(&lines(&rows), &FLEETS))
            .expect("the plot is written");
    }
}

/// The crate beside which a row stands.
fn peer(name: &str) -> Option<&'static str> {
    match name {
        "HS256" => Some("HS256, jsonwebtoken"),
        "Ed25519, public key, ring" => Some("Ed25519, jsonwebtoken"),
        "ES256, aws-lc-rs" => Some("ES256, jsonwebtoken"),
        "RS256, aws-lc-rs" => Some("RS256, jsonwebtoken"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
struct Cost {
    /// The share of requests whose token is in the cache.
    hits: f64,
    /// Of one validation, on average.
    microseconds: f64,
}

/// Plays the requests that one of so many replicas gets.
fn play(replicas: usize, tokens: &mut Vec<String>, fixture: &Fixture, is_quick: bool) -> Cost {
    let sessions = with_cache::<User>(fixture.sessions.keys(), CACHE_BYTES);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut fleet = Fleet::new(&mut random);
    let mut seen = HashMap::new();
    // The numbers of the tokens that come.
    let mut next = || {
        for _ in 1..replicas {
            fleet.request(&mut random);
        }
        let count = seen.len();
        seen.entry(fleet.request(&mut random)).or_insert(count).rem_euclid(TOKENS)
    };
    let measured = if is_quick { 100 } else { MEASURED };
    // Until the cache is as full as it gets, over several lives of a session.
    let lives = if is_quick { 0 } else { 3 * LIVE * MEAN_REQUESTS / replicas };
    let asked: Vec<usize> = (0..measured.max(lives) + measured).map(|_| next()).collect();
    let most = asked.iter().max().map_or(0, |most| most + 1);
    if tokens.len() < most {
        tokens.extend(fixture.tokens(most - tokens.len()));
    }
    let asks = |number: &usize| assert!(accepts(&sessions, &tokens[*number]));
    let (before, counted) = asked.split_at(asked.len() - measured);
    before.iter().for_each(asks);
    let hits = HITS.load(Ordering::Relaxed);
    let start = Instant::now();
    counted.iter().for_each(asks);
    let microseconds = start.elapsed().as_secs_f64() * 1e6 / measured as f64;
    let hits = HITS.load(Ordering::Relaxed) - hits;
    Cost { hits: hits as f64 / measured as f64, microseconds }
}

/// Counts the hits of all caches.
struct Hits;

static HITS: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

impl Recorder for Hits {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let is_hit = |label: &metrics::Label| label.key() == "outcome" && label.value() == "hit";
        match key.name().ends_with("cache_lookups_total") && key.labels().any(is_hit) {
            true => Counter::from_arc(HITS.clone()),
            false => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The live sessions, each with its number and how many requests it still makes.
struct Fleet {
    live: Vec<(usize, u64)>,
    sessions: usize,
}

impl Fleet {
    /// All sessions are in the middle of their life.
    fn new(random: &mut Random) -> Self {
        let mut left = || {
            let all = 5 + random.below(46);
            1 + random.below(all)
        };
        Self { live: (0..LIVE).map(|number| (number, left())).collect(), sessions: LIVE }
    }

    /// Returns the number of the session that makes the next request.
    fn request(&mut self, random: &mut Random) -> usize {
        let (number, left) = &mut self.live[random.below(LIVE as u64) as usize];
        let asking = *number;
        *left -= 1;
        if *left == 0 {
            (*number, *left) = (self.sessions, 5 + random.below(46));
            self.sessions += 1;
        }
        asking
    }
}

/// The same numbers in each run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

type Rows = [(String, [Cost; FLEETS.len()])];

fn table(rows: &Rows) -> String {
    let mut text = String::from("| µs per request | ");
    let heads = FLEETS
        .map(|replicas| format!("{replicas} replica{} |", if replicas == 1 { "" } else { "s" }));
    writeln!(text, "{}\n|---|{}", heads.join(" "), "--:|".repeat(FLEETS.len())).expect("text");
    let hits = rows[0].1.map(|cost| format!("{:.0} % |", cost.hits * 100.0));
    writeln!(text, "| *in the cache* | {}", hits.join(" ")).expect("text");
    for (name, costs) in rows {
        let costs = costs.map(|cost| format!("{:.1} |", cost.microseconds));
        writeln!(text, "| {name} | {}", costs.join(" ")).expect("text");
    }
    text
}

fn lines(rows: &Rows) -> Vec<Line> {
    let line = |(name, costs): &(String, [Cost; FLEETS.len()])| Line {
        name: name.clone(),
        values: costs.map(|cost| cost.microseconds).to_vec(),
    };
    rows.iter().map(line).collect()
}
