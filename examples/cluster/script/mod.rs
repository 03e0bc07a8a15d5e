//! The proof: steps over each arm, and the verdict.

pub(crate) mod outage;
pub(crate) mod proof;
pub(crate) mod refresh;
pub(crate) mod replay;
pub(crate) mod revocation;
pub(crate) mod root;
pub(crate) mod steps;
pub(crate) mod tour;
pub(crate) mod unrecorded;
pub(crate) mod verdict;
