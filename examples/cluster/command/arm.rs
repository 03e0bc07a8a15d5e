//! The arms: one application, and the places where it may keep its sessions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where the sessions of a replica are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arm {
    /// In signed tokens: the crate.
    Stateless,
    /// In signed tokens, each of which is verified with every request. For measurements only.
    Cold,
    /// In the memory of the process that made them: the control.
    Memory,
    /// The same, behind a balancer that sends each user to the same replica.
    Sticky,
    /// Nowhere, there are none. For measurements only.
    Bare,
}

impl Arm {
    /// The arms that keep sessions: the crate first, then what it is compared with.
    pub(crate) const COMPARED: [Self; 3] = [Self::Stateless, Self::Memory, Self::Sticky];
    /// The arms that `load` measures, the reference first.
    pub(crate) const MEASURED: [Self; 4] = [Self::Bare, Self::Stateless, Self::Cold, Self::Memory];

    /// Whether the balancer sends each user to one replica, for as long as that is up.
    pub(crate) fn needs_affinity(self) -> bool {
        matches!(self, Self::Sticky)
    }

    /// Whether it has keys, which rotate.
    pub(crate) fn has_keys(self) -> bool {
        matches!(self, Self::Stateless | Self::Cold)
    }

    /// Whether its replicas share a store.
    pub(crate) fn has_store(self) -> bool {
        matches!(self, Self::Stateless | Self::Cold)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Stateless => "stateless",
            Self::Cold => "cold",
            Self::Memory => "memory",
            Self::Sticky => "sticky",
            Self::Bare => "bare",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Stateless, Self::Memory, Self::Sticky, Self::Cold, Self::Bare];
        let named = all.into_iter().find(|arm| arm.word() == text);
        named.ok_or_else(|| format!("expected one of {}", all.map(Self::word).join(", ")))
    }
}
