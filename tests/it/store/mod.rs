//! Stores: one contract for all of them, and what the file store has beside it.
//!
//! A further store joins with one line: `contract!(name, function)`.

#[cfg(unix)]
mod file_feed;
#[cfg(unix)]
mod file_feed_races;
#[cfg(unix)]
mod hint;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_jwt_session::store::{
    Entry, EntryName, FileStore, Insertion, MemoryStore, RefreshTokenStore, Store,
};
use tower_jwt_session::testing::store_contract::revocation_store;

use crate::support::entries::{content, entry, held, insert, last, name, redeem, redemption};

async fn memory() -> impl AsyncFn() -> MemoryStore {
    let store = MemoryStore::new();
    async move || store.clone()
}

async fn file() -> impl AsyncFn() -> FileStore {
    let place = tempfile::tempdir().expect("a temporary directory");
    async move || FileStore::open(place.path().join("keys")).expect("opens")
}

macro_rules! contract {
    ($store:ident, $empty_store:ident) => {
        mod $store {
            use tower_jwt_session::testing::store_contract;

            store_contract::store_tests!(super::$empty_store);
            store_contract::refresh_token_store_tests!(super::$empty_store);
            store_contract::revocation_store_tests!(super::$empty_store);

            #[tokio::test]
            async fn a_cursor_of_another_store_is_a_gap() {
                let (one, other) = (super::$empty_store().await, super::$empty_store().await);
                store_contract::revocation_store::a_cursor_of_another_store_is_a_gap(one, other)
                    .await;
            }

            #[tokio::test]
            async fn redemptions_and_entries_do_not_see_each_other() {
                let open = super::$empty_store().await;
                let store = open().await;
                crate::support::entries::redemptions_and_entries_do_not_see_each_other(&store)
                    .await;
            }
        }
    };
}

contract!(memory_store, memory);
contract!(file_store, file);

#[tokio::test]
async fn file_hints_of_a_feed_are_at_most_about_two_a_second() {
    let open = file().await;
    revocation_store::hints_are_at_most_about_two_a_second(open).await;
}

#[test]
fn an_entry_name_is_safe_in_a_path() {
    let too_long = "n".repeat(129);
    for refused in ["", ".", "..", ".a", "a.b", "a/b", "a\\b", "a b", "a\0", "é", &too_long] {
        assert_eq!(EntryName::parse(refused), None, "{refused:?}");
    }
    assert_eq!(name("a-Z_9").as_str(), "a-Z_9");
}

#[test]
fn an_entry_does_not_print_its_value() {
    let printed = format!("{:?}", entry("name", b"secret"));
    assert!(printed.contains("name"));
    assert!(!printed.contains("secret") && !printed.contains("115"));
}

#[tokio::test]
async fn memory_drops_redemptions_that_have_expired() {
    let store = MemoryStore::new();
    let hour = 3_600_000;
    for session in 0..1000 {
        redeem(&store, "ring", &format!("s-{session}"), 5, 0).await;
    }
    redeem(&store, "ring", "stays", 7, hour).await;
    // As many again, when those have expired: somewhere between they are dropped.
    for session in 0..1100 {
        redeem(&store, "ring", &format!("t-{session}"), 5, hour).await;
    }
    assert_eq!(redeem(&store, "ring", "s-0", 1, hour).await, last(1, hour));
    assert_eq!(redeem(&store, "ring", "stays", 1, hour + 1).await, last(7, hour));
    assert_eq!(redeem(&store, "ring", "t-0", 1, hour + 1).await, last(5, hour));
}

#[tokio::test]
async fn stores_without_a_clock_return_no_store_time() {
    let (memory, file) = (memory().await, file().await);
    for store in [&memory().await as &dyn Store, &file().await] {
        insert(store, "ring", "a", b"1").await;
        assert_eq!(store.load("ring").await.expect("loads").store_time, None);
    }
}

/// Tests of the file store beside the contract.
#[cfg(unix)]
mod file_store_only {
    use std::error::Error as _;
    use std::ffi::OsStr;
    use std::fs::{self, File, Permissions};
    use std::io::{self, BufRead, Write};
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;
    use tower_jwt_session::store::{Skipped, StoreError};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A directory that is already there, with one entry, `a`, in one ring.
    async fn with_entry() -> (TempDir, FileStore) {
        let place = private_place();
        let store = FileStore::open(place.path()).expect("opens");
        insert(&store, "ring", "a", b"1").await;
        (place, store)
    }

