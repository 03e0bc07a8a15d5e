//! A lane: one arm's cluster and its crowd, and what is seen of both while events happen to them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tower_jwt_session::{Clock as _, SystemClock};

use crate::{
    BoxError,
    arms::figures::Figures,
    command::arm::Arm,
    faults::{event::Event, perform::perform},
    page::watch::{
        counters::Counters,
        figures::Rates,
        keys::{Key, Keys},
    },
    processes::{
        cluster::Cluster,
        view::{Shown, State, View},
    },
    store::faulty::Condition,
    users::{
        client::{Client, Credentials},
        crowd::{Crowd, CrowdView},
    },
};

/// How long a user waits between two requests: slow enough for the eye.
pub(crate) const PAUSE: Duration = Duration::from_millis(700);
/// How often the replicas are asked for their own figures.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long they may take to answer.
const LOOK_TIMEOUT: Duration = Duration::from_millis(700);

/// What everybody may see of a lane, and ask of it.
pub(crate) struct Lane {
    /// Its arm.
    pub(crate) arm: Arm,
    /// Where its balancer listens.
    pub(crate) url: String,
    /// Its replicas.
    pub(crate) view: View,
    crowd: CrowdView,
    orders: mpsc::Sender<(Order, oneshot::Sender<Done>)>,
    seen: Mutex<Seen>,
}

/// What a lane can be ordered to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// An event.
    Happen(Event),
    /// To be as it was at the start.
    Reset,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Done {
    /// It was done.
    Yes,
    /// This arm does not have what it is about.
    Impossible,
    /// It failed.
    Failed,
}

/// Who obeys the orders.
pub(crate) struct Worker<'m> {
    cluster: Cluster<'m>,
    crowd: Crowd,
    size: usize,
    orders: mpsc::Receiver<(Order, oneshot::Sender<Done>)>,
}

struct Seen {
    counters: Counters,
    rates: Rates,
    keys: Keys,
    says: String,
    is_possible: bool,
    store: Option<Condition>,
}

/// A lane at one moment.
#[derive(Serialize)]
pub(crate) struct Snapshot {
    arm: Arm,
    replicas: Vec<Shown>,
    /// For each user the index of the replica that answered last, -1 without a session, and -2 if a
    /// replica that is not there any more, or the balancer, answered.
    users: Vec<i64>,
    lost: u64,
    refused: u64,
    accepted: u64,
    rate: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    copied: Option<f64>,
    trips: Option<f64>,
    memory: Option<f64>,
    says: String,
    possible: bool,
    /// The store that the arm asks; none if it has none.
    store: Option<Condition>,
    #[serde(skip)]
    pub(crate) keys: Vec<Key>,
}

impl Lane {
    /// The lane of a cluster that is up, with so many users who begin now.
    pub(crate) fn start(cluster: Cluster<'_>, users: usize) -> (Self, Worker<'_>) {
        let crowd = Crowd::start(cluster.url(), users, PAUSE);
        let (sender, orders) = mpsc::channel(1);
        let lane = Self {
            arm: cluster.arm(),
            url: cluster.url().to_owned(),
            view: cluster.view(),
            crowd: crowd.view(),
            orders: sender,
            seen: Mutex::new(Seen {
                counters: Counters::new(Instant::now()),
                rates: Rates::default(),
                keys: Keys::default(),
                says: String::new(),
                is_possible: true,
                store: store(&cluster),
            }),
        };
        let size = cluster.replicas().len();
        (lane, Worker { cluster, crowd, size, orders })
    }

    /// Gives an order, and returns when it was obeyed.
    pub(crate) async fn order(&self, order: Order) -> Done {
        let (done, outcome) = oneshot::channel();
        let sent = self.orders.send((order, done)).await;
        match sent.is_ok() {
            true => outcome.await.unwrap_or(Done::Failed),
            false => Done::Failed,
        }
    }

    /// Counts copies of a session that were accepted after its logout.
    pub(crate) fn add_accepted(&self, count: u64) {
        self.seen().counters.accepted += count;
    }

    /// Shows a sentence.
    pub(crate) fn say(&self, sentence: String, is_possible: bool) {
        let mut seen = self.seen();
        (seen.says, seen.is_possible) = (sentence, is_possible);
    }

    /// The replicas that answer, or could.
    pub(crate) fn running(&self) -> Vec<Shown> {
        let is_gone =
            |it: &Shown| matches!(it.state, State::Dead | State::Drained | State::Stopped);
        self.view.replicas().into_iter().filter(|it| !is_gone(it)).collect()
    }

