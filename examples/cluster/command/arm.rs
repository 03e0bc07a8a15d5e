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
    /// In the memory of every process: each sends copies to the others. The balancer has affinity, too.
    Replicated,
    /// In Redis, which every request asks.
    Database,
    /// Nowhere, there are none. For measurements only.
    Bare,
}

impl Arm {
    /// The arms that keep sessions: the crate first, then what it is compared with. A build may lack
    /// one of them.
    pub(crate) const COMPARED: [Self; 5] =
        [Self::Stateless, Self::Memory, Self::Sticky, Self::Replicated, Self::Database];
    /// The arms that `load` measures, the reference first.
    pub(crate) const MEASURED: [Self; 4] = [Self::Bare, Self::Stateless, Self::Cold, Self::Memory];

    /// Whether this build can run it.
    pub(crate) fn is_built_in(self) -> bool {
        !self.needs_redis() || cfg!(feature = "redis")
    }

    /// Whether the balancer sends each user to one replica, for as long as that is up.
    pub(crate) fn needs_affinity(self) -> bool {
        matches!(self, Self::Sticky | Self::Replicated)
    }

    /// Whether it cannot keep every session when a process ends.
    pub(crate) fn loses_sessions(self) -> bool {
        matches!(self, Self::Memory | Self::Sticky)
    }

    /// Whether it cannot do without a Redis.
    pub(crate) fn needs_redis(self) -> bool {
        self == Self::Database
    }

    /// Whether it has keys, which rotate.
    pub(crate) fn has_keys(self) -> bool {
        matches!(self, Self::Stateless | Self::Cold)
    }

    /// Whether its replicas share a store.
    pub(crate) fn has_store(self) -> bool {
        matches!(self, Self::Stateless | Self::Cold | Self::Database)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Stateless => "stateless",
            Self::Cold => "cold",
            Self::Memory => "memory",
            Self::Sticky => "sticky",
            Self::Replicated => "replicated",
            Self::Database => "database",
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
        let mut all = Self::COMPARED.to_vec();
        all.extend([Self::Cold, Self::Bare]);
        let Some(&arm) = all.iter().find(|arm| arm.word() == text) else {
            let words: Vec<_> = all.into_iter().map(Self::word).collect();
            return Err(format!("expected one of {}", words.join(", ")));
        };
        if arm.is_built_in() {
            return Ok(arm);
        }
        Err(format!(
            "this build does not know the arm `{arm}`; it takes the feature `redis`:\n  \
             cargo run --release --example cluster --features redis -- prove --arms stateless,{arm}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_that_is_not_built_in_names_its_feature() {
        for arm in Arm::COMPARED {
            let parsed = arm.to_string().parse::<Arm>();
            if arm.is_built_in() {
                assert_eq!(parsed, Ok(arm));
            } else {
                let problem = parsed.expect_err("no such feature");
                assert!(problem.ends_with("--features redis -- prove --arms stateless,database"));
            }
        }
    }
}
