//! [`Pending`]: a login or a logout in a response's extensions, on its way to the layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;

/// A handler's request to the layer.
pub(crate) trait Intent: Send + Sync + 'static {
    /// Why no layer took it: the application's mistake.
    const MISTAKE: &'static str;

    /// Logs that no layer took it.
    fn log_lost();
}

pub(crate) struct Pending<T: Intent> {
    pub(crate) intent: T,
    /// Whether the layer makes the whole response.
    pub(crate) is_whole: bool,
    is_taken: AtomicBool,
}

impl<T: Intent> Pending<T> {
    /// Inserts it, shared: extensions have to be cloneable.
    pub(crate) fn insert(intent: T, is_whole: bool, extensions: &mut Extensions) {
        let is_taken = AtomicBool::new(false);
        extensions.insert(Arc::new(Self { intent, is_whole, is_taken }));
    }

    /// For the layer that does it.
    pub(crate) fn take(&self) -> &Self {
        self.is_taken.store(true, Ordering::Relaxed);
        self
    }
}

/// A part of a response cannot fail when no layer takes it: it is logged.
impl<T: Intent> Drop for Pending<T> {
    fn drop(&mut self) {
        if !*self.is_taken.get_mut() {
            T::log_lost();
        }
    }
}
