//! Concurrent users: some share one old session, some log in again and again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedRwLockWriteGuard, RwLock},
    task::JoinSet,
};

use crate::{
    BoxError,
    users::client::{Client, Credentials, Jar},
    users::tally::{Expect, Tally},
};

/// Users with the one session that was made at the start, like tabs of one browser.
const SHARERS: usize = 4;
/// Users who log in anew, on whatever replica the balancer sends them to.
const NEWCOMERS: usize = 4;
/// How many requests a newcomer makes with one login.
const REQUESTS_PER_LOGIN: usize = 10;
/// How long a user thinks.
const PAUSE: Duration = Duration::from_millis(4);
/// The most requests of one user, so that a step that hangs ends.
const LIMIT: usize = 10_000;

/// Users at work. Dropping it stops them where they are.
pub(crate) struct Load {
    shared: Arc<Shared>,
    users: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Held for reading while a login is on its way.
    logins: Arc<RwLock<()>>,
    tally: Mutex<Tally>,
}

impl Shared {
    /// A count may be short after a panic, but the panic is reported by [`Load::finish`].
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Starts the users. `jar` holds the old session.
    pub(crate) fn start(base: &str, jar: &Arc<Jar>) -> Self {
        let shared = Arc::new(Shared::default());
        let mut users = JoinSet::new();
        for user in 0..SHARERS + NEWCOMERS {
            let newcomer = user >= SHARERS;
            let jar = if newcomer { Arc::default() } else { Arc::clone(jar) };
            users.spawn(work(Client::new(base), jar, Arc::clone(&shared), newcomer));
        }
        Self { shared, users }
    }

    /// How many requests the users have made so far.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.tally().requests
    }

    /// The keys that the users have met so far.
    pub(crate) fn kids(&self) -> BTreeSet<String> {
        self.shared.tally().kids.clone()
    }

    /// Lets no login go out while the guard lives, and waits for those on their way.
    ///
    /// A login is a POST. If its replica is killed meanwhile, nobody can know whether it was done, so
    /// the balancer must not repeat it and has to answer 502. That is HTTP, and says nothing about
    /// sessions: so the users hold their logins back for the moment of a kill, and only that.
    pub(crate) async fn hold_logins(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.shared.logins).write_owned().await
    }

    /// Lets the users finish their requests, and returns what they counted.
    ///
    /// # Errors
    /// If one of them panicked.
    pub(crate) async fn finish(mut self) -> Result<Tally, BoxError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(user) = self.users.join_next().await {
            user?;
        }
        Ok(std::mem::take(&mut *self.shared.tally()))
    }
}

/// One user, from the first request to the last.
async fn work(client: Client, jar: Arc<Jar>, shared: Arc<Shared>, newcomer: bool) {
    for turn in 0..LIMIT {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let due = jar.is_empty() || (newcomer && turn % REQUESTS_PER_LOGIN == 0);
        if due && let Ok(_on_its_way) = shared.logins.try_read() {
            let answer = client.login(&jar, "alice", "wonderland").await;
            shared.tally().record(&answer, Expect::Success, "");
        }
        if !jar.is_empty() {
            let who = Credentials::Cookie(&jar);
            let maker = who.maker();
            let answer = client.get("/me", who).await;
            let mut tally = shared.tally();
            tally.record(&answer, Expect::Success, &maker);
            if answer.is_ok_and(|it| it.status.is_success() && it.set_cookie) {
                tally.renewals += 1;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
