//! The scripted user agent: keep-alive connections, a deadline, and a jar that keeps the newest cookie.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, HeaderName, Method, Request, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper_util::client::legacy::{Client as Http, connect::HttpConnector};
use serde_json::{Value, json};

use crate::{
    BoxError,
    arms::app::REPLICA,
    balancer::{affinity, proxy},
};

/// How long any answer may take before it counts as broken.
const DEADLINE: Duration = Duration::from_secs(10);
/// No answer of the application is larger.
const LARGEST_ANSWER: usize = 1 << 20;

/// One user agent. Each has its own connections.
pub(crate) struct Client {
    http: Http<HttpConnector, Body>,
    /// A server may close an idle connection at any moment, as nginx does when it reloads. A read is
    /// then sent again, as browsers do; a write must not be, and goes over a new connection (RFC 9110,
    /// section 9.2.2).
    writes: Http<HttpConnector, Body>,
    base: String,
}

/// How a request shows who is asking.
#[derive(Clone, Copy)]
pub(crate) enum Credentials<'a> {
    /// It doesn't.
    Nobody,
    /// By the cookie in this jar, if there is one. The jar learns from the answer.
    Cookie(&'a Jar),
    /// By a copy of the cookie in this jar, which learns nothing.
    CopyOf(&'a Jar),
    /// By a token in the `Authorization` header.
    Bearer {
        /// The token.
        token: &'a str,
        /// Which replica made it.
        maker: &'a str,
    },
}

impl Credentials<'_> {
    /// Which replica made the session that is shown; empty if none is.
    pub(crate) fn maker(self) -> String {
        match self {
            Self::Cookie(jar) | Self::CopyOf(jar) if !jar.is_empty() => jar.maker(),
            Self::Bearer { maker, .. } => maker.to_owned(),
            _ => String::new(),
        }
    }
}

/// An answer.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// Which replica answered; empty if it was the balancer itself.
    pub(crate) replica: String,
    /// How many more tries it took: of the balancer, and of the client whose connection had broken.
    pub(crate) retries: u64,
    /// Whether it set a cookie.
    pub(crate) set_cookie: bool,
    /// From the first byte sent to the last byte received.
    pub(crate) took: Duration,
    /// The body, if it was JSON.
    pub(crate) json: Value,
    /// The body, as text.
    pub(crate) text: String,
}

impl Client {
    /// A user agent for the server at `base`, as in `http://127.0.0.1:8080`.
    pub(crate) fn new(base: &str) -> Self {
        Self { http: proxy::keep_alive_client(), writes: proxy::client(0), base: base.to_owned() }
    }

    /// `GET`.
    ///
    /// # Errors
    /// If the connection broke, or the deadline passed, before the answer was complete.
    pub(crate) async fn get(&self, path: &str, who: Credentials<'_>) -> Result<Answer, BoxError> {
        self.send(Method::GET, path, who, None).await
    }

