//! The control arm: the same application over sessions in the memory of the process that made them.
//!
//! It is a correct server of its kind, with random identifiers, expiry and logout. Alone it works.
//! It cannot answer for a session that another process made, or that it made itself in
//! an earlier life.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_jwt_session::Clock as _;

use crate::{
    arms::app::User, arms::clock::OffsetClock, arms::figures::Figures, arms::local::Table,
    arms::session::Session,
};

/// The sessions, which are lost with the process.
#[derive(Clone)]
pub(crate) struct Memory {
    lifetime: Duration,
    clock: OffsetClock,
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

impl Memory {
    /// No sessions yet; each lives so long without being used.
    pub(crate) fn new(lifetime: Duration, clock: OffsetClock) -> Self {
        Self { lifetime, clock, sessions: Arc::default() }
    }

    /// A panic under this lock cannot leave the map half changed, so poison says nothing.
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table for Memory {
    fn insert(&self, id: &str, subject: String, user: User) {
        let expires_at = self.clock.now() + self.lifetime;
        self.sessions().insert(id.to_owned(), Session { subject, user, expires_at });
    }

    fn find(&self, id: &str) -> Option<Session> {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(id)?;
        let now = self.clock.now();
        if session.expires_at <= now {
            sessions.remove(id);
            return None;
        }
        session.expires_at = now + self.lifetime;
        Some(session.clone())
    }

    fn remove(&self, id: &str) {
        self.sessions().remove(id);
    }

    fn remove_all_of(&self, subject: &str) {
        self.sessions().retain(|_, session| session.subject != subject);
    }

    fn figures(&self) -> Figures {
        Figures { sessions: self.sessions().len(), ..Figures::default() }
    }
}
