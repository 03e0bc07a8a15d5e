//! What a ring must stand, and at first did not.

mod delays;
mod marks;
mod schedule;
mod stuck;
