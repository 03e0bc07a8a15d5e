//! The connection over which a replica sends its changes to one other: first its part of all sessions, then
//! what changes, in a queue of limited length.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use crate::BoxError;

/// How many frames wait for a peer, one every 50 ms. A peer that is slower gets everything anew.
pub(crate) const QUEUE: usize = 64;
/// How long a connection may take to be made, and each write.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes between replicas, announcements and connections alike.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Those sent.
    pub(crate) sent: AtomicU64,
    /// Those received.
    pub(crate) received: AtomicU64,
}

/// A connection to a peer. Dropping it ends it.
pub(crate) struct Link {
    queue: mpsc::Sender<Bytes>,
    _task: JoinSet<()>,
}

impl Link {
    /// Connects in the background, and sends these frames first.
    pub(crate) fn open(address: SocketAddr, first: Vec<Bytes>, traffic: Arc<Traffic>) -> Self {
        let (queue, frames) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = send(address, first, frames, &traffic).await {
                tracing::info!(%address, %error, "lost the connection to a peer");
            }
        });
        Self { queue, _task: task }
    }

    /// Sends a frame after those that wait. Whether that was possible: if not, the connection is lost, or
    /// the peer does not read as fast as there are changes.
    pub(crate) fn push(&self, frame: &Bytes) -> bool {
        self.queue.try_send(frame.clone()).is_ok()
    }

    /// Whether it still sends.
    pub(crate) fn is_up(&self) -> bool {
        !self.queue.is_closed()
    }
}

async fn send(
    address: SocketAddr,
    first: Vec<Bytes>,
    mut frames: mpsc::Receiver<Bytes>,
    traffic: &Traffic,
) -> Result<(), BoxError> {
    let mut stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let (mut back, mut stream) = stream.split();
    let mut first = first.into_iter();
    loop {
        let frame = match first.next() {
            Some(frame) => frame,
            None => tokio::select! {
                frame = frames.recv() => match frame {
                    Some(frame) => frame,
                    None => return Ok(()),
                },
                // A peer says nothing here: this is its end. A write would notice it one frame too late.
                _ = back.read_u8() => return Err("the peer has closed it".into()),
            },
        };
        timeout(PATIENCE, stream.write_all(&frame)).await??;
        traffic.sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, time::sleep};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_blocks_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let traffic = Arc::<Traffic>::default();
        let link = Link::open(address, Vec::new(), Arc::clone(&traffic));
        let (_unread, _) = listener.accept().await.expect("a connection");
        let frame = Bytes::from(vec![0; 1 << 20]);
        let mut pushed = 0;
        while link.push(&frame) {
            pushed += 1;
            assert!(pushed < 4 * QUEUE, "the queue has no limit");
            sleep(Duration::from_millis(1)).await;
        }
        assert!(pushed >= QUEUE && link.is_up());
        let sent = traffic.sent.load(Ordering::Relaxed);
        assert!(sent < pushed as u64 * (1 << 20), "only what was written is counted");
    }

    #[tokio::test]
    async fn a_peer_that_closes_the_connection_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let link = Link::open(address, Vec::new(), Arc::default());
        drop(listener.accept().await.expect("a connection"));
        while link.is_up() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_not_there_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let link = Link::open(address, Vec::new(), Arc::default());
        while link.is_up() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!link.push(&Bytes::new()));
    }
}
