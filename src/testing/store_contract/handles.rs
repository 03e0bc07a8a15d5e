//! What the suites share: the handles of several replicas, and the macro that makes tests.

use std::sync::Arc;

use crate::store::contract::EntryName;

/// Opens the handles of as many replicas to one store.
pub(super) async fn handles<S>(open: &impl AsyncFn() -> S) -> [Arc<S>; 4] {
    [open().await, open().await, open().await, open().await].map(Arc::new)
}

pub(super) fn name(name: &str) -> EntryName {
    EntryName::parse(name).expect("the suite uses valid names")
}

/// One test for each promise of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_contract_tests {
    ($suite:ident, $empty_store:path: $($promise:ident)+) => {$(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $promise() {
            $crate::testing::store_contract::$suite::$promise($empty_store().await).await;
        }
    )+};
}
