//! Records a revocation, and waits until the store shows it to a reader.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use serde_json::Value;
use tower_jwt_session::store::Store as _;
use tower_jwt_session::{
    Algorithm, Key, KeyRing, ReadClaims, Renewal, Revocations, RotationPolicy, Sessions,
    SessionsBuilder, Timestamp, Transport,
};

use crate::commands::sessions::report::Report;
use crate::commands::sessions::target::{Place, Target};
use crate::failure::Failure;
use crate::store::opened::Opened;
use crate::store::witness::{Recorded, Witness};
use crate::terminal::Terminal;

/// What is to be recorded.
pub(crate) enum Act {
    Session(String),
    Subject(String),
    Reload(String),
    Before(Timestamp),
}

impl Act {
    /// What will happen.
    fn plan(&self, place: &Place, issuers: &[String]) -> String {
        let Place { name, address, counts: [sessions, subjects], .. } = place;
        let issuers = issuers.join(", ");
        let what = match self {
            Self::Session(id) => format!("revokes the session {id}"),
            Self::Subject(subject) => format!(
                "revokes ALL sessions of the subject {subject:?} of {issuers}: the user is logged out on \
                 every device, and can log in again at once"
            ),
            Self::Reload(subject) => format!(
                "marks the claims of the subject {subject:?} of {issuers} as stale: replicas with \
                 `on_renewal` read them again, and nobody is logged out"
            ),
            Self::Before(time) => format!(
                "revokes the sessions of ALL users of every service with these revocations whose login was \
                 before {time}, or up to 10 minutes after it by a login that could not read this: everyone logs in again, once"
            ),
        };
        format!(
            "This {what}.\n\
             Revocations {name} in {address} hold until now: {sessions} sessions, {subjects} subjects."
        )
    }

    fn needs_confirmation(&self) -> bool {
        matches!(self, Self::Subject(_) | Self::Before(_))
    }
}

/// Reads the store, says what will happen, records, and reads back what was recorded.
pub(crate) async fn record(
    target: &Target,
    issuers: &[String],
    act: Act,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let place = target.read(terminal).await?;
    let plan = act.plan(&place, issuers);
    match act.needs_confirmation() {
        true => terminal.confirm(plan).await?,
        false => terminal.say(plan),
    }
    let witness = Witness::new(place.store.clone());
    let recording = write(&place, &witness, issuers, &act, terminal);
    terminal.progress("recording", recording).await?;
    let recorded = witness.recorded();
    let reading = read_back(&witness, &recorded);
    terminal.progress("reading back what was recorded", reading).await?;
    terminal.show(&Report::new(&act, &place, issuers, &recorded))
}

/// Records it under each name of the issuer, and notes each that is written.
async fn write(
    place: &Place,
    witness: &Witness<Opened>,
    issuers: &[String],
    act: &Act,
    terminal: &Terminal,
) -> Result<(), Failure> {
    // The least that is possible: how long replicas need records is in the store, and is the services' to
    // say.
    let staleness = Duration::from_secs(60) + witness.properties().staleness;
    let revocations = Revocations::builder(&place.name).store(witness.clone()).never_found();
    let revocations = revocations.max_staleness(staleness).open().await?;
    let ring = unused_ring(place.token_lifetime)?;
    let no_issuer = [NO_ISSUER.to_owned()];
    for issuer in if issuers.is_empty() { &no_issuer[..] } else { issuers } {
        let sessions = Sessions::<()>::builder(ring.clone(), issuer, "sessionctl")
            .idle_lifetime(Duration::from_secs(1))
            .absolute_lifetime(Duration::from_secs(1))
            .transports([Transport::bearer()])
            .token_cache_bytes(0)
            // Services have their own: no session is renewed here.
            .on_renewal(async |_| Ok(Renewal::Keep))
            .revocations(revocations.clone())
            .build()?;
        let before = witness.recorded().len();
        match act {
            Act::Session(id) => sessions.revoke_session(id).await?,
            Act::Subject(subject) => sessions.revoke_subject(subject).await?,
            Act::Reload(subject) => sessions.reload_claims(subject).await?,
            Act::Before(time) => sessions.revoke_logins_before(*time).await?,
        }
        for (_, recorded) in &witness.recorded()[before..] {
            terminal.wrote(recorded.to_string());
        }
    }
    Ok(())
}

/// Sessions need a ring, which says how long tokens live. Its key is random, and signs nothing.
fn unused_ring(token_lifetime: Duration) -> Result<KeyRing, Failure> {
    let secret: [u8; 32] =
        std::array::from_fn(|_| RandomState::new().build_hasher().finish() as u8);
    let policy = RotationPolicy::new().max_token_lifetime(token_lifetime);
    Ok(KeyRing::fixed([Key::hmac(Algorithm::HS256, secret)?]).rotation(policy).build()?)
}

/// The claims of a token, whose signature and times are not checked.
pub(crate) fn unverified_claims(token: &str) -> Result<Value, Failure> {
    let sessions = sessions_of::<Value>(NO_ISSUER)?.build()?;
    Ok(sessions.explain_without_key(token).claims.unwrap_or_default())
}

/// Sessions of an issuer, whose ring signs and verifies nothing.
pub(crate) fn sessions_of<C: ReadClaims>(issuer: &str) -> Result<SessionsBuilder<C>, Failure> {
    let ring = unused_ring(Duration::from_secs(24 * 3600))?;
    Ok(Sessions::builder(ring, issuer, "sessionctl")
        .idle_lifetime(Duration::from_secs(1))
        .absolute_lifetime(Duration::from_secs(1))
        .transports([Transport::bearer()])
        .token_cache_bytes(0))
}

async fn read_back(
    witness: &Witness<Opened>,
    recorded: &[(String, Recorded)],
) -> Result<(), Failure> {
    let began = Instant::now();
    for (feed, recorded) in recorded {
        while !witness.shows(feed, recorded).await? {
            if began.elapsed() > LONGEST {
                return Err(Failure::failed(format!(
                    "the store acknowledged {recorded}, and does not show it within {LONGEST:?}: repeat the \
                     command, which is safe, and check the store with `sessionctl store check`"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

const LONGEST: Duration = Duration::from_secs(15);
/// A session's ID that is one of this crate is recorded without its issuer.
const NO_ISSUER: &str = "none-given";
