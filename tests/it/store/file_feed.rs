//! The file store's feed of revocations: what its files survive, and what they do not hide.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Advance, Cursor, FeedPage, FeedRead, FileStore, Register, RegisterId, RevocationStore as _,
    RevokedSession, Store as _,
};

const FEED: &str = "app";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Two subjects whose registers are in the same file.
const ALICE: RegisterId = RegisterId::Subject([1; 16]);
const BOB: RegisterId = RegisterId::Subject([2; 16]);

fn place() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let keys = place.path().join("keys");
    (place, keys)
}

fn open(keys: &Path) -> FileStore {
    FileStore::open(keys).expect("opens")
}

fn session(number: u64) -> RevokedSession {
    session_until(number, NOW + DAY)
}

fn session_until(number: u64, until: Timestamp) -> RevokedSession {
    RevokedSession::new(u128::from(number).to_be_bytes(), until)
}

async fn append(store: &FileStore, number: u64) {
    store.append(FEED, &[session(number)], NOW).await.expect("appends");
}

async fn advance(store: &FileStore, id: RegisterId) -> Register {
    let advance = Advance::new(id, 0, NOW, NOW + DAY, NOW);
    store.advance(FEED, &advance).await.expect("advances")
}

/// All that follows a cursor, in as many pages as it takes; `None` for a gap.
async fn read(store: &FileStore, mut cursor: Option<Cursor>) -> Option<FeedPage> {
    let mut all: Option<FeedPage> = None;
    loop {
        let page = match store.read_feed(FEED, cursor.as_ref()).await.expect("reads") {
            FeedRead::Page(page) => page,
            _ => return None,
        };
        cursor = Some(page.cursor.clone());
        let has_more = page.has_more;
        match &mut all {
            Some(all) => {
                all.sessions.extend(page.sessions);
                all.registers.extend(page.registers);
                all.skipped.extend(page.skipped);
                all.cursor = page.cursor;
            }
            None => all = Some(page),
        }
        if !has_more {
            return all;
        }
    }
}

async fn page(store: &FileStore, cursor: &Cursor) -> FeedPage {
    read(store, Some(cursor.clone())).await.expect("no gap")
}

async fn whole(store: &FileStore) -> FeedPage {
    read(store, None).await.expect("no gap without a cursor")
}

fn numbers(page: &FeedPage) -> BTreeSet<u64> {
    let number = |session: &RevokedSession| u128::from_be_bytes(session.digest) as u64;
    page.sessions.iter().map(number).collect()
}

fn feed(keys: &Path) -> PathBuf {
    keys.join(FEED).join(".revocations")
}

/// The files of frames, by the start of their names if it is given.
fn logs(keys: &Path, start: &str) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    for partition in fs::read_dir(feed(keys)).expect("lists").flatten() {
        for file in fs::read_dir(partition.path()).into_iter().flatten().flatten() {
            let is_registers = file.file_name().to_string_lossy().starts_with("registers-");
            if is_registers == (start == "registers") {
                logs.push(file.path());
            }
        }
    }
    logs
}

fn only(files: Vec<PathBuf>) -> PathBuf {
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("one")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("makes a directory");
    fs::set_permissions(to, Permissions::from_mode(0o700)).expect("sets a mode");
    for item in fs::read_dir(from).expect("lists").flatten() {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).expect("copies");
        }
    }
}

/// Puts the copy where the directory is.
fn replace(keys: &Path, by: &Path) {
    fs::remove_dir_all(keys).expect("removes");
    copy(by, keys);
}

#[tokio::test]
async fn file_feed_append_is_read_by_others_and_outlives_its_writer() {
    let (_place, keys) = place();
    let (one, two) = (open(&keys), open(&keys));
    let empty = whole(&two).await;
    assert!(empty.is_empty());
    append(&one, 1).await;
    let first = page(&two, &empty.cursor).await;
    assert_eq!(numbers(&first), [1].into());
    let raised = advance(&one, ALICE).await;
    drop(one);
    let second = page(&two, &first.cursor).await;
    assert_eq!((numbers(&second), &second.registers), ([].into(), &vec![(ALICE, raised)]));
    assert!(page(&two, &second.cursor).await.is_empty());

    let three = open(&keys);
    append(&three, 2).await;
    assert_eq!(numbers(&page(&two, &second.cursor).await), [2].into());
    assert_eq!(numbers(&whole(&two).await), [1, 2].into());
    assert_eq!(
        two.registers(FEED, &[RegisterId::All, ALICE]).await.expect("reads"),
        [None, Some(raised)]
    );
}

