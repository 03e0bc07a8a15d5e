//! Key rings on the stores.

use std::time::Duration;

use tower_jwt_session::store::Store;
use tower_jwt_session::{Clock, KeyRing, RotationPolicy, SealingKey};

/// Opens a ring: the one place where these tests do.
pub(crate) async fn open(
    name: &str,
    store: impl Store,
    policy: RotationPolicy,
    clock: impl Clock,
) -> KeyRing {
    let secret: Vec<u8> = (1..33).collect();
    let sealing_key = SealingKey::new(secret).expect("32 different bytes");
    let ring = KeyRing::builder(name).store(store).seal_with([sealing_key]);
    let ring = ring.rotation(policy).clock(clock).found_now();
    ring.open().await.expect("opens a ring")
}

/// Polling comes too late for any test.
pub(crate) fn hardly_polled() -> RotationPolicy {
    RotationPolicy::new().refresh_interval(Duration::from_secs(3600))
}
