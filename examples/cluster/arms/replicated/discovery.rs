//! How replicas find each other: each announces itself on a few UDP ports of the loopback interface.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

/// How many ports there are to announce oneself on: more than a cluster has replicas.
const PORTS: usize = 24;

/// Ports for the replicas of one cluster, which are free now.
///
/// # Errors
/// If there are not as many.
pub(crate) fn free_ports() -> io::Result<Vec<u16>> {
    let sockets: io::Result<Vec<_>> =
        (0..PORTS).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    sockets?.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
}
