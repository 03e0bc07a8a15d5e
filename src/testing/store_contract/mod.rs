//! The promises of stores, as tests for any of them: this crate's stores pass them, and your own has
//! to. One module per trait, one function per promise.
//!
//! A function panics where the store breaks the promise. Each gets a closure that opens one more
//! handle to the same store, as one more replica does; the store is empty at first. A macro per trait
//! makes one test per promise. It needs a function that makes an empty store and returns that closure:
//!
//! ```
//! # mod tests {
//! use tower_jwt_session::store::MemoryStore;
//! use tower_jwt_session::testing::store_contract;
//!
//! async fn empty_store() -> impl AsyncFn() -> MemoryStore {
//!     let store = MemoryStore::new();
//!     async move || store.clone()
//! }
//!
//! store_contract::store_tests!(empty_store);
//! store_contract::refresh_token_store_tests!(empty_store);
//! store_contract::revocation_store_tests!(empty_store);
//! # }
//! ```
//!
//! 1. What the closure owns lives as long as the test, for example a temporary directory.
//! 2. The tests are `#[tokio::test]`s with four threads: the package needs `tokio` with the features
//!    `macros` and `rt-multi-thread`, and this crate with `test-util`, in `[dev-dependencies]`.
//! 3. Where a handle caches what it reads, open it without the cache: a read has to see each insert
//!    that ended before it.
//! 4. Another test harness passes the name of a macro of its own, which gets the suite's module, the
//!    function and the names of the promises:
//!    `store_tests!(empty_store, trials!)` calls `trials! { store, empty_store: the_first_insert_wins … }`.

mod handles;
pub mod refresh_token_store;
pub mod revocation_store;
pub mod store;

#[doc(inline)]
pub use crate::__refresh_token_store_tests as refresh_token_store_tests;
#[doc(inline)]
pub use crate::__revocation_store_tests as revocation_store_tests;
#[doc(inline)]
pub use crate::__store_tests as store_tests;
