//! The events that are about sessions themselves: logins just before a kill, keys, logouts and copies.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    arms::app::CROWD_PASSWORD,
    processes::cluster::Cluster,
    users::client::{Answer, Client, Credentials, Jar},
    users::crowd::{Crowd, username},
    users::tally::{Expect, Tally},
};

/// How many users log in on a replica just before it is killed.
const NEWCOMERS: usize = 8;
/// Where the names of those users begin, which the crowd does not use.
const FIRST_NEWCOMER: usize = 100_000;
/// For how long copies of a session are shown after its logout, and how often.
const THEFT: Duration = Duration::from_secs(1);
const THEFT_PAUSE: Duration = Duration::from_millis(20);
/// How often a request is sent again, to the next replica, until one knows the session.
const MOST_TRIES: usize = 9;

/// Kills a replica right after it has answered several logins, and asks the others for those sessions.
///
/// # Errors
/// If the balancer does not notice.
pub(crate) async fn kill(
    cluster: &mut Cluster<'_>,
    crowd: &Crowd,
    index: usize,
) -> Result<String, BoxError> {
    let (name, url) =
        (cluster.replicas()[index].name.clone(), cluster.replicas()[index].url.clone());
    let held = crowd.hold_logins().await;
    let jars: Vec<Jar> = (0..NEWCOMERS).map(|_| Jar::default()).collect();
    let victim = Client::new(&url);
    let logins = jars.iter().enumerate().map(async |(number, jar)| {
        victim.login(jar, &username(FIRST_NEWCOMER + number), CROWD_PASSWORD).await
    });
    let mut tally = Tally::default();
    let answers = join_all(logins).await;
    cluster.kill(index).await?;
    drop(held);
    for answer in answers {
        tally.record(&answer, Expect::Success, "");
    }
    let client = Client::new(cluster.url());
    for jar in jars.iter().filter(|jar| !jar.is_empty()) {
        let answer = client.get("/me", Credentials::Cookie(jar)).await;
        tally.record(&answer, Expect::Success, &name);
    }
    let lost = tally.unexpected_401;
    crowd.add(tally);
    Ok(format!("killed {name} right after {NEWCOMERS} logins there, of which {lost} were lost"))
}

/// Lets another key sign.
///
/// # Errors
/// If that is not answered.
pub(crate) async fn rotate_keys(cluster: &Cluster<'_>) -> Result<String, BoxError> {
    let answer = as_admin(cluster, "/admin/rotate-keys").await?;
    match answer.status.is_success() {
        true => Ok("another key will sign as soon as every replica has it".to_owned()),
        false => Ok(format!("the rotation was answered {}", answer.status)),
    }
}

/// Revokes the key that signs.
///
/// # Errors
/// If that is not answered.
pub(crate) async fn revoke_key(cluster: &Cluster<'_>, crowd: &Crowd) -> Result<String, BoxError> {
    let client = Client::new(cluster.url());
    let jar = admin(&client).await?;
    if let Some(kid) = jar.kid() {
        crowd.ends_of_key(&kid);
    }
    let answer = client.post("/admin/revoke-key", Credentials::Cookie(&jar), None).await?;
    match answer.json["kid"].as_str() {
        Some(kid) => Ok(format!("revoked key {kid}: its sessions end")),
        None => Ok(format!("the revocation was answered {}", answer.status)),
    }
}

/// Logs the first user of the crowd in a second time, and ends all sessions of that user from there.
///
/// # Errors
/// If a request is not answered.
pub(crate) async fn log_out_everywhere(
    cluster: &Cluster<'_>,
    crowd: &Crowd,
) -> Result<String, BoxError> {
    let (client, jar) = (Client::new(cluster.url()), Jar::default());
    logged_in(&client.login(&jar, &username(0), CROWD_PASSWORD).await?)?;
    let mut copies = vec![jar.copy()];
    copies.extend(crowd.copy_of(0).filter(|jar| !jar.is_empty()));
    crowd.ends_of_user(0);
    let answer = until_known(&client, "/logout-everywhere", &jar).await?;
    let accepted = steal(cluster, crowd, &copies, answer.status).await;
    Ok(format!("{} logged out everywhere ({}); {accepted}", username(0), answer.status))
}

/// Logs a user in and out, and shows a copy of the session to every replica.
///
/// # Errors
/// If a request is not answered.
pub(crate) async fn replay(cluster: &Cluster<'_>, crowd: &Crowd) -> Result<String, BoxError> {
    let (client, jar) = (Client::new(cluster.url()), Jar::default());
    logged_in(&client.login(&jar, "bob", "builder").await?)?;
    let stolen = [jar.copy()];
    let answer = until_known(&client, "/logout", &jar).await?;
    let accepted = steal(cluster, crowd, &stolen, answer.status).await;
    Ok(format!("a user logged out ({}); {accepted}", answer.status))
}

/// Asks as an administrator.
async fn as_admin(cluster: &Cluster<'_>, path: &str) -> Result<Answer, BoxError> {
    let client = Client::new(cluster.url());
    let jar = admin(&client).await?;
    client.post(path, Credentials::Cookie(&jar), None).await
}

/// The session of an administrator.
async fn admin(client: &Client) -> Result<Jar, BoxError> {
    let jar = Jar::default();
    logged_in(&client.login(&jar, "alice", "wonderland").await?)?;
    Ok(jar)
}

fn logged_in(answer: &Answer) -> Result<(), BoxError> {
    match answer.status.is_success() {
        true => Ok(()),
        false => Err(format!("a login was answered {}", answer.status).into()),
    }
}

/// Posts until a replica knows the session; the balancer sends each try to the next one.
async fn until_known(client: &Client, path: &str, jar: &Jar) -> Result<Answer, BoxError> {
    let copy = jar.copy();
    for _ in 1..MOST_TRIES {
        let answer = client.post(path, Credentials::CopyOf(&copy), None).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
    }
    client.post(path, Credentials::CopyOf(&copy), None).await
}

/// Shows copies to every replica after a logout that was answered so, counts how often they are
/// accepted, and says it.
async fn steal(cluster: &Cluster<'_>, crowd: &Crowd, copies: &[Jar], status: StatusCode) -> String {
    if !status.is_success() {
        return "nothing was promised".to_owned();
    }
    let alive = cluster.alive();
    let clients: Vec<_> =
        alive.iter().map(|&index| Client::new(&cluster.replicas()[index].url)).collect();
    let answered = Instant::now();
    let mut tally = Tally::default();
    while answered.elapsed() < THEFT {
        let shown = clients.iter().flat_map(|client| {
            copies.iter().map(move |copy| client.get("/me", Credentials::CopyOf(copy)))
        });
        for answer in join_all(shown).await {
            if answer.is_ok_and(|it| it.status.is_success()) {
                tally.accepted_after_logout += 1;
                tally.accepted_for = answered.elapsed();
            }
        }
        sleep(THEFT_PAUSE).await;
    }
    let (count, time) = (tally.accepted_after_logout, tally.accepted_for.as_millis());
    crowd.add(tally);
    match count {
        0 => "no copy was accepted after that".to_owned(),
        _ => format!("copies were accepted {count} times, until {time} ms after that"),
    }
}
