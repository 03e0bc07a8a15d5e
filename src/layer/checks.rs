//! A [`Check`]: one requirement of a layer on a valid session.

use std::sync::Arc;

use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::session::Session;

type Passes<C> = dyn Fn(&Session<C>) -> bool + Send + Sync;

/// One requirement, and the rejection of a session that fails it.
pub(crate) struct Check<C> {
    passes: Arc<Passes<C>>,
    otherwise: RejectionKind,
    /// The scope that is required.
    scope: Option<Arc<str>>,
}

impl<C> Check<C> {
    pub(crate) fn new(
        passes: impl Fn(&Session<C>) -> bool + Send + Sync + 'static,
        otherwise: RejectionKind,
    ) -> Self {
        Self { passes: Arc::new(passes), otherwise, scope: None }
    }

    pub(crate) fn scope(scope: Arc<str>) -> Self {
        let required = scope.clone();
        let has_scope = move |session: &Session<C>| session.scopes().any(|held| *held == *required);
        Self { scope: Some(scope), ..Self::new(has_scope, RejectionKind::InsufficientScope) }
    }

    pub(crate) fn refusal(&self, session: &Session<C>) -> Option<Rejection> {
        (!(self.passes)(session)).then(|| match &self.scope {
            Some(scope) => {
                let found = session.scope().unwrap_or("none");
                self.otherwise.about("scope", found, scope)
            }
            None => Rejection::new(self.otherwise),
        })
    }
}

impl<C> Clone for Check<C> {
    fn clone(&self) -> Self {
        let Self { passes, otherwise, scope } = self;
        Self { passes: passes.clone(), otherwise: *otherwise, scope: scope.clone() }
    }
}
