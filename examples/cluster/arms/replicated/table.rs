//! The sessions that a replica knows, its own and copies, and which of two versions counts.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use tower_jwt_session::{Clock as _, SystemClock};

use crate::arms::{
    replicated::message::{CHANGES_PER_FRAME, Change, Known, Node},
    session::Session,
};

/// How long it is remembered that a session has expired: until the others have heard of it.
const NOTICE: Duration = Duration::from_secs(2);
/// Which part of its life a session is used before that is copied. Until then another replica would
/// end it earlier by as much.
const THINNING: u32 = 10;

/// All sessions of a replica.
pub(crate) struct Table {
    own: Node,
    lifetime: Duration,
    entries: HashMap<String, Entry>,
    /// Which ones the others do not know yet.
    changed: HashSet<String>,
}

struct Entry {
    version: u64,
    owner: Node,
    /// None if the session has ended: then this keeps older copies out.
    known: Option<Known>,
    until: Instant,
    /// What the others know of `until`.
    copied_until: Instant,
}

impl Entry {
    /// An end counts more than any version, since identifiers are never used again. Two versions with the
    /// same number were made at the same time, and one of them has to go.
    fn precedence(&self) -> (bool, u64, &Node) {
        (self.known.is_none(), self.version, &self.owner)
    }

    fn is_live(&self, now: Instant) -> bool {
        self.known.is_some() && self.until > now
    }

    fn change(&self, id: &str, now: Instant) -> Change {
        let left = self.until.saturating_duration_since(now);
        Change {
            id: id.to_owned(),
            version: self.version,
            owner: self.owner.clone(),
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            known: self.known.clone(),
        }
    }
}

impl Table {
    /// No sessions yet; each lives so long without being used.
    pub(crate) fn new(own: Node, lifetime: Duration) -> Self {
        Self { own, lifetime, entries: HashMap::new(), changed: HashSet::new() }
    }

    /// How many live sessions it has.
    pub(crate) fn len(&self, now: Instant) -> usize {
        self.entries.values().filter(|entry| entry.is_live(now)).count()
    }

    /// Adds a session.
    pub(crate) fn insert(&mut self, id: &str, known: Known, now: Instant) {
        let until = now + self.lifetime;
        let (owner, known) = (self.own.clone(), Some(known));
        let entry = Entry { version: 1, owner, known, until, copied_until: until };
        self.entries.insert(id.to_owned(), entry);
        self.changed.insert(id.to_owned());
    }

    /// The live session of this identifier; it lives on, and if another replica owned it, it is this one's now.
    pub(crate) fn find(&mut self, id: &str, now: Instant) -> Option<Session> {
        let entry = self.entries.get_mut(id).filter(|entry| entry.is_live(now))?;
        entry.until = now + self.lifetime;
        if entry.owner != self.own || entry.copied_until + self.lifetime / THINNING <= entry.until {
            entry.version = entry.version.saturating_add(1);
            entry.owner = self.own.clone();
            entry.copied_until = entry.until;
            self.changed.insert(id.to_owned());
        }
        let Known { subject, user } = entry.known.clone()?;
        Some(Session { subject, user, expires_at: SystemClock.now() + self.lifetime })
    }

    /// Ends a session. This is remembered for as long as a copy could live.
    pub(crate) fn end(&mut self, id: &str, now: Instant) {
        let until = now + self.lifetime;
        self.bury(id, until);
    }

    /// Ends every session of a user that is known here.
    pub(crate) fn end_all_of(&mut self, subject: &str, now: Instant) {
        let theirs = |entry: &Entry| entry.known.as_ref().is_some_and(|it| it.subject == subject);
        let ids = self.entries.iter().filter(|(_, entry)| theirs(entry)).map(|(id, _)| id.clone());
        for id in ids.collect::<Vec<_>>() {
            self.end(&id, now);
        }
    }

