//! How long tokens and sessions live.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::build::BuildError;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    /// The longest of a persistent login; `None` if there are none.
    pub(crate) persistent: Option<Duration>,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let (idle, absolute) = (Duration::from_secs(60 * 60), Duration::from_secs(12 * 60 * 60));
        Self { idle, absolute, persistent: None }
    }
}

impl Lifetimes {
    /// Checks the settings against the longest lifetime of the ring's tokens. How long sessions live is the
    /// issuer's to say, where that is another service.
    pub(crate) fn check(&self, issues: bool, longest: Duration) -> Result<(), BuildError> {
        let Self { idle, absolute, persistent } = *self;
        if issues && (idle < Duration::from_secs(1) || idle > longest) {
            let mut help = format!(
                "make it at least 1s and at most the ring's max_token_lifetime ({longest:?}), \
                 or make that longer: `RotationPolicy::new().max_token_lifetime(..)`; for \
                 \"remember me\", see `persistent_lifetime`"
            );
            if absolute < idle {
                help +=
                    &format!("; absolute_lifetime ({absolute:?}) has to be at least as long, too");
            }
            return Err(BuildError::invalid("idle_lifetime", format_args!("{idle:?}"), help));
        }
        if absolute < idle {
            let help =
                format!("make it at least the idle_lifetime ({idle:?}); its default is 43200s");
            return Err(BuildError::invalid(
                "absolute_lifetime",
                format_args!("{absolute:?}"),
                help,
            ));
        }
        let Some(persistent) = persistent else { return Ok(()) };
        let help = if !issues {
            "it applies only to sessions that are issued here: remove it".to_owned()
        } else if persistent < idle || persistent > longest {
            format!(
                "make it at least the idle_lifetime ({idle:?}) and at most the ring's \
                 max_token_lifetime ({longest:?}), or make that longer: \
                 `RotationPolicy::new().max_token_lifetime(..)`"
            )
        } else {
            return Ok(());
        };
        Err(BuildError::invalid("persistent_lifetime", format_args!("{persistent:?}"), help))
    }

    /// How long a token lives of a session that is persistent until then, or is not.
    pub(crate) fn of_token(&self, persistent_until: Option<Timestamp>) -> Duration {
        persistent_until.map_or(self.idle, |_| Duration::MAX)
    }

    /// When a session ends that began then, however often it is renewed.
    pub(crate) fn end_of(
        &self,
        persistent_until: Option<Timestamp>,
        begun: Timestamp,
    ) -> Timestamp {
        persistent_until.unwrap_or(begun + self.absolute)
    }
}
