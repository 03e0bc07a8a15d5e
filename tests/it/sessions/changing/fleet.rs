//! A service whose replicas are replaced, one after the other, by those of another version, while users
//! are active behind a balancer that sends each request to the next replica.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Service, ServiceExt as _};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{Client, ManualClock};
use tower_jwt_session::{
    KeyRing, KeyRingBuilder, Login, RotationPolicy, Session, SessionClaims, Sessions,
    SessionsBuilder,
};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// The longest life of a token: one idle lifetime, by default.
pub(super) const LONGEST: Duration = HOUR;
/// How much time passes between two requests of the most active user.
const STEP: Duration = Duration::from_secs(300);
const REPLICAS: usize = 3;
/// How many steps pass between two requests of each user: up to 55 minutes.
const USERS: [usize; 5] = [1, 3, 5, 8, 11];

/// What all replicas share.
pub(super) struct Site {
    pub(super) store: MemoryStore,
    pub(super) clock: ManualClock,
}

impl Site {
    /// A ring in the store, whose keys change several times in a test.
    pub(super) fn ring(&self) -> KeyRingBuilder {
        let ring = KeyRing::builder("app").store(self.store.clone()).clock(self.clock.clone());
        ring.rotation(Self::rotation())
    }

    pub(super) fn rotation() -> RotationPolicy {
        RotationPolicy::new().signing_period(3 * HOUR).max_token_lifetime(2 * HOUR)
    }

    pub(super) async fn sessions<C: SessionClaims>(
        &self,
        issuer: &str,
        audience: &str,
    ) -> SessionsBuilder<C> {
        sessions(self.ring().open().await.expect("the ring opens"), issuer, audience)
    }
}

/// Sessions that outlive the tests as long as they are renewed.
pub(super) fn sessions<C: SessionClaims>(
    ring: KeyRing,
    issuer: &str,
    audience: &str,
) -> SessionsBuilder<C> {
    Sessions::builder(ring, issuer, audience).absolute_lifetime(1000 * HOUR)
}

/// A replica of some version.
pub(super) struct Replica {
    app: Router,
    pub(super) ring: KeyRing,
}

impl Replica {
    /// A replica whose logins have these claims.
    pub(super) fn of<C: SessionClaims + Clone>(builder: SessionsBuilder<C>, claims: C) -> Self {
        let sessions = builder.build().expect("good settings");
        let log_in = async move |Path(user): Path<String>| Login::new(user, claims.clone());
        let app = Router::new()
            .route("/login/{user}", post(log_in))
            .route("/me", get(async |session: Session<C>| session.subject().to_owned()))
            .layer(sessions.layer());
        Self { app, ring: sessions.keys().clone() }
    }
}

#[derive(Clone, Default)]
struct Balancer {
    apps: Arc<Mutex<Vec<Router>>>,
    turn: Arc<AtomicUsize>,
}

impl Service<Request<Full<Bytes>>> for Balancer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let app = self.apps.lock().unwrap()[turn % REPLICAS].clone();
        Box::pin(app.oneshot(request.map(Body::new)))
    }
}

/// The service, its users, and how many requests with a session were refused that should be valid.
pub(super) struct Fleet {
    pub(super) site: Site,
    pub(super) replicas: Vec<Replica>,
    balancer: Balancer,
    users: Vec<Client<Balancer>>,
    steps: usize,
    pub(super) refused: usize,
}

impl Fleet {
    /// Replicas of the first version, with users who are logged in.
    pub(super) async fn of(version: impl AsyncFn(&Site) -> Replica) -> Self {
        let site = Site { store: MemoryStore::new(), clock: ManualClock::default() };
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(version(&site).await);
        }
        let balancer = Balancer::default();
        let user = || Client::new(balancer.clone()).clock(&site.clock);
        let users = USERS.iter().map(|_| user()).collect();
        let mut fleet = Self { site, replicas, balancer, users, steps: 0, refused: 0 };
        fleet.route();
        for (name, user) in fleet.users.iter_mut().enumerate() {
            log_in(user, name).await;
        }
        fleet.pass(LONGEST).await;
        assert_eq!(fleet.refused, 0, "of one version");
        fleet
    }

    /// Sends requests to the replicas that there are now.
    fn route(&self) {
        let apps = self.replicas.iter().map(|replica| replica.app.clone()).collect();
        *self.balancer.apps.lock().unwrap() = apps;
    }

    /// Replaces the replicas, one after the other.
    pub(super) async fn deploy(&mut self, version: impl AsyncFn(&Site) -> Replica) {
        for place in 0..REPLICAS {
            self.replicas[place] = version(&self.site).await;
            self.route();
            self.pass(3 * STEP).await;
        }
    }

    /// Lets time pass, in which users send requests, and new ones log in.
    pub(super) async fn pass(&mut self, duration: Duration) {
        for _ in 0..duration.as_secs() / STEP.as_secs() {
            self.site.clock.advance(STEP);
            self.steps += 1;
            for replica in &self.replicas {
                replica.ring.refresh().await.expect("the store is up");
            }
            for (name, every) in USERS.into_iter().enumerate() {
                if self.steps.is_multiple_of(every) {
                    self.refused += visit(&mut self.users[name], name).await;
                }
            }
            let mut visitor = Client::new(self.balancer.clone()).clock(&self.site.clock);
            log_in(&mut visitor, USERS.len()).await;
            for _ in 0..REPLICAS {
                self.refused += visit(&mut visitor, USERS.len()).await;
            }
        }
    }
}

async fn log_in(user: &mut Client<Balancer>, name: usize) {
    let answer = user.post(&format!("/login/user-{name}")).await;
    assert!(answer.status().is_success(), "a login is answered {}", answer.status());
}

/// One request: whether it is refused. Then the user logs in again.
async fn visit(user: &mut Client<Balancer>, name: usize) -> usize {
    let answer = user.get("/me").await;
    if answer.status() == StatusCode::UNAUTHORIZED {
        log_in(user, name).await;
        return 1;
    }
    assert_eq!(*answer.body(), format!("user-{name}"), "{}", answer.status());
    0
}
