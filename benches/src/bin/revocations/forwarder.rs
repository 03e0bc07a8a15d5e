//! The network between replicas and a server: it delays, counts bytes, lets nothing through for a while, and
//! leads elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A port of the loopback interface that leads to a server's.
pub(crate) struct Forwarder {
    pub(crate) port: u16,
    way: Arc<Way>,
    task: JoinHandle<()>,
}

struct Way {
    target: AtomicU16,
    /// In each direction.
    delay: Duration,
    /// The bytes that came from the server.
    from_server: AtomicU64,
    /// Whether bytes pass.
    is_open: watch::Sender<bool>,
    /// Changes when all connections are closed.
    epoch: watch::Sender<u64>,
}

impl Forwarder {
    pub(crate) async fn to(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let way = Arc::new(Way {
            target: port.into(),
            delay,
            from_server: AtomicU64::new(0),
            is_open: watch::channel(true).0,
            epoch: watch::channel(0).0,
        });
        let task = tokio::spawn(accept(listener, way.clone()));
        Self { port: own, way, task }
    }

    /// The bytes that came from the server until now.
    pub(crate) fn bytes(&self) -> u64 {
        self.way.from_server.load(Ordering::Relaxed)
    }

    /// Lets nothing through from now on. Connections stay, as in a partition.
    pub(crate) fn stop(&self) {
        self.way.is_open.send_replace(false);
    }

    /// Lets all through again.
    pub(crate) fn go_on(&self) {
        self.way.is_open.send_replace(true);
    }

    /// Closes all connections. New ones lead to that port.
    pub(crate) fn move_to(&self, port: u16) {
        self.way.target.store(port, Ordering::Relaxed);
        self.way.epoch.send_modify(|epoch| *epoch += 1);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    while let Ok((client, _)) = listener.accept().await {
        let way = way.clone();
        tokio::spawn(async move {
            let mut epoch = way.epoch.subscribe();
            let port = way.target.load(Ordering::Relaxed);
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            // Each write is to leave at once.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, &way, None) => {}
                () = pass(from_server, to_client, &way, Some(&way.from_server)) => {}
                _ = epoch.changed() => {}
            }
        });
    }
}

/// Passes bytes on, each after the delay, until one side ends.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: &Way,
    count: Option<&AtomicU64>,
) {
    let mut is_open = way.is_open.subscribe();
    let mut waiting = VecDeque::<(Instant, Vec<u8>)>::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let first = waiting.front().map(|(due, _)| *due);
        let due = async {
            match first {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = from.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return };
                if let Some(count) = count {
                    count.fetch_add(length as u64, Ordering::Relaxed);
                }
                waiting.push_back((Instant::now() + way.delay, buffer[..length].to_vec()));
            }
            () = due => {
                if is_open.wait_for(|is_open| *is_open).await.is_err() {
                    return;
                }
                let Some((_, bytes)) = waiting.pop_front() else { continue };
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}
