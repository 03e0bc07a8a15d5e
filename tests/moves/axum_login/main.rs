//! One scenario against the shop before the move, while it moves, and after it.

mod differences;
mod logged_in;
mod scenario;
mod support;
