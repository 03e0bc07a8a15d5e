//! Several replicas in one process, over real sockets.

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use crate::arms::{
    app::User,
    local::Table as _,
    replicated::discovery::{Announcer, free_ports},
    replicated::message::{Hello, Message, Node},
    replicated::server::{COPY_EVERY, Replicated},
};

const LIFETIME: Duration = Duration::from_secs(60);

struct Replicas {
    run: String,
    ports: Vec<u16>,
}

impl Replicas {
    fn new(run: &str) -> Self {
        Self { run: run.to_owned(), ports: free_ports().expect("ports") }
    }

    async fn join(&self, number: usize) -> Replicated {
        let name = format!("replica-{number}");
        let joined = Replicated::join(&self.run, &name, LIFETIME, &self.ports);
        joined.await.expect("it joins")
    }

    async fn three(&self) -> [Replicated; 3] {
        let (one, two, three) = tokio::join!(self.join(1), self.join(2), self.join(3));
        [one, two, three]
    }
}

fn log_in(replica: &Replicated, id: &str) {
    let user = User { name: "Bob".to_owned(), roles: vec!["user".to_owned()] };
    replica.insert(id, "bob".to_owned(), user);
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_sessions_and_of_their_ends_arrive() {
    let replicas = Replicas::new("copies");
    let [one, two, three] = replicas.three().await;
    assert_eq!([&one, &two, &three].map(|it| it.peers()), [Some(2); 3]);
    for number in 0..1234 {
        log_in(&one, &format!("session-{number}"));
    }
    for other in [&two, &three] {
        until("the copies arrive", || other.figures().sessions == 1234).await;
    }
    assert!(two.find("session-7").is_some());
    two.remove("session-7");
    for other in [&one, &three] {
        until("the end arrives", || other.find("session-7").is_none()).await;
    }
    three.remove_all_of("bob");
    for other in [&one, &two] {
        until("all ends arrive", || other.figures().sessions == 0).await;
    }
    let (sent, received) = (one.figures().bytes_sent, two.figures().bytes_received);
    assert!(sent > 2 * 1234 * 50 && received > 1234 * 50, "{sent} {received}");
}

/// On one thread: no task runs between the late login and the crash.
#[tokio::test]
async fn a_crash_loses_what_was_not_copied_and_nothing_else() {
    let replicas = Replicas::new("crash");
    let [one, two, three] = replicas.three().await;
    log_in(&one, "copied");
    until("the copy arrives", || three.figures().sessions == 1).await;
    log_in(&one, "late");
    assert!(one.find("late").is_some(), "it is acknowledged after the local write");
    drop(one);
    for survivor in [&two, &three] {
        until("its silence is noticed", || survivor.peers() == Some(1)).await;
        assert!(survivor.find("late").is_none());
    }
    // Only who took over, or was asked for it, sends it to a newcomer.
    let four = replicas.join(4).await;
    assert!(four.find("copied").is_some());
    drop((two, three));
    until("it is alone", || four.peers() == Some(0)).await;
    assert!(four.find("copied").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_has_all_sessions_before_it_is_ready() {
    let replicas = Replicas::new("newcomer");
    let [one, two, three] = replicas.three().await;
    for number in 0..700 {
        log_in(&one, &format!("one-{number}"));
        log_in(&two, &format!("two-{number}"));
    }
    until("the copies arrive", || three.figures().sessions == 1400).await;
    one.remove("one-1");
    sleep(4 * COPY_EVERY).await;
    drop(one);
    let again = replicas.join(1).await;
    assert_eq!(again.figures().sessions, 1399);
    assert!(again.find("one-1").is_none());
    assert_eq!(again.peers(), Some(2), "its former process is no peer");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clusters_on_the_same_ports_are_ignored() {
    let ours = Replicas::new("ours");
    let others = Replicas { run: "others".to_owned(), ports: ours.ports.clone() };
    let (one, other) = tokio::join!(ours.join(1), others.join(2));
    log_in(&one, "session");
    sleep(4 * COPY_EVERY).await;
    assert_eq!((one.peers(), other.peers()), (Some(0), Some(0)));
    assert!(other.find("session").is_none());
}

/// The peer is played by the test: it announces itself, accepts a connection, and does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_blocks_nobody_and_gets_all_anew() {
    let replicas = Replicas::new("slow");
    let one = replicas.join(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let announcer = Announcer::bind(&replicas.ports).await.expect("a port");
    let hello = Hello {
        run: replicas.run.clone(),
        node: Node { name: "replica-2".to_owned(), life: 7 },
        port: listener.local_addr().expect("an address").port(),
        discovery: announcer.port,
    };
    let announcing = tokio::spawn(async move {
        loop {
            announcer.announce(&hello, 0, &[]).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    let (_unread, _) = listener.accept().await.expect("a connection");
    let (start, mut count) = (Instant::now(), 0);
    let (mut again, _) = loop {
        assert!(start.elapsed() < Duration::from_secs(30), "it waits for the peer");
        for _ in 0..2000 {
            log_in(&one, &format!("session-{count}"));
            count += 1;
        }
        if let Ok(accepted) = timeout(COPY_EVERY, listener.accept()).await {
            break accepted.expect("a connection");
        }
    };
    // All that was there when it came back, and then what was added.
    let (mut received, mut complete) = (BTreeSet::new(), false);
    let everything = async {
        while !complete || received.len() < count {
            match Message::read(&mut again).await.expect("a message").0 {
                Message::Hello(_) => {}
                Message::Changes(changes) => received.extend(changes.into_iter().map(|it| it.id)),
                Message::Complete => complete = true,
            }
        }
    };
    timeout(Duration::from_secs(30), everything).await.expect("everything");
    announcing.abort();
}
