//! Many replicas, one store, and whatever can go wrong, in virtual time and one thread: the ring's
//! own code, its background task included, on Tokio's paused clock.
//!
//! A seed decides all but the keys themselves, so that a failing one can be run again:
//! `SIMULATION_SEED=17 cargo test --all-features --test simulation -- --nocapture`. More of them:
//! `SIMULATION_SEEDS=100000`; 250 are run without.
#![allow(clippy::unwrap_used)]

mod broken;
mod crowd;
mod ended;
mod faults;
mod fleet;
mod properties;
mod scenario;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_jwt_session::Clock;

use self::scenario::Scenario;
use self::world::{Counted, Violation, World, lock};

/// What a run came to.
struct Outcome {
    violation: Option<Violation>,
    counted: Counted,
    story: String,
}

fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(future)
}

fn run(scenario: Scenario) -> Outcome {
    in_virtual_time(async {
        let world = World::new(scenario);
        drive(&world).await;
        let state = lock(&world);
        let (violation, counted) = (state.violation.clone(), state.counted);
        Outcome { violation, counted, story: state.story() }
    })
}

/// The event queue: faults for a while, and then the calm in which all has to come together.
async fn drive(world: &Arc<World>) {
    let (replicas, faults_for, interval, settle) = {
        let state = lock(world);
        let scenario = &state.scenario;
        let settle = 3 * scenario.bound() + 6 * scenario.write_timeout + 4 * scenario.skew;
        (scenario.replicas, scenario.faults_for, scenario.interval, settle)
    };
    for replica in 0..replicas {
        let wait = lock(world).random.between(0, 30);
        tokio::spawn(fleet::start(world.clone(), replica, 0, wait));
    }
    loop {
        let gap = lock(world).random.between(1, interval / 3);
        tokio::time::sleep(Duration::from_millis(gap)).await;
        let fault = {
            let mut state = lock(world);
            if state.violation.is_some() || state.now() > faults_for + settle {
                return;
            }
            if state.now() > faults_for && !state.calm_ahead {
                faults::end(&mut state);
            }
            step(&mut state);
            let troubles = state.scenario.troubles;
            !state.calm_ahead && state.random.percent(troubles)
        };
        if fault {
            faults::disturb(world);
        }
    }
}

/// Requests, and a look at the replicas.
fn step(state: &mut world::State) {
    state.counted.events += 1;
    let [issuer, inspected] = [(); 2].map(|()| state.random.index(state.replicas.len()));
    if state.random.percent(40) {
        fleet::issue(state, issuer);
    }
    let earliest = state.replicas.iter().map(|replica| replica.clock.now()).min();
    let leeway = Duration::from_millis(2 * state.scenario.skew + 1_000);
    let expired = |token: &world::Token| earliest.is_some_and(|at| token.expires + leeway < at);
    state.tokens.retain(|token| !expired(token));
    for _ in 0..2 {
        let replica = state.random.index(state.replicas.len());
        let token = state.random.index(state.tokens.len());
        if let Some(token) = state.tokens.get(token).cloned() {
            properties::tokens::present(state, &token, replica);
        }
    }
    properties::inspect(state, inspected);
    properties::agreement::compare(state);
    if state.random.percent(2) {
        state.shelf.backup = state.shelf.entries.clone();
    }
}

/// What many seeds came to: for each property that does not hold, how often, and its first story.
#[derive(Default)]
struct Tally {
    violations: BTreeMap<&'static str, (u64, String)>,
    counted: Counted,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.counted.add(&outcome.counted);
        if let Some(Violation { property, story }) = outcome.violation {
            self.violations.entry(property).or_insert((0, story)).0 += 1;
        }
    }

    fn stories(&self) -> String {
        let story = |(times, story): &(u64, String)| format!("{times} times, first:\n{story}\n\n");
        self.violations.values().map(story).collect()
    }
}

/// Runs seeds on all processors.
fn run_seeds(seeds: u64, scenario: fn(u64) -> Scenario) -> Tally {
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                break;
            }
            let outcome = run(scenario(seed));
            tally.lock().expect("no worker panics").add(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    tally.into_inner().expect("no worker panics")
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn whatever_goes_wrong_every_property_holds() {
    if let Some(seed) = environment("SIMULATION_SEED") {
        let outcome = run(Scenario::of_seed(seed));
        println!("{}\n{:?}", outcome.story, outcome.counted);
        assert!(
            outcome.violation.is_none(),
            "{}",
            outcome.violation.map_or(String::new(), |v| v.story)
        );
        return;
    }
    let seeds = environment("SIMULATION_SEEDS").unwrap_or(250);
    let began = std::time::Instant::now();
    let tally = run_seeds(seeds, Scenario::of_seed);
    let counted = tally.counted;
    println!("{seeds} seeds, {:?}: {counted:?}", began.elapsed());
    assert!(tally.violations.is_empty(), "{}", tally.stories());
    // Otherwise nothing was tried.
    assert!(counted.fingerprints_compared > seeds / 2, "{counted:?}");
    assert!(counted.accepted > 100 * seeds, "{counted:?}");
    assert!(counted.excused < counted.accepted / 3, "{counted:?}");
}

/// With `SIMULATION_EMPTIED_SEED` one of these is run again.
#[test]
fn store_emptied_and_replica_restarted_keeps_ring_and_sessions() {
    if let Some(seed) = environment("SIMULATION_EMPTIED_SEED") {
        let outcome = run(Scenario::emptied(seed));
        println!("{}\n{:?}", outcome.story, outcome.counted);
        assert!(outcome.violation.is_none(), "{}", outcome.violation.unwrap().story);
        return;
    }
    let seeds = environment("SIMULATION_SEEDS").unwrap_or(60);
    let began = std::time::Instant::now();
    let tally = run_seeds(seeds, Scenario::emptied);
    println!("{seeds} seeds, {:?}: {:?}", began.elapsed(), tally.counted);
    assert!(tally.violations.is_empty(), "{}", tally.stories());
    // Otherwise nothing was tried.
    assert!(tally.counted.emptied > seeds, "{:?}", tally.counted);
    assert!(tally.counted.accepted > 50 * seeds, "{:?}", tally.counted);
}

#[test]
fn seed_run_twice_has_same_story() {
    for seed in 0..20 {
        let [one, two] = [(); 2].map(|()| run(Scenario::of_seed(seed)).story);
        assert_eq!(one, two, "seed {seed}");
    }
}
