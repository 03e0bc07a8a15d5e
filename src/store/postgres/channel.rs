//! The channel on which PostgreSQL notifies of changes.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Executor, PgPool};
use tokio::sync::watch;

use crate::store::contract::StoreError;
use crate::store::listener::Source;
use crate::store::postgres::current::{Current, Failure};

/// The channel of all rings and feeds, over a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Channel(pub(crate) Arc<Current>);

impl Source for Channel {
    type Connection = (PgListener, PgPool);

    fn moves(&self) -> watch::Receiver<u64> {
        self.0.moves.subscribe()
    }

    async fn connect(&self) -> Result<Self::Connection, StoreError> {
        let pool = &self.0.pool;
        let listen = async {
            // This fails with the reason if there is no server, or an old one after a failover.
            self.0.prove().await?;
            // The application closed the pool: it is done with the store.
            if pool.is_closed() {
                return Err(sqlx::Error::PoolClosed.into());
            }
            let options = PgConnectOptions::clone(&pool.connect_options());
            let single = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&single).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok((listener, pool.clone()))
        };
        listen.await.map_err(unheard::<Failure>)
    }

    async fn next((listener, pool): &mut Self::Connection) -> Result<String, StoreError> {
        let heard = pool.close_event().do_until(listener.try_recv()).await;
        match heard.and_then(|heard| heard).map_err(unheard)? {
            Some(message) => Ok(message.payload().to_owned()),
            None => Err(StoreError::new("the connection that listens to PostgreSQL was lost")),
        }
    }

    async fn ping((listener, _): &mut Self::Connection) -> Result<(), StoreError> {
        listener.execute("SELECT 1").await.map(drop).map_err(unheard)
    }
}

fn unheard<E: Into<Failure>>(error: E) -> StoreError {
    StoreError::with_source("could not listen to PostgreSQL", error.into())
}

/// The channel's name.
pub(crate) const CHANNEL: &str = "tower_jwt_session";