    /// `POST`, with JSON if there is any.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn post(
        &self,
        path: &str,
        who: Credentials<'_>,
        body: Option<Value>,
    ) -> Result<Answer, BoxError> {
        let body = body.map(|json| ("application/json", json.to_string()));
        self.send(Method::POST, path, who, body).await
    }

    /// Redeems a refresh token.
    ///
    /// # Errors
    /// As for [`Client::get`]. A refused one is an answer.
    pub(crate) async fn refresh(&self, token: &str) -> Result<Answer, BoxError> {
        // No character of a token needs escaping.
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        let body = Some(("application/x-www-form-urlencoded", form));
        self.send(Method::POST, "/token", Credentials::Nobody, body).await
    }

    /// Logs a user in; the jar then holds the session and knows who made it.
    ///
    /// # Errors
    /// As for [`Client::get`]. A refused login is an answer.
    pub(crate) async fn login(
        &self,
        jar: &Jar,
        username: &str,
        password: &str,
    ) -> Result<Answer, BoxError> {
        jar.forget();
        self.login_too(jar, username, password).await
    }

    /// The same, and the jar keeps the cookies of other services.
    ///
    /// # Errors
    /// As for [`Client::login`].
    pub(crate) async fn login_too(
        &self,
        jar: &Jar,
        username: &str,
        password: &str,
    ) -> Result<Answer, BoxError> {
        let form = json!({ "username": username, "password": password });
        let answer = self.post("/login", Credentials::Cookie(jar), Some(form)).await?;
        jar.state().maker.clone_from(&answer.replica);
        Ok(answer)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        who: Credentials<'_>,
        body: Option<(&'static str, String)>,
    ) -> Result<Answer, BoxError> {
        let mut request = Request::builder().method(&method).uri(format!("{}{path}", self.base));
        match who {
            Credentials::Nobody => {}
            Credentials::Cookie(jar) | Credentials::CopyOf(jar) => {
                if let Some(line) = jar.line() {
                    request = request.header(header::COOKIE, line);
                }
            }
            Credentials::Bearer { token, .. } => {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
        }
        if method == Method::POST {
            // As browsers do.
            request = request.header(header::ORIGIN, &self.base);
        }
        let body = match body {
            Some((content_type, text)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                Body::from(text)
            }
            None => Body::empty(),
        };
        let request = request.body(body)?;
        let start = Instant::now();
        let exchanged = tokio::time::timeout(DEADLINE, self.exchange(request)).await??;
        let (head, body, repeats) = exchanged;
        let took = start.elapsed();
        if let Credentials::Cookie(jar) = who {
            jar.learn(&head.headers);
        }
        let text = |name: HeaderName| head.headers.get(name).and_then(|it| it.to_str().ok());
        Ok(Answer {
            status: head.status,
            replica: text(REPLICA).unwrap_or_default().to_owned(),
            retries: repeats + text(proxy::RETRIES).and_then(|it| it.parse().ok()).unwrap_or(0),
            set_cookie: head.headers.contains_key(header::SET_COOKIE),
            took,
            json: serde_json::from_slice(&body).unwrap_or_default(),
            text: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    async fn exchange(
        &self,
        request: Request<Body>,
    ) -> Result<(axum::http::response::Parts, Bytes, u64), BoxError> {
        let read = (request.method() == Method::GET).then(|| request.uri().clone());
        let http = if read.is_some() { &self.http } else { &self.writes };
        let again = read.map(|uri| (uri, request.headers().clone()));
        let mut sent = http.request(request).await;
        let mut repeats = 0;
        if let (Err(error), Some((uri, headers))) = (&sent, again)
            && !error.is_connect()
        {
            let mut request = Request::get(uri).body(Body::empty())?;
            *request.headers_mut() = headers;
            sent = self.writes.request(request).await;
            repeats = 1;
        }
        let (head, body) = sent.map_err(|error| proxy::with_causes(&error))?.into_parts();
        Ok((head, to_bytes(Body::new(body), LARGEST_ANSWER).await?, repeats))
    }
}

/// A cookie jar for the session of one user, and the balancer's cookie; tabs of one browser share it.
#[derive(Default)]
pub(crate) struct Jar(Mutex<JarState>);

#[derive(Clone, Default)]
struct JarState {
    cookies: BTreeMap<String, String>,
    maker: String,
}

impl Jar {
    /// Whether there is no session in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().cookies.keys().all(|name| name == affinity::COOKIE)
    }

    /// Throws all cookies away.
    pub(crate) fn forget(&self) {
        self.state().cookies.clear();
    }

    /// All cookies, as a request sends them.
    fn line(&self) -> Option<String> {
        let state = self.state();
        let pairs: Vec<_> =
            state.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The session in it.
    pub(crate) fn session(&self) -> Option<String> {
        let state = self.state();
        let mut cookies = state.cookies.iter().filter(|(name, _)| *name != affinity::COOKIE);
        cookies.next().map(|(_, value)| value.clone())
    }

    /// Which replica made the session that is, or was last, in it.
    pub(crate) fn maker(&self) -> String {
        self.state().maker.clone()
    }

    /// Which key signed the session in it; none if there is no signed one.
    pub(crate) fn kid(&self) -> Option<String> {
        let state = self.state();
        state.cookies.values().find_map(|value| {
            let (header, _) = value.split_once('.')?;
            let header: Value =
                serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
            header["kid"].as_str().map(str::to_owned)
        })
    }

    /// A copy of its cookie, as a thief takes it.
    pub(crate) fn copy(&self) -> Self {
        Self(Mutex::new(self.state().clone()))
    }

    /// Does what the `Set-Cookie` headers of an answer say.
    fn learn(&self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Some(cookie) = line.to_str().ok().and_then(SetCookie::read) else {
                continue;
            };
            let kept = &mut self.state().cookies;
            if cookie.removes {
                kept.remove(cookie.name);
            } else {
                kept.insert(cookie.name.to_owned(), cookie.value.to_owned());
            }
        }
    }

    /// A panic under this lock cannot leave the jar half changed, so poison says nothing.
    fn state(&self) -> MutexGuard<'_, JarState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of a `Set-Cookie` header as this client needs.
#[derive(Debug, PartialEq)]
struct SetCookie<'a> {
    name: &'a str,
    value: &'a str,
    removes: bool,
}

impl<'a> SetCookie<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let removes = parts.filter_map(|part| part.split_once('=')).any(|(attribute, seconds)| {
            attribute.eq_ignore_ascii_case("max-age")
                && seconds.parse().is_ok_and(|it: i64| it <= 0)
        });
        Some(Self { name, value, removes })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn learn(jar: &Jar, line: &'static str) {
        jar.learn(&HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static(line))]));
    }

    #[test]
    fn the_newest_cookie_is_kept_until_it_is_taken_back() {
        let jar = Jar::default();
        learn(&jar, "session=a=1; Path=/; HttpOnly; Max-Age=60");
        assert_eq!(jar.line().as_deref(), Some("session=a=1"));
        learn(&jar, "session=b");
        assert_eq!(jar.line().as_deref(), Some("session=b"));
        learn(&jar, "other=; Max-Age=0");
        assert!(!jar.is_empty(), "that was another cookie");
        learn(&jar, "balancer=here; Path=/");
        assert_eq!(jar.line().as_deref(), Some("balancer=here; session=b"));
        learn(&jar, "session=; path=/; max-age=0");
        assert!(jar.is_empty(), "the balancer's cookie is no session");
    }

    #[test]
    fn the_key_is_read_from_the_header_of_a_token() {
        let jar = Jar::default();
        learn(&jar, "balancer=127.0.0.1:9001; Path=/");
        learn(&jar, "session=0123abcd");
        assert_eq!(jar.kid(), None);
        // {"alg":"EdDSA","kid":"k1"}
        learn(&jar, "session=eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.e30.x");
        assert_eq!(jar.kid().as_deref(), Some("k1"));
    }

    #[test]
    fn what_is_no_cookie_is_none() {
        assert_eq!(SetCookie::read("nonsense"), None);
        let read = SetCookie::read("a=; Max-Age=soon");
        assert_eq!(read, Some(SetCookie { name: "a", value: "", removes: false }));
    }
}
