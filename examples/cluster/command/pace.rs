//! How fast keys change and sessions end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The periods of a cluster. Every one has a default for a real service.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Pace {
    /// How long one key signs.
    pub(crate) signing_period: Duration,
    /// How long a session lives without being renewed.
    pub(crate) session_lifetime: Duration,
    /// How long one look at the place where the keys meet may take, and one entry there.
    pub(crate) store_timeout: Duration,
}
