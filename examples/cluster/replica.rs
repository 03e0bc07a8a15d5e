//! The replica process: one arm of the application, until it is told to drain or its parent is gone.

use std::{net::Ipv4Addr, process::ExitCode};

use axum::serve::ListenerExt;
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    BoxError, app,
    args::{Arm, ReplicaOptions},
    memory,
    process::{Orders, announce},
    stateless,
};

/// The line on standard input that asks for a graceful end.
pub(crate) const DRAIN: &str = "drain";

/// Serves on a free port of 127.0.0.1 and prints its address as soon as it is ready.
///
/// # Errors
/// If the keys cannot be opened, or no port can be had.
pub(crate) async fn run(options: ReplicaOptions) -> Result<ExitCode, BoxError> {
    let app = match options.arm {
        Arm::Stateless => stateless::app(&options).await?,
        Arm::Memory => memory::app(&options),
    };
    let app = app::with_common_routes(app, &options.name)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(&format!("http://{}", listener.local_addr()?));
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more; if the option fails they are only slower.
        let _ = stream.set_nodelay(true);
    });

    let (drain, drained) = oneshot::channel::<()>();
    tokio::spawn(obey(options, drain));
    // Stops accepting, answers what is in flight, closes what is idle.
    let graceful = async { drained.await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(graceful).await?;
    // The thread that reads standard input cannot be joined.
    std::process::exit(0)
}

/// Reads orders; ends the process when its parent is gone.
async fn obey(options: ReplicaOptions, drain: oneshot::Sender<()>) {
    let mut orders = Orders::new();
    let mut drain = Some(drain);
    while let Some(order) = orders.next().await {
        match drain.take_if(|_| order == DRAIN) {
            // It fails only if the server has ended already.
            Some(drain) => drain.send(()).unwrap_or_default(),
            None => eprintln!("{}: unknown order `{order}`", options.name),
        }
    }
    if options.temporary_keys {
        // The parent was killed, so nobody else will do it. Each replica tries, the last one wins.
        let _ = options.keys.parent().map(std::fs::remove_dir_all);
    }
    std::process::exit(0)
}
