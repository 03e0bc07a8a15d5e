//! Breaks a cluster in one of eight ways, and lets a user run into it.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    BoxError,
    diagnose::{
        cause::Cause,
        findings::Seen,
        misproxy::{MisProxy, Mistake},
    },
    processes::cluster::Cluster,
    users::client::{Answer, Client, Credentials, Jar},
};

/// How often a user asks.
const REQUESTS: usize = 12;
/// How far the wrong clock is ahead, in milliseconds.
const AHEAD: i64 = 5_000;
/// How long a revocation may take to reach every replica here.
const REVOKED_EVERYWHERE: Duration = Duration::from_millis(1_500);

/// What a user has met with.
pub(crate) struct Story {
    /// The answers.
    pub(crate) answers: Vec<Seen>,
    /// The token in the user's browser at the end, or the last one that was refused.
    pub(crate) token: Option<String>,
}

/// A user with a browser.
struct User {
    client: Client,
    jar: Jar,
    story: Story,
}

impl User {
    fn new(base: &str) -> Self {
        let story = Story { answers: Vec::new(), token: None };
        Self { client: Client::new(base), jar: Jar::default(), story }
    }

    async fn log_in(&mut self) -> Result<(), BoxError> {
        let answer = self.client.login(&self.jar, "alice", "wonderland").await?;
        self.see("POST /login", false, &answer);
        Ok(())
    }

    async fn ask(&mut self, count: usize) -> Result<(), BoxError> {
        for _ in 0..count {
            let token = self.jar.session();
            let answer = self.client.get("/me", Credentials::Cookie(&self.jar)).await?;
            self.see("GET /me", token.is_some(), &answer);
            if token.is_some() && (answer.status == 401 || self.story.token.is_none()) {
                self.story.token = token;
            }
        }
        Ok(())
    }

    fn see(&mut self, request: &'static str, with_cookie: bool, answer: &Answer) {
        let (replica, status) = (answer.replica.clone(), answer.status.as_u16());
        self.story.answers.push(Seen { request, with_cookie, replica, status });
    }
}

/// Breaks the cluster, and plays what a user sees. `neighbor` is another service.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn play(
    cause: Cause,
    cluster: &mut Cluster<'_>,
    neighbor: &Cluster<'_>,
) -> Result<Story, BoxError> {
    let mut user = User::new(cluster.url());
    match cause {
        Cause::OtherKeys => {
            cluster.meeting.mount_nothing()?;
            cluster.grow(1).await?;
            user.log_in().await?;
        }
        Cause::WrongClock => {
            set_clock(cluster, 1, AHEAD).await?;
            // The session is one that this replica issues.
            while user.jar.maker() != cluster.replicas()[1].name {
                user.log_in().await?;
            }
        }
        Cause::PurgedStore => {
            user.log_in().await?;
            for index in 0..cluster.replicas().len() {
                cluster.kill(index).await?;
            }
            cluster.meeting.empty().await?;
            for index in 0..cluster.replicas().len() {
                cluster.recover(index).await?;
            }
        }
        Cause::DroppedCookie => return behind(Mistake::DropsCookie, cluster).await,
        Cause::RewrittenHost => return behind(Mistake::RewritesHost, cluster).await,
        Cause::SharedCookieName => {
            user.log_in().await?;
            user.ask(1).await?;
            // A browser sends cookies to every port of a host.
            let answer = Client::new(neighbor.url()).login_too(&user.jar, "bob", "builder").await?;
            user.see("POST /login (another service)", true, &answer);
        }
        Cause::Expired => {
            user.log_in().await?;
            user.ask(1).await?;
            // Time passes on every replica.
            let away = cluster.pace().session_lifetime + Duration::from_secs(60);
            for index in 0..cluster.replicas().len() {
                set_clock(cluster, index, i64::try_from(away.as_millis())?).await?;
            }
        }
        Cause::Revoked => {
            user.log_in().await?;
            user.ask(1).await?;
            // The same session in another browser.
            let copy = user.jar.copy();
            let answer = user.client.post("/logout", Credentials::Cookie(&copy), None).await?;
            user.see("POST /logout (another browser)", true, &answer);
            sleep(REVOKED_EVERYWHERE).await;
        }
    }
    user.ask(REQUESTS).await?;
    Ok(user.story)
}

/// Restarts a replica with another clock, and waits until it gets requests.
async fn set_clock(cluster: &mut Cluster<'_>, index: usize, ahead: i64) -> Result<(), BoxError> {
    cluster.restart_with_clock(index, ahead).await?;
    while !cluster.alive().contains(&index) {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A user behind a proxy that makes a mistake.
async fn behind(mistake: Mistake, cluster: &Cluster<'_>) -> Result<Story, BoxError> {
    let proxy = MisProxy::start(mistake, cluster.url()).await?;
    let mut user = User::new(&proxy.url);
    user.log_in().await?;
    user.ask(REQUESTS).await?;
    Ok(user.story)
}
