//! The simulated store: slow, failing, cut off, purged and restored, and linearizable all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, Store, StoreError, StoreFuture, StoreProperties,
};

use super::scenario::{Broken, Founding, Millis};
use super::world::{World, lock};
use crate::support::stores::{nothing_at_rest, pack, unpack};

/// What the store holds, and since when.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) entries: BTreeMap<String, Held>,
    /// An older state of it, to be restored.
    pub(super) backup: BTreeMap<String, Held>,
    pub(super) down: bool,
    pub(super) reads: u64,
    pub(super) read_bytes: u64,
    pub(super) writes: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Vec<u8>,
    pub(super) since: Millis,
    pub(super) says: Says,
}

/// What an entry says, as far as the simulator has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Birth {
        ring: String,
    },
    Key {
        kid: String,
        ring: String,
        generation: u64,
        verifies_until: Timestamp,
    },
    Retire {
        kid: String,
    },
    Revoke {
        kid: String,
    },
    /// That a newcomer waits, or is answered.
    Note,
}

impl Says {
    fn parse(name: &str, value: &[u8]) -> Self {
        let value = unpack(value);
        let text = |pointer| value.pointer(pointer).and_then(Value::as_str).expect(name).to_owned();
        let kid = || text("/entry/kid");
        let record = &value["record"];
        match name.split_once('-').map(|(kind, _)| kind) {
            Some("key") => Self::Key {
                kid: text("/record/kid"),
                ring: text("/record/birth/id"),
                generation: record["generation"].as_u64().expect(name),
                verifies_until: Timestamp::deserialize(&record["times"]["verifies_until"])
                    .expect(name),
            },
            Some("retire") => Self::Retire { kid: kid() },
            Some("revoke") => Self::Revoke { kid: kid() },
            Some("newcomer" | "holder") => Self::Note,
            _ => Self::Birth { ring: text("/entry/id") },
        }
    }
}

/// One life of a replica, from its start to its crash, and its way to the store.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) world: Arc<World>,
    pub(super) replica: usize,
    pub(super) life: u64,
    pub(super) changed: Arc<Notify>,
}

/// What becomes of an operation.
struct Fate {
    /// Until it takes effect.
    before: Duration,
    takes_effect: bool,
    /// From then until it is answered.
    after: Duration,
    answer: Answer,
}

#[derive(PartialEq)]
enum Answer {
    Truth,
    Failure,
    /// None, until the caller gives up.
    Silence,
}

impl Link {
    fn fate(&self, limit: Millis) -> Fate {
        let mut state = lock(&self.world);
        let alive = state.replicas[self.replica].life == self.life;
        let reachable = alive && !state.replicas[self.replica].cut_off && !state.shelf.down;
        let (failing, slow) = (state.scenario.faults.failing, state.scenario.faults.slow);
        let calm = state.calm_ahead;
        let random = &mut state.random;
        // Just within the limit, which the policy counts in whole milliseconds, as timers do.
        let most = limit - limit.min(4);
        let took = match random.percent(slow) && !calm {
            true => random.between(most / 2, most),
            false => random.between(0, most.min(20)),
        };
        let before = random.between(0, took);
        let failed = random.percent(failing) && !calm;
        let answer = match reachable && !failed {
            true => Answer::Truth,
            false if alive && random.percent(50) => Answer::Failure,
            false => Answer::Silence,
        };
        let takes_effect = reachable && (!failed || random.percent(50));
        Fate {
            before: Duration::from_millis(before),
            takes_effect,
            after: Duration::from_millis(took - before),
            answer,
        }
    }

    async fn answer<T>(&self, fate: &Fate, value: Option<T>) -> Result<T, StoreError> {
        tokio::time::sleep(fate.after).await;
        let cut_off = {
            let state = lock(&self.world);
            state.replicas[self.replica].cut_off || state.replicas[self.replica].life != self.life
        };
        match (&fate.answer, value) {
            (Answer::Truth, Some(value)) if !cut_off => Ok(value),
            (Answer::Failure, _) if !cut_off => Err(StoreError::new("simulated failure")),
            _ => std::future::pending().await,
        }
    }

    /// An effect takes place whether or not anyone still waits for it.
    async fn change<T: Send + 'static>(
        &self,
        what: String,
        effect: impl FnOnce(&World) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let limit = lock(&self.world).scenario.write_timeout;
        let fate = self.fate(limit);
        let trouble = Trouble::new(self, what, false);
        let (world, before) = (self.world.clone(), fate.before);
        let value = if fate.takes_effect {
            let (done, waiting) = oneshot::channel();
            tokio::spawn(async move {
                tokio::time::sleep(before).await;
                // Nobody may wait any more.
                let _ = done.send(effect(&world));
            });
            waiting.await.ok()
        } else {
            tokio::time::sleep(before).await;
            None
        };
        let value = self.answer(&fate, value).await?;
        trouble.none();
        Ok(value)
    }
}