#[tokio::test]
async fn file_feed_whole_read_comes_in_pages_of_a_megabyte() {
    let (_place, keys) = place();
    let store = open(&keys);
    let sessions: Vec<_> = (0..100_000).map(session).collect();
    store.append(FEED, &sessions, NOW).await.expect("appends");
    let mut read = BTreeSet::new();
    let (mut cursor, mut pages) = (None, 0);
    loop {
        let FeedRead::Page(page) = store.read_feed(FEED, cursor.as_ref()).await.expect("reads")
        else {
            panic!("a gap")
        };
        assert!(page.sessions.len() * 26 <= 2 << 20 && page.skipped.is_empty());
        read.extend(numbers(&page));
        pages += 1;
        cursor = Some(page.cursor);
        if !page.has_more {
            break;
        }
    }
    assert_eq!((read.len(), pages), (100_000, 3));
}

/// A writer that is killed leaves any number of the last frame's bytes.
#[tokio::test]
async fn file_feed_incomplete_session_hides_no_other() {
    let (_place, keys) = place();
    let store = open(&keys);
    append(&store, 1).await;
    let segment = only(logs(&keys, ""));
    let start = fs::metadata(&segment).expect("exists").len();
    append(&store, 2).await;
    drop(store);
    let bytes = fs::read(&segment).expect("reads");
    for length in (start as usize..bytes.len()).rev() {
        let reader = open(&keys);
        fs::write(&segment, &bytes[..start as usize]).expect("writes");
        let before = whole(&reader).await.cursor;
        fs::write(&segment, &bytes[..length]).expect("writes");
        let read = page(&reader, &before).await;
        assert!(read.is_empty() && read.skipped.is_empty(), "{length}: {read:?}");
        let again = page(&reader, &read.cursor).await;
        assert_eq!(again.skipped.len(), usize::from(length > start as usize), "{length}");
        let thrice = page(&reader, &again.cursor).await;
        assert_eq!(thrice.skipped, [], "{length}: it is reported once");

        let writer = open(&keys);
        append(&writer, 1000 + length as u64).await;
        assert_eq!(numbers(&page(&reader, &thrice.cursor).await), [1000 + length as u64].into());
    }
    // The rest arrives late, over a network.
    let reader = open(&keys);
    fs::write(&segment, &bytes[..start as usize + 1]).expect("writes");
    let cursor = whole(&reader).await.cursor;
    fs::write(&segment, &bytes).expect("writes");
    assert_eq!(numbers(&page(&reader, &cursor).await), [2].into());
}

#[tokio::test]
async fn file_feed_incomplete_register_is_cut_off_by_the_next_advance() {
    let (_place, keys) = place();
    let store = open(&keys);
    let first = advance(&store, ALICE).await;
    let log = only(logs(&keys, "registers"));
    let start = fs::metadata(&log).expect("exists").len();
    let cursor = whole(&store).await.cursor;
    let second = advance(&store, ALICE).await;
    assert!(second.version > first.version);
    let bytes = fs::read(&log).expect("reads");
    for length in start as usize..bytes.len() {
        fs::write(&log, &bytes[..length]).expect("writes");
        let store = open(&keys);
        assert_eq!(store.registers(FEED, &[ALICE]).await.expect("reads"), [Some(first)]);
        let torn = page(&store, &cursor).await;
        assert!(torn.is_empty());
        let next = advance(&store, ALICE).await;
        assert_eq!(next.version, first.version + 1, "{length}");
        assert_eq!(page(&store, &torn.cursor).await.registers, [(ALICE, next)], "{length}");
        assert_eq!(whole(&store).await.skipped, [], "{length}");
    }
}

