//! The long run: the highest steady rate at which nothing fails while nothing happens, then the same for a
//! minute while keys rotate every 5 seconds and 3 replicas become 12 and 3 again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until};

use crate::Problem;
use crate::report::Line;
use crate::run::ask::{Answer, login, logout, me, page};
use crate::run::outcome::{End, INVARIANTS, Invariant, Outcome};
use crate::run::perform::stated_bound;
use crate::run::signs::Signs;
use crate::run::tally::Tally;
use crate::setup::cluster::{Cluster, client, until_ready};
use crate::setup::replica::Peer;
use crate::setup::store::StoreKind;

/// The replicas' policy. A key is published long before it signs: with the crate's defaults, whose timeouts are
/// 5 and 10 seconds and whose clocks may differ by a minute, by more than two minutes. Here all timeouts are
/// 333 ms and clocks differ by 100 ms.
const OPTIONS: [&str; 4] = ["--signing-seconds", "5", "--session-seconds", "600"];
const FEW: usize = 3;
const MANY: usize = 12;
const SESSIONS: usize = 200;
/// Requests that wait for their answer at a time, at most.
const WORKERS: u64 = 48;
/// Rates that are tried, in requests per second.
const RATES: [u64; 9] = [500, 750, 1000, 1500, 2000, 2500, 3000, 4000, 5000];
const TRY: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(60);
/// When replicas are added and removed, and how far apart.
const GROWS: Duration = Duration::from_secs(8);
const SHRINKS: Duration = Duration::from_secs(36);
const STEP: Duration = Duration::from_millis(2000);
/// Of so many requests one is a login, and one a logout.
const OTHERS: u64 = 100;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs it.
pub async fn run(store: StoreKind) -> Line {
    let (does, end) = match measure(store).await {
        Ok((does, outcome)) => (does, End::Done(Box::new(outcome))),
        Err(problem) => ("the long run".to_owned(), End::Broken(problem)),
    };
    Line { fault: "long-run", store: store.word(), does, heals: "nothing is broken", end }
}

