//! An answer's body: what it says of its length, and what is counted as it comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower_jwt_session::BuildError;

use super::*;

const LIMIT: usize = 1024;

/// A body that comes in these pieces, and says that it has so many bytes.
#[derive(Clone, Debug)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    says: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.says);
        hint
    }
}

/// Answers with that body.
#[derive(Debug)]
struct Answers(Pieces);

impl HttpClient for Answers {
    fn send(&self, _: ::http::Request<()>) -> ClientFuture<'_> {
        let body = ClientBody::new(self.0.clone());
        Box::pin(async { Ok(::http::Response::new(body)) })
    }
}

/// A set in pieces of those lengths, the first one holding all but white space.
fn pieces<const N: usize>(lengths: [usize; N]) -> VecDeque<Bytes> {
    let document = set([jwk(Algorithm::EdDSA, "a")]);
    let text = |place: usize| if place == 0 { document.as_str() } else { "" };
    let padded = |(place, length)| format!("{:length$}", text(place)).into();
    lengths.into_iter().enumerate().map(padded).collect()
}

async fn open(pieces: VecDeque<Bytes>, says: u64) -> Result<KeyRing, BuildError> {
    let client = Answers(Pieces { pieces, says });
    KeyRing::jwks_url(ISSUER, URL).client(client).max_document_bytes(LIMIT).open().await
}

#[tokio::test]
async fn what_says_that_it_is_too_long_is_not_read() {
    open(pieces([500]), LIMIT as u64).await.unwrap();
    let error = open(pieces([500]), LIMIT as u64 + 1).await.unwrap_err().to_string();
    assert!(error.contains("longer than 1024 bytes"), "{error}");
}

#[tokio::test]
async fn the_pieces_count_together() {
    open(pieces([500, 500, 24]), 0).await.unwrap();
    for longer in [pieces([500, 500, 25]), pieces([500, 500, 24, 1]), pieces([500, 600])] {
        let error = open(longer, 0).await.unwrap_err().to_string();
        assert!(error.contains("longer than 1024 bytes"), "{error}");
    }
}

#[test]
fn a_clients_error_keeps_its_cause_and_a_body_shows_nothing() {
    let error = ClientError::new(io::Error::other("connection reset"));
    let cause = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.to_string(), "connection reset");
    assert_eq!(format!("{:?}", ClientBody::new("secret".to_owned())), "ClientBody(..)");
}
