//! The file store's change hint: what wakes a replica, within about a second, and what does not.
//!
//! Time is paused: a second of waiting costs none. The file system keeps its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tower_jwt_session::store::{FileStore, Store};

use crate::support::entries::{insert, name, redeem};

/// Far less than the 15 seconds after which replicas poll, and enough on a machine that is busy.
const SOON: Duration = Duration::from_secs(5);

/// Two handles to one directory.
fn two() -> (TempDir, PathBuf, FileStore, FileStore) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let keys = place.path().join("keys");
    let open = || FileStore::open(&keys).expect("opens");
    let (one, two) = (open(), open());
    (place, keys, one, two)
}

/// Waits until all that has changed was reported: a change is reported twice.
async fn settle(store: &FileStore) {
    std::thread::sleep(Duration::from_millis(20));
    while timeout(Duration::from_millis(2500), changed(store)).await.is_ok() {}
    // Longer than a step of the file system's time, for which a second of waiting stands.
    std::thread::sleep(Duration::from_millis(20));
}

async fn changed(store: &FileStore) {
    store.changed("ring").await.expect("looks");
}

async fn assert_wakes(store: &FileStore, what: &str) {
    let began = Instant::now();
    timeout(SOON, changed(store)).await.unwrap_or_else(|_| panic!("{what} wakes nobody"));
    assert!(began.elapsed() < Duration::from_secs(3), "{what} took {:?}", began.elapsed());
}

async fn assert_silent(store: &FileStore, what: &str) {
    let woken = timeout(Duration::from_millis(3500), changed(store)).await;
    woken.expect_err(what);
}

fn remake(directory: &Path) {
    fs::remove_dir_all(directory).expect("removes");
    fs::create_dir(directory).expect("makes a directory");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("sets a mode");
}

#[tokio::test(start_paused = true)]
async fn file_hint_of_changed_entries_wakes_replicas_in_a_second() {
    let (_place, keys, one, two) = two();
    assert_wakes(&two, "the first call").await;
    settle(&two).await;

    insert(&one, "ring", "a", b"1").await;
    assert_wakes(&two, "the first entry").await;
    settle(&two).await;

    insert(&one, "ring", "b", b"1").await;
    assert_wakes(&two, "an entry").await;
    settle(&two).await;

    one.remove("ring", &name("a")).await.expect("removes");
    assert_wakes(&two, "a removed entry").await;
    settle(&two).await;

    fs::remove_file(keys.join("ring/b.json")).expect("removes");
    assert_wakes(&two, "a file that somebody removed").await;
}

#[tokio::test(start_paused = true)]
async fn file_hint_a_directory_deleted_or_made_again_wakes_replicas() {
    let (_place, keys, one, two) = two();
    insert(&one, "ring", "a", b"1").await;
    settle(&two).await;

    fs::remove_dir_all(keys.join("ring")).expect("removes");
    assert_wakes(&two, "a ring that is gone").await;
    settle(&two).await;

    insert(&one, "ring", "a", b"1").await;
    settle(&two).await;
    remake(&keys.join("ring"));
    assert_wakes(&two, "a ring that was made again").await;
    settle(&two).await;

    insert(&one, "ring", "a", b"1").await;
    settle(&two).await;
    fs::remove_dir_all(&keys).expect("removes");
    assert_wakes(&two, "a store that is gone").await;
    settle(&two).await;

    fs::create_dir(&keys).expect("makes a directory");
    assert_wakes(&two, "a store that was made again").await;
}

/// A replica reads, and only then waits: what came between must not be missed.
#[tokio::test(start_paused = true)]
async fn file_hint_a_change_between_two_calls_is_seen() {
    let (_place, _keys, one, two) = two();
    // Before the first call.
    insert(&one, "ring", "a", b"1").await;
    two.load("ring").await.expect("loads");
    insert(&one, "ring", "b", b"1").await;
    assert_wakes(&two, "a change before the first call").await;
    settle(&two).await;

    insert(&one, "ring", "c", b"1").await;
    assert_wakes(&two, "a change while nobody waited").await;

    // Right behind a change that was reported, perhaps in the same step of the file system's time.
    insert(&one, "ring", "d", b"1").await;
    assert_wakes(&two, "a change at the heels of another").await;
    settle(&two).await;

    // A caller that waits in vain loses nothing by giving up.
    timeout(Duration::from_millis(20), changed(&two)).await.expect_err("nothing has changed");
    insert(&one, "ring", "e", b"1").await;
    assert_wakes(&two, "a change after a call was given up").await;
}

/// Else each read would cause the next, at all replicas.
#[tokio::test(start_paused = true)]
async fn file_hint_redemptions_temporary_files_and_reads_wake_nobody() {
    let (_place, keys, one, two) = two();
    insert(&one, "ring", "a", b"1").await;
    redeem(&one, "ring", "session", 0, 1).await;
    settle(&two).await;

    let busy = tokio::spawn({
        let (one, keys) = (one.clone(), keys.clone());
        async move {
            for sequence in 1.. {
                redeem(&one, "ring", "session", sequence, 1).await;
                redeem(&one, "ring", &format!("{sequence}-other"), 0, 1).await;
                // One that is too late writes a temporary file, too, if it is late by little.
                insert(&one, "ring", "a", b"2").await;
                one.load("ring").await.expect("loads");
                one.remove("ring", &name("missing")).await.expect("removes nothing");
                FileStore::open(&keys).expect("opens");
                insert(&one, "other", &format!("a-{sequence}"), b"1").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    assert_silent(&two, "no entry of the ring has changed").await;
    assert!(!busy.is_finished(), "all was done");
    busy.abort();
}

/// What an insert costs must not grow with the ring. It once listed the ring's directory, to sweep it.
#[tokio::test(start_paused = true)]
async fn file_insert_into_a_long_ring_lists_no_entries() {
    let (_place, keys, store, _) = two();
    insert(&store, "ring", "a", b"1").await;
    let ring = keys.join("ring");
    fs::write(ring.join(".tmp-1-0-0"), b"left").expect("writes");
    let old = std::time::SystemTime::now() - Duration::from_secs(48 * 3600);
    let file = fs::File::options().write(true).open(ring.join(".tmp-1-0-0")).expect("opens");
    file.set_modified(old).expect("sets a time");
    insert(&store, "ring", "b", b"1").await;
    assert!(ring.join(".tmp-1-0-0").exists(), "the ring's directory was listed for leftovers");
}
