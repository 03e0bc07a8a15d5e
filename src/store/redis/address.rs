//! Where a Redis server is: a URL of the application's, or an address that another server gives.

use std::fmt;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::store::contract::StoreError;

/// Host and port.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// The address of a client, unless it leads to a socket.
    pub(crate) fn of(info: &ConnectionInfo) -> Option<Self> {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Self { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// What a node of a cluster says about a node. It names no host if that is its own.
    pub(crate) fn seen_from(&self, host: Option<&str>, port: u16) -> Self {
        let host = host.filter(|host| !matches!(*host, "" | "?")).unwrap_or(&self.host);
        Self { host: host.to_owned(), port }
    }

    /// A client of this address that logs in, and encrypts, as that of the application.
    ///
    /// # Errors
    ///
    /// If the crate `redis` does not take the settings.
    pub(crate) fn client(&self, like: &ConnectionInfo) -> Result<Client, StoreError> {
        let (host, port) = (self.host.clone(), self.port);
        let address = match like.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                let (insecure, tls_params) = (*insecure, tls_params.clone());
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let failed = |source| {
            StoreError::with_source(format!("could not connect to Redis at {self}"), source)
        };
        Client::open(like.clone().set_addr(address)).map_err(failed)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads a URL. The error never shows its password.
pub(crate) fn read_url(url: &str) -> Result<ConnectionInfo, StoreError> {
    // Without a scheme, a user and password would be taken for the host, and shown.
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let after_host = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
    if !scheme.contains("unix") && after_host.contains('@') {
        return Err(StoreError::new(
            "could not read the URL of Redis: it has an @ after the host; write / as %2F, ? as \
             %3F and # as %23 in its password",
        ));
    }
    let failed = |source| StoreError::with_source("could not read the URL of Redis", source);
    url.into_connection_info().map_err(failed)
}

/// Reads the URLs of several servers that know each other.
pub(crate) fn read_urls<U: AsRef<str>>(
    kind: &str,
    urls: impl IntoIterator<Item = U>,
) -> Result<Vec<(Address, ConnectionInfo)>, StoreError> {
    let mut read = Vec::<(Address, ConnectionInfo)>::new();
    for url in urls {
        let info = read_url(url.as_ref())?;
        let Some(address) = Address::of(&info) else {
            return Err(StoreError::new(format!(
                "the URL of a {kind} leads to the socket {}, expected host and port",
                info.addr(),
            )));
        };
        // One that is named twice has one vote.
        if read.iter().all(|(known, _)| *known != address) {
            read.push((address, info));
        }
    }
    if read.is_empty() {
        return Err(StoreError::new(format!("no URL of a {kind} is given, expected at least one")));
    }
    Ok(read)
}
