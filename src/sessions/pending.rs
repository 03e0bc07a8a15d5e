//! [`Pending`]: a login or a logout in a response's extensions, on its way to the layer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;

/// A handler's request to the layer.
pub(crate) trait Intent: Send + Sync + 'static {
    /// Why no layer took it: the application's mistake.
    fn mistake() -> String;

    /// Logs that no layer took it, of those around the handler.
    fn log_lost(around: &str);
}

/// The layers that a response with an [`Intent`] has passed on its way out, for the log: their names, and the
/// types of their claims.
#[derive(Clone, Default)]
pub(crate) struct Passed(Arc<Mutex<Vec<(&'static str, &'static str)>>>);

impl Passed {
    /// Notes a layer of `Sessions<C>`, if the response has an intent.
    #[inline]
    pub(crate) fn note<C>(extensions: &Extensions, layer: &'static str) {
        if let Some(Self(layers)) = extensions.get() {
            let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
            layers.push((layer, std::any::type_name::<C>()));
        }
    }

    #[cold]
    fn describe(&self) -> String {
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let texts =
            layers.iter().map(|(layer, claims)| format!("`{layer}` of `Sessions<{claims}>`"));
        let texts: Vec<_> = texts.collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    }
}

pub(crate) struct Pending<T: Intent> {
    pub(crate) intent: T,
    /// Whether the layer makes the whole response.
    pub(crate) is_whole: bool,
    is_taken: AtomicBool,
    passed: Passed,
}

impl<T: Intent> Pending<T> {
    /// Inserts it, shared: extensions have to be cloneable.
    pub(crate) fn insert(intent: T, is_whole: bool, extensions: &mut Extensions) {
        let is_taken = AtomicBool::new(false);
        let passed = extensions.get_or_insert_default::<Passed>().clone();
        extensions.insert(Arc::new(Self { intent, is_whole, is_taken, passed }));
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
            T::log_lost(&self.passed.describe());
        }
    }
}
