//! The one service of all layers: what it does around the inner one is the layer's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::error::operation::OperationError;
use crate::sessions::issued::{IssuedToken, IssuedTokens};

/// The work of a layer before the inner service, and after it; answers have the body `B`. Sealed: only
/// the layers of this crate implement it.
pub trait Around<B> {
    /// The state of a request that its response needs.
    type Kept;

    /// Looks at a request; an error is the answer in the inner service's place.
    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>>;

    /// Does what the inner service's response asks for, but for work that is awaited before `finish`.
    fn after(&self, response: &mut Response<B>, kept: &Self::Kept) -> Option<Work>;

    /// Turns the response into the one that is sent.
    fn finish(&self, response: &mut Response<B>, kept: Self::Kept, worked: Option<Worked>);
}

/// Work for a login, a logout or a renewal.
pub(crate) type Work = Pin<Box<dyn Future<Output = Worked> + Send>>;
/// How it went.
pub(crate) type Worked = Result<Option<Granted>, OperationError>;

/// What the response gets.
pub enum Granted {
    /// A session token.
    Token(IssuedToken),
    /// An access token and a refresh token.
    Pair(IssuedTokens),
    /// The next token of a cookie session.
    Renewed(IssuedToken),
    /// Nothing: the session has ended at its renewal.
    Ended,
}

/// The service of a [`SessionLayer`](super::SessionLayer), [`ValidateLayer`](super::ValidateLayer) or
/// [`IssueLayer`](super::IssueLayer).
#[derive(Clone, Debug)]
pub struct SessionService<S, L> {
    inner: S,
    /// Shared, as axum clones the service for each request.
    layer: Arc<L>,
}

impl<S, L> SessionService<S, L> {
    pub(crate) fn new(inner: S, layer: L) -> Self {
        Self { inner, layer: layer.into() }
    }
}

impl<S, L, RequestBody, ResponseBody> Service<Request<RequestBody>> for SessionService<S, L>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    L: Around<ResponseBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResponseBody, L>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let kind = match self.layer.before(&mut request) {
            Ok(kept) => Kind::Inner {
                future: self.inner.call(request),
                layer: self.layer.clone(),
                kept: Some(kept),
            },
            Err(answer) => Kind::Answer { answer: Some(answer) },
        };
        ResponseFuture { kind }
    }
}

pin_project! {
    /// The response future of a [`SessionService`].
    pub struct ResponseFuture<F, B, L: Around<B>> {
        #[pin]
        kind: Kind<F, B, L>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<F, B, L: Around<B>> {
        Inner { #[pin] future: F, layer: Arc<L>, kept: Option<L::Kept> },
        Working { work: Work, layer: Arc<L>, rest: Option<(Response<B>, L::Kept)> },
        Answer { answer: Option<Response<B>> },
    }
}

impl<F, B, L, E> Future for ResponseFuture<F, B, L>
where
    F: Future<Output = Result<Response<B>, E>>,
    L: Around<B>,
{
    type Output = F::Output;

    // A future is not polled after its completion, so that nothing is taken twice.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        match kind.as_mut().project() {
            KindProjection::Inner { future, layer, kept } => {
                let mut response = ready!(future.poll(context))?;
                let Some(kept) = kept.take() else { return Poll::Pending };
                let Some(work) = layer.after(&mut response, &kept) else {
                    layer.finish(&mut response, kept, None);
                    return Poll::Ready(Ok(response));
                };
                let (layer, rest) = (layer.clone(), Some((response, kept)));
                kind.set(Kind::Working { work, layer, rest });
                Self::work(kind, context)
            }
            KindProjection::Working { .. } => Self::work(kind, context),
            KindProjection::Answer { answer } => {
                answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            }
        }
    }
}

impl<F, B, L, E> ResponseFuture<F, B, L>
where
    F: Future<Output = Result<Response<B>, E>>,
    L: Around<B>,
{
    #[cold]
    fn work(kind: Pin<&mut Kind<F, B, L>>, context: &mut Context<'_>) -> Poll<F::Output> {
        let KindProjection::Working { work, layer, rest } = kind.project() else {
            return Poll::Pending;
        };
        let worked = ready!(work.as_mut().poll(context));
        let Some((mut response, kept)) = rest.take() else { return Poll::Pending };
        layer.finish(&mut response, kept, Some(worked));
        Poll::Ready(Ok(response))
    }
}
