//! Shared by several test targets. Each includes it by its path.
#![allow(dead_code)] // Each target uses a part of it.

pub(crate) mod clocks;
pub(crate) mod counted;
pub(crate) mod delegate;
pub(crate) mod entries;
pub(crate) mod issuer;
pub(crate) mod recorder;
pub(crate) mod replicas;
pub(crate) mod stores;
pub(crate) mod trail;
pub(crate) mod web;

/// The entry under which the revocations named `app` are kept in a store.
pub(crate) const PLACE: &str = "app.ended";

/// The size of a cache for few tokens, in bytes. In a debug build it takes 30 ms to make and drop one of the
/// default size.
pub(crate) const SMALL_CACHE: usize = 64 * 1024;
