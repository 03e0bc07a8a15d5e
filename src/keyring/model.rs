//! The swap of snapshots under thousands of schedules: from a key that is gone or revoked, no
//! request is answered that begins afterwards, whatever else is published meanwhile.
#![allow(clippy::unwrap_used, reason = "a model is a test")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use crate::clock::SystemClock;
use crate::crypto::algorithm::Algorithm;
use crate::keyring::ring::KeyRing;
use crate::keys::key::Key;
use crate::store::memory::MemoryStore;
use crate::sync::explore;

const SCHEDULES: usize = 1000;

/// The background tasks are in a runtime that never runs them.
fn check(model: fn()) {
    explore(SCHEDULES, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.unwrap();
        let _entered = runtime.enter();
        model();
    });
}

#[test]
fn a_replaced_key_does_not_verify() {
    check(|| {
        let (old, new) = (key(3), key(7));
        let ring = KeyRing::fixed([old.clone()]).build().unwrap();
        let replaced = Arc::new(AtomicBool::new(false));
        let requests = [(); 2].map(|()| {
            let (ring, old, replaced) = (ring.clone(), old.clone(), replaced.clone());
            thread::spawn(move || {
                for _ in 0..4 {
                    let is_gone = replaced.load(SeqCst);
                    assert!(!(is_gone && holds(&ring, &old)));
                }
            })
        });
        ring.replace([new]).unwrap();
        replaced.store(true, SeqCst);
        assert!(!holds(&ring, &old));
        for thread in requests {
            thread.join().unwrap();
        }
        assert!(!holds(&ring, &old));
    });
}

/// A refresh that publishes something else has begun before the revocation, and does not know of it.
#[test]
fn a_key_revoked_here_stays_revoked_while_the_ring_is_refreshed() {
    check(|| {
        let [ring, other] = &replicas();
        let revoked = signer(ring);
        block_on(other.rotate_now()).unwrap();
        let refreshing = thread::spawn({
            let ring = ring.clone();
            move || block_on(ring.refresh()).unwrap()
        });
        begin(ring.revoke(&revoked));
        for _ in 0..4 {
            assert!(!verifies(ring, &revoked), "revoked and verifies");
        }
        refreshing.join().unwrap();
        assert!(!verifies(ring, &revoked));
    });
}

/// A revocation of another key has begun before, from the snapshot that there was.
#[test]
fn a_key_revoked_elsewhere_stays_revoked_while_another_is_revoked_here() {
    check(|| {
        let [ring, other] = &replicas();
        let revoked = signer(ring);
        block_on(other.revoke(&revoked)).unwrap();
        let successor = ring.keys(ring.now()).keys().last().unwrap().key.key_id().to_owned();
        assert_ne!(successor, revoked);
        let revoking = thread::spawn({
            let ring = ring.clone();
            move || begin(ring.revoke(&successor))
        });
        block_on(ring.refresh()).unwrap();
        for _ in 0..4 {
            assert!(!verifies(ring, &revoked), "revoked and verifies");
        }
        revoking.join().unwrap();
        assert!(!verifies(ring, &revoked));
    });
}

/// Two replicas of a ring, in one store.
fn replicas() -> [KeyRing; 2] {
    let store = MemoryStore::new();
    [(); 2].map(|()| {
        let ring = KeyRing::builder("app").store(store.clone()).clock(SystemClock);
        block_on(ring.algorithm(Algorithm::HS256).open()).unwrap()
    })
}

/// Keys under one ID, whose snapshots are the same but for the secret.
fn key(factor: u8) -> Key {
    let secret: [u8; 32] = std::array::from_fn(|place| factor * place as u8 + 1);
    Key::hmac(Algorithm::HS256, secret).unwrap().with_key_id("a")
}

/// Whether a request that begins now would verify with this very key.
fn holds(ring: &KeyRing, key: &Key) -> bool {
    ring.keys(ring.now()).of_key_id(key.key_id()).any(|held| held.key.is_same(key))
}

/// Whether a request that begins now would accept a token of that key.
fn verifies(ring: &KeyRing, key_id: &str) -> bool {
    let (now, keys) = (ring.now(), ring.keys(ring.now()));
    keys.of_key_id(key_id).any(|held| keys.verifies(held, now))
}

fn signer(ring: &KeyRing) -> String {
    let keys = ring.keys(ring.now());
    keys.signer(ring.now()).unwrap().key.key_id().to_owned()
}

/// Begins something, and gives it up where it would first wait.
fn begin(work: impl Future) {
    let _ = pin!(work).poll(&mut Context::from_waker(Waker::noop()));
}
