//! `doctor`: the production checklist, asked of the replicas.

pub(crate) mod command;
pub(crate) mod edge;
pub(crate) mod fetch;
pub(crate) mod line;
pub(crate) mod replicas;
pub(crate) mod status;
