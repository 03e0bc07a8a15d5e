//! Derived rings over days.

use std::time::Duration;

use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{KeyRing, Login, Root, Sessions, Timestamp};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn secret() -> Vec<u8> {
    (100..132).collect()
}

fn root() -> Root {
    Root::new(secret()).unwrap()
}

fn ring(clock: &ManualClock) -> KeyRing {
    KeyRing::derived("app", root()).clock(clock.clone()).build().unwrap()
}

fn sessions(keys: KeyRing) -> Sessions<()> {
    Sessions::builder(keys, "https://app.example", "app").build().unwrap()
}

#[test]
fn replicas_agree_across_every_boundary_and_skew() {
    // The largest difference that the default policy allows for.
    let skew = Duration::from_secs(60);
    let (slow, fast) = (ManualClock::new(NOW), ManualClock::new(NOW + skew));
    let (one, other) = (sessions(ring(&slow)), sessions(ring(&fast)));
    let mut signers = std::collections::BTreeSet::new();
    // Around each midnight in small steps, for four days.
    for _ in 0..4 * 24 * 60 {
        slow.advance(Duration::from_secs(60));
        fast.advance(Duration::from_secs(60));
        for (issuer, verifier) in [(&one, &other), (&other, &one)] {
            let token = issuer.issue(&Login::new("alice", ())).unwrap();
            let session = verifier.validate(token.as_str()).unwrap();
            signers.insert(session.key_id().to_owned());
        }
    }
    assert_eq!(signers.len(), 5, "one key a day");
}
