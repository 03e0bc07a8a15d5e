//! The replica process: one arm of the application, until its parent orders it to drain or ends.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    time::Duration,
};

use axum::{Router, serve::ListenerExt};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{sleep, timeout},
};

#[cfg(feature = "redis")]
use crate::arms::database;
use crate::{
    BoxError,
    arms::app,
    arms::bare,
    arms::clock::OffsetClock,
    arms::health,
    arms::local,
    arms::memory::Memory,
    arms::replicated::server::Replicated,
    arms::stateless,
    arms::telemetry::{self, Log},
    command::{arm::Arm, pace::Pace},
    processes::process::{Orders, announce},
    store::keys::KeyOptions,
};

/// The configuration from the parent, in JSON, as the first line on standard input. It contains secrets
/// of the keys, and everyone on the machine can read a process's arguments.
#[derive(Deserialize, Serialize)]
pub(crate) struct ReplicaOptions {
    /// How it signs its answers: `replica-1`, …
    pub(crate) name: String,
    /// Where it listens on 127.0.0.1; 0 picks a free port.
    pub(crate) port: u16,
    /// Which kind of sessions.
    pub(crate) arm: Arm,
    /// How fast keys change and sessions end.
    pub(crate) pace: Pace,
    /// Where the keys are; none for an arm without. Those of a parent are the run's own, and go with it.
    pub(crate) keys: Option<KeyOptions>,
    /// Where its log goes.
    pub(crate) log: Log,
    /// By how many milliseconds its clock is ahead; negative if it is behind.
    pub(crate) clock_offset: i64,
    /// Where replicas that send each other copies announce themselves: UDP ports of 127.0.0.1, of which
    /// each binds the first that is free. Empty for the other arms.
    pub(crate) discovery: Vec<u16>,
    /// Which service it is a replica of.
    pub(crate) service: Service,
}

impl ReplicaOptions {
    /// The clock of this replica.
    pub(crate) fn clock(&self) -> OffsetClock {
        OffsetClock { offset: self.clock_offset }
    }
}

/// The issuer of this example's tokens.
pub(crate) const ISSUER: &str = "https://cluster.example";

/// The service that a replica belongs to.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Service {
    /// The issuer of its tokens.
    pub(crate) issuer: String,
    /// The name of its cookie, if it is not that of the ring.
    pub(crate) cookie: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self { issuer: ISSUER.to_owned(), cookie: None }
    }
}

/// The line on standard input that asks for a graceful end.
pub(crate) const DRAIN: &str = "drain";
/// The line that makes its readiness fail, and nothing else.
pub(crate) const UNHEALTHY: &str = "unhealthy";
/// The line that ends that.
pub(crate) const HEALTHY: &str = "healthy";

/// How long a replica that drains answers as before, so that balancers notice that it is not ready: five
/// checks of ours.
const DRAIN_NOTICE: Duration = Duration::from_millis(500);

/// How long a replica without a parent tries to clear the keys.
const CLEARING_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves on 127.0.0.1 and prints its address as soon as it is ready.
///
/// # Errors
/// If the configuration is invalid, the keys cannot be opened, or no port is free.
pub(crate) async fn run() -> Result<ExitCode, BoxError> {
    let mut orders = Orders::new();
    let first = orders.next().await.ok_or("no configuration on standard input")?;
    let options: ReplicaOptions = serde_json::from_str(&first)?;
    let app = application(&options).await?;
    let listener = listen(Ipv4Addr::LOCALHOST.into(), options.port).await?;
    announce(&format!("http://{}", listener.local_addr()?));

    let (drain, drained) = oneshot::channel::<()>();
    tokio::spawn(obey(orders, options, drain));
    serve(listener, app, drained).await?;
    // The thread that reads standard input cannot be joined.
    std::process::exit(0)
}

/// The application of one replica, with the routes that all arms have, and its log.
///
/// # Errors
/// If the keys cannot be opened.
pub(crate) async fn application(options: &ReplicaOptions) -> Result<Router, BoxError> {
    let metrics = telemetry::install(&options.log, &options.name)?;
    let app = match options.arm {
        Arm::Stateless | Arm::Cold => stateless::app(options).await?,
        Arm::Memory | Arm::Sticky => {
            local::app(&options.name, Memory::new(options.pace.session_lifetime, options.clock()))
        }
        Arm::Replicated => {
            let ReplicaOptions { name, pace, keys, discovery, .. } = options;
            let run = keys.as_ref().map(|keys| &*keys.ring).ok_or("this cluster has no name")?;
            let lifetime = pace.session_lifetime;
            local::app(name, Replicated::join(run, name, lifetime, discovery).await?)
        }
        #[cfg(feature = "redis")]
        Arm::Database => {
            let keys = options.keys.as_ref().ok_or("the arm `database` takes a store")?;
            database::app::app(&options.name, keys, options.pace)?
        }
        #[cfg(not(feature = "redis"))]
        Arm::Database => return Err("the arm `database` takes the feature `redis`".into()),
        Arm::Bare => bare::app(options),
    };
    app::with_common_routes(app.merge(telemetry::routes(metrics)), &options.name)
}

/// Listens there.
///
/// # Errors
/// If it cannot, in words that name the address.
pub(crate) async fn listen(host: IpAddr, port: u16) -> Result<TcpListener, BoxError> {
    let bound = TcpListener::bind((host, port)).await;
    bound.map_err(|error| {
        format!("cannot listen at port {port} of {host}: {error}; choose another `--port`").into()
    })
}

/// Serves until `drained`; then it stops accepting, answers what is in flight, closes what is idle.
///
/// # Errors
/// None that a listener of TCP has.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    drained: oneshot::Receiver<()>,
) -> Result<(), BoxError> {
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more; if the option fails they are only slower.
        let _ = stream.set_nodelay(true);
    });
    let graceful = async { drained.await.unwrap_or_default() };
    Ok(axum::serve(listener, app).with_graceful_shutdown(graceful).await?)
}

/// Reads orders; ends the process when its parent is gone.
async fn obey(mut orders: Orders, options: ReplicaOptions, drain: oneshot::Sender<()>) {
    let mut drain = Some(drain);
    while let Some(order) = orders.next().await {
        match order.as_str() {
            UNHEALTHY => health::order(false),
            HEALTHY => health::order(true),
            DRAIN => {
                health::order(false);
                if let Some(drain) = drain.take() {
                    tokio::spawn(async move {
                        sleep(DRAIN_NOTICE).await;
                        // It fails only if the server has ended already.
                        drain.send(()).unwrap_or_default();
                    });
                }
            }
            _ => eprintln!("{}: unknown order `{order}`", options.name),
        }
    }
    // The parent was killed, so nobody else will do it. Each replica tries, the last one wins.
    if let Some(keys) = options.keys {
        let _ = timeout(CLEARING_TIMEOUT, keys.clear()).await;
    }
    std::process::exit(0)
}
