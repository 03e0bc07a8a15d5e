//! [`SessionLayer`]: validating and issuing in one, in the right order.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use tower_layer::Layer;

use crate::layer::issue::IssueLayer;
use crate::layer::renew::Renewer;
use crate::layer::service::{Around, SessionService, Work, Worked};
use crate::layer::validate::{Kept, ValidateLayer};
use crate::response::respond::{Respond, WithBody};
use crate::sessions::handle::{ReadClaims, SessionClaims, Sessions};
use crate::sessions::login::Login;
use crate::sessions::pending::{Passed, Pending};

/// All layers at once, with validation optional: the handler's extractor decides. See
/// [`Sessions::layer`].
#[doc(alias = "middleware")]
pub struct SessionLayer<C, T = WithBody> {
    validate: ValidateLayer<C, T>,
    issue: IssueLayer<C, T>,
}

impl<C> Sessions<C> {
    /// All layers at once: guards, validates if there is a credential, issues, renews.
    #[doc(alias = "filter chain")]
    pub fn layer(&self) -> SessionLayer<C>
    where
        C: SessionClaims,
    {
        let validate = self.validate_layer().optional().guard_all();
        SessionLayer { validate, issue: self.issue_layer() }
    }

    /// The layer that issues and renews. It renews what a validate layer around it has found, so
    /// that it belongs inside of that.
    pub fn issue_layer(&self) -> IssueLayer<C>
    where
        C: SessionClaims,
    {
        IssueLayer::new(self.clone(), WithBody)
    }

    /// The layer that validates: strict, so that a request without a session is a 401.
    ///
    /// It renews a cookie session past half of its life, unless its keys are another issuer's. Inside
    /// [`layer`](Self::layer), around some routes, it uses what that has found, and leaves renewal to it.
    pub fn validate_layer(&self) -> ValidateLayer<C>
    where
        C: SessionClaims,
    {
        ValidateLayer::new(self.clone(), Some(Renewer::new()))
    }

    /// Like [`validate_layer`](Self::validate_layer), for claims that cannot be issued: it never renews.
    /// For the tokens of another issuer, or of another service with the same keys, which renews them.
    pub fn validate_only_layer(&self) -> ValidateLayer<C>
    where
        C: ReadClaims,
    {
        ValidateLayer::new(self.clone(), None)
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
    type Kept = Kept<C>;

    fn before<R>(&self, request: &mut Request<R>) -> Result<Kept<C>, Response<B>> {
        self.validate.before(request)
    }

    fn after(&self, response: &mut Response<B>, kept: &Kept<C>) -> Option<Work> {
        Passed::note::<C>(response.extensions(), "layer");
        let is_login = response.extensions().get::<Arc<Pending<Login<C>>>>().is_some();
        let work = self.issue.issue_or_renew(response, Some(&kept.presented), kept.cookie_use);
        if is_login { work } else { self.validate.log_out(response, kept).or(work) }
    }

    fn finish(&self, response: &mut Response<B>, kept: Kept<C>, worked: Option<Worked>) {
        let worked = self.issue.complete(response, worked, kept.cookie_use);
        self.validate.complete(response, &kept, worked);
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
