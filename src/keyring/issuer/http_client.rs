//! The HTTP client with which a ring follows an issuer: the application's choice, behind a small
//! trait. The bundled one is `JwksClient` (feature `jwks-client`).

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

/// The future that an [`HttpClient`] returns.
pub type ClientFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Response<ClientBody>, ClientError>> + Send + 'a>>;

/// Fetches an issuer's documents. Only the opening of a ring and its background
/// task call it, never a request.
///
/// The ring chooses the URL, limits the size of the body, and drops the future at its timeout.
/// Rules for a client:
///
/// 1. **No redirect is followed.** The client returns any answer, whatever its status: another
///    origin does not speak for the issuer.
/// 2. The server's certificate is verified.
/// 3. The body is not decompressed: its limit counts the bytes that were received.
///
/// ```
/// use tower_jwt_session::http_client::{ClientBody, ClientFuture, HttpClient};
///
/// /// Answers every request with the same document.
/// #[derive(Debug)]
/// struct Canned(String);
///
/// impl HttpClient for Canned {
///     fn send(&self, request: http::Request<()>) -> ClientFuture<'_> {
///         assert_eq!(request.method(), http::Method::GET);
///         Box::pin(async { Ok(http::Response::new(ClientBody::new(self.0.clone()))) })
///     }
/// }
/// ```
pub trait HttpClient: fmt::Debug + Send + Sync + 'static {
    /// Sends a request without a body. Returns the answer's head and a streamed body.
    ///
    /// # Errors
    ///
    /// If there is no answer, or it is not HTTP. An answer with an error status is not an error
    /// here.
    fn send(&self, request: Request<()>) -> ClientFuture<'_>;
}

/// The streamed body of an answer.
pub struct ClientBody(UnsyncBoxBody<Bytes, ClientError>);

impl ClientBody {
    /// Wraps a body: a client's own, or a `String`.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(body.map_err(ClientError::new).boxed_unsync())
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientBody(..)")
    }
}

/// Why there is no whole answer. Among the sources of an error of a ring it means that the issuer was
/// not reached, or not in time; any other cause is in its answer.
#[derive(Debug)]
pub struct ClientError {
    cause: Box<dyn Error + Send + Sync>,
    /// What to do about it, where that is known.
    fix: Option<&'static str>,
}

impl ClientError {
    /// From a client's own error, or a text.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: cause.into(), fix: None }
    }

    pub(crate) fn has_fix(&self) -> bool {
        self.fix.is_some()
    }

    #[cfg(feature = "jwks-client")]
    pub(crate) fn with_fix(self, fix: Option<&'static str>) -> Self {
        Self { fix, ..self }
    }
}

/// Shows the client's error and all its causes: "refused" is often only in the last.
impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        let mut cause = self.cause.source();
        while let Some(deeper) = cause {
            write!(f, ": {deeper}")?;
            cause = deeper.source();
        }
        self.fix.map_or(Ok(()), |fix| write!(f, "; {fix}"))
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}
