//! The steps of one user alone: one request after the other, each with the answer it should get.

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    BoxError,
    command::arm::Arm,
    script::steps::Run,
    users::client::{Answer, Client, Credentials, Jar},
    users::tally::{Expect, Tally},
};

/// The answer without a valid session.
pub(crate) const UNAUTHORIZED: Expect = Expect::Status(StatusCode::UNAUTHORIZED);
/// `invalid_grant` of the token endpoint.
pub(crate) const REFUSED: Expect = Expect::Status(StatusCode::BAD_REQUEST);
/// The answer if a logout could not be recorded.
pub(crate) const UNAVAILABLE: Expect = Expect::Status(StatusCode::SERVICE_UNAVAILABLE);
const FORBIDDEN: Expect = Expect::Status(StatusCode::FORBIDDEN);

/// One login, then every path on every replica.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn turns(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let mut visitor = Visitor::new(run.cluster.url());
    let count = run.cluster.replicas().len();

    let alice = Credentials::Cookie(&run.jar);
    let success = Expect::Success;
    visitor.login(&run.jar, "alice", "wonderland", success).await;
    for _ in 0..3 * count {
        visitor.get("/me", alice, success).await;
    }
    for _ in 0..count {
        visitor.get("/admin", alice, success).await;
    }

    let jar = Jar::default();
    let bob = Credentials::Cookie(&jar);
    visitor.login(&jar, "bob", "wonderland", UNAUTHORIZED).await;
    visitor.login(&jar, "bob", "builder", success).await;
    for _ in 0..count {
        visitor.get("/admin", bob, FORBIDDEN).await;
    }

    let (token, maker) = visitor.login_for_token("bob", "builder").await?;
    for _ in 0..count {
        let bearer = Credentials::Bearer { token: &token, maker: &maker };
        visitor.get("/me", bearer, success).await;
    }

    if run.cluster.arm() == Arm::Stateless && run.cluster.meeting.algorithm().has_public_keys() {
        let path = "/.well-known/jwks.json";
        for _ in 0..count {
            let answer = visitor.get(path, Credentials::Nobody, success).await;
            let keys = answer.and_then(|it| it.json["keys"].as_array().map(Vec::len));
            if keys.unwrap_or_default() == 0 {
                visitor.surprise("the JWKS holds no key");
            }
        }
    }
    Ok(visitor.tally)
}

/// Starts the replica that was killed and asks it directly, before anyone else does; then it gets
/// its share again.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn come_back(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let index = run.killed.take().ok_or("no replica was killed")?;
    let alice = Credentials::Cookie(&run.jar);
    run.cluster.revive(index).await?;
    let mut direct = Visitor::new(&run.cluster.replicas()[index].url);
    direct.get("/me", alice, Expect::Success).await;

    run.cluster.join(index).await?;
    let mut visitor = Visitor::new(run.cluster.url());
    for _ in run.cluster.replicas() {
        visitor.get("/me", alice, Expect::Success).await;
    }
    visitor.tally.merge(direct.tally);
    Ok(visitor.tally)
}

/// Logs in, is accepted by all replicas, logs out, is refused by all.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn log_out(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let mut visitor = Visitor::new(run.cluster.url());
    let count = run.cluster.replicas().len();
    let jar = Jar::default();
    let bob = Credentials::Cookie(&jar);
    let success = Expect::Success;
    visitor.login(&jar, "bob", "builder", success).await;
    for _ in 0..count {
        visitor.get("/me", bob, success).await;
    }
    visitor.post("/logout", bob, success).await;
    if !jar.is_empty() {
        visitor.surprise("the cookie is still in the jar after the logout");
    }
    for _ in 0..count {
        visitor.get("/me", bob, UNAUTHORIZED).await;
    }
    Ok(visitor.tally)
}

/// A client that counts its answers.
pub(crate) struct Visitor {
    /// The client.
    pub(crate) client: Client,
    /// The counts.
    pub(crate) tally: Tally,
}

impl Visitor {
    /// A client of the server at `base`.
    pub(crate) fn new(base: &str) -> Self {
        let client = Client::new(base);
        Self { client, tally: Tally::default() }
    }

    /// Logs in; the jar then holds the session.
    pub(crate) async fn login(
        &mut self,
        jar: &Jar,
        username: &str,
        password: &str,
        expected: Expect,
    ) {
        let answer = self.client.login(jar, username, password).await;
        self.tally.record(&answer, expected, "");
    }

    /// Logs in for a token; returns it, and which replica made it.
    pub(crate) async fn login_for_token(
        &mut self,
        username: &str,
        password: &str,
    ) -> Result<(String, String), BoxError> {
        let Answer { json, replica, .. } = self.login_for_tokens(username, password).await?;
        Ok((json["access_token"].as_str().unwrap_or_default().to_owned(), replica))
    }

    /// The same; returns the answer, with all tokens.
    pub(crate) async fn login_for_tokens(
        &mut self,
        username: &str,
        password: &str,
    ) -> Result<Answer, BoxError> {
        let form = json!({ "username": username, "password": password });
        let answer =
            self.client.post("/login?transport=bearer", Credentials::Nobody, Some(form)).await;
        self.tally.record(&answer, Expect::Success, "");
        answer
    }

    /// `GET`; nothing if there was no answer.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        who: Credentials<'_>,
        expected: Expect,
    ) -> Option<Answer> {
        let maker = who.maker();
        let answer = self.client.get(path, who).await;
        self.tally.record(&answer, expected, &maker);
        answer.ok()
    }

    /// `POST` without a body; nothing if there was no answer.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        who: Credentials<'_>,
        expected: Expect,
    ) -> Option<Answer> {
        let maker = who.maker();
        let answer = self.client.post(path, who, None).await;
        self.tally.record(&answer, expected, &maker);
        answer.ok()
    }

    /// Records a fault that no single answer shows.
    pub(crate) fn surprise(&mut self, what: &str) {
        self.tally.note_surprise(what.to_owned());
    }
}
