//! A `Debug` for errors that people can read.

/// Gives errors a `Debug` that equals their `Display`: a `main` that returns an error, `unwrap` and
/// `expect` print it.
macro_rules! debug_as_display {
    ($($error:ty),+ $(,)?) => {
        $(
            impl std::fmt::Debug for $error {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    std::fmt::Display::fmt(self, f)
                }
            }
        )+
    };
}
pub(crate) use debug_as_display;
