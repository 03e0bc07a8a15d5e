//! How replicas find each other: each announces itself on a few UDP ports of the loopback interface, and
//! listens on one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::net::UdpSocket;

use crate::{
    BoxError,
    arms::replicated::message::{Hello, Node},
};

/// How often a replica announces itself.
pub(crate) const ANNOUNCE_EVERY: Duration = Duration::from_millis(200);
/// After how long without a sign of life a peer is gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);
/// Every so many announcements go to all ports, the others to the peers that are known.
const EVERYWHERE: u32 = 10;
/// How many ports there are to announce oneself on: more than a cluster has replicas.
const PORTS: usize = 16;
/// No announcement is longer.
const LONGEST: usize = 512;
/// Nobody listens to more peers.
const MOST_PEERS: usize = 64;

/// Ports for the replicas of one cluster, which are free now.
///
/// # Errors
/// If there are not as many.
pub(crate) fn free_ports() -> io::Result<Vec<u16>> {
    let sockets: io::Result<Vec<_>> =
        (0..PORTS).map(|_| std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    sockets?.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
}

/// A place to announce oneself from.
pub(crate) struct Announcer {
    socket: UdpSocket,
    /// Where the socket is.
    pub(crate) port: u16,
    others: Vec<u16>,
}

impl Announcer {
    /// Takes the first port that is free.
    ///
    /// # Errors
    /// If none is.
    pub(crate) async fn bind(ports: &[u16]) -> Result<Self, BoxError> {
        for &port in ports {
            if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await {
                let others = ports.iter().copied().filter(|it| *it != port).collect();
                return Ok(Self { socket, port, others });
            }
        }
        let count = ports.len();
        Err(format!("none of {count} discovery ports is free, expected one for each replica")
            .into())
    }

    /// The announcement of this number: to all other ports, or to those of the peers that are known.
    /// Returns how many bytes that took. Where nobody listens they are lost; so may be any other
    /// datagram, and the next one follows soon.
    pub(crate) async fn announce(&self, hello: &Hello, number: u32, peers: &[Peer]) -> u64 {
        if number.is_multiple_of(EVERYWHERE) {
            return self.send(hello, &self.others).await;
        }
        let ports: Vec<_> = peers.iter().map(|peer| peer.discovery).collect();
        self.send(hello, &ports).await
    }

    /// Announces a replica on these ports.
    pub(crate) async fn send(&self, hello: &Hello, ports: &[u16]) -> u64 {
        let text = serde_json::to_vec(hello).expect("these types have a form in JSON");
        let mut sent = 0;
        for &port in ports {
            let to = (Ipv4Addr::LOCALHOST, port);
            sent += self.socket.send_to(&text, to).await.map_or(0, |length| length as u64);
        }
        sent
    }

    /// The next datagram: who announces itself, if that can be read, and how many bytes it has.
    pub(crate) async fn hear(&self) -> (Option<Hello>, u64) {
        let mut buffer = [0; LONGEST];
        loop {
            // An error is that of a datagram sent before, to a port where nobody listens.
            if let Ok(length) = self.socket.recv(&mut buffer).await {
                let hello = serde_json::from_slice(&buffer[..length]).ok();
                let hello = hello.filter(|it: &Hello| it.check().is_ok());
                return (hello, length as u64);
            }
        }
    }
}

/// The replicas that were heard of lately.
pub(crate) struct Members {
    own: Node,
    peers: BTreeMap<String, Peer>,
}

/// Another replica.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Peer {
    /// Which process of it.
    pub(crate) node: Node,
    /// Where it takes connections.
    pub(crate) address: SocketAddr,
    /// Where it hears announcements.
    discovery: u16,
    heard: Instant,
}

impl Members {
    /// Nobody yet.
    pub(crate) fn new(own: Node) -> Self {
        Self { own, peers: BTreeMap::new() }
    }

