//! Many replicas that boot at once, again and again: one ring.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tower_jwt_session::store::{FileStore, MemoryStore, Store};

use crate::support::replicas::{Replica, SKEW, START, assert_converged, assert_served_everywhere};
use crate::support::stores::TestStore;

/// Opens five replicas at once, with clocks that differ, and returns their fingerprints.
async fn boot_at_once<S: Store>(store: impl Fn() -> S) -> Vec<(String, Option<String>)> {
    let barrier = Arc::new(Barrier::new(5));
    let mut booting = JoinSet::new();
    for place in 0..5 {
        let (store, barrier) = (store(), Arc::clone(&barrier));
        booting.spawn(async move {
            barrier.wait().await;
            Replica::open(store, START + SKEW / 5 * place).await
        });
    }
    let replicas = booting.join_all().await;
    let tokens: Vec<_> = replicas.iter().map(Replica::issue).collect();
    for replica in &replicas {
        replica.clock.set(START + SKEW);
        for token in &tokens {
            assert_eq!(replica.judge(token), Ok(()));
        }
        assert_eq!(replica.generations(), [0, 1]);
    }
    let status = replicas.iter().map(|replica| replica.ring.status());
    status.map(|status| (status.fingerprint, status.signing_key_id)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_boot_at_once_in_memory_have_one_ring() {
    for _ in 0..100 {
        let store = MemoryStore::new();
        let rings = boot_at_once(|| store.clone()).await;
        assert_eq!(rings.iter().collect::<BTreeSet<_>>().len(), 1, "{rings:?}");
    }
}

#[test]
fn replicas_that_boot_at_once_in_a_directory_have_one_ring() {
    for _ in 0..100 {
        let place = tempfile::tempdir().expect("a temporary directory");
        let open = || FileStore::open(place.path().join("keys")).expect("opens");
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(4).enable_all().build().expect("a runtime");
        let rings = runtime.block_on(boot_at_once(open));
        // This waits for the last write of a ring that was dropped: the directory is removed after it.
        drop(runtime);
        assert_eq!(rings.iter().collect::<BTreeSet<_>>().len(), 1, "{rings:?}");
    }
}

/// All have found the store empty before the first of them writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_all_find_an_empty_store_have_one_ring() {
    for _ in 0..50 {
        let content = TestStore::new();
        let barrier = Arc::new(Barrier::new(3));
        let mut booting = JoinSet::new();
        for _ in 0..3 {
            let store = content.sibling();
            store.meet_after_load(Some(Arc::clone(&barrier)));
            booting.spawn(async move { Replica::open(store, START).await });
        }
        let replicas = booting.join_all().await;
        let replicas: Vec<_> = replicas.iter().collect();
        assert_converged(&replicas);
        assert_served_everywhere(&replicas);
        assert_eq!(content.names().await.len(), 3, "a birth and two keys");
    }
}