impl Store for Link {
    fn properties(&self) -> StoreProperties {
        let mut properties = nothing_at_rest();
        properties.notifies = lock(&self.world).scenario.founding == Some(Founding::Notified);
        properties
    }

    fn load<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let limit = lock(&self.world).scenario.read_timeout;
            let fate = self.fate(limit);
            let trouble = Trouble::new(self, "read".to_owned(), true);
            tokio::time::sleep(fate.before).await;
            let loaded = fate.takes_effect.then(|| self.world.read());
            let loaded = self.answer(&fate, loaded).await?;
            trouble.none();
            Ok(loaded)
        })
    }

    fn insert<'a>(&'a self, _ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        Box::pin(async move {
            // It says nothing, and its name is another in every run.
            if entry.name.as_str().starts_with("probe-") {
                return Ok(Insertion::Inserted);
            }
            let (entry, by) = (entry.clone(), self.replica);
            let what = format!("write of {}", entry.name);
            self.change(what, move |world| world.insert(&entry, by)).await
        })
    }

    fn remove<'a>(&'a self, _ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if name.as_str().starts_with("probe-") {
                return Ok(());
            }
            let (name, by) = (name.clone(), self.replica);
            let what = format!("removal of {name}");
            self.change(what, move |world| world.remove(&name, by)).await
        })
    }

    fn changed<'a>(&'a self, _ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.changed.notified().await;
            Ok(())
        })
    }
}

/// Reports an operation whose answer was not the truth, or that was given up.
struct Trouble<'l> {
    link: &'l Link,
    what: Option<String>,
    reading: bool,
}

impl<'l> Trouble<'l> {
    fn new(link: &'l Link, what: String, reading: bool) -> Self {
        Self { link, what: Some(what), reading }
    }

    fn none(mut self) {
        self.what = None;
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        let Some(what) = self.what.take() else { return };
        let mut state = lock(&self.link.world);
        let (now, replica) = (state.now(), self.link.replica);
        if state.replicas[replica].life == self.link.life {
            state.trouble();
            if self.reading {
                state.replicas[replica].trouble = Some(now);
            }
            state.tell(format!("replica {replica}: {what} failed"));
        }
    }
}

impl World {
    fn read(&self) -> Loaded {
        let mut state = lock(self);
        let now = state.now();
        let hidden = match state.scenario.broken {
            Some(Broken::Reads(staleness)) => staleness,
            _ => 0,
        };
        let mut loaded = Loaded::default();
        for (name, held) in &state.shelf.entries {
            if held.since + hidden <= now {
                let name = EntryName::parse(name.as_str()).expect("was one");
                loaded.entries.push(Entry::new(name, held.value.clone()));
            }
        }
        let bytes = loaded.entries.iter().map(|e| e.name.as_str().len() + e.value.len());
        state.shelf.read_bytes += bytes.sum::<usize>() as u64;
        state.shelf.reads += 1;
        loaded
    }

    fn insert(&self, entry: &Entry, by: usize) -> Insertion {
        let mut state = lock(self);
        let name = entry.name.as_str();
        state.shelf.writes += 1;
        let broken = state.scenario.broken;
        if let Some(held) = state.shelf.entries.get(name) {
            return match broken {
                Some(Broken::Inserts) => Insertion::Inserted,
                _ => Insertion::Exists(held.value.clone().into()),
            };
        }
        let is_mark = name.starts_with("revoke") || name.starts_with("retire");
        if broken == Some(Broken::Marks) && is_mark {
            return Insertion::Inserted;
        }
        let without_lead = Some(&entry.value).filter(|_| broken == Some(Broken::Lead));
        let without_lead = without_lead.and_then(|value| without_lead_of(value));
        let value = without_lead.clone().unwrap_or_else(|| entry.value.to_vec());
        let (since, says) = (state.now(), Says::parse(name, &value));
        let held = Held { value, since, says };
        state.tell(format!("store: replica {by} wrote {name}"));
        state.note_entry(&held);
        state.shelf.entries.insert(name.to_owned(), held);
        state.push();
        // A writer believes what stands in the store.
        without_lead.map_or(Insertion::Inserted, |value| Insertion::Exists(value.into()))
    }

    fn remove(&self, name: &EntryName, by: usize) {
        let mut state = lock(self);
        if state.shelf.entries.remove(name.as_str()).is_some() {
            state.tell(format!("store: replica {by} removed {name}"));
            state.disturbed = state.now();
            state.push();
        }
    }
}

/// The same key, but for its lead: it signs as soon as it is written.
fn without_lead_of(value: &[u8]) -> Option<Vec<u8>> {
    let mut value = unpack(value);
    let times = value.pointer_mut("/record/times")?;
    for time in ["propagated", "signs_from"] {
        times[time] = times["published"].clone();
    }
    Some(pack(value))
}
