//~ `Plain` does not keep revocations
//~ implement `tower_jwt_session::store::RevocationStore`

use tower_jwt_session::{Revocations, RevocationsBuilder};
use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, MemoryStore, Store, StoreFuture,
};

#[derive(Debug)]
pub struct Plain(MemoryStore);

impl Store for Plain {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.0.load(ring)
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        self.0.insert(ring, entry)
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        self.0.remove(ring, name)
    }
}

pub fn revocations(store: Plain) -> RevocationsBuilder {
    Revocations::builder("app").store(store)
}
