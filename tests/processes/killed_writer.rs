//! A writer that is killed: at every byte of a file, and at any moment. Readers see what was there
//! before, or the whole entry, and the next writer succeeds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tower_jwt_session::KeyRing;
use tower_jwt_session::store::{Entry, FileStore, Insertion, Store};

use crate::support::entries::{content, entry, held, insert, name};

const DIRECTORY: &str = "TOWER_JWT_SESSION_TEST_KILLED_STORE";
const RING: &str = "app";

/// A writer of its own process: the test of that name, with what stands before the program.
fn writer(test: &str, directory: &Path, before: &[&str]) -> Child {
    let program = std::env::current_exe().expect("this program");
    let (_crate, module) = module_path!().split_once("::").expect("a module");
    let mut words = before.iter().map(Into::into).chain([program.into_os_string()]);
    Command::new(words.next().expect("a program"))
        .args(words)
        .args(["--ignored", "--exact", "--nocapture"])
        .arg(format!("{module}::{test}"))
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process starts (`prlimit` is in util-linux)")
}

/// The sizes of the temporary files, which are removed.
fn leftovers(ring: &Path) -> Vec<u64> {
    let files = fs::read_dir(ring.join(".tmp")).expect("lists").map(|file| file.expect("lists"));
    let left = files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b".tmp-"));
    let sizes = left.map(|file| {
        let size = file.metadata().expect("is there").len();
        fs::remove_file(file.path()).expect("removes");
        size
    });
    sizes.collect()
}

/// The operating system kills a process that writes beyond a limit. Each byte of the file is the
/// limit once.
#[tokio::test]
async fn writer_killed_at_any_byte_leaves_old_or_new() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let keys = place.path().join("keys");
    let store = FileStore::open(&keys).expect("opens");
    let ring = KeyRing::builder(RING).store(store.clone()).found_now().open().await.expect("opens");
    let before = content(&store, RING).await;
    let (_, key) = before.last_key_value().expect("the ring has keys");
    let key = key.clone();
    assert!(key.len() > 200, "a whole key");
    // What the writer writes under another name.
    fs::write(place.path().join("value"), &key).expect("writes");
    let directory = keys.join(RING);

    for bytes in 0..key.len() {
        let limit = format!("--fsize={bytes}:{bytes}");
        let mut writer = writer("one_entry", place.path(), &["prlimit", &limit]);
        let status = writer.wait().expect("ends");
        const SIGXFSZ: i32 = 25;
        assert_eq!(status.signal(), Some(SIGXFSZ), "at byte {bytes}: {status}");
        let loaded = store.load(RING).await.expect("loads");
        assert!(loaded.skipped.is_empty(), "at byte {bytes}: {:?}", loaded.skipped);
        assert_eq!(content(&store, RING).await, before, "at byte {bytes}");
        assert_eq!(leftovers(&directory), [bytes as u64], "at byte {bytes}");
    }
    let limit = format!("--fsize={}", key.len());
    let status = writer("one_entry", place.path(), &["prlimit", &limit]).wait().expect("ends");
    assert!(status.success(), "{status}");
    let mut after = before.clone();
    after.insert("copy".to_owned(), key);
    assert_eq!(content(&store, RING).await, after);
    assert_eq!(leftovers(&directory), [0; 0]);

    ring.refresh().await.expect("refreshes");
    assert_eq!(ring.status().keys.len(), 2);
}

#[tokio::test]
#[ignore = "run by `writer_killed_at_any_byte_leaves_old_or_new`, as a process of its own"]
async fn one_entry() {
    let Some(place) = std::env::var_os(DIRECTORY) else { return };
    let store = FileStore::open(Path::new(&place).join("keys")).expect("opens");
    let value = fs::read(Path::new(&place).join("value")).expect("reads");
    assert_eq!(insert(&store, RING, "copy", &value).await, Insertion::Inserted);
}

#[tokio::test]
async fn writer_killed_at_any_moment_leaves_whole_entries() {
    const KILLS: u64 = 60;
    let place = tempfile::tempdir().expect("a temporary directory");
    let store = FileStore::open(place.path().join("keys")).expect("opens");
    insert(&store, RING, "first", b"1").await;
    let (mut entries, mut torn) = (BTreeMap::from([held("first", b"1")]), 0);
    let mut round = 0;
    // When a kill meets a write is chance: so many rounds, and more until it has once.
    while round < KILLS || (torn == 0 && round < 50 * KILLS) {
        let mut writer = writer("ever_more_entries", place.path(), &[]);
        let output = writer.stdout.take().expect("an output");
        let mut lines = BufReader::new(output).lines();
        assert!(lines.any(|line| line.expect("a line") == "begun"));
        // Spread over a few writes.
        let end = Instant::now() + Duration::from_micros(round * 7919 % 6000);
        while Instant::now() < end {
            assert_whole(&store).await;
        }
        writer.kill().expect("kills");
        writer.wait().expect("ends");
        let now = assert_whole(&store).await;
        for (name, value) in &entries {
            assert_eq!(now.get(name), Some(value), "{name} was there before");
        }
        entries = now;
        torn += leftovers(&place.path().join("keys").join(RING)).len();
        round += 1;
    }
    assert!(entries.len() > 10, "the writers wrote {} entries", entries.len());
    assert!(torn > 0, "no writer was ever killed in the middle of a write");
}

/// Each entry of the writers is its own length, in one letter.
async fn assert_whole(store: &FileStore) -> BTreeMap<String, Vec<u8>> {
    let loaded = store.load(RING).await.expect("loads");
    assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
    for Entry { name, value, .. } in &loaded.entries {
        let length = name.as_str().rsplit('-').next().and_then(|length| length.parse().ok());
        let whole = length.is_none_or(|length: usize| **value == vec![b'x'; length]);
        assert!(whole, "{name} is torn: {} bytes", value.len());
    }
    loaded.entries.into_iter().map(|e| (e.name.to_string(), e.value.to_vec())).collect()
}

#[tokio::test]
#[ignore = "run by `writer_killed_at_any_moment_leaves_whole_entries`, as a process of its own"]
async fn ever_more_entries() {
    let Some(place) = std::env::var_os(DIRECTORY) else { return };
    let store = FileStore::open(Path::new(&place).join("keys")).expect("opens");
    println!("\nbegun");
    for number in 0.. {
        let length = 1 + number * 977 % Entry::MAX_BYTES;
        let entry =
            entry(&format!("w{}-{number}-{length}", std::process::id()), &vec![b'x'; length]);
        store.insert(RING, &entry).await.expect("inserts");
        // So that readers have little to read.
        if number % 8 != 0 {
            let name = name(entry.name.as_str());
            store.remove(RING, &name).await.expect("removes");
        }
    }
}
