//! Which replica is next: a list that changes while requests are on their way.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// One replica, as the balancer sees it.
pub(crate) struct Backend {
    /// `http://127.0.0.1:…`, without a path.
    pub(crate) url: String,
    up: AtomicBool,
    removed: AtomicBool,
    in_flight: AtomicUsize,
}

impl Backend {
    /// Its address, by which affinity names it.
    pub(crate) fn name(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Notes whether the replica answers; returns whether that is news.
    ///
    /// News of a replica that was removed is none.
    pub(crate) fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::Relaxed) != up && !self.is_removed()
    }

    /// Whether it was taken out, so that nobody needs to look after it any more.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }
}

/// The right to send one request to a replica; while it lives, the replica counts as busy.
pub(crate) struct Lease(Arc<Backend>);

impl Lease {
    /// Counted under the lock that `remove` takes: no request slips in behind it.
    fn of(backend: &Arc<Backend>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(backend))
    }

    /// Where the request goes.
    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The replicas, and whose turn it is.
#[derive(Default)]
pub(crate) struct Pool {
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    backends: Vec<Arc<Backend>>,
    cursor: usize,
}

impl Pool {
    /// Adds a replica, which gets no request until it is known to be up.
    pub(crate) fn add(&self, url: &str) -> Arc<Backend> {
        let backend = Arc::new(Backend {
            url: url.to_owned(),
            up: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
        });
        self.turns().backends.push(Arc::clone(&backend));
        backend
    }

    /// Takes the replica of this name if it is up, else the next one; `None` if there is none.
    pub(crate) fn lease_wanted(&self, name: Option<&str>) -> Option<Lease> {
        let turns = self.turns();
        let wanted = |it: &&Arc<Backend>| Some(it.name()) == name && it.up.load(Ordering::Relaxed);
        match turns.backends.iter().find(wanted) {
            Some(backend) => Some(Lease::of(backend)),
            None => {
                drop(turns);
                self.lease(None)
            }
        }
    }

    /// Takes the next replica that is up and is not `except`; `None` if there is none.
    pub(crate) fn lease(&self, except: Option<&Lease>) -> Option<Lease> {
        let mut turns = self.turns();
        let usable = |backend: &Arc<Backend>| {
            backend.up.load(Ordering::Relaxed)
                && !except.is_some_and(|it| Arc::ptr_eq(&it.0, backend))
        };
        let usable: Vec<bool> = turns.backends.iter().map(usable).collect();
        let index = next_usable(&usable, turns.cursor)?;
        turns.cursor = index + 1;
        Some(Lease::of(&turns.backends[index]))
    }

    /// Takes a replica out and returns when its last request has been answered.
    pub(crate) async fn remove(&self, url: &str) {
        let removed: Vec<_> = self.turns().backends.extract_if(.., |it| it.url == url).collect();
        for backend in removed {
            backend.removed.store(true, Ordering::Relaxed);
            while backend.in_flight.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// A panic under this lock cannot leave the list half changed, so poison says nothing.
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first usable index at or after `cursor`, going round once.
fn next_usable(usable: &[bool], cursor: usize) -> Option<usize> {
    let count = usable.len();
    (0..count).map(|step| (cursor + step) % count).find(|&index| usable[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_skip_what_is_down() {
        assert_eq!(next_usable(&[], 3), None);
        assert_eq!(next_usable(&[false, false], 0), None);
        assert_eq!(next_usable(&[true, true, true], 3), Some(0));
        assert_eq!(next_usable(&[true, false, true], 1), Some(2));
        assert_eq!(next_usable(&[true, false, false], 1), Some(0));
    }

    fn picked(pool: &Pool, count: usize) -> Vec<String> {
        (0..count).filter_map(|_| pool.lease(None)).map(|it| it.backend().url.clone()).collect()
    }

    #[test]
    fn every_replica_gets_the_same_share() {
        let pool = Pool::default();
        let backends = ["a", "b", "c"].map(|url| pool.add(url));
        assert!(picked(&pool, 1).is_empty(), "nobody has said that they are up");
        assert!(backends.iter().all(|it| it.set_up(true)));
        assert_eq!(picked(&pool, 7).concat(), "abcabca");
        assert!(backends[1].set_up(false));
        assert!(!backends[1].set_up(false), "no news");
        assert_eq!(picked(&pool, 4).concat(), "caca");
    }

    #[test]
    fn a_wanted_replica_is_taken_while_it_is_up() {
        let pool = Pool::default();
        let backends = ["http://a", "http://b"].map(|url| pool.add(url));
        assert!(backends.iter().all(|it| it.set_up(true)));
        let taken = |name| pool.lease_wanted(name).map(|it| it.backend().name().to_owned());
        assert_eq!(taken(Some("b")).as_deref(), Some("b"));
        assert_eq!(taken(Some("b")).as_deref(), Some("b"));
        assert!(backends[1].set_up(false));
        assert_eq!(taken(Some("b")).as_deref(), Some("a"));
        assert_eq!(taken(Some("c")).as_deref(), Some("a"));
        assert_eq!(taken(None).as_deref(), Some("a"));
    }

    #[test]
    fn a_second_try_goes_elsewhere() {
        let pool = Pool::default();
        pool.add("a").set_up(true);
        let first = pool.lease(None).expect("one is up");
        assert!(pool.lease(Some(&first)).is_none());
        pool.add("b").set_up(true);
        assert_eq!(pool.lease(Some(&first)).expect("two are up").backend().url, "b");
    }

    #[tokio::test]
    async fn removal_waits_for_the_last_request() {
        let pool = Arc::new(Pool::default());
        pool.add("a").set_up(true);
        let lease = pool.lease(None).expect("one is up");
        let mut removal = std::pin::pin!(pool.remove("a"));
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, removal.as_mut()).await.is_err());
        assert!(pool.lease(None).is_none(), "no new request once it was asked to go");
        drop(lease);
        removal.await;
    }
}
