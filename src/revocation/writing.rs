//! What this replica is writing just now. Who reads that back learns nothing new.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::store::feed::{Digest, Register, RegisterId};
use crate::sync::lock;

/// A revoked session, or the value of a register, that is new to this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Session(Digest),
    Register(RegisterId, Register),
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    Session(Digest),
    Register(RegisterId),
}

/// The writes of this replica that have begun and not ended.
#[derive(Default)]
pub(crate) struct Writing(Mutex<BTreeMap<Item, Writes>>);

/// Those of one item.
#[derive(Default)]
struct Writes {
    running: usize,
    /// What was written: the versions of a register, or 0 for a session.
    written: Vec<u64>,
    /// What was read meanwhile.
    read: Vec<News>,
}

impl News {
    fn item(&self) -> Item {
        match self {
            Self::Session(digest) => Item::Session(*digest),
            Self::Register(id, _) => Item::Register(*id),
        }
    }

    fn version(&self) -> u64 {
        match self {
            Self::Session(_) => 0,
            Self::Register(_, register) => register.version,
        }
    }
}

impl Writing {
    pub(crate) fn begin(&self, item: Item) {
        lock(&self.0).entry(item).or_default().running += 1;
    }

    /// Ends a write: with what was written, or `None` if that is not known. What was written must be in the
    /// table of this replica before. Returns what was read meanwhile and was written by others.
    pub(crate) fn end(&self, item: Item, written: Option<u64>) -> Vec<News> {
        let mut all = lock(&self.0);
        let Some(writes) = all.get_mut(&item) else { return Vec::new() };
        writes.running -= 1;
        writes.written.extend(written);
        if writes.running > 0 {
            return Vec::new();
        }
        let Some(Writes { written, mut read, .. }) = all.remove(&item) else { return Vec::new() };
        read.retain(|news| !written.contains(&news.version()));
        read
    }

    /// Ends all writes, after a panic of who writes. Returns what was read meanwhile.
    pub(crate) fn abandon(&self) -> Vec<News> {
        std::mem::take(&mut *lock(&self.0)).into_values().flat_map(|writes| writes.read).collect()
    }

    /// Returns what is new, of what was read, by that test. What this replica writes just now is kept until
    /// the end of that.
    pub(crate) fn news(
        &self,
        read: impl Iterator<Item = News>,
        is_new: impl Fn(&News) -> bool,
    ) -> Vec<News> {
        // Locked meanwhile: a write that is not there has ended, and what it wrote is held.
        let mut all = lock(&self.0);
        let mut news = Vec::new();
        for read in read.filter(is_new) {
            match all.get_mut(&read.item()) {
                Some(writes) => writes.read.push(read),
                None => news.push(read),
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const SESSION: Item = Item::Session([1; 16]);

    fn read(writing: &Writing, news: News) -> Vec<News> {
        writing.news([news].into_iter(), |_| true)
    }

    fn register(version: u64) -> News {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        News::Register(RegisterId::All, Register::new(version, at, at))
    }

    #[test]
    fn own_session_that_is_read_back_is_no_news() {
        let writing = Writing::default();
        let news = News::Session([1; 16]);
        writing.begin(SESSION);
        assert_eq!(read(&writing, news), []);
        assert_eq!(read(&writing, News::Session([2; 16])), [News::Session([2; 16])]);
        assert_eq!(writing.end(SESSION, Some(0)), []);
        assert_eq!(read(&writing, news), [news], "what is not held any more");
    }

    #[test]
    fn session_that_was_read_while_its_write_failed_is_news_at_the_end() {
        let writing = Writing::default();
        let news = News::Session([1; 16]);
        writing.begin(SESSION);
        writing.begin(SESSION);
        assert_eq!(read(&writing, news), []);
        assert_eq!(writing.end(SESSION, None), [], "another write of it runs");
        assert_eq!(writing.end(SESSION, None), [news]);
        writing.begin(SESSION);
        assert_eq!(read(&writing, news), []);
        assert_eq!(writing.abandon(), [news]);
        assert_eq!(writing.end(SESSION, None), []);
    }

    #[test]
    fn versions_of_others_that_were_read_during_a_write_are_news_at_the_end() {
        let writing = Writing::default();
        let item = Item::Register(RegisterId::All);
        writing.begin(item);
        for version in [5, 6, 7] {
            assert_eq!(read(&writing, register(version)), []);
        }
        assert_eq!(writing.end(item, Some(6)), [register(5), register(7)]);
    }
}
