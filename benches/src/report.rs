//! Figures and their limits, as a Markdown table and as an SVG chart.

use std::fmt::{self, Write as _};

/// A path's figure, and its limit.
#[derive(Clone, Debug)]
pub struct Row {
    /// The path that was measured.
    pub path: String,
    /// The reference.
    pub reference: String,
    /// The limit of the figure.
    pub limit: Limit,
    /// The figure, in the limit's unit.
    pub measured: f64,
    /// The nanoseconds behind it: of the path, and of its reference.
    pub times: [f64; 2],
}

/// The limit of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// At most so many times the reference.
    AtMost(f64),
    /// At least so many times the reference.
    AtLeast(f64),
}

impl Row {
    /// Whether the figure is within its limit.
    pub fn holds(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.measured <= limit,
            Limit::AtLeast(limit) => self.measured >= limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit:.2}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit:.2}"),
        }
    }
}

/// The rows as a table.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| path | reference | must be | measured | holds | |\n|---|---|--:|--:|---|---|\n",
    );
    for row in rows {
        let Row { path, reference, limit, measured, times: [time, of_reference] } = row;
        let holds = if row.holds() { "yes" } else { "**no**" };
        writeln!(
            text,
            "| {path} | {reference} | {limit} | {measured:.2} | {holds} | {time:.0} ns, {of_reference:.0} ns |"
        )
        .expect("a string takes all");
    }
    text
}

/// The rows as bars, each as long as its share of the limit, which is a line across all.
pub fn svg(rows: &[Row]) -> String {
    let bar = |row: &Row| {
        let (share, limit) = match row.limit {
            Limit::AtMost(limit) => (row.measured / limit, row.limit),
            Limit::AtLeast(limit) => (limit / row.measured, row.limit),
        };
        Bar {
            label: format!("{}, of {}", row.path, row.reference),
            share,
            value: format!("{:.2} ({limit})", row.measured),
        }
    };
    bars(&rows.iter().map(bar).collect::<Vec<_>>())
}

/// One bar.
pub struct Bar {
    /// The text before it.
    pub label: String,
    /// Its length, as a share of the limit.
    pub share: f64,
    /// The text after it.
    pub value: String,
}

/// Bars beside their limit, which is a line across all.
pub fn bars(bars: &[Bar]) -> String {
    const LABEL: f64 = 430.0;
    const LIMIT: f64 = 300.0;
    const LINE: f64 = 22.0;
    let height = LINE * (bars.len() as f64 + 2.0);
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
"##,
    );
    for (place, Bar { label, share, value }) in bars.iter().enumerate() {
        let y = LINE * (place as f64 + 0.5);
        let width = LIMIT * share.min(1.5);
        let color = if *share <= 1.0 { "#3b7dd8" } else { "#c8553d" };
        let (label, value) = (escape(label), escape(value));
        let (text_y, value_x) = (y + 13.0, LABEL + LIMIT * 1.5 - 60.0);
        writeln!(
            text,
            r##"<text x="{x}" y="{text_y}" text-anchor="end" fill="#222222">{label}</text>
<rect x="{LABEL}" y="{y}" width="{width:.1}" height="16" fill="{color}"/>
<text x="{value_x}" y="{text_y}" fill="#222222">{value}</text>"##,
            x = LABEL - 8.0,
        )
        .expect("a string takes all");
    }
    let (x, bottom) = (LABEL + LIMIT, height - LINE);
    write!(
        text,
        r##"<line x1="{x}" y1="0" x2="{x}" y2="{bottom}" stroke="#222222" stroke-dasharray="4"/>
<text x="{x}" y="{y}" text-anchor="middle" fill="#222222">the limit</text>
</svg>
"##,
        y = bottom + 14.0,
    )
    .expect("a string takes all");
    text
}

/// One line of a plot.
pub struct Line {
    /// The text at its end.
    pub name: String,
    /// The height at each place, above zero.
    pub values: Vec<f64>,
}

/// The lines over places of equal distance, on a logarithmic scale.
pub fn plot(lines: &[Line], places: &[usize]) -> String {
    const COLORS: [&str; 6] = ["#3b7dd8", "#c8553d", "#3c9d5d", "#8a5cc2", "#b8860b", "#444444"];
    const LEFT: f64 = 60.0;
    const TOP: f64 = 20.0;
    const WIDTH: f64 = 500.0;
    const HEIGHT: f64 = 400.0;
    let values = || lines.iter().flat_map(|line| &line.values).copied();
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    let x = |place: usize| LEFT + WIDTH * place as f64 / (places.len() - 1) as f64;
    let y = |value: f64| TOP + HEIGHT * (most / value).ln() / (most / least).ln();
    let mut text = String::from(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="860" height="480" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
"##,
    );
    let mut draw = |element: String| text.push_str(&(element + "\n"));
    let mut mark = 10_f64.powf(least.log10().ceil());
    while mark <= most {
        let height = y(mark);
        draw(format!(
            r##"<line x1="{LEFT}" x2="{right}" y1="{height:.1}" y2="{height:.1}" stroke="#dddddd"/>
<text x="{label}" y="{height:.1}" text-anchor="end" fill="#222222">{mark} µs</text>"##,
            right = LEFT + WIDTH,
            label = LEFT - 6.0,
        ));
        mark *= 10.0;
    }
    for (place, number) in places.iter().enumerate() {
        let bottom = TOP + HEIGHT + 20.0;
        let text = format!("{number} replica{}", if *number == 1 { "" } else { "s" });
        draw(format!(
            r##"<text x="{:.1}" y="{bottom}" text-anchor="middle" fill="#222222">{text}</text>"##,
            x(place)
        ));
    }
    // Names of lines that end near each other are moved apart.
    let mut order: Vec<_> = lines.iter().enumerate().collect();
    let end = |line: &Line| y(*line.values.last().expect("a value at each place"));
    order.sort_by(|(_, one), (_, other)| end(one).total_cmp(&end(other)));
    let mut free = 0.0;
    for (number, line) in order {
        let color = COLORS[number % COLORS.len()];
        let points = line.values.iter().enumerate();
        let points: Vec<_> =
            points.map(|(place, value)| format!("{:.1},{:.1}", x(place), y(*value))).collect();
        let label = end(line).max(free);
        free = label + 15.0;
        draw(format!(
            r##"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2"/>
<text x="{:.1}" y="{:.1}" fill="{color}">{}</text>"##,
            points.join(" "),
            LEFT + WIDTH + 8.0,
            label + 4.0,
            escape(&line.name),
        ));
    }
    text + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
