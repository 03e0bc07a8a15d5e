//! The crowd: different users, who each hold one session and ask for themselves again and again, for as long as the
//! crowd lives. A user who is logged out notices, waits, and logs in again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use serde::Serialize;
use tokio::{
    sync::{OwnedRwLockWriteGuard, RwLock},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    arms::app::{CROWD, CROWD_PASSWORD},
    users::client::{Answer, Client, Credentials, Jar},
    users::tally::{Expect, Tally},
};

/// How long a user who was logged out waits before the next login, so that one can see it.
const OUT: Duration = Duration::from_secs(2);

/// A crowd at work. Dropping it stops its users where they are.
pub(crate) struct Crowd {
    base: String,
    shared: Arc<Shared>,
    users: JoinSet<()>,
}

/// One user, as seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct User {
    /// Which replica gave the last answer; empty if it was the balancer, or there is none yet.
    pub(crate) replica: String,
    /// Whether the user has a session.
    pub(crate) logged_in: bool,
    /// How often a session of this user was lost.
    pub(crate) lost: u64,
    /// How often one was ended on purpose.
    pub(crate) ended: u64,
    /// Which key signed the session; none if nothing signs it, or there is none.
    pub(crate) kid: Option<String>,
}

/// A look at a crowd, also while somebody else directs it.
#[derive(Clone)]
pub(crate) struct CrowdView(Arc<Shared>);

impl CrowdView {
    /// The users, in the order in which they came.
    pub(crate) fn users(&self) -> Vec<User> {
        lock(&self.0.users).clone()
    }

    /// What was counted since the last call.
    pub(crate) fn take(&self) -> Tally {
        std::mem::take(&mut *lock(&self.0.tally))
    }
}

struct Shared {
    /// How long a user waits between two requests, in microseconds.
    pause: AtomicU64,
    /// How long one waits who was logged out, likewise.
    out: AtomicU64,
    /// Held for reading while a login is on its way.
    logins: Arc<RwLock<()>>,
    tally: Mutex<Tally>,
    users: Mutex<Vec<User>>,
    jars: Mutex<Vec<Arc<Jar>>>,
    ended: Mutex<Ended>,
}

/// Sessions that were ended on purpose.
#[derive(Default)]
struct Ended {
    /// All sessions that these keys signed.
    kids: BTreeSet<String>,
    /// The sessions of the users at these places, until they log in again.
    places: BTreeSet<usize>,
}

/// A panic under these locks cannot leave anything half changed, so poison says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    /// Starts `count` users of the server at `base`, each of whom waits for `pause` between two
    /// requests.
    pub(crate) fn start(base: &str, count: usize, pause: Duration) -> Self {
        let shared = Shared {
            pause: AtomicU64::new(micros(pause)),
            out: AtomicU64::new(micros(OUT)),
            logins: Arc::default(),
            tally: Mutex::default(),
            users: Mutex::default(),
            jars: Mutex::default(),
            ended: Mutex::default(),
        };
        let (base, shared) = (base.to_owned(), Arc::new(shared));
        let mut crowd = Self { base, shared, users: JoinSet::new() };
        crowd.grow(count);
        crowd
    }

    /// Adds users, spread over one pause.
    pub(crate) fn grow(&mut self, count: usize) {
        let mut users = lock(&self.shared.users);
        let pause = self.shared.pause();
        for number in 0..count {
            let place = users.len();
            users.push(User::default());
            let jar = Arc::new(Jar::default());
            lock(&self.shared.jars).push(Arc::clone(&jar));
            let begins = Instant::now() + pause * number as u32 / count as u32;
            let user = work(Client::new(&self.base), jar, Arc::clone(&self.shared), place, begins);
            self.users.spawn(user);
        }
    }

    /// Changes how long each user waits between two requests: the load.
    pub(crate) fn set_pause(&self, pause: Duration) {
        self.shared.pause.store(micros(pause), Ordering::Relaxed);
    }

    /// Changes how long a user who was logged out waits before the next login.
    pub(crate) fn set_out(&self, out: Duration) {
        self.shared.out.store(micros(out), Ordering::Relaxed);
    }

    /// How long each user waits between two requests.
    pub(crate) fn pause(&self) -> Duration {
        self.shared.pause()
    }

    /// The users, in the order in which they came.
    pub(crate) fn users(&self) -> Vec<User> {
        self.view().users()
    }

    /// What was counted since the last call.
    pub(crate) fn take(&self) -> Tally {
        self.view().take()
    }

    /// A look at it.
    pub(crate) fn view(&self) -> CrowdView {
        CrowdView(Arc::clone(&self.shared))
    }

    /// Adds what others have counted, who are not of the crowd.
    pub(crate) fn add(&self, tally: Tally) {
        lock(&self.shared.tally).merge(tally);
    }

    /// A copy of the session of the user at a place, as a thief takes it.
    pub(crate) fn copy_of(&self, place: usize) -> Option<Jar> {
        lock(&self.shared.jars).get(place).map(|jar| jar.copy())
    }

    /// The key is about to be revoked: who is refused with a session that it signed has lost none.
    pub(crate) fn ends_of_key(&self, kid: &str) {
        lock(&self.shared.ended).kids.insert(kid.to_owned());
    }

    /// The session of the user at a place is about to be ended: to be refused is what they want.
    pub(crate) fn ends_of_user(&self, place: usize) {
        lock(&self.shared.ended).places.insert(place);
    }

    /// Lets no login go out while the guard lives, and waits for those on their way: see
    /// [`Load::hold_logins`](crate::users::load::Load::hold_logins).
    pub(crate) async fn hold_logins(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.shared.logins).write_owned().await
    }
}

