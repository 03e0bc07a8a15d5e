//! A replica without a parent, for a balancer of one's own: it serves until Ctrl-C or SIGTERM, and then
//! leaves without losing a request.

use std::{process::ExitCode, time::Duration};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    BoxError,
    arms::health,
    arms::replica::{self, ReplicaOptions, Service},
    arms::telemetry::Log,
    command::replica::{AloneOptions, SharedKeys, SharedStore},
    processes::process::{announce, interrupted},
    store::{
        keys::{KeyOptions, KeySource, Place},
        sealing_key,
    },
};

/// How long requests in flight may take, once it accepts no more.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Serves until it is asked to stop. Then health checks fail first, so that balancers send nothing more;
/// after a moment it stops accepting, and answers what is in flight.
///
/// # Errors
/// If the address is taken, the sealing key cannot be read, or the keys cannot be opened.
pub(crate) async fn run(options: AloneOptions) -> Result<ExitCode, BoxError> {
    let AloneOptions { name, host, port, arm, pace, keys, log, drain } = options;
    let listener = replica::listen(host, port).await?;
    let keys = keys.map(open).transpose()?;
    let log = Log::StandardError(log);
    let options = ReplicaOptions {
        name,
        port,
        arm,
        pace,
        keys,
        log,
        clock_offset: 0,
        discovery: Vec::new(),
        service: Service::default(),
    };
    let app = replica::application(&options).await?;
    let name = options.name;
    announce(&format!(
        "{name} is at http://{}, process {}",
        listener.local_addr()?,
        std::process::id()
    ));

    let (stop, stopped) = oneshot::channel();
    let mut serving = tokio::spawn(replica::serve(listener, app, stopped));
    tokio::select! {
        served = &mut serving => return served?.map(|()| ExitCode::SUCCESS),
        () = interrupted() => {}
    }
    health::order(false);
    announce(&format!("{name} is no longer ready; it stops in {drain:?}"));
    sleep(drain).await;
    // It fails only if the server has ended already.
    let _ = stop.send(());
    match timeout(LAST_ANSWERS, serving).await {
        Ok(served) => served?.map(|()| ExitCode::SUCCESS),
        Err(_) => Err(format!("{name}: requests were still open after {LAST_ANSWERS:?}").into()),
    }
}

/// Where the keys are, with the keys that seal them.
fn open(keys: SharedKeys) -> Result<KeyOptions, BoxError> {
    let sealing_keys = keys.secret_files.iter().map(|file| sealing_key::of(file));
    Ok(KeyOptions {
        ring: keys.ring,
        source: KeySource::Stored(sealing_keys.collect::<Result<_, _>>()?),
        place: match keys.store {
            SharedStore::Directory(path) => Place::Kept(path),
            SharedStore::Server(url) => Place::at(url.kind, url.secret),
        },
        algorithm: keys.algorithm,
        // Other replicas may start at the same moment.
        founds: false,
        limits: keys.limits,
    })
}