    /// Notes a sign of life. Returns whether the peer is new, or a new process of one that was known.
    pub(crate) fn hear(&mut self, hello: &Hello, now: Instant) -> bool {
        let Hello { node, port, discovery, .. } = hello;
        let known = self.peers.get(&node.name);
        if node.name == self.own.name || (known.is_none() && self.peers.len() >= MOST_PEERS) {
            return false;
        }
        let is_new = known.is_none_or(|peer| peer.node != *node);
        let address = (Ipv4Addr::LOCALHOST, *port).into();
        let peer = Peer { node: node.clone(), address, discovery: *discovery, heard: now };
        self.peers.insert(node.name.clone(), peer);
        is_new
    }

    /// Forgets the peers that are silent. Returns which.
    pub(crate) fn forget_the_silent(&mut self, now: Instant) -> Vec<Node> {
        let silent = |peer: &Peer| now.saturating_duration_since(peer.heard) >= SILENCE;
        self.peers.extract_if(.., |_, peer| silent(peer)).map(|(_, peer)| peer.node).collect()
    }

    /// Takes all as just heard: after this process itself stood still nobody's silence means anything.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.peers.values_mut().for_each(|peer| peer.heard = now);
    }

    /// The other replicas.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.peers.values().cloned().collect()
    }

    /// Everyone who lives, this replica too.
    pub(crate) fn alive(&self) -> BTreeSet<Node> {
        let peers = self.peers.values().map(|peer| peer.node.clone());
        peers.chain([self.own.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(number: u64, life: u64) -> Hello {
        let node = Node { name: format!("replica-{number}"), life };
        Hello { run: "run".to_owned(), node, port: 9000, discovery: 9001 }
    }

    #[test]
    fn a_peer_is_gone_after_a_second_of_silence() {
        let (start, mut members) = (Instant::now(), Members::new(hello(1, 1).node));
        assert!(!members.hear(&hello(1, 2), start), "another of the same name is not a peer");
        assert!(members.hear(&hello(2, 1), start));
        assert!(!members.hear(&hello(2, 1), start + SILENCE / 2), "no news");
        assert!(members.forget_the_silent(start + SILENCE).is_empty());
        assert!(members.hear(&hello(2, 2), start + SILENCE), "a new process");
        assert_eq!(members.alive(), BTreeSet::from([hello(1, 1).node, hello(2, 2).node]));
        assert_eq!(members.forget_the_silent(start + 2 * SILENCE), [hello(2, 2).node]);
        assert!(members.peers().is_empty());
    }

    #[test]
    fn nobody_is_gone_because_this_process_stood_still() {
        let (start, mut members) = (Instant::now(), Members::new(hello(1, 1).node));
        members.hear(&hello(2, 1), start);
        members.refresh(start + 9 * SILENCE);
        assert!(members.forget_the_silent(start + 9 * SILENCE).is_empty());
    }

    #[test]
    fn the_number_of_peers_is_limited() {
        let (now, mut members) = (Instant::now(), Members::new(hello(0, 0).node));
        assert_eq!((1..=100).filter(|it| members.hear(&hello(*it, 1), now)).count(), MOST_PEERS);
    }

    #[tokio::test]
    async fn an_announcement_reaches_those_who_listen() {
        let ports = free_ports().expect("ports");
        let one = Announcer::bind(&ports).await.expect("the first");
        let two = Announcer::bind(&ports).await.expect("the second");
        let length = one.announce(&hello(1, 7), 0, &[]).await / (PORTS as u64 - 1);
        assert_eq!(two.hear().await, (Some(hello(1, 7)), length));
        assert_eq!(two.send(&hello(2, 7), &ports[..1]).await, length);
        assert_eq!(one.hear().await.0, Some(hello(2, 7)));
        let mut members = Members::new(hello(1, 7).node);
        assert!(members.hear(&Hello { discovery: two.port, ..hello(2, 7) }, Instant::now()));
        assert_eq!(one.announce(&hello(1, 8), 1, &members.peers()).await, length);
        assert_eq!(two.hear().await.0, Some(hello(1, 8)));
        two.socket.send_to(b"nonsense", ("127.0.0.1", ports[0])).await.expect("sent");
        assert_eq!(one.hear().await.0, None);
        let error = Announcer::bind(&ports[..2]).await.err().expect("both are taken");
        assert!(error.to_string().starts_with("none of 2 discovery ports is free"), "{error}");
    }
}
