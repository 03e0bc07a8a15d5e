//! Asks for a token's verdict in every way that there is: by the codec, and over http by each of the
//! layers, in the `Authorization` header, in the cookie and among a WebSocket's protocols; and for a
//! refresh token's by the codec and at the endpoint. With a cache of verified tokens and without.

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::routing::get;
use libtest_mimic::Failed;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tower_jwt_session::{CheckOutcome, RejectionKind, Session, Sessions, SessionsBuilder};
use tower_jwt_session::{CookieTransport, Transport};

use crate::published::count;

/// The outcome for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a session.
    Accepted,
    /// It is none.
    Refused,
}

/// A service that is asked what a token is to it, with a cache of verified tokens and without.
pub struct Service {
    replicas: [Replica; 2],
    cookie: String,
    runtime: Runtime,
}

struct Replica {
    cache: &'static str,
    sessions: Sessions<()>,
    routers: [(&'static str, Router); 3],
    /// The token endpoint.
    endpoint: Router,
}

impl Service {
    /// Of the sessions that this builds, twice, which have a cookie of this name.
    ///
    /// # Errors
    ///
    /// If they can't be built.
    pub fn new(
        builder: impl Fn() -> Result<SessionsBuilder<()>, Failed>,
        cookie: impl Into<String>,
    ) -> Result<Self, Failed> {
        let cookie = cookie.into();
        let builder = || {
            Ok::<_, Failed>(builder()?.transports([
                Transport::cookie(CookieTransport::new().name(cookie.clone())),
                Transport::bearer(),
                Transport::web_socket_protocol(PROTOCOL),
            ]))
        };
        let replica = |cache, sessions: Sessions<()>| Replica {
            cache,
            routers: routers(&sessions),
            endpoint: sessions.token_router().layer(sessions.layer()),
            sessions,
        };
        let replicas = [
            replica("with a cache", builder()?.build()?),
            replica("without a cache", builder()?.token_cache_bytes(0).build()?),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { replicas, cookie, runtime })
    }

    /// Asks in every way and checks each answer to the last header: `expected` has to come out.
    ///
    /// # Errors
    ///
    /// If another verdict came out, or an answer reveals too much or too little.
    pub fn check(&self, token: &str, expected: Verdict) -> Result<(), Failed> {
        for replica in &self.replicas {
            let asked = self.ask(replica, token, expected);
            asked.map_err(|error| format!("{error}, {}", replica.cache))?;
        }
        Ok(())
    }

    /// The same for a refresh token.
    ///
    /// # Errors
    ///
    /// If another verdict came out, or an answer reveals too much or too little.
    pub fn check_refresh(&self, token: &str, expected: Verdict) -> Result<(), Failed> {
        for replica in &self.replicas {
            let asked = self.ask_refresh(replica, token, expected);
            asked.map_err(|error| format!("{error}, {}", replica.cache))?;
        }
        Ok(())
    }

    fn ask(&self, replica: &Replica, token: &str, expected: Verdict) -> Result<(), String> {
        // What was said once is said again.
        for time in ["first", "again"] {
            let accepted = replica.sessions.validate(token).is_ok();
            check(accepted, expected, &format!("by the codec, {time}"))?;
        }
        agree(&replica.sessions, token)?;
        // Only for a reason that no replica can see otherwise.
        let clears = replica.sessions.validate(token).is_err_and(|rejection| {
            use RejectionKind::*;
            let kind = rejection.kind();
            matches!(kind, Expired | Malformed | BadSignature | WrongAlgorithm)
        });
        let in_header = (AUTHORIZATION, format!("Bearer {token}"));
        let in_cookie = (COOKIE, format!("{}={token}", self.cookie));
        let in_protocols = (SEC_WEBSOCKET_PROTOCOL, format!("chat, {PROTOCOL}.{token}"));
        let mut fields = vec![in_header, in_cookie];
        if fits_into_list(token) {
            fields.push(in_protocols);
        }
        for (field, value) in fields {
            let value =
                HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
            for (layer, router) in &replica.routers {
                let how = format!("in {field} by {layer}");
                let mut request = Request::new(Body::empty());
                request.headers_mut().insert(&field, value.clone());
                let Ok(response) = self.runtime.block_on(router.clone().oneshot(request));
                check(response.status() == StatusCode::OK, expected, &how)?;
                let clears = (field == COOKIE && clears).then_some(&*self.cookie);
                check_answer(&response, &field, layer, clears, expected)
                    .map_err(|error| format!("{error} {how}"))?;
            }
        }
        Ok(())
    }

    fn ask_refresh(&self, replica: &Replica, token: &str, expected: Verdict) -> Result<(), String> {
        // Without a store of redemptions it can be redeemed again.
        for time in ["first", "again"] {
            let refreshed = self.runtime.block_on(replica.sessions.refresh(token));
            check(refreshed.is_ok(), expected, &format!("by the codec, {time}"))?;
        }
        let how = "at the token endpoint";
        let escaped: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let form = format!("grant_type=refresh_token&refresh_token={escaped}");
        let is_form = !token.is_empty() && form.len() <= LONGEST_FORM;
        let request = Request::post("/token")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .map_err(|error| error.to_string())?;
        let Ok(response) = self.runtime.block_on(replica.endpoint.clone().oneshot(request));
        let (parts, body) = response.into_parts();
        check(parts.status == StatusCode::OK, expected, how)?;
        let body = self.runtime.block_on(axum::body::to_bytes(body, LONGEST_FORM));
        let body = body.map_err(|error| error.to_string())?;
        let (status, text): (_, &[u8]) = match (expected, is_form) {
            (Verdict::Accepted, _) => (StatusCode::OK, &body),
            (_, true) => (StatusCode::BAD_REQUEST, br#"{"error":"invalid_grant","error_desc"#),
            (_, false) => (StatusCode::BAD_REQUEST, br#"{"error":"invalid_request","error_desc"#),
        };
        if parts.status != status || !body.starts_with(text) {
            let body = String::from_utf8_lossy(&body);
            return Err(format!("{} {body} {how}", parts.status));
        }
        if parts.headers.get(CACHE_CONTROL).is_none_or(|value| value != "no-store") {
            return Err(format!("it may be cached {how}"));
        }
        Ok(())
    }
}

/// An explanation says what validation says, and why; and shows no signature.
fn agree(sessions: &Sessions<()>, token: &str) -> Result<(), String> {
    let validated = sessions.validate(token).err();
    let explanation = sessions.explain(token);
    if explanation.rejection != validated {
        return Err(format!("explained as {:?}, not {validated:?}", explanation.rejection));
    }
    let outcomes: Vec<_> = explanation.checks.iter().map(|check| check.outcome).collect();
    let passed = outcomes.iter().take_while(|outcome| **outcome == CheckOutcome::Passed).count();
    let failed = outcomes[passed..].first() == Some(&CheckOutcome::Failed);
    let others = outcomes[passed..].iter().skip(1);
    let in_order = others.into_iter().all(|outcome| *outcome == CheckOutcome::NotReached);
    if !in_order || failed != validated.is_some() || (!failed && passed < outcomes.len()) {
        return Err(format!("explained as {outcomes:?}, refused as {validated:?}"));
    }
    let json = serde_json::to_string(&explanation).map_err(|error| error.to_string())?;
    let signature = token.rsplit('.').next().filter(|signature| signature.len() > 20);
    let shows = |text: &str| signature.is_some_and(|signature| text.contains(signature));
    let text = [json, explanation.to_string(), format!("{validated:?}")];
    // What stands in the header is shown, be it the same bytes.
    let is_in_header = explanation.header.as_ref().is_some_and(|header| shows(&header.to_string()));
    match text.iter().any(|text| shows(text)) && !is_in_header {
        true => Err("an explanation shows the signature".to_owned()),
        false => Ok(()),
    }
}

/// Whether it can be one of a list of protocols, as it is: without commas or white space around it.
fn fits_into_list(token: &str) -> bool {
    !token.contains(',') && token.trim_matches([' ', '\t', '\r', '\n', '\x0c']) == token
}

fn check(accepted: bool, expected: Verdict, how: &str) -> Result<(), String> {
    count(1);
    match (accepted, expected) {
        (true, Verdict::Refused) => Err(format!("accepted {how}, and must not be")),
        (false, Verdict::Accepted) => Err(format!("refused {how}, and must not be")),
        _ => Ok(()),
    }
}

/// A refusal says 401 and no more, and clears the cookie of this name, and no other.
fn check_answer(
    response: &Response<Body>,
    field: &HeaderName,
    layer: &str,
    clears: Option<&str>,
    expected: Verdict,
) -> Result<(), String> {
    let refused = expected == Verdict::Refused;
    let header = |name: &HeaderName| {
        response.headers().get(name).map(|value| value.to_str().unwrap_or("no text"))
    };
    if refused && response.status() != StatusCode::UNAUTHORIZED {
        return Err(format!("{}", response.status()));
    }
    let is_anonymous = field == COOKIE && layer == OPTIONAL;
    if refused && !is_anonymous {
        let challenge = header(&WWW_AUTHENTICATE);
        if challenge != Some(r#"Bearer error="invalid_token""#) {
            return Err(format!("challenge {challenge:?}"));
        }
        if header(&CACHE_CONTROL) != Some("no-store") {
            return Err("a refusal may be cached".to_owned());
        }
    }
    let set = header(&SET_COOKIE);
    let cleared = set.zip(clears).is_some_and(|(set, cookie)| {
        set.starts_with(&format!("{cookie}=;")) && set.contains("Max-Age=0")
    });
    if cleared != clears.is_some() || (refused && set.is_some() && !cleared) {
        return Err(format!("the cookie is cleared: {cleared}"));
    }
    Ok(())
}

/// The name before a token among a WebSocket's protocols.
const PROTOCOL: &str = "session";

/// What the endpoint reads at most: a token of the longest, each byte escaped, and more.
const LONGEST_FORM: usize = 3 * 8192 + 4096;

const OPTIONAL: &str = "layer() with an optional session";

/// A route under each of the layers: the extractor decides, or the strict layer does.
fn routers(sessions: &Sessions<()>) -> [(&'static str, Router); 3] {
    async fn subject(session: Session<()>) -> String {
        session.subject().to_owned()
    }
    async fn maybe(session: Option<Session<()>>) -> StatusCode {
        session.map_or(StatusCode::UNAUTHORIZED, |_| StatusCode::OK)
    }
    let extracted = Router::new().route("/", get(subject)).layer(sessions.layer());
    let optional = Router::new().route("/", get(maybe)).layer(sessions.layer());
    let strict = Router::new().route("/", get(subject)).layer(sessions.validate_layer());
    [("layer()", extracted), (OPTIONAL, optional), ("validate_layer()", strict)]
}