async fn measure(store: StoreKind) -> Result<(String, Outcome), Problem> {
    let mut cluster = Cluster::of(store, FEW, &[], &OPTIONS).await?;
    let users = Arc::new(Users::new(cluster.peers()).await?);
    let bound = stated_bound(&cluster.replicas[0].peer.url).await?;
    let mut checks: Vec<_> = cluster.peers().into_iter().map(check).collect();

    let mut best = None;
    for rate in RATES {
        let idle = users.keep_up(rate, TRY).await;
        eprintln!("idle at {rate}/s: {}", idle.words());
        if idle.failed > 0 || idle.per_second < rate as f64 * 0.98 {
            break;
        }
        best = Some(rate);
    }
    let rate = best.ok_or_else(|| {
        format!("this machine does not reach {} requests per second while idle", RATES[0])
    })?;

    *users.tally.counts() = Default::default();
    let first = generation(&cluster.replicas[0].peer.url).await?;
    let start = Instant::now();
    let pace = tokio::spawn({
        let users = Arc::clone(&users);
        async move { users.keep_up(rate, WHOLE).await }
    });
    sleep(GROWS).await;
    while cluster.replicas.len() < MANY {
        let next = Instant::now() + STEP;
        cluster.add(&[], &OPTIONS).await?;
        let peer = Arc::clone(&cluster.last()?.peer);
        until_ready(&peer).await?;
        users.peers_mut().push(Arc::clone(&peer));
        checks.push(check(peer));
        sleep_until(next.into()).await;
    }
    eprintln!("{} replicas after {:.0} s", cluster.replicas.len(), start.elapsed().as_secs_f64());
    sleep_until((start + SHRINKS).into()).await;
    while cluster.replicas.len() > FEW {
        let leaving = cluster.replicas.pop().ok_or("there is no replica")?;
        leaving.signal("TERM")?;
        // Its readiness fails first, so that nothing is sent to it; then it ends.
        sleep(STEP).await;
        users.peers_mut().retain(|peer| peer.index != leaving.peer.index);
        tokio::spawn(async move {
            sleep(Duration::from_secs(10)).await;
            drop(leaving);
        });
    }
    let pace = pace.await.map_err(|error| error.to_string())?;
    let rotated = generation(&cluster.replicas[0].peer.url).await? - first;
    sleep(bound + Duration::from_secs(1)).await;
    let ended = users.accepted_in_the_end().await;
    let does = format!(
        "{rate} requests per second for 60 s, the highest rate without a failure while idle; keys rotate \
         every 5 s; {FEW} to {MANY} to {FEW} replicas"
    );
    let counts = users.tally.counts().clone();
    let asked = counts.sessions.plus(&counts.first);
    let errors = |it: &crate::run::tally::Answers| it.unavailable + it.server_errors;
    let failures = errors(&asked) + errors(&counts.logins) + errors(&counts.logouts);
    let silent = asked.unreachable + counts.logins.unreachable + counts.logouts.unreachable;
    let refused = asked.unauthorized
        + asked.others
        + counts.logins.others
        + counts.logouts.others
        + counts.logouts.unauthorized;
    let invariant = |name, found, holds| Invariant { name, found, holds, allowed: None };
    let invariants = vec![
        invariant(INVARIANTS[0], format!("{refused} × 401 of {}", asked.asked), refused == 0),
        invariant(
            INVARIANTS[1],
            format!("{failures} × 5xx, {silent} without an answer"),
            failures + silent == 0,
        ),
        invariant(
            INVARIANTS[2],
            format!("{} of {} ended sessions accepted", ended.1, ended.0),
            ended.1 == 0 && ended.0 > 0,
        ),
        invariant("keys rotate", format!("{rotated} times"), rotated >= 10),
        invariant(
            "the rate is kept",
            format!("{rate}/s wanted; {}", pace.words()),
            pace.per_second >= rate as f64 * 0.9,
        ),
    ];
    let outcome = Outcome {
        counts,
        signs: Signs::default(),
        readiness: (0, 0),
        healed: Ok(0.0),
        ended,
        bound: bound.as_secs_f64(),
        invariants,
    };
    Ok((does, outcome))
}

/// The users: as many requests per second as asked for, at all replicas in turn.
struct Users {
    peers: RwLock<Vec<Arc<Peer>>>,
    client: Client,
    tally: Tally,
    sessions: Vec<String>,
    spare: Mutex<VecDeque<String>>,
    ended: Mutex<Vec<String>>,
    turn: AtomicUsize,
}

/// How a stretch of load went.
struct Pace {
    per_second: f64,
    failed: u64,
    median: Duration,
    p99: Duration,
    longest: Duration,
}

impl Pace {
    fn words(&self) -> String {
        format!(
            "{:.0}/s answered, {} failed, median {:.1?}, p99 {:.1?}, longest {:.1?}",
            self.per_second, self.failed, self.median, self.p99, self.longest
        )
    }
}

impl Users {
    async fn new(peers: Vec<Arc<Peer>>) -> Result<Self, Problem> {
        let client = client(TIMEOUT);
        let mut sessions = Vec::new();
        for number in 0..SESSIONS {
            let peer = &peers[number % peers.len()];
            let (answer, token) = login(&client, &peer.url, number as u64).await;
            sessions.push(token.ok_or_else(|| format!("a login: {}", answer.words()))?);
        }
        Ok(Self {
            peers: RwLock::new(peers),
            client,
            tally: Tally::default(),
            sessions,
            spare: Mutex::default(),
            ended: Mutex::default(),
            turn: AtomicUsize::new(0),
        })
    }

