//! The figures that were found, beside their limits: as a table, as JSON and as bars.

use std::fmt::Write as _;

use benches::report::{Bar, bars};
use serde::Serialize;

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

/// One figure.
#[derive(Clone, Serialize)]
pub(crate) struct Figure {
    part: &'static str,
    what: String,
    found: f64,
    unit: &'static str,
    /// At most so much; without one the figure is only reported.
    limit: Option<f64>,
    /// Whether other load on the machine leaves it as it is, so that a quick run checks it, too.
    is_firm: bool,
}

impl Figure {
    pub(crate) fn new(
        part: &'static str,
        what: impl Into<String>,
        found: f64,
        unit: &'static str,
    ) -> Self {
        Self { part, what: what.into(), found, unit, limit: None, is_firm: false }
    }

    /// Has to be at most so much. It depends on the speed of the machine, and on its load.
    pub(crate) fn limit(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Has to be at most so much, on any machine.
    pub(crate) fn firm_limit(self, limit: f64) -> Self {
        Self { limit: Some(limit), is_firm: true, ..self }
    }

    fn holds(&self) -> bool {
        self.limit.is_none_or(|limit| self.found <= limit)
    }

    fn verdict(&self) -> &'static str {
        match (self.limit, self.holds()) {
            (None, _) => "",
            (_, true) => "ok",
            (_, false) => "**MISSED**",
        }
    }
}

impl Figures {
    /// Adds a figure, and reports it at once: a run takes minutes.
    pub(crate) fn add(&mut self, figure: Figure) {
        eprint!("{}", row(&figure));
        self.0.push(figure);
    }

    /// Whether every figure is within its limit; in a quick run every firm one.
    pub(crate) fn hold(&self, is_quick: bool) -> bool {
        self.0.iter().all(|figure| figure.holds() || (is_quick && !figure.is_firm))
    }

    pub(crate) fn markdown(&self) -> String {
        let head = "| part | | limit | found | |\n|---|---|--:|--:|---|\n".to_owned();
        self.0.iter().fold(head, |table, figure| table + &row(figure))
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(&self.0).expect("JSON") + "\n"
    }

    pub(crate) fn svg(&self) -> String {
        let bar = |figure: &Figure| {
            let limit = figure.limit?;
            Some(Bar {
                label: format!("{}: {}", figure.part, figure.what),
                // Where the limit is none at all, any is too much.
                share: if limit > 0.0 { figure.found / limit } else { figure.found * 2.0 },
                value: format!("{} (≤ {})", amount(figure.found, figure.unit), number(limit)),
            })
        };
        bars(&self.0.iter().filter_map(bar).collect::<Vec<_>>())
    }
}

fn row(figure: &Figure) -> String {
    let Figure { part, what, found, unit, limit, .. } = figure;
    let mut row = String::new();
    let limit = limit.map(|limit| format!("≤ {}", amount(limit, unit))).unwrap_or_default();
    let (found, verdict) = (amount(*found, unit), figure.verdict());
    writeln!(row, "| {part} | {what} | {limit} | {found} | {verdict} |").expect("text");
    row
}

fn amount(amount: f64, unit: &str) -> String {
    format!("{} {unit}", number(amount)).trim_end().to_owned()
}

/// Three digits that matter.
fn number(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{number:.3}"),
        size if size < 10.0 => format!("{number:.2}"),
        size if size < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// The value below which that share of them is.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).ceil() as usize).copied().unwrap_or_default()
}

/// The sum of them over their number.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
