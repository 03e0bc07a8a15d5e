//! A keep-alive connection of the load run: one request, made once and sent again and again, and no
//! more done to its answers than to check them.
//!
//! The scripted user agents of `client.rs` cost several times as much per request, and the servers
//! would wait for them.

use httparse::{EMPTY_HEADER, Response, Status};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::BoxError;

/// The start of every good answer of `GET /me`.
const SUBJECT: &[u8] = br#"{"subject":"alice","#;
/// No head of an answer has more fields.
const MOST_HEADERS: usize = 32;

/// One connection, with nothing on its way.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Connection {
    /// Connects to `base`, as in `http://127.0.0.1:8080`, for requests with this token.
    ///
    /// # Errors
    /// If it is not reached.
    pub(crate) async fn open(base: &str, token: &str) -> Result<Self, BoxError> {
        let address = base.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request =
            format!("GET /me HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
        Ok(Self { stream, request: request.into_bytes(), received: Vec::new() })
    }

    /// Asks who the token is about.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is anything but 200 and the right subject. There is no
    /// further use for the connection then.
    pub(crate) async fn ask(&mut self) -> Result<(), BoxError> {
        self.stream.write_all(&self.request).await?;
        self.received.clear();
        while !is_good(&self.received)? {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
        Ok(())
    }
}

/// Whether this is the whole of a good answer; not yet, if more has to come.
fn is_good(received: &[u8]) -> Result<bool, BoxError> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut head = Response::new(&mut headers);
    let Status::Complete(length) = head.parse(received)? else { return Ok(false) };
    if head.code != Some(200) {
        return Err(format!("answered {}", head.code.unwrap_or_default()).into());
    }
    let field = head.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let field = field.ok_or("answered without a length")?;
    let expected: usize = std::str::from_utf8(field.value)?.parse()?;
    let body = &received[length..];
    if body.len() < expected {
        return Ok(false);
    }
    if body.len() > expected || !body.starts_with(SUBJECT) {
        return Err(format!("answered `{}`", String::from_utf8_lossy(body)).into());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{\"subject\":\"alice\",\"name\":\"Alice\"}";

    fn verdict(answer: &str) -> Result<bool, String> {
        is_good(answer.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_is_good_once_it_is_whole() {
        for end in 0..GOOD.len() {
            assert_eq!(verdict(&GOOD[..end]), Ok(false), "{end}");
        }
        assert_eq!(verdict(GOOD), Ok(true));
    }

    #[test]
    fn anything_else_is_a_failure() {
        for (answer, problem) in [
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", "answered 401"),
            ("HTTP/1.1 200 OK\r\n\r\n", "answered without a length"),
            (&GOOD.replace("alice", "malic"), "answered `{\"subject\":\"malic\","),
            (&format!("{GOOD}HTTP/1.1 200 OK"), "answered `{\"subject\":\"alice\","),
            ("nonsense", "invalid"),
        ] {
            let error = verdict(answer).expect_err(answer);
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
