//! One replica among its peers: it listens, announces itself, sends what changes every 50 ms, and forgets
//! who is silent.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use ring::rand::{SystemRandom, generate};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    BoxError,
    arms::app::User,
    arms::figures::Figures,
    arms::local,
    arms::replicated::discovery::{ANNOUNCE_EVERY, Announcer, Members, SILENCE},
    arms::replicated::link::{Link, Traffic},
    arms::replicated::message::{Hello, Known, Message, Node},
    arms::replicated::table::Table,
    arms::session::Session,
};

/// How often changes are sent: what was changed in the last moment before a crash is lost.
pub(crate) const COPY_EVERY: Duration = Duration::from_millis(50);
/// Every so many times this replica looks for what has expired, and for sessions whose owner is gone.
const LOOK_EVERY: u32 = 10;
/// How long a newcomer listens at least until it believes that it knows its peers.
const SETTLING: Duration = Duration::from_millis(500);
/// How long it may take until it has the sessions of all.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it takes until a lost connection is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the first frame of a connection may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// How many peers can be connected.
const MOST_CONNECTIONS: usize = 64;

/// A replica. Dropping the last clone ends its part in the cluster, without a word to its peers.
#[derive(Clone)]
pub(crate) struct Replicated {
    shared: Arc<Shared>,
    _tasks: Arc<JoinSet<()>>,
}

/// The state of the tasks.
struct Shared {
    hello: Hello,
    table: Mutex<Table>,
    members: Mutex<Members>,
    /// Who has sent all sessions that it is responsible for.
    complete: Mutex<HashSet<Node>>,
    traffic: Arc<Traffic>,
}

/// A panic under these locks cannot leave anything half changed that matters, so poison says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replicated {
    /// Joins the cluster of this name; returns when all its sessions are here.
    ///
    /// # Errors
    /// If there is no port for it, or a peer does not send its sessions.
    pub(crate) async fn join(
        run: &str,
        name: &str,
        lifetime: Duration,
        discovery: &[u16],
    ) -> Result<Self, BoxError> {
        let random = generate(&SystemRandom::new()).map_err(|_| "the system has no randomness")?;
        let node = Node { name: name.to_owned(), life: u64::from_be_bytes(random.expose()) };
        let announcer = Announcer::bind(discovery).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(node.clone(), lifetime)),
            members: Mutex::new(Members::new(node.clone())),
            hello: Hello { run: run.to_owned(), node, port, discovery: announcer.port },
            complete: Mutex::default(),
            traffic: Arc::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&shared)));
        tasks.spawn(discover(announcer, Arc::clone(&shared)));
        tasks.spawn(replicate(Arc::clone(&shared)));
        shared.receive_all().await?;
        Ok(Self { shared, _tasks: Arc::new(tasks) })
    }
}

impl Shared {
    /// Waits until every peer has sent its sessions.
    async fn receive_all(&self) -> Result<(), BoxError> {
        let start = Instant::now();
        loop {
            sleep(COPY_EVERY).await;
            let peers = lock(&self.members).peers();
            let complete = lock(&self.complete).clone();
            let missing = peers.into_iter().find(|peer| !complete.contains(&peer.node));
            match missing {
                None if start.elapsed() >= SETTLING => return Ok(()),
                Some(peer) if start.elapsed() >= TRANSFER_TIMEOUT => {
                    let (own, peer) = (&self.hello.node.name, &peer.node.name);
                    return Err(format!(
                        "{own}: {peer} did not send its sessions within {TRANSFER_TIMEOUT:?}"
                    )
                    .into());
                }
                _ => {}
            }
        }
    }

    /// Notes a sign of life, if it is of this cluster. Returns whether it is news.
    fn hear(&self, hello: &Hello) -> bool {
        let is_news =
            hello.run == self.hello.run && lock(&self.members).hear(hello, Instant::now());
        if is_news {
            tracing::info!(peer = hello.node.name, "peer joined");
        }
        is_news
    }

    /// Takes in what one peer sends, until the connection ends.
    async fn take_in(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut next = async || {
            let (message, length) = Message::read(&mut stream).await?;
            self.traffic.received.fetch_add(length, Ordering::Relaxed);
            Ok::<_, io::Error>(message)
        };
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let Message::Hello(hello) = timeout(HELLO_TIMEOUT, next()).await?? else {
            return Err(invalid("the first message does not say who speaks"));
        };
        if hello.run != self.hello.run {
            return Err(invalid("a replica of another cluster"));
        }
        loop {
            // Whatever a peer sends is a sign of life.
            self.hear(&hello);
            match next().await? {
                Message::Changes(changes) => {
                    let (now, mut table) = (Instant::now(), lock(&self.table));
                    changes.into_iter().for_each(|change| table.merge(change, now));
                }
                Message::Complete => {
                    lock(&self.complete).insert(hello.node.clone());
                }
                Message::Hello(_) => return Err(invalid("a second `Hello`")),
            }
        }
    }
}

