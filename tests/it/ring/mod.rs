//! The ring: its birth, its changes by hand, and what becomes of it when its store fails, forgets
//! or holds what it should not.

mod attacks;
mod background;
mod birth;
mod builder;
mod clocks;
mod founding;
mod outage;
mod overdue;
mod paused;
mod races;
mod recovery;
mod revocation;
mod rotation;
mod unreadable;
