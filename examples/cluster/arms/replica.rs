//! The replica process: one arm of the application, until its parent orders it to drain or ends.

use std::{net::Ipv4Addr, process::ExitCode, time::Duration};

use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    BoxError,
    arms::app,
    arms::bare,
    arms::clock::OffsetClock,
    arms::health,
    arms::memory,
    arms::{
        stateless,
        telemetry::{self, Log},
    },
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
    /// Where the keys are. They are this run's own, and go with it.
    pub(crate) keys: KeyOptions,
    /// Where its log goes.
    pub(crate) log: Log,
    /// By how many milliseconds its clock is ahead; negative if it is behind.
    pub(crate) clock_offset: i64,
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
    let metrics = telemetry::install(&options.log, &options.name)?;
    let app = match options.arm {
        Arm::Stateless | Arm::Cold => stateless::app(&options).await?,
        Arm::Memory | Arm::Sticky => memory::app(&options),
        Arm::Bare => bare::app(&options),
    };
    let app = app::with_common_routes(app.merge(telemetry::routes(metrics)), &options.name)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    announce(&format!("http://{}", listener.local_addr()?));
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more; if the option fails they are only slower.
        let _ = stream.set_nodelay(true);
    });

    let (drain, drained) = oneshot::channel::<()>();
    tokio::spawn(obey(orders, options, drain));
    // Stops accepting, answers what is in flight, closes what is idle.
    let graceful = async { drained.await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(graceful).await?;
    // The thread that reads standard input cannot be joined.
    std::process::exit(0)
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
    let _ = timeout(CLEARING_TIMEOUT, options.keys.clear()).await;
    std::process::exit(0)
}