#[tokio::test]
async fn file_feed_error_of_a_deleted_store_names_its_cause_once() {
    let (_place, keys) = place();
    let store = open(&keys);
    append(&store, 1).await;
    fs::remove_dir_all(&keys).expect("removes");
    let error = store.append(FEED, &[session(2)], NOW).await.expect_err("is gone").to_string();
    assert!(error.contains("is missing"), "{error}");
    assert_eq!(error.matches("No such file").count(), 1, "{error}");
}

#[tokio::test]
async fn file_feed_damaged_bytes_hide_no_later_record() {
    let (_place, keys) = place();
    let store = open(&keys);
    for number in 0..5 {
        append(&store, number).await;
        advance(&store, RegisterId::Subject([number as u8; 16])).await;
    }
    for log in logs(&keys, "").into_iter().chain(logs(&keys, "registers")) {
        let sound = fs::read(&log).expect("reads");
        let frame = sound.len() / 5;
        for byte in frame..2 * frame {
            let mut damaged = sound.clone();
            damaged[byte] ^= 0xff;
            fs::write(&log, damaged).expect("writes");
            let page = whole(&store).await;
            // A damaged check alone costs no record.
            let lost = usize::from(byte < 2 * frame - 4);
            let read = page.sessions.len() + page.registers.len();
            assert_eq!((read, page.skipped.len()), (10 - lost, lost), "{byte}: {page:?}");
        }
        fs::write(&log, sound).expect("writes");
    }
    assert_eq!(whole(&store).await.skipped, []);
}

#[tokio::test]
async fn file_feed_purged_is_a_gap() {
    let purges: [fn(&Path); 4] = [
        |keys| fs::remove_dir_all(keys.join(FEED)).expect("removes"),
        |keys| fs::remove_dir_all(feed(keys)).expect("removes"),
        |keys| {
            let copy = keys.with_extension("empty");
            fs::create_dir(&copy).expect("makes a directory");
            replace(keys, &copy);
        },
        // One writer's file alone.
        |keys| fs::remove_file(only(logs(keys, ""))).expect("removes"),
    ];
    for (number, purge) in purges.into_iter().enumerate() {
        let (_place, keys) = place();
        let (one, two) = (open(&keys), open(&keys));
        append(&one, 1).await;
        let cursor = whole(&two).await.cursor;
        purge(&keys);
        assert!(read(&two, Some(cursor.clone())).await.is_none(), "purge {number}");
        assert!(whole(&two).await.is_empty());
        // The writer notices, although it has the removed file open.
        append(&one, 2).await;
        assert!(read(&two, Some(cursor)).await.is_none(), "purge {number}, and an append");
        assert_eq!(numbers(&whole(&two).await), [2].into(), "purge {number}");
        assert!(advance(&one, ALICE).await.version > 0);
    }
}

#[tokio::test]
async fn file_feed_older_copy_is_a_gap() {
    for register in [false, true] {
        let (place, keys) = place();
        let (one, two) = (open(&keys), open(&keys));
        append(&one, 1).await;
        advance(&one, ALICE).await;
        let backup = place.path().join("backup");
        copy(&keys, &backup);
        if register {
            advance(&one, ALICE).await;
        } else {
            append(&one, 2).await;
        }
        let cursor = whole(&two).await.cursor;
        replace(&keys, &backup);
        assert!(read(&two, Some(cursor.clone())).await.is_none());
        // As much again as was lost.
        append(&one, 3).await;
        advance(&one, BOB).await;
        assert!(read(&two, Some(cursor)).await.is_none(), "register: {register}");
        let page = whole(&two).await;
        assert_eq!(numbers(&page), [1, 3].into());
        assert_eq!(page.registers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ALICE, BOB]);
    }
}

