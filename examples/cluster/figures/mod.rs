//! What was counted, as tables.

pub(crate) mod compare;
pub(crate) mod compare_svg;
pub(crate) mod load_report;
pub(crate) mod measure;
pub(crate) mod report;
pub(crate) mod table;
