//! The readiness that the parent orders: it can make a replica fail its checks while the process lives.

use std::sync::atomic::{AtomicBool, Ordering};

/// One process is one replica.
static ORDERED_DOWN: AtomicBool = AtomicBool::new(false);

/// Lets the readiness be what it is, or makes it fail.
pub(crate) fn order(healthy: bool) {
    ORDERED_DOWN.store(!healthy, Ordering::Relaxed);
}

/// Whether it is to fail.
pub(crate) fn is_ordered_down() -> bool {
    ORDERED_DOWN.load(Ordering::Relaxed)
}
