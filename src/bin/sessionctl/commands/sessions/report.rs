//! What was recorded, and until when every replica knows it.

use std::fmt;

use serde::Serialize;
use tower_jwt_session::Timestamp;

use crate::commands::sessions::record::Act;
use crate::commands::sessions::target::Place;
use crate::store::witness::Recorded;
use crate::time;

/// The result of a recording.
#[derive(Serialize)]
pub(crate) struct Report {
    recorded: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issuers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logins_before: Option<Timestamp>,
    store: String,
    revocations: String,
    /// The store showed every record to a reader.
    read_back: bool,
    records: usize,
    /// Until when the records are kept.
    kept_until: Option<Timestamp>,
    /// Whether the store reports the change to replicas, which takes milliseconds.
    notifies: bool,
    /// The longest time until a replica with default settings knows it, while it can read the store.
    default_refresh_bound_ms: u64,
}

impl Report {
    pub(crate) fn new(
        act: &Act,
        place: &Place,
        issuers: &[String],
        recorded: &[(String, Recorded)],
    ) -> Self {
        let (mut subject, mut session, mut logins_before) = (None, None, None);
        let name = match act {
            Act::Session(id) => {
                session = Some(id.clone());
                "session"
            }
            Act::Subject(name) | Act::Reload(name) => {
                subject = Some(name.clone());
                if matches!(act, Act::Subject(_)) { "subject" } else { "stale_claims" }
            }
            Act::Before(time) => {
                logins_before = Some(*time);
                "logins_before"
            }
        };
        Self {
            recorded: name,
            subject,
            issuers: issuers.to_vec(),
            session,
            logins_before,
            store: place.address.to_string(),
            revocations: place.name.clone(),
            read_back: true,
            records: recorded.len(),
            kept_until: recorded.iter().map(|(_, recorded)| recorded.until()).min(),
            notifies: place.notifies,
            default_refresh_bound_ms: place
                .refresh_bound
                .as_millis()
                .try_into()
                .unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revocations, store, records, .. } = self;
        writeln!(
            f,
            "recorded   {records} of {records} records, read back from {revocations} in {store}"
        )?;
        let soon = if self.notifies {
            "usually within a second, since the store reports changes; "
        } else {
            ""
        };
        let bound = std::time::Duration::from_millis(self.default_refresh_bound_ms);
        writeln!(
            f,
            "replicas   {soon}at the latest within their refresh_bound: {bound:?} with default settings, \
             `refresh_bound_ms` in /health/status"
        )?;
        writeln!(
            f,
            "           a replica that cannot read the store learns of it when it can again"
        )?;
        if let Some(until) = self.kept_until {
            let relative = time::relative(until, time::now());
            writeln!(
                f,
                "kept       until {until}, {relative}: longer than any token that it concerns"
            )?;
        }
        if self.subject.is_some() {
            let issuers = self.issuers.join(", ");
            writeln!(
                f,
                "check      this tool cannot know whether {issuers} and this subject exist: compare the issuer with \
                 the line `names` of `sessionctl doctor`; `sessionctl token explain` of a token of the user says \
                 `{}`",
                if self.recorded == "subject" { "REFUSED: revoked" } else { "stale claims" },
            )?;
        }
        Ok(())
    }
}
