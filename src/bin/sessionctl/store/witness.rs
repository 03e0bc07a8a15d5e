//! A store that remembers the revocations that were written through it, so that they can be read back.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, Entry, EntryName, FeedRead, Insertion, Loaded, Register, RegisterId,
    RevocationStore, RevokedSession, Store, StoreError, StoreFuture, StoreProperties,
};

/// A store, and what was recorded through it. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Witness<S> {
    store: S,
    recorded: Arc<Mutex<Vec<(String, Recorded)>>>,
    /// The end of the feed when it was first read as a whole: what is recorded comes after it.
    end: Arc<OnceLock<Cursor>>,
}

/// A revocation that the store has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Session(RevokedSession),
    Register(RegisterId, Register),
}

impl Recorded {
    /// Until when it is kept.
    pub(crate) fn until(&self) -> Timestamp {
        match self {
            Self::Session(session) => session.until,
            Self::Register(_, register) => register.until,
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(_) => f.write_str("the revocation of a session"),
            Self::Register(RegisterId::Subject(_), it) => {
                write!(f, "the cutoff of a subject's logins at {} (version {})", it.at, it.version)
            }
            Self::Register(RegisterId::Stale(_), it) => {
                write!(f, "the mark of a subject's stale claims (version {})", it.version)
            }
            Self::Register(_, it) => {
                write!(f, "the cutoff of all logins at {} (version {})", it.at, it.version)
            }
        }
    }
}

impl<S: RevocationStore> Witness<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, recorded: Arc::default(), end: Arc::default() }
    }

    /// What was recorded until now, with the names of the feeds.
    pub(crate) fn recorded(&self) -> Vec<(String, Recorded)> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, feed: &str, recorded: impl IntoIterator<Item = Recorded>) {
        let recorded = recorded.into_iter().map(|recorded| (feed.to_owned(), recorded));
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).extend(recorded);
    }

    /// Whether the store shows what was recorded to a reader.
    pub(crate) async fn shows(&self, feed: &str, recorded: &Recorded) -> Result<bool, StoreError> {
        match recorded {
            Recorded::Register(id, register) => {
                let found = self.store.registers(feed, std::slice::from_ref(id)).await?;
                let found = found.into_iter().flatten().next();
                Ok(found.is_some_and(|it| it.dominates(register) && it.until >= register.until))
            }
            Recorded::Session(session) => self.shows_session(feed, session).await,
        }
    }

    async fn shows_session(
        &self,
        feed: &str,
        session: &RevokedSession,
    ) -> Result<bool, StoreError> {
        let mut cursor = self.end.get().cloned();
        loop {
            let page = match self.store.read_feed(feed, cursor.as_ref()).await? {
                FeedRead::Page(page) => page,
                // The store has lost it: then the whole shows what live replicas have restored.
                _ if cursor.is_some() => {
                    cursor = None;
                    continue;
                }
                _ => return Ok(false),
            };
            let is_it =
                |it: &RevokedSession| it.digest == session.digest && it.until >= session.until;
            if page.sessions.iter().any(is_it) {
                return Ok(true);
            }
            if !page.has_more {
                return Ok(false);
            }
            cursor = Some(page.cursor);
        }
    }
}

impl<S: RevocationStore> Store for Witness<S> {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.store.load(ring)
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        self.store.read(ring, names)
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        self.store.insert(ring, entry)
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        self.store.remove(ring, name)
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        self.store.changed(ring)
    }

    fn properties(&self) -> StoreProperties {
        self.store.properties()
    }
}

impl<S: RevocationStore> RevocationStore for Witness<S> {
    fn append<'a>(
        &'a self,
        feed: &'a str,
        sessions: &'a [RevokedSession],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.store.append(feed, sessions, now).await?;
            self.add(feed, sessions.iter().copied().map(Recorded::Session));
            Ok(())
        })
    }

    fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
        Box::pin(async move {
            let register = self.store.advance(feed, advance).await?;
            self.add(feed, [Recorded::Register(advance.id, register)]);
            Ok(register)
        })
    }

    fn restore<'a>(
        &'a self,
        feed: &'a str,
        held: &'a [(RegisterId, Register)],
        now: Timestamp,
    ) -> StoreFuture<'a, ()> {
        self.store.restore(feed, held, now)
    }

    fn registers<'a>(
        &'a self,
        feed: &'a str,
        ids: &'a [RegisterId],
    ) -> StoreFuture<'a, Vec<Option<Register>>> {
        self.store.registers(feed, ids)
    }

    fn read_feed<'a>(
        &'a self,
        feed: &'a str,
        cursor: Option<&'a Cursor>,
    ) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            let read = self.store.read_feed(feed, cursor).await?;
            if let FeedRead::Page(page) = &read
                && !page.has_more
            {
                let _ = self.end.set(page.cursor.clone());
            }
            Ok(read)
        })
    }
}
