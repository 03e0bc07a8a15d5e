//! Metrics and events: the tables in the docs against the code.

mod alerts;
mod audit;
mod day;
mod events;
mod metrics;

/// The rows of a table in the docs of the module: what stands under a heading, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let docs = include_str!("../../../src/telemetry.rs");
    let (_, section) = docs.split_once(&format!("//! # {heading}\n")).expect("a section");
    let lines =
        section.lines().take_while(|line| line.starts_with("//!") && !line.contains("! # "));
    let rows = lines.filter_map(|line| line.strip_prefix("//! |")).skip(2);
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}
