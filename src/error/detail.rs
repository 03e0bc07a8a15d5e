//! The part of a refused credential that was found, and the value that was expected.
//!
//! It never holds a token, a signature or a secret. Text that a sender chose is bounded and escaped.

use std::fmt;

/// The detail of a rejection, made where the token is refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    pub(crate) finding: Option<Finding>,
    /// The session's ID as audit events have it, if the signature was verified.
    pub(crate) session_id: Option<Box<str>>,
}

/// What was found, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A part of the token, a member of its header, or a claim.
    pub(crate) about: &'static str,
    pub(crate) found: Box<str>,
    pub(crate) expected: Box<str>,
}

/// A text without characters that a log or a terminal would obey, and not too long for a log.
pub(crate) fn shown(value: impl fmt::Display) -> Box<str> {
    bounded(value, LONGEST)
}

/// The same, with at most so many characters.
pub(crate) fn bounded(value: impl fmt::Display, longest: usize) -> Box<str> {
    let whole = value.to_string();
    let mut characters = whole.chars();
    let mut text = String::new();
    for character in characters.by_ref().take(longest) {
        match character {
            // Printed as they are; `escape_debug` would escape them.
            '"' | '\'' | '\\' => text.push(character),
            _ => text.extend(character.escape_debug()),
        }
    }
    if characters.next().is_some() {
        text.push('\u{2026}');
    }
    text.into()
}

/// The longest text that is found or expected, in characters.
const LONGEST: usize = 300;

/// A list of texts as it is found in a claim.
pub(crate) struct List<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Debug> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0).finish()
    }
}

/// The values found and expected in a parser's message.
pub(crate) fn of_message(message: &str) -> (&str, Option<&str>) {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let (found, expected) = match message.rsplit_once(", expected ") {
        Some((found, expected)) => (found, Some(expected)),
        None => (message, None),
    };
    let found = found.strip_prefix("invalid type: ").unwrap_or(found);
    (found.strip_prefix("invalid value: ").unwrap_or(found), expected)
}

/// A message without the texts that it quotes: those of an application's claims are its users'.
pub(crate) fn without_quotes(message: &str) -> String {
    let mut kept = String::new();
    for (number, part) in message.split('"').enumerate() {
        kept.push_str(if number % 2 == 0 { part } else { "\"\u{2026}\"" });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_sender_is_bounded_and_escaped() {
        assert_eq!(&*shown("a\r\nb\u{1b}[31m\u{202e}c\u{85}"), r"a\r\nb\u{1b}[31m\u{202e}c\u{85}");
        assert_eq!(&*shown(r#""it's" \ ü"#), r#""it's" \ ü"#);
        let long = shown("x".repeat(100_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('\u{2026}'));
        assert_eq!(shown("x".repeat(LONGEST)).len(), LONGEST);
    }

    #[test]
    fn message_of_a_parser_is_taken_apart() {
        let message = "invalid type: null, expected a string at line 1 column 88";
        assert_eq!(of_message(message), ("null", Some("a string")));
        assert_eq!(of_message("missing field `a` at line 1 column 2"), ("missing field `a`", None));
        let message = r#"string "a@example.com", expected u8"#;
        assert_eq!(without_quotes(message), "string \"\u{2026}\", expected u8");
    }
}