    fn bury(&mut self, id: &str, until: Instant) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.version = entry.version.saturating_add(1);
            entry.owner = self.own.clone();
            entry.known = None;
            entry.until = until;
            self.changed.insert(id.to_owned());
        }
    }

    /// Takes in what another replica knows, unless that is older.
    pub(crate) fn merge(&mut self, change: Change, now: Instant) {
        let left = Duration::from_millis(change.left_ms).min(self.lifetime);
        let Change { id, version, owner, known, .. } = change;
        let until = now + left;
        let entry = Entry { version, owner, known, until, copied_until: until };
        let older = |held: &Entry| held.precedence() >= entry.precedence();
        if left.is_zero() || self.entries.get(&id).is_some_and(older) {
            return;
        }
        self.changed.remove(&id);
        self.entries.insert(id, entry);
    }

    /// Ends what has expired, and forgets the ends that every replica knows. A copy waits a little for its
    /// owner, who may know of a use that was not copied.
    pub(crate) fn expire(&mut self, now: Instant) {
        let (own, wait) = (&self.own, self.lifetime / THINNING + NOTICE);
        let is_expired = |entry: &Entry| entry.known.is_some() && entry.until <= now;
        let mine = |entry: &Entry| entry.owner == *own && is_expired(entry);
        let ended = self.entries.iter().filter(|(_, entry)| mine(entry)).map(|(id, _)| id.clone());
        for id in ended.collect::<Vec<_>>() {
            self.bury(&id, now + NOTICE);
        }
        let keep = |entry: &Entry| match entry.known {
            Some(_) => entry.until + wait > now,
            None => entry.until > now,
        };
        self.entries.retain(|_, entry| keep(entry));
        let entries = &self.entries;
        self.changed.retain(|id| entries.contains_key(id));
    }

    /// Becomes the owner of the sessions whose owner is gone, if no name among those who live is lower.
    /// Returns how many.
    pub(crate) fn take_over(&mut self, alive: &BTreeSet<Node>) -> usize {
        if alive.first() != Some(&self.own) {
            return 0;
        }
        let orphans = self.entries.iter_mut().filter(|(_, entry)| !alive.contains(&entry.owner));
        let mut count = 0;
        for (id, entry) in orphans {
            entry.version = entry.version.saturating_add(1);
            entry.owner = self.own.clone();
            self.changed.insert(id.clone());
            count += 1;
        }
        count
    }

    /// What a newcomer has to get from this replica: what it owns, and what nobody owns who lives.
    pub(crate) fn responsible_for(&self, alive: &BTreeSet<Node>, now: Instant) -> Vec<Vec<Change>> {
        let mine = |entry: &Entry| entry.owner == self.own || !alive.contains(&entry.owner);
        let mine = self.entries.iter().filter(|(_, entry)| mine(entry));
        batches(mine.map(|(id, entry)| entry.change(id, now)).collect())
    }

    /// What has changed since the last call.
    pub(crate) fn take_changed(&mut self, now: Instant) -> Vec<Vec<Change>> {
        let ids = std::mem::take(&mut self.changed);
        let changes = ids.iter().filter_map(|id| Some(self.entries.get(id)?.change(id, now)));
        batches(changes.collect())
    }
}