    /// Everything there is to see now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (replicas, users) = (self.view.replicas(), self.crowd.users());
        let place = |name: &str| replicas.iter().position(|it| it.name == name);
        let place = |name| place(name).map_or(-2, |index| index as i64);
        let kids: Vec<_> = users.iter().filter_map(|user| user.kid.clone()).collect();
        let now = Instant::now();
        let mut seen = self.seen();
        seen.counters.add(self.crowd.take(), now);
        let recent = seen.counters.recent(now);
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        Snapshot {
            arm: self.arm,
            users: users
                .iter()
                .map(|user| if user.logged_in { place(&user.replica) } else { -1 })
                .collect(),
            replicas,
            lost: seen.counters.lost,
            refused: seen.counters.refused,
            accepted: seen.counters.accepted,
            p50: recent.p50.map(millis),
            p99: recent.p99.map(millis),
            copied: seen.rates.copied,
            trips: seen.rates.trips.filter(|_| recent.rate > 0.0).map(|it| it / recent.rate),
            memory: seen.rates.memory,
            rate: recent.rate,
            says: seen.says.clone(),
            possible: seen.is_possible,
            store: seen.store,
            keys: seen.keys.with_users(&kids),
        }
    }

    /// Asks the replicas for their figures and their keys, again and again.
    pub(crate) async fn look(&self) {
        loop {
            let replicas = self.running();
            let figures = join_all(replicas.iter().map(async |it| {
                Some((it.name.clone(), ask::<Figures>(&it.url, "/figures").await?))
            }));
            let figures: BTreeMap<_, _> = figures.await.into_iter().flatten().collect();
            let status = match replicas.iter().find(|it| it.state == State::Alive) {
                Some(first) if self.arm == Arm::Stateless => {
                    ask::<Value>(&first.url, "/health/status").await
                }
                _ => None,
            };
            self.see(figures, &status.unwrap_or_default()["ring"]);
            sleep(LOOK_EVERY).await;
        }
    }

    fn see(&self, figures: BTreeMap<String, Figures>, ring: &Value) {
        let mut seen = self.seen();
        seen.rates.see(figures, Instant::now());
        seen.keys.see(ring, now());
    }

    /// A panic under this lock cannot leave anything half changed, so poison says nothing.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer of a replica; none without a good one in time.
async fn ask<T: DeserializeOwned>(url: &str, path: &str) -> Option<T> {
    let client = Client::new(url);
    let answer = timeout(LOOK_TIMEOUT, client.get(path, Credentials::Nobody)).await.ok()?.ok()?;
    serde_json::from_value(answer.json).ok()
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemClock.now().as_unix_millis() as f64 / 1e3
}

/// Words with a capital letter and a full stop; nothing of nothing.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    first.map_or_else(String::new, |first| format!("{first}{}.", letters.as_str()))
}

/// The state of the store that an arm asks.
fn store(cluster: &Cluster<'_>) -> Option<Condition> {
    cluster.arm().has_store().then(|| cluster.meeting.condition())
}

impl Worker<'_> {
    /// Obeys the orders to a lane, one after the other.
    pub(crate) async fn obey(&mut self, lane: &Lane) {
        while let Some((order, done)) = self.orders.recv().await {
            let outcome = self.work(lane, order).await;
            // Nobody waits any more if the page was closed.
            let _ = done.send(outcome);
        }
    }

    async fn work(&mut self, lane: &Lane, order: Order) -> Done {
        let outcome = match order {
            Order::Reset => self.reset(lane).await.map(|()| String::new()),
            Order::Happen(event) => match event.is_possible(&self.cluster) {
                Ok(()) => perform(event, &mut self.cluster, &self.crowd).await,
                Err(reason) => {
                    lane.say(format!("Not here: {reason}."), false);
                    return Done::Impossible;
                }
            },
        };
        lane.seen().store = store(&self.cluster);
        let (sentence, done) = match outcome {
            Ok(words) => (sentence(&words), Done::Yes),
            Err(error) => (format!("Failed: {error}."), Done::Failed),
        };
        lane.say(sentence, true);
        done
    }

    /// Everything as at the start: the number of replicas, all of them well, and no count.
    async fn reset(&mut self, lane: &Lane) -> Result<(), BoxError> {
        let cluster = &mut self.cluster;
        if cluster.meeting.condition() != Condition::Up {
            cluster.meeting.heal().await?;
        }
        while cluster.replicas().len() > self.size {
            cluster.shrink().await?;
        }
        for index in 0..cluster.replicas().len() {
            let is_well = cluster.replicas()[index].clock_offset() == 0;
            if !is_well || cluster.states()[index].state != State::Alive {
                cluster.recover(index).await?;
            }
        }
        cluster.grow(self.size - cluster.replicas().len()).await?;
        self.crowd.set_pause(PAUSE);
        self.crowd.take();
        lane.seen().counters = Counters::new(Instant::now());
        Ok(())
    }

    /// Ends every process of the lane.
    pub(crate) async fn end(self) {
        drop(self.crowd);
        self.cluster.end().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_shown_as_a_sentence() {
        assert_eq!(sentence("killed the store"), "Killed the store.");
        assert_eq!(sentence(""), "");
    }
}
