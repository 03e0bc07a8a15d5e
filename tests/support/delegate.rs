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
    (@append $inner:tt) => {
        fn append<'a>(
            &'a self,
            feed: &'a str,
            sessions: &'a [::tower_jwt_session::store::RevokedSession],
            now: ::tower_jwt_session::Timestamp,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ()> {
            self.$inner.append(feed, sessions, now)
        }
    };
    (@advance $inner:tt) => {
        fn advance<'a>(
            &'a self,
            feed: &'a str,
            advance: &'a ::tower_jwt_session::store::Advance,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ::tower_jwt_session::store::Register> {
            self.$inner.advance(feed, advance)
        }
    };
    (@restore $inner:tt) => {
        fn restore<'a>(
            &'a self,
            feed: &'a str,
            held: &'a [(
                ::tower_jwt_session::store::RegisterId,
                ::tower_jwt_session::store::Register,
            )],
            now: ::tower_jwt_session::Timestamp,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ()> {
            ::tower_jwt_session::store::RevocationStore::restore(&self.$inner, feed, held, now)
        }
    };
    (@registers $inner:tt) => {
        fn registers<'a>(
            &'a self,
            feed: &'a str,
            ids: &'a [::tower_jwt_session::store::RegisterId],
        ) -> ::tower_jwt_session::store::StoreFuture<
            'a,
            Vec<Option<::tower_jwt_session::store::Register>>,
        > {
            self.$inner.registers(feed, ids)
        }
    };
    (@read_feed $inner:tt) => {
        fn read_feed<'a>(
            &'a self,
            feed: &'a str,
            cursor: Option<&'a ::tower_jwt_session::store::Cursor>,
        ) -> ::tower_jwt_session::store::StoreFuture<'a, ::tower_jwt_session::store::FeedRead> {
            self.$inner.read_feed(feed, cursor)
        }
    };
    (@properties $inner:tt) => {
        fn properties(&self) -> ::tower_jwt_session::store::StoreProperties {
            self.$inner.properties()
        }
    };
}

pub(crate) use delegate;