/// A copy over the files themselves, which the writer still has open.
#[tokio::test]
async fn file_feed_older_copy_in_place_is_a_gap() {
    let (_place, keys) = place();
    let (one, two) = (open(&keys), open(&keys));
    append(&one, 1).await;
    let segment = only(logs(&keys, ""));
    let older = fs::read(&segment).expect("reads");
    append(&one, 2).await;
    let cursor = whole(&two).await.cursor;
    fs::write(&segment, older).expect("writes");
    append(&one, 3).await;
    assert!(read(&two, Some(cursor)).await.is_none());
    assert_eq!(numbers(&whole(&two).await), [1, 3].into());
}

#[tokio::test]
async fn file_feed_expiry_removes_partitions_and_is_no_gap() {
    let (_place, keys) = place();
    let store = open(&keys);
    let hour = Duration::from_secs(3600);
    let short = session_until(1, NOW + hour);
    store.append(FEED, &[short], NOW).await.expect("appends");
    let long = session_until(2, NOW + 100 * hour);
    store.append(FEED, &[long], NOW).await.expect("appends");
    advance(&store, ALICE).await;
    let cursor = whole(&store).await.cursor;
    assert_eq!(logs(&keys, "").len(), 2);

    let later = NOW + 3 * hour;
    store.append(FEED, &[session_until(3, later + hour)], later).await.expect("appends");
    let after = page(&store, &cursor).await;
    assert_eq!(numbers(&after), [3].into());
    assert_eq!(numbers(&whole(&store).await), [2, 3].into());
    assert_eq!(logs(&keys, "").len(), 2);
    assert!(store.registers(FEED, &[ALICE]).await.expect("reads")[0].is_some());

    let much_later = NOW + 200 * hour;
    let last = session_until(4, much_later + hour);
    open(&keys).append(FEED, &[last], much_later).await.expect("appends");
    assert_eq!(numbers(&page(&store, &cursor).await), [4].into());
    assert_eq!(store.registers(FEED, &[ALICE]).await.expect("reads"), [None]);
    // A loss is still noticed.
    let cursor = page(&store, &after.cursor).await.cursor;
    fs::remove_file(only(logs(&keys, ""))).expect("removes");
    assert!(read(&store, Some(cursor)).await.is_none());
}

/// Records that are kept longer go to fewer partitions, and none is dropped before its time.
#[tokio::test]
async fn file_feed_partitions_are_few_and_keep_every_record() {
    let (_place, keys) = place();
    let store = open(&keys);
    let hour = Duration::from_secs(3600);
    for number in 1..=720 {
        let session = session_until(number.into(), NOW + number * hour);
        store.append(FEED, &[session], NOW).await.expect("appends");
    }
    let count = logs(&keys, "").len();
    assert!(count <= 70, "{count} partitions");
    for passed in [1, 5, 24, 100, 333, 719] {
        let now = NOW + passed * hour;
        open(&keys).append(FEED, &[], now).await.expect("appends nothing");
        let probe = session_until(10_000, now + hour);
        open(&keys).append(FEED, &[probe], now).await.expect("appends");
        let kept = numbers(&whole(&store).await);
        let expected = (u64::from(passed) + 1..=720).all(|number| kept.contains(&number));
        assert!(expected, "after {passed} hours: {kept:?}");
        let fewer = kept.iter().filter(|number| **number < u64::from(passed) * 8 / 10).count();
        assert_eq!(fewer, 0, "after {passed} hours");
    }
}

