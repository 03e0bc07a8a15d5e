//! The store in a directory: `sessionctl` beside live replicas. Its own tests need no server, and are the
//! package's.

use tower_jwt_session::store::FileStore;

#[test]
fn operator_handles_leaked_keys_under_load() {
    stores::block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let open = async || FileStore::open(&path).expect("opens");
        stores::operator::leaked_keys(open, format!("file:{}", path.display()), "").await;
    });
}

#[test]
fn operator_revokes_sessions_at_every_replica() {
    stores::block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let open = async || FileStore::open(&path).expect("opens");
        stores::revoking::revoked_sessions(open, format!("file:{}", path.display()), "").await;
    });
}