fn batches(changes: Vec<Change>) -> Vec<Vec<Change>> {
    changes.chunks(CHANGES_PER_FRAME).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::app::User;

    const LIFETIME: Duration = Duration::from_secs(10);

    fn node(number: u64) -> Node {
        Node { name: format!("replica-{number}"), life: number }
    }

    fn bob() -> Known {
        let user = User { name: "Bob".to_owned(), roles: Vec::new() };
        Known { subject: "bob".to_owned(), user }
    }

    /// Two replicas, of which the first has made the session `a`, and the second has the copy.
    fn pair(now: Instant) -> (Table, Table) {
        let (mut one, mut two) = (Table::new(node(1), LIFETIME), Table::new(node(2), LIFETIME));
        one.insert("a", bob(), now);
        copy(&mut one, &mut two, now);
        (one, two)
    }

    fn copy(from: &mut Table, to: &mut Table, now: Instant) -> usize {
        let changes: Vec<_> = from.take_changed(now).into_iter().flatten().collect();
        let count = changes.len();
        changes.into_iter().for_each(|change| to.merge(change, now));
        count
    }

    #[test]
    fn the_last_writer_wins_in_any_order() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        assert!(two.find("a", now).is_some(), "the copy has arrived");
        assert_eq!(two.entries["a"].owner, node(2), "who uses it owns it");
        let old = one.entries["a"].change("a", now);
        assert_eq!(copy(&mut two, &mut one, now), 1);
        one.merge(old.clone(), now);
        two.merge(old, now);
        for table in [&one, &two] {
            let entry = &table.entries["a"];
            assert_eq!((entry.version, &entry.owner), (2, &node(2)));
        }
    }

    #[test]
    fn two_writers_at_the_same_time_end_with_the_same_entry() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        let later = now + LIFETIME / 2;
        assert!(one.find("a", later).is_some() && two.find("a", later).is_some());
        let changes = [one.take_changed(later), two.take_changed(later)].concat().concat();
        assert_eq!(changes.len(), 2);
        for change in changes {
            one.merge(change.clone(), later);
            two.merge(change, later);
        }
        assert_eq!(one.entries["a"].owner, node(2));
        assert_eq!(two.entries["a"].owner, node(2));
    }

    #[test]
    fn an_end_wins_over_any_version() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        one.end("a", now);
        for second in 1..9 {
            assert!(two.find("a", now + second * LIFETIME / 10).is_some());
        }
        let late = now + 9 * LIFETIME / 10;
        let used = two.entries["a"].change("a", late);
        assert!(used.version > one.entries["a"].version);
        copy(&mut one, &mut two, late);
        one.merge(used, late);
        assert!(one.find("a", late).is_none() && two.find("a", late).is_none());
        one.expire(late);
        assert_eq!(one.entries.len(), 1, "copies could still come");
        one.expire(now + LIFETIME);
        assert!(one.entries.is_empty());
    }

    #[test]
    fn all_sessions_of_one_user_end() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        let alice = Known { subject: "alice".to_owned(), ..bob() };
        one.insert("b", bob(), now);
        one.insert("c", alice, now);
        one.end_all_of("bob", now);
        assert_eq!(copy(&mut one, &mut two, now), 3);
        for table in [&mut one, &mut two] {
            assert_eq!(table.len(now), 1);
            assert!(table.find("c", now).is_some());
        }
    }

    #[test]
    fn use_is_copied_now_and_then() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        assert!(one.find("a", now + LIFETIME / 20).is_some());
        assert_eq!(copy(&mut one, &mut two, now + LIFETIME / 20), 0);
        assert!(one.find("a", now + LIFETIME / 10).is_some());
        assert_eq!(copy(&mut one, &mut two, now + LIFETIME / 10), 1);
        assert!(two.find("a", now + LIFETIME).is_some());
    }

    #[test]
    fn the_owner_ends_what_expires_and_a_copy_waits_for_it() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        let then = now + LIFETIME;
        assert!(one.find("a", then).is_none() && two.find("a", then).is_none());
        two.expire(then);
        assert_eq!(two.entries.len(), 1);
        one.expire(then);
        assert_eq!(copy(&mut one, &mut two, then), 1);
        for table in [&mut one, &mut two] {
            assert!(table.entries["a"].known.is_none());
            table.expire(then + NOTICE);
            assert!(table.entries.is_empty() && table.changed.is_empty());
        }
        let (_, mut alone) = pair(now);
        alone.expire(then + LIFETIME);
        assert!(alone.entries.is_empty(), "its owner never said anything");
    }

    #[test]
    fn the_lowest_name_takes_over() {
        let now = Instant::now();
        let (one, mut two) = pair(now);
        let mut three = Table::new(node(3), LIFETIME);
        one.responsible_for(&BTreeSet::new(), now)
            .concat()
            .into_iter()
            .for_each(|it| three.merge(it, now));
        let survivors = BTreeSet::from([node(2), node(3)]);
        assert_eq!(two.take_over(&BTreeSet::from([node(1), node(2), node(3)])), 0);
        assert_eq!(three.take_over(&survivors), 0);
        assert_eq!(three.responsible_for(&survivors, now).concat().len(), 1, "nobody owns it");
        assert_eq!(two.take_over(&survivors), 1);
        assert_eq!(copy(&mut two, &mut three, now), 1);
        assert_eq!(three.entries["a"].owner, node(2));
        assert!(three.responsible_for(&survivors, now).is_empty());
        assert!(three.find("a", now).is_some());
    }

    #[test]
    fn a_change_cannot_live_longer_than_a_session() {
        let now = Instant::now();
        let (mut one, mut two) = pair(now);
        assert!(one.find("a", now + LIFETIME / 2).is_some());
        let change = one.entries["a"].change("a", now);
        two.merge(Change { left_ms: u64::MAX, version: u64::MAX, ..change.clone() }, now);
        assert_eq!(two.entries["a"].until, now + LIFETIME);
        two.end("a", now);
        assert_eq!(two.entries["a"].version, u64::MAX, "numbers do not overflow");
        let mut three = Table::new(node(3), LIFETIME);
        three.merge(Change { left_ms: 0, ..change }, now);
        assert!(three.entries.is_empty(), "it has expired");
    }
}