#[tokio::test]
async fn file_feed_foreign_files_and_wide_modes_are_skipped() {
    let (place, keys) = place();
    let (one, two, three) = (open(&keys), open(&keys), open(&keys));
    append(&one, 1).await;
    let exposed = only(logs(&keys, ""));
    append(&two, 2).await;
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).expect("sets a mode");
    let partition = exposed.parent().expect("a directory").to_owned();
    let cursor = whole(&three).await.cursor;
    fs::write(partition.join("notes.txt"), b"1").expect("writes");
    fs::write(feed(&keys).join("notes.txt"), b"1").expect("writes");
    fs::write(partition.join(".nfs0001"), b"1").expect("writes");
    let elsewhere = place.path().join("elsewhere");
    fs::copy(&exposed, &elsewhere).expect("copies");
    symlink(&elsewhere, partition.join("00000000000000aa-0.log")).expect("links");
    fs::create_dir(partition.join("00000000000000ab-0.log")).expect("makes a directory");

    let page = whole(&three).await;
    assert_eq!(numbers(&page), [2].into());
    let names: BTreeSet<_> = page.skipped.iter().map(|s| PathBuf::from(&s.name)).collect();
    let expected = ["notes.txt", "00000000000000aa-0.log", "00000000000000ab-0.log"];
    let mut expected: BTreeSet<_> = expected.iter().map(|name| partition.join(name)).collect();
    expected.insert(exposed.clone());
    expected.insert(feed(&keys).join("notes.txt"));
    assert_eq!(names, expected);
    let of_mode = page.skipped.iter().find(|s| s.name == exposed.display().to_string());
    assert!(of_mode.is_some_and(|s| s.reason.contains("chmod 600")), "{of_mode:?}");

    fs::set_permissions(&exposed, Permissions::from_mode(0o600)).expect("sets a mode");
    let after = read(&three, Some(cursor)).await.expect("no gap");
    assert_eq!(numbers(&after), [1].into());

    // Of a whole partition, and of the feed.
    fs::set_permissions(&partition, Permissions::from_mode(0o755)).expect("sets a mode");
    let unfit = read(&three, Some(after.cursor)).await.expect("no gap");
    assert!(unfit.skipped.iter().any(|skipped| skipped.reason.contains("chmod 700")));
    fs::set_permissions(feed(&keys), Permissions::from_mode(0o755)).expect("sets a mode");
    assert!(three.read_feed(FEED, None).await.is_err());
    assert!(three.append(FEED, &[session(3)], NOW).await.is_err());
}

#[tokio::test]
async fn file_feed_is_private_and_of_the_group_where_allowed() {
    for group in [false, true] {
        let (_place, keys) = place();
        let builder = FileStore::builder(&keys);
        let builder = if group { builder.allow_group() } else { builder };
        let store = builder.open().expect("opens");
        append(&store, 1).await;
        advance(&store, ALICE).await;
        let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o7777;
        let (directory, own, shared) =
            if group { (0o2770, 0o640, 0o660) } else { (0o700, 0o600, 0o600) };
        assert_eq!(mode(&feed(&keys)), directory);
        let segment = only(logs(&keys, ""));
        assert_eq!(mode(segment.parent().expect("a directory")), directory);
        assert_eq!(mode(&segment), own);
        assert_eq!(mode(&only(logs(&keys, "registers"))), shared);
        assert_eq!(mode(&feed(&keys).join("lock-0")), shared);
        assert_eq!(mode(&feed(&keys).join("changed")), shared);
    }
}

#[tokio::test(start_paused = true)]
async fn file_feed_append_wakes_replicas_and_reads_do_not() {
    let (_place, keys) = place();
    let (one, two) = (open(&keys), open(&keys));
    let woken = async |what: &str| {
        timeout(Duration::from_secs(3), two.changed(FEED)).await.expect(what).expect("looks");
    };
    let settle = async || {
        std::thread::sleep(Duration::from_millis(20));
        while timeout(Duration::from_millis(2500), two.changed(FEED)).await.is_ok() {}
        std::thread::sleep(Duration::from_millis(20));
    };
    append(&one, 1).await;
    woken("the first").await;
    settle().await;
    append(&one, 2).await;
    woken("an append").await;
    settle().await;
    advance(&one, ALICE).await;
    woken("an advance").await;
    settle().await;
    one.restore(FEED, &[(RegisterId::All, Register::new(1, NOW, NOW + DAY))], NOW)
        .await
        .expect("restores");
    woken("a restored register").await;
    settle().await;
    whole(&one).await;
    one.registers(FEED, &[ALICE]).await.expect("reads");
    open(&keys);
    assert!(timeout(Duration::from_millis(3500), two.changed(FEED)).await.is_err());
    fs::remove_dir_all(feed(&keys)).expect("removes");
    woken("a purge").await;
}
