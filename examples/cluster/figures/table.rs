//! A table in a box: groups of columns, side by side.

/// Columns that belong together, under one title.
pub(crate) struct Group {
    /// The titles over the columns.
    pub(crate) title: String,
    /// Each column's head and width.
    pub(crate) columns: Vec<(String, usize)>,
}

impl Group {
    /// A group from literal heads.
    pub(crate) fn new(title: &str, columns: &[(&str, usize)]) -> Self {
        let columns = columns.iter().map(|&(head, width)| (head.to_owned(), width)).collect();
        Self { title: title.to_owned(), columns }
    }

    /// Its columns and a space between any two.
    fn width(&self) -> usize {
        self.columns.iter().map(|(_, width)| width + 1).sum::<usize>().saturating_sub(1)
    }
}

/// Draws the table. The first group holds words, the others numbers. `None` among the rows is a rule
/// across.
pub(crate) fn draw(groups: &[Group], rows: &[Option<Vec<String>>]) -> String {
    let titles: Vec<_> = groups.iter().map(|it| fit(&it.title, it.width(), false)).collect();
    let heads: Vec<_> = groups.iter().flat_map(|it| &it.columns).map(|it| it.0.clone()).collect();
    let mut text = rule(groups, '┌', '┬', '┐');
    text += &line(&titles);
    text += &row(groups, &heads);
    text += &rule(groups, '├', '┼', '┤');
    for cells in rows {
        text +=
            &cells.as_ref().map_or_else(|| rule(groups, '├', '┼', '┤'), |cells| row(groups, cells));
    }
    text += &rule(groups, '└', '┴', '┘');
    text
}

fn row(groups: &[Group], cells: &[String]) -> String {
    let mut cells = cells.iter().map(String::as_str);
    let mut texts = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let fitted = group.columns.iter().map(|(_, width)| {
            let cell = cells.next().unwrap_or_default();
            fit(cell, *width, index > 0)
        });
        texts.push(fitted.collect::<Vec<_>>().join(" "));
    }
    line(&texts)
}

fn line(texts: &[String]) -> String {
    format!("│ {} │\n", texts.join(" │ "))
}

fn rule(groups: &[Group], left: char, middle: char, right: char) -> String {
    let dashes: Vec<_> = groups.iter().map(|it| "─".repeat(it.width() + 2)).collect();
    format!("{left}{}{right}\n", dashes.join(&middle.to_string()))
}

/// Fills up to `width` characters, each of which takes one place here. Words are cut, numbers never:
/// a ragged table is better than a wrong one.
fn fit(text: &str, width: usize, number: bool) -> String {
    if number {
        return format!("{text:>width$}");
    }
    let cut: String = text.chars().take(width).collect();
    format!("{cut:<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn() {
        let groups = [
            Group::new("", &[("step", 5)]),
            Group::new("one", &[("a", 2), ("b", 3)]),
            Group::new("a long title", &[("c", 4)]),
        ];
        let cells = |texts: [&str; 4]| Some(texts.map(str::to_owned).to_vec());
        let rows = [cells(["3 → 5", "1", "22", "3"]), None, cells(["too long", "1", "2", ""])];
        let expected = "\
┌───────┬────────┬──────┐
│       │ one    │ a lo │
│ step  │  a   b │    c │
├───────┼────────┼──────┤
│ 3 → 5 │  1  22 │    3 │
├───────┼────────┼──────┤
│ too l │  1   2 │      │
└───────┴────────┴──────┘
";
        assert_eq!(draw(&groups, &rows), expected);
    }
}
