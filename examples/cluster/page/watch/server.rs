//! The server of the page, and the lanes behind it, until Ctrl-C.

use std::{
    net::Ipv4Addr,
    pin::{Pin, pin},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{any, get, post},
};
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, time::interval};
use tower_http::csrf::CsrfLayer;

use crate::{
    BoxError,
    arms::{replica::Service, telemetry::Log},
    command::{arm::Arm, pace::Pace, prove::Keys, watch::WatchOptions},
    page::watch::{
        events::{self, Snapshot},
        lanes::{Done, Lane, Order, Worker},
        scenes,
        you::Way,
    },
    processes::{
        cluster::{Cluster, ClusterOptions},
        process::interrupted,
    },
    store::{choice::Store, meeting::Meeting, server::ServerKind},
    terminal::Terminal,
};

/// Fast enough to see keys change, and slow enough to see which one signs.
const PACE: Pace = Pace {
    signing_period: Duration::from_secs(20),
    session_lifetime: Duration::from_secs(20),
    store_timeout: Duration::from_millis(1500),
};
/// How often the page is sent what there is to see.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(150);
/// Why there is no Redis, and what to do.
const NO_REDIS: &str = "this build lacks the feature `redis`; run `cargo run --release --example \
                        cluster --features redis -- watch`";
/// The page is one file and needs nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What the requests share.
struct Hall {
    lanes: Vec<Lane>,
    ways: Vec<Way>,
    setting: Value,
    running: Mutex<Option<String>>,
    snapshots: watch::Sender<Arc<str>>,
}

/// A lane's arm, and where its replicas meet.
type Place = (Arm, Meeting);

/// Starts the lanes, and shows them until Ctrl-C; then ends all of them and leaves nothing behind.
///
/// # Errors
/// If the port is taken, or a lane does not come up.
pub(crate) async fn watch(
    options: WatchOptions,
    terminal: &Terminal,
) -> Result<ExitCode, BoxError> {
    let port = options.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        format!("cannot listen on 127.0.0.1:{port}: {error}; `--port 0` picks a free port")
    })?;
    let mut stop = pin!(interrupted());
    let (mut places, notes) = tokio::select! {
        prepared = prepare(options.arms.as_deref()) => prepared?,
        () = &mut stop => return Ok(ExitCode::SUCCESS),
    };
    let outcome = show(&options, listener, &mut places, &notes, terminal, stop).await;
    for (_, meeting) in places {
        meeting.clear().await?;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The places of the arms, and a sentence on each arm that cannot run here, or not as well.
async fn prepare(chosen: Option<&[Arm]>) -> Result<(Vec<Place>, Vec<String>), BoxError> {
    let (mut places, mut notes) = (Vec::new(), Vec::new());
    for &arm in chosen.unwrap_or(&Arm::COMPARED) {
        let in_redis = matches!(arm, Arm::Stateless | Arm::Database);
        // One Redis for each, which can be killed.
        let prepared = match in_redis {
            true if !cfg!(feature = "redis") => Err(NO_REDIS.into()),
            true => Meeting::prepare(Store::Own(ServerKind::Redis), Keys::Shared).await,
            false => Meeting::prepare(Store::File, Keys::Shared).await,
        };
        let meeting = match prepared {
            Ok(meeting) => meeting.with_link().await?,
            Err(error) if arm == Arm::Stateless => {
                notes.push(format!(
                    "{arm} has its keys in a directory, which cannot be slow or fail over: {error}"
                ));
                Meeting::prepare(Store::File, Keys::Shared).await?
            }
            Err(error) if chosen.is_some() => return Err(format!("{arm}: {error}").into()),
            Err(error) => {
                notes.push(format!("{arm} is missing: {error}"));
                continue;
            }
        };
        places.push((arm, meeting));
    }
    Ok((places, notes))
}

/// Starts the clusters at the same time, then the users of all; then serves the page until it is stopped.
async fn show(
    options: &WatchOptions,
    listener: TcpListener,
    places: &mut [Place],
    notes: &[String],
    terminal: &Terminal,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), BoxError> {
    let url = format!("http://{}", listener.local_addr()?);
    let replicas = options.replicas;
    terminal.meanwhile(&format!("starting {} lanes of {replicas} replicas", places.len()));
    let clusters = try_join_all(places.iter_mut().map(|(arm, meeting)| {
        let (arm, pace) = (*arm, PACE);
        let (log, service) = (Log::Off, Service::default());
        let cluster = ClusterOptions { arm, pace, replicas, port: 0, log, service };
        Cluster::start(cluster, meeting)
    }));
    let clusters = tokio::select! {
        clusters = clusters => clusters?,
        () = stop.as_mut() => return Ok(()),
    };
    let started = clusters.into_iter().map(|cluster| Lane::start(cluster, options.users));
    let (lanes, mut workers): (Vec<_>, Vec<_>) = started.unzip();
    let hall = Arc::new(Hall::new(lanes, notes));
    terminal.clear();
    terminal.line(&terminal.bold(&format!("Open {url} in a browser. Ctrl-C ends everything.")));
    for lane in &hall.lanes {
        terminal.line(&format!("  {:<11} {}", lane.arm, scenes::how(lane.arm)));
    }
    for note in notes {
        terminal.line(&format!("  {note}"));
    }
    let lanes = hall.lanes.iter();
    let obeying = join_all(workers.iter_mut().zip(lanes).map(|(it, lane)| it.obey(lane)));
    let looking = join_all(hall.lanes.iter().map(Lane::look));
    let outcome = tokio::select! {
        outcome = axum::serve(listener, router(Arc::clone(&hall))) => outcome,
        () = hall.publish() => Ok(()),
        _ = obeying => Ok(()),
        _ = looking => Ok(()),
        () = stop => Ok(()),
    };
    join_all(workers.into_iter().map(Worker::end)).await;
    println!();
    Ok(outcome?)
}

fn router(hall: Arc<Hall>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/setting.json", get(async |State(hall): Shared| Json(hall.setting.clone())))
        .route("/figures.json", get(async |State(hall): Shared| Json(hall.snapshot())))
        .route(
            "/events",
            get(async |State(hall): Shared| events::stream(hall.snapshots.subscribe())),
        )
        .route("/do/{name}", post(act))
        // What changes something comes from the page itself. The lanes have guards of their own.
        .layer(CsrfLayer::new())
        .route("/you/{arm}/{*path}", any(forward))
        .with_state(hall)
}

/// What the handlers share.
type Shared = State<Arc<Hall>>;

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(include_str!("../watch.html")))
}