    fn peers_mut(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Peer>>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Arc<Peer> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let peer = &peers[turn % peers.len()];
            if peer.in_rotation() || peers.iter().all(|peer| !peer.in_rotation()) {
                return Arc::clone(peer);
            }
        }
    }

    /// Sends requests at that rate; those that are late are sent at once.
    async fn keep_up(self: &Arc<Self>, rate: u64, whole: Duration) -> Pace {
        let start = Instant::now();
        let due = Arc::new(AtomicU64::new(0));
        let all = (rate as f64 * whole.as_secs_f64()) as u64;
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let (users, due) = (Arc::clone(self), Arc::clone(&due));
            workers.spawn(async move {
                let (mut took, mut failed) = (Vec::new(), 0);
                loop {
                    let number = due.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return (took, failed);
                    }
                    let at = start + Duration::from_secs_f64(number as f64 / rate as f64);
                    sleep_until(at.into()).await;
                    let sent = Instant::now();
                    failed += u64::from(!users.request(number).await);
                    took.push(sent.elapsed());
                }
            });
        }
        let done = workers.join_all().await;
        let per_second = all as f64 / start.elapsed().as_secs_f64();
        let failed = done.iter().map(|(_, failed)| failed).sum();
        let mut took: Vec<_> = done.into_iter().flat_map(|(took, _)| took).collect();
        took.sort();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Pace { per_second, failed, median: at(0.5), p99: at(0.99), longest: at(1.0) }
    }

    /// One request; whether it was answered as it should be.
    async fn request(&self, number: u64) -> bool {
        let peer = self.next();
        match number % OTHERS {
            1 => {
                let (answer, token) = login(&self.client, &peer.url, number).await;
                self.note("a login", &peer, &answer, self.tally.counts().logins.count(&answer));
                let Some(token) = token else { return false };
                let other = self.next();
                let answer = me(&self.client, &other.url, &token).await;
                let good = self.tally.counts().first.count(&answer);
                self.note("a new session", &other, &answer, good);
                locked(&self.spare).push_back(token);
                good
            }
            2 => {
                let Some(token) = locked(&self.spare).pop_front() else { return true };
                let answer = logout(&self.client, &peer.url, &token).await;
                let good = self.tally.counts().logouts.count(&answer);
                self.note("a logout", &peer, &answer, good);
                if good {
                    locked(&self.ended).push(token);
                }
                good
            }
            _ => {
                let token = &self.sessions[number as usize % self.sessions.len()];
                let answer = me(&self.client, &peer.url, token).await;
                let good = self.tally.counts().sessions.count(&answer);
                self.note("a session", &peer, &answer, good);
                good
            }
        }
    }

    fn note(&self, what: &'static str, peer: &Peer, answer: &Answer, good: bool) {
        if !good {
            let words = format!("at replica-{}: {}", peer.index + 1, answer.words());
            self.tally.problem(what, words);
        }
    }

    /// Sessions that were logged out, and how many answers accept one.
    async fn accepted_in_the_end(&self) -> (u64, u64) {
        let all = locked(&self.ended).clone();
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut accepted = 0;
        for token in &all {
            for peer in &peers {
                accepted += u64::from(me(&self.client, &peer.url, token).await.is_good());
            }
        }
        (all.len() as u64, accepted)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks a replica's readiness as a balancer does, until it is gone.
fn check(peer: Arc<Peer>) -> JoinHandle<()> {
    let (client, gone) = (client(Duration::from_secs(5)), AtomicBool::new(false));
    tokio::spawn(async move {
        while !gone.load(Ordering::Relaxed) {
            let answer = page(&client, &peer.url, "/health/ready").await;
            peer.put_in_rotation(answer.is_good());
            gone.store(matches!(answer, Answer::Unreachable(_)), Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
        }
    })
}

/// The number of the key that signs.
async fn generation(url: &str) -> Result<u64, Problem> {
    let Answer::Status(_, body) = page(&client(TIMEOUT), url, "/health/ready").await else {
        return Err("no readiness".to_owned());
    };
    let ready: serde_json::Value =
        serde_json::from_str(&body).map_err(|error| error.to_string())?;
    ready["ring"]["generation"].as_u64().ok_or_else(|| format!("no generation: {body}"))
}
