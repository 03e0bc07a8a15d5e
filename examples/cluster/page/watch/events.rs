//! What the page is sent: all lanes at one moment, again and again, as server-sent events.

use std::{convert::Infallible, sync::Arc};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::watch;

use crate::page::watch::{
    keys::Key,
    lanes::{self, Lane},
};

/// All lanes at one moment.
#[derive(Serialize)]
pub(crate) struct Snapshot {
    /// Seconds since 1970.
    now: f64,
    /// What is done right now; nothing else is begun meanwhile.
    running: Option<String>,
    lanes: Vec<lanes::Snapshot>,
    /// The keys of the lane `stateless`; empty without it.
    keys: Vec<Key>,
}

impl Snapshot {
    /// Takes one.
    pub(crate) fn take(lanes: &[Lane], running: Option<String>) -> Self {
        let mut lanes: Vec<_> = lanes.iter().map(Lane::snapshot).collect();
        let keys = lanes.iter_mut().flat_map(|lane| std::mem::take(&mut lane.keys)).collect();
        Self { now: lanes::now(), running, lanes, keys }
    }
}

/// A page's stream of snapshots, each in JSON. A page that is slow misses some.
pub(crate) fn stream(
    snapshots: watch::Receiver<Arc<str>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(snapshots, async |mut snapshots| {
        // An error says that the cluster ends.
        snapshots.changed().await.ok()?;
        let event = Event::default().data(&*snapshots.borrow_and_update());
        Some((Ok(event), snapshots))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
