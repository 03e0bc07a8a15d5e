//! The future of a service that may be answered without it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;

pin_project! {
    /// The inner service's future, or an answer in its place.
    #[derive(Debug)]
    pub(super) struct AnswerOr<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind<F, B> {
        Inner { #[pin] future: F },
        Answer { response: Option<Response<B>> },
    }
}

impl<F, B> AnswerOr<F, B> {
    pub(super) fn inner(future: F) -> Self {
        Self { kind: Kind::Inner { future } }
    }

    pub(super) fn answer(response: Response<B>) -> Self {
        Self { kind: Kind::Answer { response: Some(response) } }
    }
}

impl<F, B, E> Future for AnswerOr<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Inner { future } => future.poll(context),
            KindProjection::Answer { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // A future is not polled after its completion.
                None => Poll::Pending,
            },
        }
    }
}
