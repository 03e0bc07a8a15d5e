//! Redis Sentinel: a majority of the Sentinels says which server is the master.

use redis::{Client, ConnectionInfo, ErrorKind, RedisError};

use crate::store::contract::StoreError;
use crate::store::redis::address::{Address, read_url, read_urls};
use crate::store::redis::majority::majority;
use crate::store::redis::server::{Node, open};

/// The Sentinels of a service, all of them.
pub(crate) struct Sentinels {
    clients: Vec<Client>,
    service: String,
    /// How to log in at the master; its host is the service's name.
    like: ConnectionInfo,
}

impl Sentinels {
    /// Reads their URLs, and the name or URL of the service.
    pub(crate) fn read<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        service: &str,
    ) -> Result<Self, StoreError> {
        let clients = read_urls("Sentinel", urls)?.into_iter().map(|(_, info)| {
            let failed =
                |source| StoreError::with_source("could not read the URL of a Sentinel", source);
            Client::open(info).map_err(failed)
        });
        let clients = clients.collect::<Result<_, _>>()?;
        let is_name = !service.contains("://") && !service.contains('@');
        let like = read_url(&if is_name { format!("redis://{service}") } else { service.into() })?;
        let Some(Address { host: service, .. }) = Address::of(&like) else {
            return Err(StoreError::new(format!(
                "the service of the Sentinels is the socket {}, expected its name, or a URL with it \
                 as the host",
                like.addr(),
            )));
        };
        Ok(Self { clients, service, like })
    }

    /// Connects to the master that they name now.
    pub(crate) async fn prove(&self) -> Result<Node, StoreError> {
        let question = format!("which server is the master of {}", self.service);
        let named = self.clients.iter().map(async |client| Ok(self.named_by(client).await?));
        let master = majority(&question, named).await?;
        Node::connect(&master.client(&self.like)?).await
    }

    /// The address of the master as one of them knows it.
    async fn named_by(&self, sentinel: &Client) -> Result<Address, RedisError> {
        let mut ask = redis::cmd("SENTINEL");
        let ask = ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let named: Option<(String, u16)> = ask.query_async(&mut open(sentinel).await?).await?;
        let Some((host, port)) = named else {
            let unknown = "the Sentinel does not know the service";
            return Err((ErrorKind::MasterNameNotFoundBySentinel, unknown).into());
        };
        Ok(Address { host, port })
    }

    /// The service and all Sentinels, for errors and logs.
    pub(crate) fn text(&self) -> String {
        let all = self.clients.iter().map(|client| client.get_connection_info().addr().to_string());
        let all: Vec<_> = all.collect();
        format!("the service {} of the Sentinels {}", self.service, all.join(", "))
    }

    /// The number of the service's database.
    pub(crate) fn database(&self) -> i64 {
        self.like.redis_settings().db()
    }
}
