//! The clocks of one replica's keys and revocations, which must show the same time.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::sessions::handle::Sessions;

/// Checks that the revocations, and the keys of accepted sessions, have the clock of the keys. Requests are
/// judged by the clock of the keys: by another one, revocations are stale at once, or never.
pub(crate) fn check<C>(
    keys: &KeyRing,
    revocations: Option<&Revocations>,
    others: &[Sessions<C>],
) -> Result<(), BuildError> {
    if let Some(revocations) = revocations {
        agree(keys, "revocations", revocations.now())?;
    }
    others.iter().try_for_each(|other| agree(keys, "also_accept_sessions", other.now()))
}

fn agree(keys: &KeyRing, setting: &'static str, other: Timestamp) -> Result<(), BuildError> {
    let (now, skew) = (keys.now(), keys.policy().clock_skew);
    // Two readings of one clock are not one moment.
    if (now - other).max(other - now) <= skew.max(Duration::from_secs(1)) {
        return Ok(());
    }
    let value = format_args!("on a clock that shows {other}");
    let help = format_args!(
        "the clock of the keys shows {now}, and clock_skew is {skew:?}: give all builders the same clock, \
         `.clock(clock.clone())`"
    );
    Err(BuildError::invalid(setting, value, help))
}
