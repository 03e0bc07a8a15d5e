//! The cache under thousands of schedules: whatever comes between what, no answer is another token's
//! or another snapshot's, and what is held is what was counted, and never past the bound.
#![allow(clippy::unwrap_used, reason = "a model is a test")]

use std::time::Duration;

use shuttle::thread;

use super::super::verified::Texts;
use super::*;
use crate::Algorithm;
use crate::clock::Clock as _;
use crate::revocation::versions::Versions;
use crate::sync::explore;
use crate::testing::{ManualClock, fixed_key};

#[test]
fn no_answer_is_anothers_and_no_entry_past_the_bound() {
    explore(2000, requests_while_the_ring_is_swapped);
}

/// Two threads that ask for tokens in turn, each time under the snapshot that there is; and one that
/// swaps it, drops the old one, and looks into the cache.
fn requests_while_the_ring_is_swapped() {
    let cache = Arc::new(cache());
    let snapshot = Arc::new(Mutex::new((0, Arc::new(keys()))));
    let mut threads = Vec::new();
    for tokens in [[0, 2, 0, 1], [4, 0, 2, 3]] {
        let (cache, snapshot) = (cache.clone(), snapshot.clone());
        threads.push(thread::spawn(move || {
            for number in tokens.into_iter().flat_map(|number| [number; 3]) {
                let (swaps, keys) = snapshot.lock().unwrap().clone();
                let asked = Origin { number, swaps };
                let verify = || Ok::<_, ()>(verified(asked));
                let now = ManualClock::default().now();
                let answer = cache.get_or_verify(&token(number), &keys, now, verify).unwrap();
                assert_eq!(answer.claims, asked);
            }
        }));
    }
    threads.push(thread::spawn({
        let (cache, snapshot) = (cache.clone(), snapshot.clone());
        move || {
            for swaps in 1..5 {
                cache.check();
                // The address of one that was dropped may be given to the next.
                *snapshot.lock().unwrap() = (swaps, Arc::new(keys()));
            }
        }
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    cache.check();
}

/// Which token an answer is about, and after how many swaps it was verified.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Origin {
    number: usize,
    swaps: usize,
}

impl TokenCache<Origin> {
    /// Looks at all that is held, while nobody fills.
    fn check(&self) {
        let filling = self.filling.lock().unwrap();
        let mut held = 0;
        for (number, bucket) in self.buckets.iter().enumerate() {
            for (place, here) in bucket.0.iter().enumerate() {
                let Some(here) = here.load_full() else { continue };
                held += CacheEntry::bytes_of(&here.token, &here.verified);
                let found = self.find(number, here.hash, &here.token);
                assert_eq!(found.map(|(place, _)| place), Some(place));
            }
        }
        assert_eq!(held, filling.taken);
        assert!(held <= self.room, "{held} bytes of {}", self.room);
    }
}

/// One bucket, and room for two tokens.
fn cache() -> TokenCache<Origin> {
    let origin = Origin { number: 0, swaps: 0 };
    let entry = CacheEntry::bytes_of(&token(0), &verified(origin));
    let cache = TokenCache::new(TokenCache::<Origin>::BUCKET_BYTES + 2 * entry + entry / 2);
    assert!(cache.buckets.len() == 1 && cache.room >= 2 * entry);
    cache
}

/// Of one length; each is of one hash with the next, as only its first letter differs.
fn token(number: usize) -> Vec<u8> {
    let end = (number / 2).to_string().repeat(64);
    format!("{number}{end}").into_bytes()
}

fn keys() -> KeySet {
    KeySet::fixed([fixed_key(Algorithm::HS256)]).unwrap()
}

fn verified(origin: Origin) -> Arc<Verified<Origin>> {
    let now = ManualClock::default().now();
    Arc::new(Verified {
        texts: Texts::new(["https://app.example", "alice", "1", "2", "3"], None),
        issued_at: now,
        expires_at: now,
        authenticated_at: Some(now),
        valid: now..now + Duration::from_secs(1),
        algorithm: Algorithm::HS256,
        versions: Versions::default(),
        digests: None,
        sequence: None,
        roles: None,
        persistent_until: None,
        claims: origin,
    })
}
