//! States from which a ring has to find its way by itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{Algorithm, Clock as _, testing};

use crate::support::replicas::{PERIOD, REFRESH, Replica, SKEW, START, pass, policy, seconds};
use crate::support::stores::{Operation, TestStore};

struct Place {
    _directory: tempfile::TempDir,
    keys: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { keys: directory.path().join("keys"), _directory: directory }
    }

    async fn open(&self) -> Replica {
        Replica::open(FileStore::open(&self.keys).expect("opens"), START).await
    }

    fn entry(&self, end: &str) -> PathBuf {
        let files = fs::read_dir(self.keys.join("app")).expect("a ring");
        let mut paths = files.map(|file| file.expect("a file").path());
        let end = format!("{end}.json");
        paths.find(|path| path.to_string_lossy().ends_with(&end)).expect("an entry")
    }
}

/// Refreshes as often as it should, whatever fails, and says whether someone always signs.
async fn goes_on_signing(replica: &Replica) -> bool {
    for _ in 0..5 * PERIOD.as_secs() / REFRESH.as_secs() {
        replica.clock.advance(REFRESH);
        let _ = replica.ring.refresh().await;
        if replica.signs().is_none() {
            return false;
        }
    }
    true
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("sets the mode");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_may_read_stops_no_rotation() {
    let place = Place::new();
    let replica = place.open().await;
    set_mode(&place.entry("-0000000001"), 0o644);
    assert!(goes_on_signing(&replica).await, "{:?}", replica.ring.status().failure);
}

#[tokio::test]
async fn a_directory_in_the_place_of_a_generation_stops_no_rotation() {
    let place = Place::new();
    let replica = place.open().await;
    let third = place.entry("-0000000001").to_string_lossy().replace("0001.json", "0002.json");
    fs::create_dir(third).expect("makes a directory");
    assert!(goes_on_signing(&replica).await, "{:?}", replica.ring.status().failure);
}

/// A store that takes no entry back may still take new ones, and the other way round.
#[tokio::test]
async fn a_failure_to_remove_what_has_ended_stops_no_restart() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.fail(&[Operation::Remove]);
    for _ in 0..2 * PERIOD.as_secs() / REFRESH.as_secs() {
        replica.clock.advance(REFRESH);
        let _ = replica.ring.refresh().await;
    }
    let restarted = Replica::try_open(store.clone(), policy(), replica.clock.now()).await;
    let restarted = restarted.map_err(|error| error.to_string()).map(|replica| replica.signs());
    assert_eq!(restarted, Ok(replica.signs()));
}

#[tokio::test]
async fn a_store_that_can_only_be_read_stops_no_restart() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let due = replica.times(1).signs_from - seconds(500);
    drop(replica);
    store.fail(&[Operation::Insert, Operation::Remove]);
    let restarted = Replica::try_open(store.clone(), policy(), due).await;
    let restarted = restarted.map_err(|error| error.to_string()).map(|replica| replica.signs());
    assert_eq!(restarted, Ok(Some(0)));
}

#[tokio::test]
async fn rotate_now_beside_newer_version_makes_no_key() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    let names = store.names().await;
    let name = names.iter().find(|name| name.ends_with("-0000000001")).expect("a key");
    let newer = name.replace("-0000000001", "-0000000009");
    store.put(&newer, json!({"version": 3, "entry": {}}).to_string().as_bytes()).await;
    let _ = replica.ring.rotate_now().await;
    replica.ring.revoke(&replica.key(1).key_id).await.expect("revokes");
    let keys = store.names().await.into_iter().filter(|name| name.starts_with("key-"));
    assert_eq!(keys.count(), 3);
}

/// A newer version may have kinds of entries that this one has no name for.
#[tokio::test]
async fn unknown_entry_of_newer_version_makes_replica_unready() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.put("policy", json!({"version": 3, "entry": {}}).to_string().as_bytes()).await;
    replica.refresh().await;
    replica.ring.ready().expect_err("does not know what it means");
}

#[tokio::test]
async fn an_entry_of_version_zero_is_damage_and_not_the_future() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    store.put("retire-x", json!({"version": 0, "entry": {}}).to_string().as_bytes()).await;
    replica.refresh().await;
    assert_eq!(replica.ring.ready(), Ok(()));
}

#[test]
fn every_fixed_key_is_a_good_key() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS512};
    for algorithm in [EdDSA, HS256, HS384, HS512, ES256, ES384, RS256, RS512, PS256, PS384, PS512] {
        let key = testing::fixed_key(algorithm);
        assert_eq!((key.algorithm(), key.can_sign()), (algorithm, true));
    }
}

#[tokio::test]
async fn lasting_failure_to_restore_one_entry_stops_no_other() {
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    pass(&[&replica], SKEW).await;
    store.purge().await;
    // The birth is restored first; the writes after it fail.
    store.fail_after_inserts(1);
    replica.ring.refresh().await.expect_err("the store fails again");
    let due = replica.times(1).signs_from - seconds(500);
    assert_eq!(replica.signs_at(due), Some(0));
    store.up();
    replica.refresh().await;
    assert_eq!(store.names().await.len(), 1 + replica.generations().len());
}
