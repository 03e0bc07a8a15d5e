//! [`Renewal`] and the hook that returns it: which claims a renewed session has.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;

use crate::clock::Timestamp;
use crate::cooldown::Cooldown;
use crate::sessions::session::Session;
use crate::tasks::caught;
use crate::telemetry::RENEWAL_HOOKS;

/// Which claims a renewed session has: the answer of
/// [`SessionsBuilder::on_renewal`](crate::SessionsBuilder::on_renewal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal<C> {
    /// With the claims that it has.
    Keep,
    /// With these claims.
    Replace(C),
    /// Not at all: it is revoked, if the sessions have revocations, and its cookie is cleared.
    End,
}

/// The answer of the application.
pub(crate) type Answer<C> = Result<Renewal<C>, Box<dyn Error + Send + Sync>>;

/// The application's function.
pub(crate) struct Hook<C> {
    ask: Box<Ask<C>>,
    warnings: Cooldown,
}

type Ask<C> = dyn Fn(Session<C>) -> Pin<Box<dyn Future<Output = Answer<C>> + Send>> + Send + Sync;

impl<C> Hook<C> {
    pub(crate) fn new<H, F>(hook: H) -> Self
    where
        H: FnOnce(Session<C>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer<C>> + Send + 'static,
    {
        let ask = Box::new(move |session| Box::pin(hook.clone()(session)) as _);
        Self { ask, warnings: Cooldown::new(WARNING_PAUSE) }
    }

    /// Asks which claims a renewed session has, under the name of its ring. None if the hook failed, hung
    /// or panicked.
    pub(crate) async fn ask(
        &self,
        session: Session<C>,
        ring: &Arc<str>,
        now: Timestamp,
    ) -> Option<Renewal<C>> {
        let session_id = session.session_id().to_owned();
        // The application's code runs inside, from its first line.
        let asking = caught(async { (self.ask)(session).await });
        let (outcome, answer) = match tokio::time::timeout(TIMEOUT, asking).await {
            Ok(Ok(Ok(answer))) => (answer.outcome(), Ok(answer)),
            Ok(Ok(Err(error))) => ("failed", Err(error.to_string())),
            // The panic hook prints the panic's own message, which may contain anything.
            Ok(Err(_)) => ("panicked", Err("it panicked".to_owned())),
            Err(_) => ("timed_out", Err(format!("it took longer than {TIMEOUT:?}"))),
        };
        counter!(RENEWAL_HOOKS, "ring" => ring.clone(), "outcome" => outcome).increment(1);
        let warn = |error: &String| {
            if self.warnings.try_begin(now) {
                tracing::warn!(
                    ring = &**ring,
                    session_id,
                    error,
                    "the renewal hook failed; the claims stay"
                );
            }
        };
        answer.inspect_err(warn).ok()
    }
}

impl<C> Renewal<C> {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Keep => "kept",
            Self::Replace(_) => "replaced",
            Self::End => "ended",
        }
    }
}

impl<C> fmt::Debug for Hook<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}

/// How long a response waits for the hook.
const TIMEOUT: Duration = Duration::from_secs(1);
const WARNING_PAUSE: Duration = Duration::from_secs(60);
