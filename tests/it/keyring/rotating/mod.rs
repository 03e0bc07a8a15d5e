//! The ring: its birth, its changes by hand, and what becomes of it when its store fails, forgets
//! or holds what it should not.

mod algorithm;
mod background;
mod birth;
mod builder;
mod clocks;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod first_start;
mod founding;
mod operator;
mod outage;
mod overdue;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod paused;
mod period;
mod recovery;
mod revocation;
mod revoked_keys;
mod rotation;
mod schedule;
mod sealing;
mod slow_store;
mod stuck;
mod tampering;
mod unreadable;
