//! What a replica says of itself to operators: its log, and its metrics as Prometheus reads them.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tower_jwt_session::telemetry;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::BoxError;

/// How often the exporter forgets what it need not keep.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where the log goes, and how much of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) enum Log {
    /// Nowhere.
    #[default]
    Off,
    /// To standard error, from this level on: `off`, `error`, `warn`, `info` or `debug`.
    StandardError(String),
    /// To a file with the name of the replica in this directory, everything from `debug` on.
    Directory(PathBuf),
}

/// Installs the log and a recorder of metrics. Before everything else: what is counted earlier is lost.
///
/// # Errors
/// If the level is unknown, the file cannot be made, or something was installed before.
pub(crate) fn install(log: &Log, replica: &str) -> Result<PrometheusHandle, BoxError> {
    match log {
        Log::Off => {}
        Log::StandardError(level) => {
            let replica = replica.to_owned();
            write_to(move || Signed { replica: replica.clone() }, level.parse()?)?;
        }
        Log::Directory(path) => {
            let path = path.join(format!("{replica}.log"));
            let file = File::options().create(true).append(true).open(path)?;
            write_to(Mutex::new(file), LevelFilter::DEBUG)?;
        }
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| "there is a recorder of metrics already")?;
    telemetry::describe();
    Ok(handle)
}

/// Standard error, each event with the name of the replica before it: several share a terminal.
struct Signed {
    replica: String,
}

impl Write for Signed {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = [self.replica.as_bytes(), b" ", event].concat();
        io::stderr().write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn write_to(
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    level: LevelFilter,
) -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(writer).try_init()
}

/// `GET /metrics`, for an internal port.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(metrics: PrometheusHandle) -> Router<S> {
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Router::new().route("/metrics", get(async move || metrics.render()))
}
