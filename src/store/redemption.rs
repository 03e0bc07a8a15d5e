//! [`RefreshTokenStore`]: the record of the refresh tokens that were redeemed.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::contract::{EntryName, StoreFuture};

/// The store that remembers the latest redeemed refresh token of each session, for
/// [`RefreshTokens::store`](crate::RefreshTokens::store). All stores of this crate implement it.
///
/// It promises two things:
///
/// 1. **Redeeming is linearizable.** [`redeem`](Self::redeem) returns the highest sequence of the
///    family that was redeemed before the call ended, its own included, and the one time at which that
///    token was first redeemed.
/// 2. **A record is kept** until [`keep_for`](Redemption::keep_for) after the redemption, or longer.
///    The longest time of a family counts.
///
/// If a record is lost earlier, reuse of that session's refresh token goes unnoticed once, with no
/// other effect. Records are not restored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not record which refresh tokens were redeemed",
    note = "implement `tower_jwt_session::store::RefreshTokenStore`, or give the refresh tokens another store"
)]
pub trait RefreshTokenStore: fmt::Debug + Send + Sync + 'static {
    /// Records that a refresh token was redeemed, unless that one or a later one of its family was
    /// redeemed before. Returns the latest redemption of the family.
    ///
    /// `ring` separates services in one store. It has the form of a ring's name: 1 to 64 of
    /// `a-z A-Z 0-9 . _ -`, the first not a dot. Where the store is a
    /// [`Store`](crate::store::Store) too, these records are no entries of that ring.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be reached or written. The token may still have been redeemed, also
    /// if the future is dropped.
    fn redeem<'a>(&'a self, ring: &'a str, redemption: &'a Redemption)
    -> StoreFuture<'a, Redeemed>;
}

/// The redemption of a refresh token, for [`RefreshTokenStore::redeem`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redemption {
    /// The session, whose refresh tokens form one family.
    pub family: EntryName,
    /// The number of the token in its family.
    pub sequence: u32,
    /// The time, by the clock of the replica that redeems it.
    pub at: Timestamp,
    /// How long after `at` the record has to be kept.
    pub keep_for: Duration,
}

impl Redemption {
    /// Makes a redemption. `at` is the time of the replica's clock; `keep_for` counts from it.
    pub fn new(family: EntryName, sequence: u32, at: Timestamp, keep_for: Duration) -> Self {
        Self { family, sequence, at, keep_for }
    }
}

/// The latest redemption in a family of refresh tokens; see [`RefreshTokenStore::redeem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redeemed {
    /// The highest sequence that was redeemed.
    pub sequence: u32,
    /// When that token was first redeemed, by the clock of the replica that did so.
    pub at: Timestamp,
}

impl Redeemed {
    /// Makes the record of the refresh token that was redeemed last.
    pub fn new(sequence: u32, at: Timestamp) -> Self {
        Self { sequence, at }
    }
}
