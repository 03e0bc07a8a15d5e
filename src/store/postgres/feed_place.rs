//! A place in a feed in PostgreSQL: what a cursor's bytes mean.

use std::str;

use crate::store::feed::Cursor;

/// Where a read begins.
///
/// The rows of a feed have no order in which they become visible: a transaction that began earlier may
/// commit later. So a place is a snapshot (`pg_snapshot`): what was committed then was read, and the
/// rest is new. All pages of one read share the snapshot in which it began, and follow the rows' IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What is visible in it was read before; nothing was without one.
    pub(crate) base: Option<String>,
    /// The snapshot of the read that has begun, if it takes more than one page.
    pub(crate) target: Option<String>,
    /// The ID of its last row.
    pub(crate) after: i64,
}

impl Place {
    pub(crate) const START: Self = Self { base: None, target: None, after: i64::MIN };

    /// The place after all that is visible in a snapshot.
    pub(crate) fn after(snapshot: String) -> Self {
        Self { base: Some(snapshot), ..Self::START }
    }

    pub(crate) fn cursor(&self, incarnation: &str) -> Cursor {
        let [base, target] =
            [&self.base, &self.target].map(|snapshot| snapshot.as_deref().unwrap_or(NONE));
        let position = format!("{base} {target} {}", self.after);
        Cursor::new(incarnation.as_bytes(), position.into_bytes())
    }

    /// Returns the incarnation and the place; `None` if the cursor is of another store.
    pub(crate) fn parse(cursor: &Cursor) -> Option<(&str, Self)> {
        let parts: Vec<_> = str::from_utf8(cursor.position()).ok()?.split(' ').collect();
        let &[base, target, after] = &*parts else { return None };
        let place =
            Self { base: snapshot(base)?, target: snapshot(target)?, after: after.parse().ok()? };
        Some((str::from_utf8(cursor.incarnation()).ok()?, place))
    }
}

/// A snapshot's text is `xmin:xmax:xip,…`. The outer `None` is for what is no snapshot.
fn snapshot(text: &str) -> Option<Option<String>> {
    if text == NONE {
        return Some(None);
    }
    let mut parts = text.split(':');
    let [xmin, xmax, running] = [parts.next()?, parts.next()?, parts.next()?];
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    let (xmin, xmax) = (number(xmin)?, number(xmax)?);
    let mut last = 0;
    let mut is_next = |text: &str| {
        let next = number(text).filter(|xid| *xid > last && (xmin..xmax).contains(xid));
        last = next.unwrap_or_default();
        next.is_some()
    };
    let is_valid = xmin <= xmax
        && parts.next().is_none()
        && (running.is_empty() || running.split(',').all(&mut is_next));
    is_valid.then(|| Some(text.to_owned()))
}

const NONE: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_is_none_of_postgresql_is_no_place() {
        let place = Place {
            base: Some("5:9:5,7".to_owned()),
            target: Some("10:10:".to_owned()),
            after: -3,
        };
        let cursor = place.cursor("one/2");
        assert_eq!(Place::parse(&cursor), Some(("one/2", place)));
        let start = Place::START.cursor("one/2");
        assert_eq!(Place::parse(&start), Some(("one/2", Place::START)));
        for text in [
            "",
            "- - x",
            "- -",
            "- - 1 2",
            "5 - 1",
            "5:9 - 1",
            "5:9:5:6 - 1",
            "9:5: - 1",
            "0:5: - 1",
            "5:9:9 - 1",
            "5:9:4 - 1",
            "5:9:7,6 - 1",
            "5:9:5, - 1",
            "5:9:'; - 1",
            "5:99999999999999999999: - 1",
        ] {
            let cursor = Cursor::new(*b"one", text.as_bytes());
            assert_eq!(Place::parse(&cursor), None, "{text}");
        }
        assert_eq!(Place::parse(&Cursor::new(*b"one", [0xff, b' '])), None);
        assert_eq!(Place::parse(&Cursor::new([0xff], *b"- - 1")), None);
    }
}
