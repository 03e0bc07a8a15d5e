//! What a ring must stand, and at first did not.

mod delays;
mod marks;
mod records;
mod schedule;
mod stuck;
