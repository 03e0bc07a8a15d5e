//! The terminal: colors only for people, one line at a time.

use std::io::{IsTerminal, Write};

/// How to write to standard output.
pub(crate) struct Terminal {
    live: bool,
    colors: bool,
}

impl Terminal {
    /// Colors if standard output is a terminal and `NO_COLOR` is unset or empty.
    pub(crate) fn detect() -> Self {
        let live = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { live, colors: live && !refused }
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// Says what is going on; the next [`Terminal::line`] takes its place. Only for people.
    pub(crate) fn meanwhile(&self, text: &str) {
        if self.live {
            self.write(&format!("  … {text}"));
        }
    }

    /// Removes what [`Terminal::meanwhile`] wrote.
    pub(crate) fn clear(&self) {
        if self.live {
            // Carriage return, then erase to the end of the line.
            self.write("\r\x1b[K");
        }
    }

    /// Bold text.
    pub(crate) fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Dim text.
    pub(crate) fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    /// Text for what is well.
    pub(crate) fn good(&self, text: &str) -> String {
        self.styled("32", text)
    }

    /// Text for what is not.
    pub(crate) fn bad(&self, text: &str) -> String {
        self.styled("31", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away, as in `| head`, is not a failure: the exit status still shows the outcome.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
