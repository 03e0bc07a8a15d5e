//! Feeds of revocations in the stores that need no server.

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::store_contract;

async fn memory() -> impl AsyncFn() -> MemoryStore {
    let store = MemoryStore::new();
    async move || store.clone()
}

mod memory_store {
    use super::*;

    store_contract::revocation_store_tests!(super::memory);

    #[tokio::test]
    async fn a_cursor_of_another_store_is_a_gap() {
        let [one, other] = [memory().await, memory().await];
        store_contract::revocation_store::a_cursor_of_another_store_is_a_gap(one, other).await;
    }
}