/// Does one thing in all lanes at the same time, unless something is done already.
async fn act(State(hall): Shared, Path(name): Path<String>) -> (StatusCode, String) {
    let order = match name.as_str() {
        scenes::RESET => Some(Order::Reset),
        scenes::REPLAY => None,
        name => match name.parse() {
            Ok(event) => Some(Order::Happen(event)),
            Err(problem) => return (StatusCode::NOT_FOUND, format!("{name}: {problem}")),
        },
    };
    if let Err(running) = hall.begin(&name) {
        return (StatusCode::CONFLICT, format!("`{running}` is not done yet."));
    }
    // A page that is closed meanwhile does not stop it.
    let work = tokio::spawn(async move {
        let done = hall.everywhere(order).await;
        *hall.running() = None;
        summary(&hall.lanes, &name, &done)
    });
    match work.await {
        Ok(summary) => (StatusCode::OK, summary),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// What became of it, in one sentence.
fn summary(lanes: &[Lane], name: &str, done: &[Done]) -> String {
    let of = |wanted: Done| -> Vec<String> {
        let lanes = lanes.iter().zip(done).filter(|(_, done)| **done == wanted);
        lanes.map(|(lane, _)| lane.arm.to_string()).collect()
    };
    let mut text = format!("{name}: done in {} of {} lanes.", of(Done::Yes).len(), lanes.len());
    for (what, done) in [("Not possible in", Done::Impossible), ("Failed in", Done::Failed)] {
        let lanes = of(done);
        if !lanes.is_empty() {
            text += &format!(" {what} {}.", lanes.join(", "));
        }
    }
    text
}

/// Sends a request of the page's own session to a lane.
async fn forward(
    State(hall): Shared,
    Path((arm, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(index) = hall.lanes.iter().position(|lane| lane.arm.to_string() == arm) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let path = path.strip_prefix("/you/").and_then(|path| path.strip_prefix(arm.as_str()));
    let path = path.unwrap_or_default().to_owned();
    hall.ways[index].forward(&hall.lanes[index], &path, request).await
}

impl Hall {
    fn new(lanes: Vec<Lane>, notes: &[String]) -> Self {
        let arm = |lane: &Lane| json!({ "arm": lane.arm, "how": scenes::how(lane.arm) });
        let setting = json!({
            "arms": lanes.iter().map(arm).collect::<Vec<_>>(),
            "notes": notes,
            "groups": scenes::groups(),
            "scenes": scenes::SCENES,
        });
        let ways = lanes.iter().map(|_| Way::new()).collect();
        let (running, snapshots) = (Mutex::default(), watch::Sender::new(Arc::from("")));
        Self { lanes, ways, setting, running, snapshots }
    }

    /// Takes snapshots as long as the lanes are there.
    async fn publish(&self) {
        let mut ticks = interval(SNAPSHOT_EVERY);
        loop {
            ticks.tick().await;
            let snapshot = serde_json::to_string(&self.snapshot()).unwrap_or_default();
            self.snapshots.send_replace(snapshot.into());
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.lanes, self.running().clone())
    }

    /// Notes that something is done from now on.
    ///
    /// # Errors
    /// What is done already.
    fn begin(&self, name: &str) -> Result<(), String> {
        let mut running = self.running();
        match running.as_ref() {
            Some(running) => Err(running.clone()),
            None => {
                *running = Some(name.to_owned());
                Ok(())
            }
        }
    }

    /// Gives all lanes an order, or shows the stolen cookies to all.
    async fn everywhere(&self, order: Option<Order>) -> Vec<Done> {
        join_all(self.lanes.iter().zip(&self.ways).map(async |(lane, way)| match order {
            Some(order) => lane.order(order).await,
            None => {
                let (sentence, done) = match way.replay(lane).await {
                    Ok(sentence) => (sentence, Done::Yes),
                    Err(reason) => (format!("Not here: {reason}."), Done::Impossible),
                };
                lane.say(sentence, done == Done::Yes);
                done
            }
        }))
        .await
    }

    /// A panic under this lock cannot leave anything half changed, so poison says nothing.
    fn running(&self) -> MutexGuard<'_, Option<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
