//! The step in which users log out while copies of their cookies are in use: no replica accepts one for
//! longer than the bound that it reports.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    BoxError,
    processes::cluster::Cluster,
    script::revocation::watch,
    script::steps::Run,
    script::tour::{UNAUTHORIZED, UNAVAILABLE, Visitor},
    users::client::{Client, Credentials, Jar},
    users::tally::{Expect, Tally, nearest_rank},
};

/// How many users there are at a time, and how often each logs in and out.
const USERS: usize = 10;
const LOGOUTS: usize = 20;
/// How often a logout is tried that a server with too much to do does not record in time.
const MOST_TRIES: usize = 3;

/// Ends many sessions, and measures until when any replica took a copy.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn replay(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let bound = bound(&run.cluster).await?;
    let mut users = JoinSet::new();
    for _ in 0..USERS {
        users.spawn(user(Visitor::new(run.cluster.url()), run.cluster.clients()));
    }
    let (mut tally, mut endings) = (Tally::default(), Vec::new());
    while let Some(user) = users.join_next().await {
        let (counted, ended) = user??;
        tally.merge(counted);
        endings.extend(ended);
    }

    let again: usize = endings.iter().map(|it| it.tries - 1).sum();
    let of = |time: fn(&Ending) -> Duration| {
        let mut times: Vec<_> = endings.iter().map(time).collect();
        times.sort_unstable();
        let at = |percent| nearest_rank(&times, percent).unwrap_or_default().as_millis();
        [at(50), at(99), at(100)]
    };
    let [_, recorded, _] = of(|it| it.recorded_in);
    let [usually, mostly, longest] = of(|it| it.taken_for);
    if longest > bound.as_millis() {
        let surprise =
            format!("a copy was accepted for {longest} ms after its logout, longer than {bound:?}");
        tally.note_surprise(surprise);
    }
    run.finding = Some(format!(
        "{} logouts, recorded in {recorded} ms (p99; {again} retried); copies were accepted for {usually} ms (p50), {mostly} ms \
         (p99), {longest} ms (longest) after that, then by no replica (bound: {} ms)",
        endings.len(),
        bound.as_millis(),
    ));
    Ok(tally)
}

/// One logout.
struct Ending {
    /// How often it was tried.
    tries: usize,
    /// How long it took to be answered.
    recorded_in: Duration,
    /// How long after that any replica took a copy of the cookie.
    taken_for: Duration,
}

/// Logs in and out, while a thief shows the cookie to every replica.
async fn user(
    mut visitor: Visitor,
    thieves: Vec<Client>,
) -> Result<(Tally, Vec<Ending>), BoxError> {
    let mut endings = Vec::new();
    for _ in 0..LOGOUTS {
        let jar = Jar::default();
        visitor.login(&jar, "bob", "builder", Expect::Success).await;
        let stolen = jar.copy();
        let stolen = Credentials::CopyOf(&stolen);
        visitor.tally.merge(ask_all(&thieves, stolen, Expect::Success).await);
        let log_out = async {
            let asked = Instant::now();
            let tries = log_out(&mut visitor, &jar).await;
            (asked, Instant::now(), tries)
        };
        let (watched, (asked, answered, tries)) = watch(&thieves, stolen, log_out).await;
        let recorded_in = answered - asked;
        endings.push(Ending { tries, recorded_in, taken_for: watched.taken_for(answered) });
        visitor.tally.merge(watched.tally);
        visitor.tally.merge(ask_all(&thieves, stolen, UNAUTHORIZED).await);
        if visitor.tally.surprise.is_some() {
            break; // It took long to find out, and one is enough.
        }
    }
    Ok((visitor.tally, endings))
}

/// Logs out; tries again, as the answer says, if it could not be recorded in time. Returns how often
/// it tried.
async fn log_out(visitor: &mut Visitor, jar: &Jar) -> usize {
    for tries in 1..MOST_TRIES {
        let answer = visitor.client.post("/logout", Credentials::Cookie(jar), None).await;
        let unavailable =
            answer.as_ref().is_ok_and(|it| it.status == StatusCode::SERVICE_UNAVAILABLE);
        let expected = if unavailable { UNAVAILABLE } else { Expect::Success };
        visitor.tally.record(&answer, expected, &jar.maker());
        if !unavailable {
            return tries;
        }
    }
    visitor.post("/logout", Credentials::Cookie(jar), Expect::Success).await;
    MOST_TRIES
}

/// The bound that a replica reports: how long it may accept a session that was revoked on another.
///
/// # Errors
/// If it reports none.
pub(crate) async fn bound(cluster: &Cluster<'_>) -> Result<Duration, BoxError> {
    let state = Client::new(cluster.url()).get("/health/status", Credentials::Nobody).await?;
    let bound = state.json["revocations"]["refresh_bound_ms"].as_u64();
    Ok(Duration::from_millis(bound.ok_or("a replica does not report its bound for revocations")?))
}

/// Shows a session to every replica, once.
pub(crate) async fn ask_all(replicas: &[Client], who: Credentials<'_>, expected: Expect) -> Tally {
    let maker = who.maker();
    let answers = join_all(replicas.iter().map(|replica| replica.get("/me", who))).await;
    let mut tally = Tally::default();
    for answer in &answers {
        tally.record(answer, expected, &maker);
    }
    tally
}
