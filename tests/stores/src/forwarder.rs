//! An address that moves, as a name or a virtual IP does in a failover: new connections lead to the
//! new server, and those that are open stay where they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Forwarder {
    pub(crate) port: u16,
    target: Arc<AtomicU16>,
    task: JoinHandle<()>,
}

impl Forwarder {
    pub(crate) async fn to(port: u16) -> Self {
        Self::start(port, None).await
    }

    /// One that replaces a text in what the server answers.
    pub(crate) async fn replacing(port: u16, replaced: [&'static str; 2]) -> Self {
        Self::start(port, Some(replaced)).await
    }

    async fn start(port: u16, replaced: Option<[&'static str; 2]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let target = Arc::new(AtomicU16::new(port));
        let now = Arc::clone(&target);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let port = now.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    // If no server listens there, the client's connection is closed.
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    forward(client, server, replaced).await;
                });
            }
        });
        Self { port: own, target, task }
    }

    pub(crate) fn move_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, replaced: Option<[&str; 2]>) {
    let Some([from, to]) = replaced else {
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let answers = async {
        let mut answer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut answer).await {
            let answer = String::from_utf8_lossy(&answer[..length]).replace(from, to);
            if to_client.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}
