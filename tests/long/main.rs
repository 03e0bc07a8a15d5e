//! Long tests: repeated races, random histories, days in small steps.
#![allow(clippy::unwrap_used)]

mod boots;
mod clocks;
mod commands;
mod derived;
mod races;
#[path = "../support/mod.rs"]
mod support;
mod unknown_keys;
mod walk;
