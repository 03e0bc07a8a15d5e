//! Ten thousand replicas: one birth, one revocation, and what they cost their store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tower_jwt_session::{Algorithm, RotationPolicy};

use super::scenario::{Faults, Millis, Scenario};
use super::store::Held;
use super::world::{Up, World, lock};
use super::{faults, fleet, in_virtual_time};

const REPLICAS: usize = 10_000;

/// The default policy, but for a smaller skew of clocks: the lead, and so this test, is shorter.
fn scenario(replicas: usize, algorithm: Algorithm) -> Scenario {
    const SECOND: Millis = 1_000;
    Scenario {
        seed: 1,
        replicas,
        algorithm,
        policy: RotationPolicy::new().clock_skew(Duration::from_secs(1)),
        interval: 15 * SECOND,
        read_timeout: 5 * SECOND,
        write_timeout: 10 * SECOND,
        skew: SECOND,
        token_lifetime: 3_600 * SECOND,
        overrun: 86_400 * SECOND,
        faults_for: 0,
        troubles: 0,
        faults: Faults::default(),
        founding: None,
        broken: None,
        sought: None,
    }
}

/// Starts the replicas within an interval, the first fifty at once.
async fn open(world: &Arc<World>) {
    let (replicas, interval) = {
        let state = lock(world);
        (state.scenario.replicas, state.scenario.interval)
    };
    for replica in 0..replicas {
        let wait = lock(world).random.between(0, interval);
        tokio::spawn(fleet::start(world.clone(), replica, 0, if replica < 50 { 0 } else { wait }));
    }
    sleep(Duration::from_millis(interval) + Duration::from_secs(1)).await;
}

/// What the replicas answer when asked for `one` thing. All of them have to be up.
fn answers<T: Ord>(world: &World, one: impl Fn(&Up) -> T) -> BTreeSet<T> {
    let state = lock(world);
    state.replicas.iter().map(|replica| one(replica.up.as_ref().expect("is up"))).collect()
}

fn different<T: Ord>(world: &World, one: impl Fn(&Up) -> T) -> usize {
    answers(world, one).len()
}

/// How often ten thousand replicas read, when each reads once per interval and mean jitter.
const READS_PER_SECOND: f64 = REPLICAS as f64 / (15.0 * 1.05);

#[test]
fn ten_thousand_replicas_agree_with_635_reads_a_second() {
    in_virtual_time(async {
        let world = World::new(scenario(REPLICAS, Algorithm::HS256));
        open(&world).await;
        assert_eq!(lock(&world).shelf.entries.len(), 3, "a birth and two keys");
        assert_eq!(different(&world, |up| up.ring.status().fingerprint), 1);
        assert_eq!(different(&world, |up| up.ring.ready().is_ok()), 1);
        lock(&world).up(0).unwrap().ring.ready().unwrap();

        let before = lock(&world).shelf.reads;
        sleep(Duration::from_secs(16)).await;
        let per_second = (lock(&world).shelf.reads - before) as f64 / 16.0;
        println!("{per_second} reads a second");
        assert!((630.0..640.0).contains(&READS_PER_SECOND));
        assert!((per_second / READS_PER_SECOND - 1.0).abs() < 0.05, "{per_second}");

        {
            let shelf = &mut lock(&world).shelf;
            shelf.backup = shelf.entries.clone();
        }
        revoke(&world).await;
        restore(&world).await;
        let violation = lock(&world).violation.clone();
        assert!(violation.is_none(), "{}", violation.unwrap().story);
    });
}

/// Every hundredth replica issues. Any other takes it, until the key is revoked: then none does
/// within R, though no push arrives.
async fn revoke(world: &World) {
    let (token, ring) = {
        let mut state = lock(world);
        (0..REPLICAS).step_by(100).for_each(|replica| fleet::issue(&mut state, replica));
        (state.tokens.front().unwrap().clone(), state.up(0).unwrap().ring.clone())
    };
    let accepts = |up: &Up| up.sessions.validate(&token.text).is_ok();
    assert_eq!(answers(world, accepts), [true].into());
    ring.revoke(&token.kid).await.unwrap();
    let bound = lock(world).scenario.bound() + 5;
    sleep(Duration::from_millis(bound)).await;
    assert_eq!(answers(world, accepts), [false].into());
    assert_eq!(different(world, |up| up.ring.status().signing_key_id), 1);
}

/// The store is restored to what it was before the revocation, a hundred replicas start on it, and
/// within R and once more R all is as it was.
async fn restore(world: &Arc<World>) {
    let (known, written) = {
        let mut state = lock(world);
        let (known, written) = (state.shelf.entries.len(), state.shelf.writes);
        (0..100).for_each(|replica| faults::crash(&mut state, world, replica));
        faults::lose(&mut state, true);
        (known, written)
    };
    let bound = Duration::from_millis(lock(world).scenario.bound() + 5);
    sleep(2 * bound).await;
    assert!(lock(world).shelf.entries.len() >= known, "lost entries were restored");
    assert_eq!(different(world, |up| up.ring.status().fingerprint), 1);
    // A replica that reads restored entries has nothing to write.
    let written = lock(world).shelf.writes - written;
    println!("{written} writes to restore {known} entries");
    assert!(written < 200, "{written}");
}

/// The default ring in the middle of its life: keys that sign, that will, and that verify on.
#[test]
fn a_read_of_a_default_ring_is_about_3_kilobytes() {
    in_virtual_time(async {
        let mut scenario = scenario(1, Algorithm::EdDSA);
        // How often it is read changes nothing, and a day has many seconds.
        scenario.policy = RotationPolicy::new().refresh_interval(Duration::from_secs(600));
        scenario.skew = 60_000;
        let world = World::new(scenario);
        open(&world).await;
        sleep(Duration::from_secs(5 * 24 * 3600)).await;
        let mut sizes = BTreeSet::new();
        for _ in 0..2 * 24 {
            sleep(Duration::from_secs(3600)).await;
            let state = lock(&world);
            let bytes = |(name, held): (&String, &Held)| name.len() + held.value.len();
            let bytes = state.shelf.entries.iter().map(bytes).sum::<usize>();
            sizes.insert((bytes, state.shelf.entries.len()));
        }
        println!("bytes and entries: {sizes:?}");
        let (least, most) = (sizes.first().unwrap().0, sizes.last().unwrap().0);
        assert!((3_050..3_200).contains(&least) && (3_800..3_950).contains(&most), "{sizes:?}");
        // The figures of the documentation, for 10,000 replicas.
        let megabytes = |bytes| READS_PER_SECOND * bytes as f64 / 1e6;
        let [least, most] = [least, most].map(megabytes);
        assert!((1.9..2.1).contains(&least) && (2.4..2.6).contains(&most), "{least} {most}");
    });
}
