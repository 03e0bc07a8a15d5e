//! The swap of snapshots under thousands of schedules: from a key that is gone or revoked, no
//! request is answered that begins afterwards, whatever else is published meanwhile.

use crate::keys::key::Key;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use crate::Algorithm;
use crate::keyring::ring::*;
use crate::sessions::handle::Sessions;
use crate::sessions::login::Login;
use crate::store::memory::MemoryStore;
use crate::sync::explore;
use crate::testing::{ManualClock, fixed_key};

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
fn what_was_replaced_is_not_accepted() {
    check(|| {
        let old = fixed_key(Algorithm::HS256).with_key_id("a");
        // Another key under the same ID, whose snapshot is the same but for its secret.
        let new =
            Key::hmac(Algorithm::HS256, &std::array::from_fn::<u8, 32, _>(|i| 7 * i as u8 + 1))
                .unwrap()
                .with_key_id("a");
        let ring = KeyRing::fixed_with_clock([old], ManualClock::default()).unwrap();
        let (sessions, token) = sessions(&ring);
        let replaced = Arc::new(AtomicBool::new(false));
        let requests = [(); 2].map(|()| {
            let (sessions, token, replaced) = (sessions.clone(), token.clone(), replaced.clone());
            thread::spawn(move || {
                for _ in 0..4 {
                    let is_gone = replaced.load(SeqCst);
                    let is_accepted = sessions.validate(&token).is_ok();
                    assert!(!(is_gone && is_accepted));
                }
            })
        });
        ring.replace([new]).unwrap();
        replaced.store(true, SeqCst);
        assert!(sessions.validate(&token).is_err());
        for thread in requests {
            thread.join().unwrap();
        }
        assert!(sessions.validate(&token).is_err());
    });
}

/// A refresh that publishes something else has begun before, and does not know of it.
#[test]
fn what_is_revoked_here_stays_revoked_while_the_ring_is_refreshed() {
    check(|| {
        let [ring, other] = &replicas();
        let (sessions, token) = sessions(ring);
        block_on(other.rotate_now()).unwrap();
        let refreshing = thread::spawn({
            let ring = ring.clone();
            move || block_on(ring.refresh()).unwrap()
        });
        begin(ring.revoke(&signer(ring)));
        for _ in 0..4 {
            assert!(sessions.validate(&token).is_err(), "revoked and accepted");
        }
        refreshing.join().unwrap();
        assert!(sessions.validate(&token).is_err());
    });
}

/// A revocation of another key has begun before, from the snapshot that there was.
#[test]
fn what_another_replica_revoked_stays_revoked_while_one_is_revoked_here() {
    check(|| {
        let [ring, other] = &replicas();
        let (sessions, token) = sessions(ring);
        block_on(other.revoke(&signer(ring))).unwrap();
        let successor = ring.keys(ring.now()).keys().last().unwrap().key.key_id().to_owned();
        assert_ne!(successor, signer(ring));
        let revoking = thread::spawn({
            let ring = ring.clone();
            move || begin(ring.revoke(&successor))
        });
        block_on(ring.refresh()).unwrap();
        for _ in 0..4 {
            assert!(sessions.validate(&token).is_err(), "revoked and accepted");
        }
        revoking.join().unwrap();
        assert!(sessions.validate(&token).is_err());
    });
}

/// Two replicas of a ring, in one store.
fn replicas() -> [KeyRing; 2] {
    let store = MemoryStore::new();
    [(); 2].map(|()| {
        let ring = KeyRing::builder("app").store(store.clone()).clock(ManualClock::default());
        block_on(ring.algorithm(Algorithm::HS256).open()).unwrap()
    })
}

/// The ring's sessions, and a token that is in their cache.
fn sessions(ring: &KeyRing) -> (Sessions<()>, String) {
    let sessions = Sessions::builder(ring.clone(), "https://issuer.test", "app");
    let sessions = sessions.token_cache_bytes(64 * 1024).build().unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap().as_str().to_owned();
    for _ in 0..2 {
        assert!(sessions.validate(&token).is_ok());
    }
    (sessions, token)
}

fn signer(ring: &KeyRing) -> String {
    let keys = ring.keys(ring.now());
    keys.signer(ring.now()).unwrap().key.key_id().to_owned()
}

/// Begins something, and gives it up where it would first wait.
fn begin(work: impl Future) {
    let _ = pin!(work).poll(&mut Context::from_waker(Waker::noop()));
}
