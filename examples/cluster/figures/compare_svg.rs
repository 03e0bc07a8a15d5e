//! A comparison as a picture: arms as columns, faults as rows, the sessions lost as numbers with color.
//! Its text is written by hand; colors follow the reader's light or dark mode.

use crate::{
    compare::outcome::{ArmOutcome, Comparison, Phase, Row},
    figures::compare::{bytes, grown, phases},
    figures::report::{grouped, milliseconds},
};

const LABEL_WIDTH: usize = 190;
const CELL_WIDTH: usize = 128;
const ROW_HEIGHT: usize = 24;
/// Above the first row: the title and the names of the arms.
const HEAD_HEIGHT: usize = 84;
/// Below the last row: two lines of explanation.
const FOOT_HEIGHT: usize = 52;
const MARGIN: usize = 16;
/// The explanation needs as much room as so many arms.
const LEAST_COLUMNS: usize = 4;

const STYLE: &str = "\
svg{font:13px system-ui,sans-serif;--paper:#fff;--ink:#1f2328;--dim:#59636e;--good:#dafbe1;--bad:#ffcecb;--worse:#ff8182}\
@media(prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#f0f6fc;--dim:#9198a1;--good:#12361f;--bad:#67191d;--worse:#b62324}}\
text{fill:var(--ink)}.d{fill:var(--dim)}.b{font-weight:600}.h{font-size:16px;font-weight:600}.s{font-size:11px}\
.c{text-anchor:middle}.p{fill:var(--paper)}.g{fill:var(--good)}.l{fill:var(--bad)}.w{fill:var(--worse)}";

/// The picture.
pub(crate) fn draw(comparison: &Comparison) -> String {
    let phases = phases(&comparison.arms);
    let costs = costs();
    let columns = comparison.arms.len().max(LEAST_COLUMNS);
    let width = 2 * MARGIN + LABEL_WIDTH + CELL_WIDTH * columns;
    let height = HEAD_HEIGHT + ROW_HEIGHT * (phases.len() + costs.len() + 1) + FOOT_HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"Sessions lost, by fault and arm\">\n\
         <style>{STYLE}</style>\n<rect class=\"p\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    text(&mut svg, "h", MARGIN, 32, "Sessions lost, fault by fault");
    for (column, outcome) in comparison.arms.iter().enumerate() {
        text(&mut svg, "b c", middle(column), HEAD_HEIGHT - 12, &outcome.arm.to_string());
    }
    for (index, phase) in phases.iter().enumerate() {
        let top = HEAD_HEIGHT + ROW_HEIGHT * index;
        svg += &format!("<g><title>{}</title>", escaped(phase.says()));
        text(&mut svg, "", MARGIN, top + 16, phase.title());
        svg += "</g>\n";
        for (column, outcome) in comparison.arms.iter().enumerate() {
            cell(&mut svg, column, top, outcome.row(*phase), comparison.users);
        }
    }
    let costs_top = HEAD_HEIGHT + ROW_HEIGHT * (phases.len() + 1);
    text(&mut svg, "b", MARGIN, costs_top - 8, "What it costs");
    for (index, (title, cost)) in costs.iter().enumerate() {
        let top = costs_top + ROW_HEIGHT * index;
        text(&mut svg, "", MARGIN, top + 16, title);
        for (column, outcome) in comparison.arms.iter().enumerate() {
            let cost = cost(outcome).unwrap_or_else(|| "·".to_owned());
            text(&mut svg, "c", middle(column), top + 16, &cost);
        }
    }
    let foot = height - FOOT_HEIGHT + 20;
    let Comparison { users, replicas, seconds, .. } = comparison;
    let setting = format!(
        "{users} users, {replicas} replicas; {seconds} s after each fault. 5xx: answers 5xx or none. \
         A dot: the fault does not concern the arm."
    );
    text(&mut svg, "d s", MARGIN, foot, &setting);
    text(
        &mut svg,
        "d s",
        MARGIN,
        foot + 16,
        "cargo run --release --example cluster --features redis -- compare",
    );
    svg + "</svg>\n"
}

/// A figure of an arm.
type Cost = fn(&ArmOutcome) -> Option<String>;

/// What each arm costs while nothing happens.
fn costs() -> [(&'static str, Cost); 5] {
    [
        ("p50, milliseconds", |it| it.row(Phase::Steady)?.tally.percentile(50).map(milliseconds)),
        ("store commands by request", |it| {
            it.row(Phase::Steady)?.commands_per_request.map(|it| format!("{it:.2}"))
        }),
        ("copied by login", |it| Some(bytes(it.growth.copied_per_session))),
        ("replicas, 1,000 sessions", |it| it.growth.replicas_per_1000.map(grown)),
        ("store, 1,000 sessions", |it| it.growth.store_per_1000.map(grown)),
    ]
}

/// How many sessions a fault cost, and how many requests failed.
fn cell(svg: &mut String, column: usize, top: usize, row: Option<&Row>, users: usize) {
    let Some(row) = row else {
        return text(svg, "c d", middle(column), top + 16, "·");
    };
    let (lost, failed) = (row.tally.unexpected_401, row.tally.failed);
    let class = match lost {
        0 if failed == 0 => "g",
        _ if lost >= users as u64 || failed >= users as u64 => "w",
        _ => "l",
    };
    let (left, width) = (MARGIN + LABEL_WIDTH + CELL_WIDTH * column + 2, CELL_WIDTH - 4);
    *svg += &format!(
        "<rect class=\"{class}\" x=\"{left}\" y=\"{}\" width=\"{width}\" height=\"{}\" rx=\"4\"/>\n",
        top + 1,
        ROW_HEIGHT - 2
    );
    let figures = match failed {
        0 => grouped(lost),
        _ => format!("{} · {} × 5xx", grouped(lost), grouped(failed)),
    };
    text(svg, "c", middle(column), top + 16, &figures);
}

/// The middle of a column.
fn middle(column: usize) -> usize {
    MARGIN + LABEL_WIDTH + CELL_WIDTH * column + CELL_WIDTH / 2
}

fn text(svg: &mut String, class: &str, x: usize, y: usize, content: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    *svg += &format!("<text{class} x=\"{x}\" y=\"{y}\">{}</text>\n", escaped(content));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::compare::sample;

    #[test]
    fn the_picture_is_small_and_whole() {
        let svg = draw(&sample());
        assert!(svg.len() < 30_000, "{} bytes", svg.len());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        let opened = svg.matches("<text").count();
        assert_eq!((opened, svg.matches("</text>").count()), (opened, opened));
        assert!(svg.contains("prefers-color-scheme:dark"));
        assert!(svg.contains(">9,999 · 19,998 × 5xx</text>"), "{svg}");
        assert_eq!(svg.matches("<rect class=\"g\"").count(), 18, "stateless, in each row");
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = String::new();
        text(&mut svg, "", 1, 2, "<a> & b");
        assert_eq!(svg, "<text x=\"1\" y=\"2\">&lt;a&gt; &amp; b</text>\n");
    }
}
