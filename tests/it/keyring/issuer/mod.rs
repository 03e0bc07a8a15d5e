//! Following an issuer: with a client whose answers a test sets, and a clock that stands still.
//! And with the bundled client, from a real server.

mod bodies;
mod claims;
mod discovery;
mod documents;
mod embedded_keys;
#[cfg(feature = "jwks-client")]
mod http;
mod key_id;
mod late;
mod login_time;
mod open;
mod plain_http;
mod providers;
mod refresh;
mod roles;
mod session_claims;
mod settings;
mod tenants;
mod tokens;
mod unknown_keys;
mod wrong_answers;

use serde_json::{Value, json};
use std::time::Duration;
use tower_jwt_session::http_client::{ClientBody, ClientError, ClientFuture, HttpClient};
use tower_jwt_session::testing::{self, ManualClock};
use tower_jwt_session::{
    Algorithm, Clock, IssuerRingBuilder, KeyRing, Rejection, Session, Sessions,
};

use crate::support::issuer::*;
