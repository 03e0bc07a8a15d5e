//! Where replicas meet: a [`Store`] holds a ring's write-once entries.
//!
//! A store keeps small named values per ring, and promises three things:
//!
//! 1. **Insert-if-absent is linearizable.** Of any number of writers of one name exactly one gets
//!    [`Insertion::Inserted`]; every other gets the winner's value. A writer of that same value may
//!    get `Inserted` too.
//! 2. **A read that follows an insert sees it**, on any replica; behind a cache, such as a network
//!    file system, within the store's [`staleness`](StoreProperties::staleness).
//! 3. **Values are whole.** A reader sees all of a value or none of it, even if a writer dies.
//!
//! A [`RefreshTokenStore`] records which refresh token of a session was redeemed last, and when. It can
//! be the same store or another one. A [`RevocationStore`] also keeps feeds of revocations.
//!
//! To make a store of another engine, see [the guide](crate::guide::write_a_store): feature `test-util`
//! has these promises as tests.
//!
//! The ring alone decides what the values mean, which of them replicas restore after a loss, and when
//! they are removed. So every store is small, and all behave alike.
//!
//! # Load
//!
//! The figures are for keys; [revocations](crate::Revocations) are read separately. Each replica reads
//! the whole ring once per refresh interval and jitter, by default every 15.75 seconds on average, and
//! once for each pushed change, of which there are a few per day. A ring of the default policy
//! (Ed25519, unsealed) that has rotated for days holds its founding entry and 4 or 5 keys: 3.1 to
//! 3.9 KB with the entries' names, without protocol overhead:
//!
//! | replicas | reads per second | read per second |
//! |---|---|---|
//! | 10 | 0.6 | 2.0 to 2.5 KB |
//! | 1,000 | 63 | 200 to 250 KB |
//! | 10,000 | 635 | 2.0 to 2.5 MB |
//!
//! Writes hardly grow with the number of replicas: one key per day, which a few replicas try to insert,
//! and the restoration of a loss. A simulation of 10,000 replicas, among this crate's tests, counts
//! 634.5 reads per second, and 15 inserts to restore 5 entries that a restored store had lost. A longer
//! [`refresh_interval`](crate::RotationPolicy::refresh_interval) reduces the load, and delays a
//! revocation that is not pushed by as much.
//!
//! # Data loss
//!
//! Live replicas continue with what they hold. Within the refresh bound R and the write timeout W each
//! of them has read what is left and restored the rest; a store that is too slow for that within W gets
//! it over several refreshes. After another R, every replica knows what was restored.
//!
//! A replica that starts on the emptied store announces itself there and waits before it founds a new
//! ring: 3 seconds if the store [reports changes](StoreProperties::notifies), otherwise R + W. Live replicas
//! answer at once and restore the ring. A second ring arises only if none of them reaches the store
//! within the wait, or if a replica [founds at once](crate::KeyRingBuilder::found_now). Then each side
//! may refuse the other's tokens for up to 2R + W: 53 seconds with the default policy, less with a
//! store that pushes.

pub(crate) mod contract;
pub(crate) mod feed;
pub(crate) mod feed_record;
pub(crate) mod file;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) mod listener;
pub(crate) mod measured;
pub(crate) mod memory;
pub(crate) mod memory_feed;
pub(crate) mod polling;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) mod proof;
pub(crate) mod redemption;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod ring_name;
pub(crate) mod versioned;

pub use crate::crypto::secret_bytes::SecretBytes;

pub use self::contract::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Skipped, Store, StoreError, StoreFuture,
    StoreProperties,
};
pub use self::feed::{
    Advance, Cursor, Digest, FeedPage, FeedRead, Register, RegisterId, RevocationStore,
    RevokedSession,
};
pub use self::file::store::{FileStore, FileStoreBuilder};
pub use self::memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use self::postgres::store::PostgresStore;
pub use self::redemption::{Redeemed, Redemption, RefreshTokenStore};
#[cfg(feature = "redis")]
pub use self::redis::store::RedisStore;