impl Shared {
    fn pause(&self) -> Duration {
        Duration::from_micros(self.pause.load(Ordering::Relaxed))
    }

    /// Whether the session of a user was ended on purpose.
    fn has_ended(&self, place: usize, kid: Option<&str>) -> bool {
        let ended = lock(&self.ended);
        ended.places.contains(&place) || kid.is_some_and(|kid| ended.kids.contains(kid))
    }

    fn change(&self, place: usize, change: impl FnOnce(&mut User)) {
        change(&mut lock(&self.users)[place]);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The name of the user at a place, for the login.
pub(crate) fn username(place: usize) -> String {
    format!("{CROWD}{}", place + 1)
}

/// How long the user at a place waits: up to a quarter more or less than the others. In step with each other and
/// with the turns of the balancer, each user would meet the same replica again and again.
fn own_pause(pause: Duration, place: usize) -> Duration {
    pause * 3 / 4 + pause * (place as u32 * 5 % 11) / 20
}

/// One user.
async fn work(client: Client, jar: Arc<Jar>, shared: Arc<Shared>, place: usize, begins: Instant) {
    sleep_until(begins).await;
    loop {
        if jar.is_empty() {
            if let Ok(_on_its_way) = shared.logins.try_read() {
                let answer = client.login(&jar, &username(place), CROWD_PASSWORD).await;
                lock(&shared.ended).places.remove(&place);
                lock(&shared.tally).record(&answer, Expect::Success, "");
                shared.change(place, |user| user.see(answer.as_ref().ok(), &jar));
            }
        } else {
            let who = Credentials::Cookie(&jar);
            let maker = who.maker();
            let answer = client.get("/me", who).await;
            let refused = answer.as_ref().is_ok_and(|it| it.status == StatusCode::UNAUTHORIZED);
            let ended = refused && shared.has_ended(place, jar.kid().as_deref());
            let expected =
                if ended { Expect::Status(StatusCode::UNAUTHORIZED) } else { Expect::Success };
            lock(&shared.tally).record(&answer, expected, &maker);
            if refused {
                jar.forget();
            }
            shared.change(place, |user| {
                user.see(answer.as_ref().ok(), &jar);
                user.lost += u64::from(refused && !ended);
                user.ended += u64::from(ended);
            });
            if refused {
                sleep(Duration::from_micros(shared.out.load(Ordering::Relaxed))).await;
                continue;
            }
        }
        sleep(own_pause(shared.pause(), place)).await;
    }
}

impl User {
    fn see(&mut self, answer: Option<&Answer>, jar: &Jar) {
        self.logged_in = !jar.is_empty();
        self.kid = jar.kid();
        if let Some(answer) = answer {
            self.replica.clone_from(&answer.replica);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Json, Router,
        http::header,
        response::IntoResponse,
        routing::{get, post},
    };
    use serde_json::json;

    use super::*;

    /// A server that forgets every session at the second request.
    async fn forgetful() -> String {
        let asked = Arc::new(AtomicU64::new(0));
        let me = async move || match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Json(json!({})).into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        };
        let login = async || (StatusCode::NO_CONTENT, [(header::SET_COOKIE, "session=x")]);
        let app = Router::new().route("/login", post(login)).route("/me", get(me));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_user_who_is_refused_has_lost_a_session() {
        let crowd = Crowd::start(&forgetful().await, 1, Duration::from_millis(1));
        let mut tally = Tally::default();
        while tally.unexpected_401 == 0 {
            sleep(Duration::from_millis(1)).await;
            tally.merge(crowd.take());
        }
        assert_eq!((tally.requests, tally.unexpected_401, tally.failed), (3, 1, 0));
        assert_eq!(crowd.users(), [User { lost: 1, ..User::default() }]);
    }

    #[tokio::test]
    async fn a_user_whose_session_was_ended_has_lost_none() {
        let crowd = Crowd::start(&forgetful().await, 1, Duration::from_millis(1));
        while crowd.users().iter().any(|user| !user.logged_in) {
            sleep(Duration::from_millis(1)).await;
        }
        crowd.ends_of_user(0);
        while crowd.users()[0].ended == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(crowd.take().unexpected_401, 0);
        assert_eq!(crowd.users(), [User { ended: 1, ..User::default() }]);
    }
}
