//! Where replicas meet: a [`Store`] holds a ring's write-once entries.
//!
//! A store is dumb on purpose. It keeps small named values per ring, and promises three things:
//!
//! 1. **Insert-if-absent is linearizable.** Of any number of writers of one name exactly one is
//!    told [`Insertion::Inserted`]; every other is given the winner's value. Only a writer of that
//!    same value may be told `Inserted` too.
//! 2. **A read that follows an insert sees it**, whoever made it; where a cache stands between
//!    (a network file system), within [`Store::staleness`].
//! 3. **Values are whole.** A reader sees all of a value or none of it, whenever a writer dies.
//!
//! Beside them it may remember which refresh token of a session was redeemed last, and when:
//!
//! 4. **Redeeming is linearizable.** Whoever [redeems](Store::redeem) is told the family's highest
//!    sequence of all that were redeemed before it ended, its own included, and the one time at which
//!    that was first redeemed.
//!
//! What the values mean, which of them replicas put back after a loss and when they are removed is
//! decided by the ring alone, so that every store is small and all behave alike.
//!
//! # What replicas cost it
//!
//! For its keys, that is: [revocations](crate::Revocations) are read beside them. Each replica reads
//! the whole ring once per refresh interval and its jitter, by default every
//! 15.75 seconds on average, and once for each change that is pushed, of which there are a few a
//! day. A ring of the default policy (Ed25519, keys unsealed) that has rotated for days holds its
//! birth and 4 or 5 keys: 2.9 to 3.6 KB with the entries' names, without what a protocol adds. So
//! at any time:
//!
//! | replicas | reads per second | read per second |
//! |---|---|---|
//! | 10 | 0.6 | 1.9 to 2.3 KB |
//! | 1,000 | 63 | 190 to 230 KB |
//! | 10,000 | 635 | 1.9 to 2.3 MB |
//!
//! Writes hardly grow with the replicas: a key a day, which those few try to insert that have not
//! seen it yet, and what puts back a loss. A simulation of 10,000 replicas, among this crate's
//! tests, counts 634.5 reads per second, and 15 inserts to put back 5 entries that a restored store
//! had lost. A longer [`refresh_interval`](crate::RotationPolicy::refresh_interval) costs less, and
//! makes a revocation that is not pushed take as much longer.
//!
//! # When it loses what it held
//!
//! Replicas that run go on with what they hold. Within the refresh bound R and the time W of a
//! write each of them has read what is left and put back the rest; a store so slow that not all
//! fits into W gets it over several refreshes. What is put back everyone knows after one R more.
//!
//! A replica that starts on the emptied store announces itself there and waits before it founds a ring
//! of its own: 3 seconds if the store [reports changes](Store::notifies), and otherwise R + W. Live
//! replicas answer at once and restore the ring. A second ring arises only where none of them reaches
//! the store within the wait, or where a replica [founds at once](crate::KeyRingBuilder::found_now).
//! Then each side may refuse the other's tokens for up to 2R + W: with the default policy 53 seconds,
//! and less with a store that pushes.

pub(crate) mod contract;
pub(crate) mod file;
pub(crate) mod founding;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) mod listener;
pub(crate) mod memory;
pub(crate) mod polling;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) mod proof;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod refreshes;
pub(crate) mod ring_name;
pub(crate) mod writes;

pub use self::contract::{
    Entry, EntryName, Insertion, Loaded, Redeemed, Redemption, SealingNeed, Skipped, Store,
    StoreError, StoreFuture,
};
pub use self::file::store::{FileStore, FileStoreBuilder};
pub use self::memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use self::postgres::store::PostgresStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
