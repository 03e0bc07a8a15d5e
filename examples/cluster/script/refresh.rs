//! The step in which a client refreshes a session many times at once, on all replicas, and somebody
//! then uses a copy of its first refresh token.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    BoxError,
    script::replay::{ask_all, bound},
    script::revocation::watch,
    script::steps::Run,
    script::tour::{REFUSED, Visitor},
    users::client::{Answer, Client, Credentials},
    users::tally::{Expect, Tally},
};

/// How many refreshes are on their way together.
pub(crate) const AT_ONCE: usize = 50;

/// Refreshes at once, then one after the other, then with the copy.
///
/// # Errors
/// If the cluster itself fails.
pub(crate) async fn refresh(run: &mut Run<'_>) -> Result<Tally, BoxError> {
    let bound = bound(&run.cluster).await?;
    let replicas = run.cluster.clients();
    let mut visitor = Visitor::new(run.cluster.url());
    let login = visitor.login_for_tokens("alice", "wonderland").await?;
    let (first, maker) = (Pair::of(&login), login.replica);

    let clients: Vec<_> = (0..AT_ONCE).map(|_| Client::new(run.cluster.url())).collect();
    let answers = join_all(clients.iter().map(|client| client.refresh(&first.refresh_token))).await;
    let mut successors = BTreeSet::new();
    for answer in answers {
        visitor.tally.record(&answer, Expect::Success, &maker);
        successors.extend(answer.iter().map(Pair::of));
    }
    if successors.len() != 1 {
        visitor.surprise(&format!("one refresh token has {} successors", successors.len()));
    }
    let Some(second) = successors.pop_first() else { return Ok(visitor.tally) };
    for pair in [&first, &second] {
        let who = Credentials::Bearer { token: &pair.access_token, maker: &maker };
        visitor.tally.merge(ask_all(&replicas, who, Expect::Success).await);
    }
    let answer = clients[0].refresh(&second.refresh_token).await;
    visitor.tally.record(&answer, Expect::Success, &maker);
    let third = Pair::of(&answer?);

    let latest = Credentials::Bearer { token: &third.access_token, maker: &maker };
    let reuse = async {
        let answer = clients[0].refresh(&first.refresh_token).await;
        (answer, Instant::now())
    };
    let (watched, (answer, answered)) = watch(&replicas, latest, reuse).await;
    let taken_for = watched.taken_for(answered);
    visitor.tally.merge(watched.tally);
    visitor.tally.record(&answer, REFUSED, "");
    for client in &replicas {
        visitor.tally.record(&client.refresh(&third.refresh_token).await, REFUSED, "");
    }
    if taken_for > bound {
        let surprise =
            format!("the revoked session was accepted for {taken_for:?}, longer than {bound:?}");
        visitor.surprise(&surprise);
    }
    run.finding = Some(format!(
        "{AT_ONCE} concurrent refreshes with one token: one successor, no user logged out; reuse of the token \
         after its successor was redeemed: every replica refused the session {} ms later (bound: {} ms)",
        taken_for.as_millis(),
        bound.as_millis(),
    ));
    Ok(visitor.tally)
}

/// The tokens of a client.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    access_token: String,
    refresh_token: String,
}

impl Pair {
    fn of(answer: &Answer) -> Self {
        let text = |name| answer.json[name].as_str().unwrap_or_default().to_owned();
        Self { access_token: text("access_token"), refresh_token: text("refresh_token") }
    }
}
