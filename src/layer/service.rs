//! The one service of all layers: what it does around the inner one is the layer's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

/// What a layer does before the inner service, and after it; answers have the body `B`.
pub trait Around<B> {
    /// What is kept of a request for its response.
    type Kept;

    /// Looks at a request; an error is the answer in the inner service's place.
    fn before<R>(&self, request: &mut Request<R>) -> Result<Self::Kept, Response<B>>;

    /// Turns the inner service's response into what goes out.
    fn after(&self, response: &mut Response<B>, kept: Self::Kept);
}

/// The service of a [`SessionLayer`](super::SessionLayer), [`ValidateLayer`](super::ValidateLayer) or
/// [`IssueLayer`](super::IssueLayer).
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
        Answer { answer: Option<Response<B>> },
    }
}

impl<F, B, L, E> Future for ResponseFuture<F, B, L>
where
    F: Future<Output = Result<Response<B>, E>>,
    L: Around<B>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Inner { future, layer, kept } => {
                let mut response = ready!(future.poll(context))?;
                if let Some(kept) = kept.take() {
                    layer.after(&mut response, kept);
                }
                Poll::Ready(Ok(response))
            }
            // A future is not polled after its completion.
            KindProjection::Answer { answer } => {
                answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            }
        }
    }
}

impl<S: Clone, L> Clone for SessionService<S, L> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, L: fmt::Debug> fmt::Debug for SessionService<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
