//! A gRPC service of tonic: a login answers with a token, which comes as the metadata `authorization`;
//! calls without a session, a scope or fresh revocations get the gRPC status, and a stream ends with its
//! session. Run its tests, or serve it at port 3005: `cargo run -p frameworks --example grpc`.

mod generated;
mod services;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio_stream::wrappers::IntervalStream;
use tonic::service::LayerExt as _;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};
use tower_jwt_session::layer::Grpc;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{BuildError, KeyRing, Login, Logout, Revocations, Session, Sessions};

use self::generated::Service;
use self::services::{Admin, Door, News};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = FileStore::open("keys")?;
    let keys = KeyRing::builder("app").store(store.clone()).open().await?;
    let revocations = Revocations::builder("app").store(store).open().await?;
    let sessions = Sessions::builder(keys, "https://app.example", "app");
    let sessions = sessions.revocations(revocations).build()?;
    Ok(app(&sessions)?.serve("127.0.0.1:3005".parse()?).await?)
}

fn app(sessions: &Sessions<()>) -> Result<Router, BuildError> {
    let strict = sessions.validate_layer().respond_with(Grpc::new());
    let admin = sessions
        .validate_layer()
        .require_scope("admin")
        .require_fresh_revocations(Duration::from_secs(30))?
        .respond_with(Grpc::new());
    Ok(Server::builder()
        .add_service(Service(Door(sessions.clone())))
        .add_service(strict.named_layer(Service(News(sessions.clone()))))
        .add_service(admin.named_layer(Service(Admin))))
}

/// Logs in: the token is the answer's message.
async fn login(sessions: Sessions<()>, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    // A real service checks a password here.
    let name = String::from_utf8_lossy(request.get_ref()).into_owned();
    let token = sessions.login(&Login::new(name, ())).await;
    let token = token.map_err(|_| Status::unavailable("try again later"))?;
    Ok(Response::new(Bytes::copy_from_slice(token.as_str().as_bytes())))
}

/// The session that the layer has found.
fn session<T>(request: &Request<T>) -> Result<&Session<()>, Status> {
    Session::from_extensions(request.extensions()).ok_or_else(|| Status::internal("no layer"))
}

async fn greet(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    Ok(Response::new(format!("hello {}", session(&request)?.subject()).into()))
}

async fn logout(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let mut response = Response::new(Bytes::new());
    Logout::new().insert_into(response.extensions_mut());
    Ok(response)
}

type Events =
    Result<Response<Box<dyn Stream<Item = Result<Bytes, Status>> + Send + Unpin>>, Status>;

/// Sends an event each second, until the session ends.
async fn watch(sessions: Sessions<()>, request: Request<Bytes>) -> Events {
    let ended = Box::pin(sessions.ended(session(&request)?));
    let ended = stream::once(ended).map(|_| Err(Status::unauthenticated("the session has ended")));
    let events = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let events = events.map(|_| Ok(Bytes::from_static(b"tick")));
    Ok(Response::new(Box::new(stream::select(ended, events))))
}
