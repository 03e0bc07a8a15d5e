//! Any bytes as records of a feed of revocations, and behind a first byte that no format has, as the end of
//! a file of a [`FileStore`], and as a cursor: each byte is part of a record that is read, or is reported,
//! and nothing hides what was there before.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower_jwt_session::Timestamp;
use tower_jwt_session::store::{
    Cursor, FeedPage, FeedRead, FileStore, MemoryStore, Register, RevocationStore, RevokedSession,
};

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0xfe, bytes)) => PLACE.damaged(bytes),
        Some((0xff, bytes)) => PLACE.cursors(bytes),
        _ => records(bytes),
    }
});

fn page() -> FeedPage {
    FeedPage::new(Cursor::new([], []))
}

fn records(bytes: &[u8]) {
    let mut page = page();
    page.decode("here", bytes);
    for (_, register) in &page.registers {
        assert!((1..=Register::MAX_VERSION).contains(&register.version), "{register:?}");
    }
    let used = 26 * page.sessions.len() + 42 * page.registers.len();
    assert!(used < bytes.len().max(1), "{used} bytes of records in {}", bytes.len());
    if page.skipped.is_empty() {
        assert_eq!(page.newer_format, None);
        assert_eq!(used + 1, bytes.len(), "bytes were dropped without a report");
    }
    // Written again and read again, the records are the same.
    let mut again = self::page();
    again.decode("here", &RevokedSession::encode(&page.sessions));
    for (id, register) in &page.registers {
        again.decode("here", &register.encode(*id));
    }
    assert_eq!((&again.sessions, &again.registers), (&page.sessions, &page.registers));
    assert_eq!(again.skipped, []);
}

static PLACE: LazyLock<Place> = LazyLock::new(Place::new);
const FEED: &str = "fuzz";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// Two stores with one record, and the file that has it.
struct Place {
    runtime: Runtime,
    files: FileStore,
    memory: MemoryStore,
    session: RevokedSession,
    /// At the end of what the file has.
    cursor: Cursor,
    file: PathBuf,
    content: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let directory = std::env::temp_dir().join(format!("fuzz-feed-{}", std::process::id()));
        let files = FileStore::open(&directory).expect("opens");
        let memory = MemoryStore::new();
        let hour = std::time::Duration::from_secs(3600);
        let session = RevokedSession::new(*b"sixteen bytes...", NOW + hour);
        let append = async {
            files.append(FEED, &[session], NOW).await.expect("appends");
            memory.append(FEED, &[session], NOW).await.expect("appends");
            files.read_feed(FEED, None).await.expect("reads")
        };
        let FeedRead::Page(page) = runtime.block_on(append) else { panic!("a whole read") };
        assert_eq!(page.sessions, [session]);
        let (file, content) = file_with(&session.digest, &directory).expect("it is in a file");
        Self { runtime, files, memory, session, cursor: page.cursor, file, content }
    }

    /// The bytes follow in the file, or replace its end.
    fn damaged(&self, bytes: &[u8]) {
        let (cut, bytes) = bytes.split_first().unwrap_or((&0, &[]));
        let kept = self.content.len().saturating_sub(usize::from(*cut >> 1));
        fs::write(&self.file, [&self.content[..kept], bytes].concat()).expect("writes");
        let whole = self.runtime.block_on(self.files.read_feed(FEED, None));
        if kept == self.content.len() {
            let Ok(FeedRead::Page(page)) = whole else { panic!("{whole:?}") };
            assert_eq!(page.sessions.first(), Some(&self.session), "{page:?}");
        }
        let _ = self.runtime.block_on(self.files.read_feed(FEED, Some(&self.cursor)));
        fs::write(&self.file, &self.content).expect("writes");
    }

    /// The bytes are a cursor, or a position in what the store has.
    fn cursors(&self, bytes: &[u8]) {
        let (at, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let (incarnation, position) = rest.split_at(rest.len().min(usize::from(*at)));
        let its = self.cursor.incarnation();
        for cursor in [Cursor::new(incarnation, position), Cursor::new(its, rest)] {
            let of_files = self.runtime.block_on(self.files.read_feed(FEED, Some(&cursor)));
            let of_memory = self.runtime.block_on(self.memory.read_feed(FEED, Some(&cursor)));
            assert!(
                of_files.is_ok() && of_memory.is_ok(),
                "{cursor:?}: {of_files:?} {of_memory:?}"
            );
        }
    }
}

fn file_with(digest: &[u8], directory: &Path) -> Option<(PathBuf, Vec<u8>)> {
    fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return file_with(digest, &path);
        }
        let content = fs::read(&path).ok()?;
        content.windows(digest.len()).any(|part| part == digest).then_some((path, content))
    })
}
