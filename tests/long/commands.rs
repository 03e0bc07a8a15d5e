//! Rotations and revocations by hand in random orders.

use std::time::Duration;

use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{Algorithm, Clock as _, OperationErrorKind};

use crate::support::replicas::{LEAD, LIFE, PERIOD, REFRESH, Replica, START, policy, seconds};
use crate::support::stores::{SlowInserts, TestStore};

/// Numbers that look random, the same for each seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Whatever is ordered at whatever time, with slow inserts: at each moment each replica issues, or
/// says until when it does not and keeps that promise. Rotations alone never end in a pause.
#[tokio::test]
async fn random_commands_leave_a_signer_or_a_known_pause() {
    for seed in 0..12 {
        let mut random = Random(seed * 7919 + 1);
        let clock = ManualClock::new(START);
        let max_age = seconds([0, 300][random.below(2) as usize]);
        let content = TestStore::new();
        let mut open = Vec::new();
        // A rolling deployment that changes the algorithm.
        let algorithms =
            [Algorithm::HS256, [Algorithm::HS256, Algorithm::HS384][seed as usize % 2]];
        for algorithm in algorithms {
            let takes = Duration::from_millis(random.below(4_000));
            let store = SlowInserts { store: content.sibling(), clock: clock.clone(), takes };
            let ring = tower_jwt_session::KeyRing::builder(crate::support::replicas::RING)
                .store(store)
                .algorithm(algorithm)
                .found_now();
            let ring = ring.rotation(policy().jwks_max_age(max_age)).clock(clock.clone());
            open.push(Replica::of(ring.open().await.expect("opens"), clock.clone(), LIFE));
        }
        let rotations_alone = random.below(3) == 0;
        // What each replica has said, while nothing else was ordered.
        let mut promised = [None; 2];
        for step in 0..25 {
            let by = &open[random.below(2) as usize];
            let revoked = match random.below(if rotations_alone { 5 } else { 9 }) {
                0 | 1 => {
                    let rotated = by.ring.rotate_now().await;
                    let paused = matches!(&rotated, Err(error) if error.kind() == OperationErrorKind::NoSigningKey);
                    assert!(
                        rotated.is_ok() || paused && by.signs().is_none(),
                        "{seed}: {rotated:?}"
                    );
                    false
                }
                5 => by.ring.replace_all().await.map(|()| true).expect("the store is up"),
                6 | 7 if by.signs().is_some() => {
                    by.revoke(by.signs().expect("one signs")).await;
                    true
                }
                8 => {
                    let keys = by.generations();
                    by.revoke(keys[random.below(keys.len() as u64) as usize]).await;
                    true
                }
                _ => false,
            };
            if revoked {
                // What is said from now on knows of it.
                for replica in &open {
                    replica.refresh().await;
                }
                promised = [None; 2];
            }
            let longest = if random.below(4) == 0 { PERIOD / 2 } else { LEAD };
            let end = clock.now() + seconds(random.below(longest.as_secs()));
            while clock.now() < end {
                for (replica, promised) in open.iter().zip(&mut promised) {
                    let (now, status) = (clock.now(), replica.ring.status());
                    let what = format!("seed {seed}, step {step}: {status:#?}");
                    let signs = status.signing_key_id.is_some();
                    assert_eq!(
                        (replica.try_issue().is_ok(), replica.ring.ready()),
                        (signs, Ok(())),
                        "{what}"
                    );
                    assert_eq!(signs, status.issuing_paused.is_none(), "{what}");
                    assert!(signs || !rotations_alone, "{what}");
                    assert!(signs || promised.is_none_or(|until| now < until), "{what}");
                    if let Some(paused) = status.issuing_paused {
                        let until = paused.until.expect(&what);
                        assert!(now < until, "{what}");
                        *promised = Some(until);
                    }
                }
                clock.advance(seconds(31));
                // Each within its bound.
                if random.below(2) == 0 {
                    for replica in &open {
                        replica.refresh().await;
                    }
                }
            }
            clock.advance(Duration::from_millis(random.below(REFRESH.as_millis() as u64 / 10)));
            for replica in &open {
                replica.refresh().await;
            }
        }
    }
}