    fn private_place() -> TempDir {
        let place = tempfile::tempdir().expect("a temporary directory");
        set_mode(place.path(), 0o700);
        place
    }

    fn write(path: &Path, mode: u32, value: &[u8]) {
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(mode).open(path);
        let mut file = file.expect("creates a file");
        file.write_all(value).expect("writes a file");
        set_mode(path, mode);
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("sets a mode");
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    fn files(directory: &Path) -> Vec<String> {
        let listing = fs::read_dir(directory).expect("lists");
        let name = |item: io::Result<fs::DirEntry>| item.map(|item| item.file_name());
        let names = listing.map(|item| name(item).expect("lists"));
        let mut names: Vec<_> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn of_redemptions_the_last_two_are_kept_until_they_expire() {
        let (place, store) = with_entry().await;
        let shelf = place.path().join("ring/.redeemed/se");
        for sequence in 0..10 {
            redeem(&store, "ring", "session", sequence, 1).await;
        }
        assert_eq!(files(&shelf), ["session.8", "session.9"]);
        // One that is used again leaves nothing behind.
        assert_eq!(redeem(&store, "ring", "session", 3, 2).await, last(9, 1));
        assert_eq!(files(&shelf), ["session.8", "session.9"]);
        assert_eq!(mode(&shelf.join("session.9")), 0o600);
        assert_eq!(mode(&shelf), 0o700);

        redeem(&store, "ring", "seldom", 0, 3_600_000).await;
        assert_eq!(files(&shelf), ["seldom.0", "session.8", "session.9"], "just not expired");
        redeem(&store, "ring", "sells", 0, 3_600_002).await;
        assert_eq!(files(&shelf), ["seldom.0", "sells.0"]);
        assert_eq!(skipped(&store).await, []);
    }

    #[tokio::test]
    async fn file_that_is_no_redemption_is_refused_or_ignored() {
        let (place, store) = with_entry().await;
        redeem(&store, "ring", "session", 4, 1).await;
        let shelf = place.path().join("ring/.redeemed/se");
        for unrelated in ["se", "se.x", "se.99999999999", ".hidden", "session.4.bak"] {
            write(&shelf.join(unrelated), 0o600, b"1 2");
        }
        assert_eq!(redeem(&store, "ring", "session", 2, 2).await, last(4, 1));
        for (mode, value) in [(0o600, &b"1"[..]), (0o600, b"a b"), (0o600, b""), (0o644, b"1 2")] {
            let path = shelf.join("session.5");
            write(&path, mode, value);
            let refused = store.redeem("ring", &redemption("session", 4, 2)).await;
            let refused = refused.expect_err("it is unknown which was last").to_string();
            assert!(refused.contains("session.5"), "{refused}");
            fs::remove_file(path).expect("removes");
        }
        assert_eq!(redeem(&store, "ring", "session", 4, 2).await, last(4, 1));
    }

    /// Asserts that nothing but the skipped hides: `a` is still served.
    async fn skipped(store: &FileStore) -> Vec<Skipped> {
        let loaded = store.load("ring").await.expect("loads");
        let names: Vec<_> = loaded.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        loaded.skipped
    }

    #[track_caller]
    fn assert_says(error: &StoreError, parts: &[&dyn AsRef<OsStr>]) {
        let text = error.to_string();
        for part in parts {
            let part = part.as_ref().to_str().expect("text");
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    /// Something that is no entry has the place of entry `b`, and keeps it.
    async fn assert_taken(store: &FileStore, parts: &[&dyn AsRef<OsStr>]) {
        match store.insert("ring", &entry("b", b"2")).await {
            Ok(Insertion::Unreadable(reason)) => assert_says(&StoreError::new(reason), parts),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn io_kind(error: &StoreError) -> io::ErrorKind {
        let source = error.source().expect("has a cause");
        let source = source.downcast_ref::<io::Error>();
        source.expect("caused by input or output").kind()
    }

    async fn errors(store: &FileStore) -> [StoreError; 3] {
        let name = name("a");
        [
            store.load("ring").await.expect_err("can't load"),
            store.insert("ring", &entry("a", b"2")).await.expect_err("can't insert"),
            store.remove("ring", &name).await.expect_err("can't remove"),
        ]
    }

    #[tokio::test]
    async fn all_that_is_made_is_private() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let keys = place.path().join("keys");
        let store = FileStore::open(&keys).expect("opens");
        insert(&store, "ring", "a", b"1").await;
        assert_eq!(mode(&keys), 0o700);
        assert_eq!(mode(&keys.join("ring")), 0o700);
        assert_eq!(mode(&keys.join("ring/a.json")), 0o600);
        // And nothing else is left.
        assert_eq!(files(&keys), ["ring"]);
        assert_eq!(files(&keys.join("ring")), [".tmp", "a.json"]);
        assert_eq!(files(&keys.join("ring/.tmp")), [""; 0]);
        assert_eq!(mode(&keys.join("ring/.tmp")), 0o700);
    }

    #[tokio::test]
    async fn group_access_works_only_where_allowed() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let keys = place.path().join("keys");
        let open = || FileStore::builder(&keys).allow_group().open();
        let store = open().expect("opens");
        insert(&store, "ring", "a", b"1").await;
        assert_eq!(mode(&keys), 0o770);
        assert_eq!(mode(&keys.join("ring")), 0o770);
        assert_eq!(mode(&keys.join("ring/a.json")), 0o640);
        let store = open().expect("opens again");
        assert_eq!(skipped(&store).await, []);

        set_mode(&keys.join("ring/a.json"), 0o660);
        assert_eq!(skipped(&store).await, []);

        let refused = FileStore::open(&keys).expect_err("the group was not allowed");
        assert_says(&refused, &[&keys, &"its group"]);
        set_mode(&keys, 0o771);
        let refused = open().expect_err("others were never allowed");
        assert_says(&refused, &[&keys, &"0771", &"others", &"`chmod 770 "]);
    }

    #[tokio::test]
    async fn a_directory_that_lets_others_in_is_refused() {
        let (place, store) = with_entry().await;
        for (refused, fixed) in [(0o755, "700"), (0o701, "700"), (0o750, "700")] {
            set_mode(place.path(), refused);
            let mode = format!("0{refused:o}");
            let help = format!("`chmod {fixed} {}`", place.path().display());
            let error = FileStore::open(place.path()).expect_err("is refused");
            assert_says(&error, &[&place.path(), &mode, &help]);
            // One that was opened before is not used any more.
            for error in errors(&store).await {
                assert_says(&error, &[&place.path(), &mode, &help]);
            }
        }
        set_mode(place.path(), 0o700);
        let ring = place.path().join("ring");
        set_mode(&ring, 0o755);
        for error in errors(&store).await {
            assert_says(&error, &[&ring, &"0755"]);
        }
        set_mode(&ring, 0o700);
        assert_eq!(skipped(&store).await, []);
    }

    #[tokio::test]
    async fn path_that_is_no_directory_is_refused() {
        let (place, _store) = with_entry().await;
        let file = place.path().join("ring/a.json");
        let error = FileStore::open(&file).expect_err("is a file");
        assert_says(&error, &[&file, &"is not a directory: move that file away"]);

        let below = file.join("keys");
        let error = FileStore::open(&below).expect_err("is below a file");
        assert_says(&error, &[&below]);
        assert_eq!(io_kind(&error), io::ErrorKind::NotADirectory);

        let orphan = place.path().join("volume/keys");
        let error = FileStore::open(&orphan).expect_err("has no parent");
        let fix = format!("`mkdir -p {}`", place.path().join("volume").display());
        assert_says(&error, &[&orphan, &"its parent is missing: mount its volume", &fix]);
        assert_eq!(io_kind(&error), io::ErrorKind::NotFound);
        assert!(!place.path().join("volume").exists());

        let link = place.path().join("link");
        symlink(place.path().join("ring"), &link).expect("links");
        for link in [link.clone(), link.join("")] {
            let error = FileStore::open(link).expect_err("is a symbolic link");
            assert_says(&error, &[&place.path().join("link"), &"symbolic link"]);
        }

        FileStore::open("").expect_err("is no path");
    }

    #[tokio::test]
    async fn a_store_that_is_gone_is_not_empty() {
        let (place, store) = with_entry().await;
        let ring = place.path().join("ring");
        fs::remove_dir_all(&ring).expect("removes");
        assert_eq!(content(&store, "ring").await, BTreeMap::new());

        write(&ring, 0o600, b"");
        for error in errors(&store).await {
            assert_says(&error, &[&ring, &"is not a directory"]);
        }
        fs::remove_file(&ring).expect("removes");
        symlink(place.path(), &ring).expect("links");
        for error in errors(&store).await {
            assert_says(&error, &[&ring, &"symbolic link"]);
        }

        fs::remove_dir_all(place.path()).expect("removes");
        let command = format!("`mkdir -m 700 {}`", place.path().display());
        for error in errors(&store).await {
            assert_says(&error, &[&place.path(), &command, &"may not be mounted"]);
            assert_eq!(io_kind(&error), io::ErrorKind::NotFound);
        }
        assert!(!place.path().exists(), "it is not made again by itself");
        // The command heals it.
        let status = Command::new("mkdir").args(["-m", "700"]).arg(place.path()).status();
        assert!(status.expect("runs").success());
        assert_eq!(insert(&store, "ring", "a", b"1").await, Insertion::Inserted);
        assert_eq!(content(&store, "ring").await, BTreeMap::from([held("a", b"1")]));
    }

    /// It may be an entry of a replica that runs as another user: the ring is not whole without.
    #[tokio::test]
    async fn an_entry_that_can_not_be_opened_is_an_error() {
        let (place, store) = with_entry().await;
        let path = place.path().join("ring/a.json");
        set_mode(&path, 0o000);
        if File::open(&path).is_ok() {
            return; // The superuser opens all.
        }
        let load = store.load("ring").await.expect_err("can't load");
        let insert = store.insert("ring", &entry("a", b"2")).await;
        for error in [load, insert.expect_err("can't insert")] {
            assert_says(&error, &[&path]);
            assert_eq!(io_kind(&error), io::ErrorKind::PermissionDenied);
        }
    }

    #[tokio::test]
    async fn a_ring_never_leaves_the_directory() {
        let (place, store) = with_entry().await;
        let keys = place.path().join("keys");
        let inner = FileStore::open(&keys).expect("opens");
        let too_long = "r".repeat(65);
        for ring in ["", ".", "..", "../ring", "/", ".hidden", "a/b", "a\\b", "a\0", &too_long] {
            inner.load(ring).await.expect_err(ring);
            let entry = entry("b", b"2");
            inner.insert(ring, &entry).await.expect_err(ring);
            inner.remove(ring, &name("a")).await.expect_err(ring);
        }
        assert_eq!(files(&keys), [""; 0]);
        assert_eq!(skipped(&store).await, []);
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_is_not_served() {
        let (place, store) = with_entry().await;
        for refused in [0o644, 0o640, 0o604, 0o620] {
            let path = place.path().join("ring/b.json");
            write(&path, refused, b"secret");
            let [only] = &skipped(&store).await[..] else {
                panic!("one file is skipped");
            };
            assert_eq!(only.name, path.display().to_string());
            let help = format!("`chmod 600 {}`", path.display());
            assert!(only.reason.contains(&help), "{}", only.reason);
            assert!(only.reason.contains(&format!("0{refused:o}")));

            assert_taken(&store, &[&path, &help]).await;
            fs::remove_file(&path).expect("removes");
        }
    }

    #[tokio::test]
    async fn symbolic_links_are_not_followed() {
        let (place, store) = with_entry().await;
        let secret = place.path().join("secret");
        write(&secret, 0o600, b"secret");
        let target = |to: &Path| {
            let path = place.path().join("ring/b.json");
            symlink(to, &path).expect("links");
            path
        };
        for to in [&secret, &place.path().join("missing"), &place.path().into()] {
            let path = target(to);
            let expected = Skipped::new(path.display().to_string(), "is not a regular file");
            assert_eq!(skipped(&store).await, [expected]);
            assert_taken(&store, &[&path]).await;
            store.remove("ring", &name("b")).await.expect("removes");
            assert_eq!(skipped(&store).await, []);
        }
        assert_eq!(fs::read(&secret).expect("is untouched"), b"secret");
    }

    /// A link that takes a file's place just after it was looked at is not followed either.
    #[tokio::test]
    async fn a_link_may_be_swapped_in_while_a_file_is_read() {
        let (place, store) = with_entry().await;
        let secret = place.path().join("secret");
        write(&secret, 0o600, b"secret");
        let done = Arc::new(AtomicUsize::new(0));
        let swapping = {
            let (done, place) = (Arc::clone(&done), place.path().to_owned());
            std::thread::spawn(move || {
                let (next, entry) = (place.join("next"), place.join("ring/b.json"));
                while done.load(Ordering::SeqCst) == 0 {
                    symlink(&secret, &next).expect("links");
                    fs::rename(&next, &entry).expect("swaps");
                    write(&next, 0o600, b"2");
                    fs::rename(&next, &entry).expect("swaps");
                }
            })
        };
        for _ in 0..2000 {
            let loaded = store.load("ring").await.expect("loads");
            for entry in loaded.entries {
                assert_ne!(*entry.value, *b"secret");
            }
        }
        done.store(1, Ordering::SeqCst);
        swapping.join().expect("ends");
    }

    #[tokio::test]
    async fn file_that_is_no_entry_is_reported_and_hides_nothing() {
        let (place, store) = with_entry().await;
        let ring = place.path().join("ring");
        let unrelated = ["README", "b", "b.json.bak", "b.c.json", "b c.json", "é.json"];
        for file in unrelated {
            write(&ring.join(file), 0o600, b"2");
        }
        let long = vec![b'x'; Entry::MAX_BYTES + 1];
        write(&ring.join("long.json"), 0o600, &long);
        fs::create_dir(ring.join("directory.json")).expect("makes a directory");
        let pipe = Command::new("mkfifo").arg(ring.join("pipe.json")).status();
        assert!(pipe.expect("makes a pipe").success());
        // What file systems keep for themselves is passed over in silence.
        write(&ring.join(".nfs0001"), 0o644, b"2");
        fs::create_dir(ring.join(".snapshot")).expect("makes a directory");

        let skipped = skipped(&store).await;
        let mut names: Vec<_> = skipped.iter().map(|s| PathBuf::from(&s.name)).collect();
        names.sort();
        let unfit = ["long.json", "directory.json", "pipe.json"];
        let expected = unrelated.iter().chain(&unfit).map(|file| ring.join(file));
        let mut expected: Vec<_> = expected.collect();
        expected.sort();
        assert_eq!(names, expected);
        let long = skipped.iter().find(|s| s.name.ends_with("long.json"));
        assert!(long.is_some_and(|s| s.reason.contains("65537 bytes")));
    }

    #[tokio::test]
    async fn a_store_outlives_its_process() {
        let (place, store) = with_entry().await;
        drop(store);
        let store = FileStore::builder(place.path())
            .attribute_cache(Duration::from_secs(60))
            .open()
            .expect("opens again");
        assert_eq!(store.properties().staleness, Duration::from_secs(60));
        let expected = BTreeMap::from([held("a", b"1")]);
        assert_eq!(content(&store, "ring").await, expected);
    }

    /// The leftovers of a writer that died after each of an insert's steps.
    #[tokio::test]
    async fn a_writer_may_die_at_any_step() {
        let (place, store) = with_entry().await;
        let ring = place.path().join("ring");
        let temporary = ring.join(".tmp/.tmp-4711-0-1");
        let linked = ring.join("b.json");

        for written in [&b""[..], b"ha", b"half"] {
            write(&temporary, 0o600, written);
            assert_eq!(skipped(&store).await, []);
            assert_eq!(insert(&store, "ring", "b", b"2").await, Insertion::Inserted);
            assert_eq!(files(&ring), [".tmp", "a.json", "b.json"]);
            assert_eq!(files(&ring.join(".tmp")), [".tmp-4711-0-1"]);
            fs::remove_file(&linked).expect("removes");
            fs::remove_file(&temporary).expect("removes");
        }

        write(&temporary, 0o600, b"whole");
        fs::hard_link(&temporary, &linked).expect("links");
        let expected = BTreeMap::from([held("a", b"1"), held("b", b"whole")]);
        assert_eq!(content(&store, "ring").await, expected);
        let lost = insert(&store, "ring", "b", b"2").await;
        assert_eq!(lost, Insertion::Exists(b"whole".to_vec().into()));

        let mut private = fs::DirBuilder::new();
        let made = private.mode(0o700).create(place.path().join("new"));
        made.expect("makes a directory");
        assert_eq!(content(&store, "new").await, BTreeMap::new());
        assert_eq!(insert(&store, "new", "a", b"1").await, Insertion::Inserted);
    }

    #[tokio::test]
    async fn what_dead_writers_left_is_swept() {
        let (place, store) = with_entry().await;
        let ring = place.path().join("ring");
        let leave = |directory: &Path, file: &str, age: Duration| {
            let path = directory.join(file);
            write(&path, 0o600, b"left");
            let file = File::options().write(true).open(path).expect("opens");
            let then = SystemTime::now() - age;
            file.set_modified(then).expect("sets a time");
        };
        let aside = ring.join(".tmp");
        for directory in [place.path(), &aside] {
            leave(directory, ".tmp-1-0-0", DAY);
            leave(directory, ".tmp-1-0-1", Duration::from_secs(60));
            leave(directory, ".other", DAY);
        }
        insert(&store, "ring", "b", b"2").await;
        assert_eq!(files(&aside), [".other", ".tmp-1-0-1"]);
        let all = [".other", ".tmp-1-0-0", ".tmp-1-0-1", "ring"];
        assert_eq!(files(place.path()), all);

        leave(&aside, ".tmp-1-0-0", DAY);
        redeem(&store, "ring", "session", 0, 1).await;
        assert_eq!(files(&aside), [".other", ".tmp-1-0-1"]);

        leave(&aside, ".tmp-1-0-0", DAY);
        FileStore::open(place.path()).expect("opens");
        assert_eq!(files(&aside), [".other", ".tmp-1-0-1"]);
        assert_eq!(files(place.path()), [".other", ".tmp-1-0-1", "ring"]);
    }

    /// A file that is listed and then removed is neither an entry nor an error.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn entries_may_go_while_they_are_read() {
        let (_place, store) = with_entry().await;
        let remover = store.clone();
        let removing = tokio::spawn(async move {
            for round in 0..100 {
                for number in 0..4 {
                    insert(&remover, "ring", &format!("b-{number}"), b"2").await;
                }
                for number in 0..4 {
                    let name = name(&format!("b-{number}"));
                    let removed = remover.remove("ring", &name).await;
                    removed.unwrap_or_else(|error| panic!("round {round}: {error}"));
                }
            }
        });
        while !removing.is_finished() {
            assert!(content(&store, "ring").await.contains_key("a"));
        }
        removing.await.expect("ends");
    }

    const ROUNDS: usize = 100;
    const DIRECTORY: &str = "TOWER_JWT_SESSION_TEST_STORE";

    #[test]
    fn processes_race_as_tasks_do() {
        let place = private_place();
        let racer = || {
            let (_crate, module) = module_path!().split_once("::").expect("a module");
            Command::new(std::env::current_exe().expect("this program"))
                .args(["--ignored", "--exact", "--nocapture"])
                .arg(format!("{module}::racing_process"))
                .env(DIRECTORY, place.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a process starts")
        };
        let mut racers = [racer(), racer(), racer()];
        for racer in &mut racers {
            let mut start = racer.stdin.take().expect("an input");
            writeln!(start, "go").expect("starts the race");
        }
        let mut winners = BTreeMap::new();
        let mut losses = Vec::new();
        for racer in racers {
            let output = racer.wait_with_output().expect("a process ends");
            assert!(output.status.success());
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                match *line.split(' ').collect::<Vec<_>>() {
                    ["won", round, value] => {
                        let other = winners.insert(round.to_owned(), value.to_owned());
                        assert_eq!(other, None, "two winners in {round}");
                    }
                    ["lost", round, value] => losses.push((round.to_owned(), value.to_owned())),
                    _ => {}
                }
            }
        }
        assert_eq!((winners.len(), losses.len()), (ROUNDS, 2 * ROUNDS));
        for (round, value) in losses {
            assert_eq!(winners.get(&round), Some(&value), "{round}");
        }
    }

    #[tokio::test]
    #[ignore = "run by `processes_race_as_tasks_do`, as a process of its own"]
    async fn racing_process() {
        let Some(directory) = std::env::var_os(DIRECTORY) else {
            return;
        };
        let store = FileStore::open(directory).expect("opens");
        let own = format!("process-{}", std::process::id());
        let mut start = String::new();
        let read = io::stdin().lock().read_line(&mut start);
        assert!(read.is_ok_and(|length| length > 0));
        println!();
        for round in 0..ROUNDS {
            let round = format!("g-{round}");
            match insert(&store, "ring", &round, own.as_bytes()).await {
                Insertion::Inserted => println!("won {round} {own}"),
                Insertion::Exists(value) => {
                    println!("lost {round} {}", String::from_utf8_lossy(&value));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
