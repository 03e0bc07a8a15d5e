//! What a command prints and asks: results on standard output, all else on standard error.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;
use crate::options::OutputOptions;

/// Where a command prints and asks.
pub(crate) struct Terminal {
    json: bool,
    yes: bool,
    /// What has been written to a store.
    written: RefCell<Vec<String>>,
}

impl Terminal {
    pub(crate) fn new(options: &OutputOptions) -> Self {
        Self { json: options.json, yes: options.yes, written: RefCell::default() }
    }

    /// Prints the result of a command: one JSON object, or its words.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written.
    pub(crate) fn show(&self, result: &(impl Serialize + Display)) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string(result)?
        } else {
            result.to_string().trim_end().to_owned()
        };
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            // The reader has seen enough: `sessionctl keys status | head -3`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    /// Prints a line for people, which no script reads.
    pub(crate) fn say(&self, text: impl Display) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Says what will happen, and asks whether it shall.
    ///
    /// # Errors
    ///
    /// If the answer is not yes, or nobody can be asked and `--yes` is not given.
    pub(crate) async fn confirm(&self, plan: impl Display) -> Result<(), Failure> {
        self.say(plan.to_string().trim_end());
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "nothing was done: standard input is not a terminal, so nobody can confirm; give \
                 `--yes`",
            ));
        }
        let _ = write!(io::stderr(), "Continue? [y/N] ");
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).map(|_| answer)
        });
        match answer.await??.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::failed("nothing was done: not confirmed")),
        }
    }

    /// Notes what was written to a store, for the text of a failure or of Ctrl-C.
    pub(crate) fn wrote(&self, what: impl Into<String>) {
        self.written.borrow_mut().push(what.into());
    }

    /// Shows a spinner on standard error, if that is a terminal, while `work` takes over half a second.
    pub(crate) async fn progress<T>(&self, text: &str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let soon = tokio::time::sleep(Duration::from_millis(500));
        tokio::select! {
            done = &mut work => return done,
            () = soon => {}
        }
        let bar = ProgressBar::new_spinner().with_message(text.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        let done = work.await;
        bar.finish_and_clear();
        done
    }

    /// Prints a failure, and returns the exit status.
    pub(crate) fn fail(&self, failure: &Failure) -> u8 {
        let mut text = failure.to_string();
        let written = self.written.borrow();
        if !written.is_empty() && failure.status != 130 {
            text = format!("{text}\nwritten before: {}", written.join("; "));
        }
        if self.json {
            #[derive(Serialize)]
            struct Error<'a> {
                error: &'a str,
                written: &'a [String],
            }
            let error = Error { error: &failure.to_string(), written: &written };
            self.say(serde_json::to_string(&error).unwrap_or(text));
        } else {
            self.say(format_args!("error: {text}"));
        }
        failure.status
    }

    /// Ctrl-C: what was written by then.
    pub(crate) fn interrupted(&self) -> Failure {
        let written = self.written.borrow();
        Failure::interrupted(if written.is_empty() {
            "interrupted: nothing was written, except perhaps by a write that was under way; \
             repeating the command is safe"
                .to_owned()
        } else {
            format!(
                "interrupted; written before: {}; repeating the command is safe",
                written.join("; ")
            )
        })
    }
}
