//! The way between the replicas and their store: it can be slow, be cut, and lead to another server, as an
//! address does that moves in a failover.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// The largest piece that is passed on at once.
const PIECE: usize = 16 * 1024;
/// How many pieces may be on their way in one direction.
const MOST_PIECES: usize = 1024;

/// A TCP proxy. Dropping it closes its port; connections end with their peers.
pub(crate) struct Link {
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    way: Arc<Way>,
    task: JoinHandle<()>,
}

struct Way {
    target: AtomicU16,
    delay_in_millis: AtomicU64,
    /// Each change ends the connections that are open.
    cuts: watch::Sender<u64>,
}

impl Link {
    /// Listens at a free port for connections that lead to `port`.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let way = Arc::new(Way {
            target: AtomicU16::new(port),
            delay_in_millis: AtomicU64::new(0),
            cuts: watch::Sender::new(0),
        });
        let shared = Arc::clone(&way);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, Arc::clone(&shared)));
            }
        });
        Ok(Self { port: own, way, task })
    }

    /// Delays each direction from now on.
    pub(crate) fn slow(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.way.delay_in_millis.store(millis, Ordering::Relaxed);
    }

    /// Whether it delays.
    pub(crate) fn is_slow(&self) -> bool {
        self.way.delay_in_millis.load(Ordering::Relaxed) > 0
    }

    /// Leads to another server from now on, and ends the connections to the former one.
    pub(crate) fn lead_to(&self, port: u16) {
        self.way.target.store(port, Ordering::Relaxed);
        self.way.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection until one side closes it, or it is cut.
async fn connect(client: TcpStream, way: Arc<Way>) {
    let mut cuts = way.cuts.subscribe();
    let target = (Ipv4Addr::LOCALHOST, way.target.load(Ordering::Relaxed));
    // If no server listens there, the client's connection is closed.
    let Ok(server) = TcpStream::connect(target).await else { return };
    for stream in [&client, &server] {
        // If the option fails, small messages are only slower.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass_on(from_client, to_server, &way) => {}
        () = pass_on(from_server, to_client, &way) => {}
        _ = cuts.changed() => {}
    }
}

/// Passes one direction on, each piece after the delay; pieces do not wait for each other.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: &Way) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(MOST_PIECES);
    let read = async move {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let delay = Duration::from_millis(way.delay_in_millis.load(Ordering::Relaxed));
            let piece = (Instant::now() + delay, buffer[..length].to_vec());
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with its own.
    async fn answers(own: u8) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while stream.read_u8().await.is_ok() && stream.write_u8(own).await.is_ok() {}
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn a_link_is_slow_and_leads_elsewhere() {
        let (one, other) = (answers(1).await, answers(2).await);
        let link = Link::to(one).await.expect("a port");
        let mut client =
            TcpStream::connect((Ipv4Addr::LOCALHOST, link.port)).await.expect("it listens");
        client.write_u8(0).await.expect("it is open");
        assert_eq!(client.read_u8().await.expect("an answer"), 1);

        link.slow(Duration::from_millis(20));
        let asked = Instant::now();
        client.write_u8(0).await.expect("it is open");
        assert_eq!(client.read_u8().await.expect("an answer"), 1);
        assert!(asked.elapsed() >= Duration::from_millis(40), "{:?}", asked.elapsed());

        link.lead_to(other);
        assert!(client.read_u8().await.is_err(), "the connection was cut");
        let mut client =
            TcpStream::connect((Ipv4Addr::LOCALHOST, link.port)).await.expect("it listens");
        client.write_u8(0).await.expect("it is open");
        assert_eq!(client.read_u8().await.expect("an answer"), 2);
    }
}
