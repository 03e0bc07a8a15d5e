//! The promises of SECURITY.md and the guides that allow what happens during a fault.

use crate::faults::fault::{Allows, NOTHING};

/// A store that is away.
pub(crate) const LOGOUT_FAILS: &str =
    "SECURITY, The store: a lost or slow store: a logout fails then, and says so";
/// A replica that does not see the store.
pub(crate) const NOT_SEEN: &str = "SECURITY, What is not promised: a replica that cannot reach its store does not see others' revocations";
/// A clock beyond the bound.
pub(crate) const CLOCK: &str = "SECURITY, The clock: clocks differ by at most clock_skew, which is the leeway for a token's times";
/// A process that is gone.
pub(crate) const GONE: &str = "no promise: a request in flight at a process that is killed or stopped; balancers repeat it elsewhere";

/// A replica that ends with what only it knew.
pub(crate) const FORGOTTEN: &str =
    "SECURITY, The store: a purge together with the end of the last replica that knew";

/// While the store is away.
pub(crate) const STORE_AWAY: Allows =
    Allows { logouts: Some(LOGOUT_FAILS), cut_off: Some(NOT_SEEN), ..NOTHING };
/// While the store can be read, and not written.
pub(crate) const STORE_READ_ONLY: Allows = Allows { logouts: Some(LOGOUT_FAILS), ..NOTHING };
