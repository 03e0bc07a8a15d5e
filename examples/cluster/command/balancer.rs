//! `--balancer`: what is in front of the replicas.

use std::{fmt, str::FromStr};

/// A balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum BalancerKind {
    /// The one of this example.
    #[default]
    Own,
    /// HAProxy.
    HaProxy,
    /// nginx.
    Nginx,
}

impl fmt::Display for BalancerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Own => "the example's balancer",
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
        })
    }
}

impl FromStr for BalancerKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "own" => Ok(Self::Own),
            "haproxy" => Ok(Self::HaProxy),
            "nginx" => Ok(Self::Nginx),
            _ => Err("expected own, haproxy or nginx"),
        }
    }
}