/// Accepts the connections of peers.
async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, for instance: it may pass.
            sleep(COPY_EVERY).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            continue;
        }
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            if let Err(error) = shared.take_in(stream).await
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                tracing::warn!(%error, "closed the connection of a peer");
            }
        });
    }
}

/// Announces this replica, and listens to the others.
async fn discover(announcer: Announcer, shared: Arc<Shared>) {
    let mut due = interval(ANNOUNCE_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Traffic { sent, received } = &*shared.traffic;
    let mut number: u32 = 0;
    loop {
        let length = tokio::select! {
            _ = due.tick() => {
                let peers = lock(&shared.members).peers();
                let length = announcer.announce(&shared.hello, number, &peers).await;
                number = number.wrapping_add(1);
                length
            }
            (hello, length) = announcer.hear() => {
                received.fetch_add(length, Ordering::Relaxed);
                match hello {
                    // A newcomer need not wait for the next announcement.
                    Some(hello) if shared.hear(&hello) => {
                        announcer.send(&shared.hello, &[hello.discovery]).await
                    }
                    _ => 0,
                }
            }
        };
        sent.fetch_add(length, Ordering::Relaxed);
    }
}

/// Sends what changes, opens connections to new peers, and forgets the silent. All of it in one task: what
/// changes after a newcomer's connection was opened goes over that connection.
async fn replicate(shared: Arc<Shared>) {
    let mut links: HashMap<Node, Result<Link, Instant>> = HashMap::new();
    let mut due = interval(COPY_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    for turn in (0..LOOK_EVERY).cycle() {
        due.tick().await;
        let now = Instant::now();
        let (peers, alive) = {
            let mut members = lock(&shared.members);
            if now - last > SILENCE / 2 {
                members.refresh(now);
            }
            for node in members.forget_the_silent(now) {
                tracing::info!(peer = node.name, "peer is gone");
            }
            (members.peers(), members.alive())
        };
        last = now;
        lock(&shared.complete).retain(|node| alive.contains(node));
        links.retain(|node, _| alive.contains(node));

        let mut table = lock(&shared.table);
        if turn == 0 {
            table.expire(now);
            let taken = table.take_over(&alive);
            if taken > 0 {
                tracing::info!(sessions = taken, "took over the sessions of a peer that is gone");
            }
        }
        for peer in peers {
            let is_due = match links.get(&peer.node) {
                None => true,
                Some(Ok(_)) => false,
                Some(Err(since)) => now - *since >= RETRY,
            };
            if is_due {
                let changes = table.responsible_for(&alive, now);
                let first = [Message::Hello(shared.hello.clone())].into_iter();
                let first = first.chain(changes.into_iter().map(Message::Changes));
                let first = first.chain([Message::Complete]).map(|it| it.frame()).collect();
                let link = Link::open(peer.address, first, Arc::clone(&shared.traffic));
                links.insert(peer.node, Ok(link));
            }
        }
        let changes = table.take_changed(now);
        drop(table);

        let frames: Vec<_> = changes.into_iter().map(|it| Message::Changes(it).frame()).collect();
        for (node, state) in &mut links {
            let Ok(link) = state else { continue };
            if link.is_up() && frames.iter().all(|frame| link.push(frame)) {
                continue;
            }
            if link.is_up() {
                tracing::warn!(peer = node.name, "peer does not read as fast as sessions change");
            }
            // It gets all sessions anew.
            *state = Err(now);
        }
    }
}

impl local::Table for Replicated {
    fn insert(&self, id: &str, subject: String, user: User) {
        lock(&self.shared.table).insert(id, Known { subject, user }, Instant::now());
    }

    fn find(&self, id: &str) -> Option<Session> {
        lock(&self.shared.table).find(id, Instant::now())
    }

    fn remove(&self, id: &str) {
        lock(&self.shared.table).end(id, Instant::now());
    }

    fn remove_all_of(&self, subject: &str) {
        lock(&self.shared.table).end_all_of(subject, Instant::now());
    }

    fn figures(&self) -> Figures {
        let Traffic { sent, received } = &*self.shared.traffic;
        Figures {
            sessions: lock(&self.shared.table).len(Instant::now()),
            bytes_sent: sent.load(Ordering::Relaxed),
            bytes_received: received.load(Ordering::Relaxed),
            ..Figures::default()
        }
    }

    fn peers(&self) -> Option<usize> {
        Some(lock(&self.shared.members).peers().len())
    }
}
