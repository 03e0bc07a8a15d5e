//! Stores that change one thing of another: the rest is the inner store's.

/// The named methods of `Store`, each by the same method of the field: `delegate!(store: load remove)`.
/// The application's own stores have `load`, `insert` and `remove` alone; a wrapper names what it
/// passes on.
macro_rules! delegate {
    ($inner:tt: $($method:ident)+) => {
        $(crate::support::delegate::delegate!(@$method $inner);)+
    };
    (@load $inner:tt) => {
        fn load<'a>(
            &'a self,
            ring: &'a str,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ::tower_jwt_session::store::Loaded> {
            self.$inner.load(ring)
        }
    };
    (@insert $inner:tt) => {
        fn insert<'a>(
            &'a self,
            ring: &'a str,
            entry: &'a ::tower_jwt_session::store::Entry,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ::tower_jwt_session::store::Insertion> {
            self.$inner.insert(ring, entry)
        }
    };
    (@remove $inner:tt) => {
        fn remove<'a>(
            &'a self,
            ring: &'a str,
            name: &'a ::tower_jwt_session::store::EntryName,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ()> {
            self.$inner.remove(ring, name)
        }
    };
    (@changed $inner:tt) => {
        fn changed<'a>(
            &'a self,
            ring: &'a str,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ()> {
            self.$inner.changed(ring)
        }
    };
    (@properties $inner:tt) => {
        fn properties(&self) -> ::tower_jwt_session::store::StoreProperties {
            self.$inner.properties()
        }
    };
}

pub(crate) use delegate;
