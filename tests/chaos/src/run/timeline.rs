//! When the fault began and ended.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The moments of one run, which everyone reads.
#[derive(Default)]
pub(crate) struct Timeline {
    began: OnceLock<Instant>,
    lifted: OnceLock<Instant>,
}

impl Timeline {
    /// The fault begins now.
    pub(crate) fn begin(&self) {
        let _ = self.began.set(Instant::now());
    }

    /// It is lifted now.
    pub(crate) fn lift(&self) {
        let _ = self.lifted.set(Instant::now());
    }

    /// When it began.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.began.get().copied()
    }

    /// When it was lifted.
    pub(crate) fn lifted(&self) -> Option<Instant> {
        self.lifted.get().copied()
    }

    /// Whether it has begun, and is not lifted.
    pub(crate) fn is_broken(&self) -> bool {
        self.began().is_some() && self.lifted().is_none()
    }

    /// How long ago it began.
    pub(crate) fn since_begin(&self) -> Option<Duration> {
        self.began().map(|began| began.elapsed())
    }

    /// Where we are, in words.
    pub(crate) fn phase(&self) -> String {
        match (self.began(), self.lifted()) {
            (None, _) => "before the fault".to_owned(),
            (Some(began), None) => format!("{:.1} s into the fault", began.elapsed().as_secs_f64()),
            (_, Some(lifted)) => format!("{:.1} s after it", lifted.elapsed().as_secs_f64()),
        }
    }
}
