//! An audit sink that keeps events in memory, and can be down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tower_jwt_session::audit::{AuditEvent, AuditFuture, AuditSink};

/// Keeps every event.
#[derive(Clone, Default)]
pub(crate) struct Trail {
    events: Arc<Mutex<Vec<AuditEvent>>>,
    is_down: Arc<AtomicBool>,
}

impl Trail {
    /// Returns the sink, and whether it is down: it then fails.
    pub(crate) fn new() -> (Self, Arc<AtomicBool>) {
        let trail = Self::default();
        let is_down = trail.is_down.clone();
        (trail, is_down)
    }

    pub(crate) fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().unwrap().clone()
    }

    /// Forgets all events until now.
    pub(crate) fn clear(&self) {
        self.events.lock().unwrap().clear();
    }
}

impl AuditSink for Trail {
    fn record<'a>(&'a self, event: &'a AuditEvent) -> AuditFuture<'a> {
        Box::pin(async move {
            if self.is_down.load(Ordering::Relaxed) {
                return Err("the trail is down".into());
            }
            // Who does not wait for it looks before it is there.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            self.events.lock().unwrap().push(event.clone());
            Ok(())
        })
    }
}
