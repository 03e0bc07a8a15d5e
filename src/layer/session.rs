//! [`SessionLayer`]: validating and issuing in one, in the right order.

use crate::layer::issue::IssueLayer;
use crate::layer::service::SessionService;
use crate::layer::validate::ValidateLayer;
use crate::response::respond::Respond;
use crate::response::respond::WithBody;
use std::fmt;

use http::{Request, Response};
use tower_layer::Layer;

use crate::layer::service::Around;
use crate::layer::validate::Unvalidated;
use crate::sessions::handle::{SessionClaims, Sessions};
use crate::sessions::session::Session;

/// All layers at once, with validation optional: the handler's extractor decides. See
/// [`Sessions::layer`].
pub struct SessionLayer<C, T = WithBody> {
    validate: ValidateLayer<C, T>,
    issue: IssueLayer<C, T>,
}

impl<C: SessionClaims> Sessions<C> {
    /// All layers at once: guards, validates if there is a credential, issues, renews.
    pub fn layer(&self) -> SessionLayer<C> {
        let validate = self.validate_layer().optional().guard_all();
        SessionLayer { validate, issue: self.issue_layer() }
    }

    /// The layer that validates: strict, so that a request without a session is a 401.
    ///
    /// Inside [`layer`](Self::layer), around some routes, it uses what that has found.
    pub fn validate_layer(&self) -> ValidateLayer<C> {
        ValidateLayer::new(self.clone())
    }

    /// The layer that issues and renews. It renews what a validate layer around it has found, so
    /// that it belongs inside of that.
    pub fn issue_layer(&self) -> IssueLayer<C> {
        IssueLayer::new(self.clone(), WithBody)
    }
}

impl<C, T> SessionLayer<C, T> {
    /// Replaces how the layers' own answers get their bodies, or the answers themselves. See
    /// [`Respond`].
    pub fn respond_with<U: Clone>(self, respond: U) -> SessionLayer<C, U> {
        let validate = self.validate.respond_with(respond.clone());
        SessionLayer { validate, issue: self.issue.respond_with(respond) }
    }
}

impl<S, C, T: Clone> Layer<S> for SessionLayer<C, T> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl<B, C: SessionClaims, T: Respond<B>> Around<B> for SessionLayer<C, T> {
    type Kept = (Option<Unvalidated>, Option<Session<C>>);

    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>> {
        let presented = self.validate.admit(request)?;
        let kept = (presented.unvalidated(), self.issue.renewable(&presented));
        request.extensions_mut().insert(presented);
        Ok(kept)
    }

    fn after(&self, response: &mut Response<B>, (unvalidated, renewable): Self::Kept) {
        self.issue.finish(response, renewable);
        self.validate.after(response, unvalidated);
    }
}

impl<C, T: Clone> Clone for SessionLayer<C, T> {
    fn clone(&self) -> Self {
        Self { validate: self.validate.clone(), issue: self.issue.clone() }
    }
}

impl<C, T> fmt::Debug for SessionLayer<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("validate", &self.validate).finish_non_exhaustive()
    }
}
