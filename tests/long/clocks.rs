//! Random histories of replicas whose clocks are wrong.

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_jwt_session::OperationError;

use crate::support::clocks::{Fleet, HOUR, OFF};
use crate::support::replicas::REFRESH;
use crate::support::stores::Operation;

/// Replicas that read, write late, are cut off, die and join, at whatever times.
#[tokio::test(start_paused = true)]
async fn random_histories_make_at_most_one_replica_unready() {
    let mut unready = 0;
    for seed in 0..12 {
        unready += random_history(seed).await;
    }
    assert!(unready > 200, "some replica leaves as a rule: {unready}");
}

async fn random_history(seed: u64) -> usize {
    let mut state = seed;
    let mut draw = |below: u64| {
        // Knuth's linear congruential generator.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut fleet = Fleet::new([OFF, -OFF, OFF, HOUR]).await;
    let mut running: Vec<Option<JoinHandle<Result<(), OperationError>>>> =
        (0..4).map(|_| None).collect();
    let mut seen = 0;
    for step in 0..200 {
        let replica = draw(fleet.replicas.len() as u64) as usize;
        match draw(10) {
            0..=2 => {
                let longest = [20_000, 20_000, 2 * REFRESH.as_millis() as u64][draw(3) as usize];
                let passed = draw(longest);
                fleet.pass(passed as i64);
                // The clock that nobody sets, by which the background polls, too.
                tokio::time::advance(Duration::from_millis(passed)).await;
            }
            3 => {
                let offset = [0, OFF, -OFF, HOUR][draw(4) as usize];
                fleet.step(replica, offset);
            }
            4 => {
                // It dies in the middle of whatever it did, and another takes its place.
                if let Some(task) = running[replica].take() {
                    task.abort();
                }
                let (_, _, offset) = fleet.replicas.remove(replica);
                running.remove(replica);
                fleet.join(offset).await;
                running.push(None);
            }
            _ => {
                let store = fleet.replicas[replica].1.clone();
                if running[replica].as_ref().is_none_or(JoinHandle::is_finished) {
                    let slow = [&[][..], &[Operation::Insert], &[Operation::Remove]];
                    store.hang(slow[draw(3) as usize]);
                    let ring = fleet.ring(replica).clone();
                    running[replica] = Some(tokio::spawn(async move { ring.refresh().await }));
                } else {
                    store.up();
                }
            }
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let unready = fleet.unready();
        assert!(unready.len() <= 1, "seed {seed}, step {step}: {unready:?}");
        seen += unready.len();
    }
    for task in running.into_iter().flatten() {
        task.abort();
    }
    seen
}
