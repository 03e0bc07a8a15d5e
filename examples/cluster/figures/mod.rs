//! What was counted, as tables.

pub(crate) mod load_report;
pub(crate) mod measure;
pub(crate) mod report;
pub(crate) mod table;
