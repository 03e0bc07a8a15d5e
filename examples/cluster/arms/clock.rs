//! A clock that may be off, as that of a machine whose time service has failed.

use std::time::Duration;

use tower_jwt_session::{Clock, SystemClock, Timestamp};

/// The system's clock, and by how much it is off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OffsetClock {
    /// By how many milliseconds it is ahead; negative if it is behind.
    pub(crate) offset: i64,
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        let distance = Duration::from_millis(self.offset.unsigned_abs());
        let now = SystemClock.now();
        if self.offset < 0 { now - distance } else { now + distance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_can_be_ahead_or_behind() {
        let hour = Duration::from_secs(3600);
        let ahead = OffsetClock { offset: 3_600_000 }.now();
        let behind = OffsetClock { offset: -3_600_000 }.now();
        assert!(ahead > SystemClock.now() + hour / 2);
        assert!(behind + hour / 2 < SystemClock.now());
    }
}
