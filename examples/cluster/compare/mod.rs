//! All arms through the same faults, and what each of them costs.

pub(crate) mod counters;
pub(crate) mod growth;
pub(crate) mod outcome;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod verdict;
