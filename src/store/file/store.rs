//! A store in a directory: a subdirectory per ring, a file per entry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Timestamp;
use crate::store::contract::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Store, StoreError, StoreFuture,
    StoreProperties,
};
use crate::store::file::directory::Directory;
use crate::store::file::hint::Seen;
use crate::store::file::segments::Writers;
use crate::store::file::temporary::failed;
use crate::store::redemption::{Redeemed, Redemption, RefreshTokenStore};

/// A [`Store`] and [`RefreshTokenStore`] in a directory that the replicas of one machine share, or on a network volume.
///
/// 1. An entry is the file `<directory>/<ring>/<name>.json`. It is written whole to a temporary
///    file in `<ring>/.tmp`, synced, and entered by a hard link, which never replaces a file. A
///    writer that dies leaves at most a temporary file; another replica removes it after an hour.
/// 2. A redemption of a refresh token is the file `<ring>/.redeemed/<xy>/<session>.<sequence>`, where
///    `xy` are the session's first two characters. The last two of a session are kept until they
///    expire, and are removed when another session with the same two characters redeems.
/// 3. The directory is private: mode 0700, its files 0600, or 2770 and 0640 with
///    [`allow_group`](FileStoreBuilder::allow_group), or 0660 where several replicas write a file. A directory with a wider mode is an error at
///    every access; a file with a wider mode is skipped with a warning. Symbolic links are not
///    followed.
/// 4. It requires a file system with hard links and Unix permissions; [`open`](FileStore::open) checks
///    for both.
/// 5. Names that differ in case are different: on a file system that ignores case (macOS, Windows),
///    use one case.
/// 6. File operations run on tokio's blocking threads, at most four at a time, so that a file system
///    that hangs does not block all of them. The methods need a tokio runtime, and a timeout around
///    them.
/// 7. Replicas see a change within about a second: each checks the directory of a ring once per second
///    with one `stat`, and reads the ring when names in it were added or removed; another `stat` of one
///    file shows what was appended to the feed of that name. If that fails, or the file system hides it,
///    replicas see a change when they poll.
/// 8. A feed of revocations is the directory `<feed>/.revocations`. It has a subdirectory for each time
///    of expiry, in hours since 1970, which a writer removes as a whole once that hour has begun, by the
///    `now` of its call and by the file system's clock. Records are kept for up to an eighth longer than
///    asked for.
/// 9. Each handle, with its clones, appends revoked sessions to files of its own. Each record has a
///    checksum. `Ok` means that it was synced; concurrent calls share one sync. What a dead writer left
///    incomplete is skipped, and hides nothing else.
/// 10. Registers are in 16 files by digest, and rise under a lock
///     ([`File::try_lock`](std::fs::File::try_lock)), which ends with its process. A call waits for it
///     for up to 10 seconds. The lock files may be removed only while no replica runs.
/// 11. A [`Gap`](crate::store::FeedRead::Gap) is reported if the feed's directory or a file in it was
///     removed before its time, replaced, or restored from an older copy.
///
/// Network volumes, groups and systems other than Unix are in the
/// [guide](crate::guide::stores#a-directory).
///
/// ```
/// use tower_jwt_session::store::{Entry, EntryName, FileStore, Insertion, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let volume = tempfile::tempdir()?;
/// # let volume = volume.path();
/// let replica = FileStore::open(volume.join("keys"))?;
/// let other_replica = FileStore::open(volume.join("keys"))?;
///
/// let name = EntryName::parse("generation-0").ok_or("not a name")?;
/// let entry = |value: &str| Entry::new(name.clone(), value.as_bytes().to_vec());
/// let first = replica.insert("main", &entry("first")).await?;
/// assert_eq!(first, Insertion::Inserted);
///
/// let second = other_replica.insert("main", &entry("second")).await?;
/// assert_eq!(second, Insertion::Exists(entry("first").value));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    directory: Arc<Directory>,
    /// Each is taken by one blocking thread.
    slots: Arc<Semaphore>,
    /// Of those that wait for locks.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) writers: Arc<Writers>,
    seen: Seen,
}

/// Makes a [`FileStore`]; see [`FileStore::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is done before `open`"]
pub struct FileStoreBuilder {
    directory: Directory,
}

impl FileStore {
    /// Opens the store in `directory`. A missing directory is created, but not its parents, so that an
    /// unmounted volume does not look like an empty store.
    ///
    /// Blocks on the file system: call it when the service starts.
    ///
    /// # Errors
    ///
    /// Fails if `directory` can't be created or written, is not a directory or is a symbolic link, gives
    /// access to the group or others, or is on a file system without hard links or permissions.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(directory).open()
    }

    /// Returns a builder, for settings before the store is opened.
    pub fn builder(directory: impl Into<PathBuf>) -> FileStoreBuilder {
        let (path, attribute_cache) = (directory.into(), Duration::ZERO);
        FileStoreBuilder { directory: Directory { path, group: false, attribute_cache } }
    }

    /// Runs `work` on a blocking thread. It runs to its end even if the future is dropped.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let (directory, slots) = (Arc::clone(&self.directory), Arc::clone(&self.slots));
        Box::pin(async move {
            // The slot belongs to the thread: one that hangs keeps it, though nothing waits for it.
            let slot = slots.acquire_owned().await;
            let task = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                work(&directory)
            });
            task.await.unwrap_or_else(|error| {
                let context = "the file store's blocking task did not end";
                Err(StoreError::with_source(context, error))
            })
        })
    }
}

impl FileStoreBuilder {
    /// Shares the store with the directory's group: its members may read files and add new ones.
    pub fn allow_group(mut self) -> Self {
        self.directory.group = true;
        self
    }

    /// Sets how long the file system may hide another machine's writes: the
    /// [`staleness`](StoreProperties::staleness) of the store. Default: zero.
    pub fn attribute_cache(mut self, longest: Duration) -> Self {
        self.directory.attribute_cache = longest;
        self
    }

    /// Opens the store; see [`FileStore::open`].
    ///
    /// # Errors
    ///
    /// As [`FileStore::open`].
    pub fn open(self) -> Result<FileStore, StoreError> {
        let mut directory = self.directory;
        let path = std::path::absolute(&directory.path).map_err(failed("use", &directory.path))?;
        // Without the slash at its end, by which a symbolic link would be followed.
        directory.path = path.components().collect();
        directory.made(directory.path.clone())?;
        directory.probe()?;
        let slots = Arc::new(Semaphore::new(SLOTS));
        let turns = Arc::new(Semaphore::new(TURNS));
        let (directory, writers, seen) = (Arc::new(directory), Arc::default(), Seen::default());
        Ok(FileStore { directory, slots, turns, writers, seen })
    }
}

impl Store for FileStore {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        let ring = ring.to_owned();
        self.run(move |directory| directory.load(&ring))
    }

    fn read<'a>(&'a self, ring: &'a str, names: &'a [EntryName]) -> StoreFuture<'a, Loaded> {
        let (ring, names) = (ring.to_owned(), names.to_vec());
        self.run(move |directory| directory.read_named(&ring, &names))
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        let (ring, entry) = (ring.to_owned(), entry.clone());
        self.run(move |directory| directory.insert(&ring, &entry))
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        let (ring, name) = (ring.to_owned(), name.clone());
        self.run(move |directory| directory.remove(&ring, &name))
    }

    /// The time of a file that is written for this: that of the volume's server, where machines share it.
    fn time<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Option<Timestamp>> {
        let ring = ring.to_owned();
        self.run(move |directory| directory.time(&directory.ring_made(&ring)?).map(Some))
    }

    fn changed<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            loop {
                if let Some(at) = self.seen.next_look(ring) {
                    tokio::time::sleep_until(at).await;
                }
                let name = ring.to_owned();
                let look = self.run(move |directory| directory.look(&name)).await?;
                if self.seen.note(ring, look) {
                    return Ok(());
                }
            }
        })
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties {
            is_private: false,
            notifies: true,
            // The file system keeps others out.
            sealing_need: SealingNeed::Advised,
            staleness: self.directory.attribute_cache,
        }
    }
}

impl RefreshTokenStore for FileStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        let (ring, redemption) = (ring.to_owned(), redemption.clone());
        self.run(move |directory| directory.redeem(&ring, &redemption))
    }
}

/// The number of blocking threads for file operations.
const SLOTS: usize = 4;

/// How many of them may raise registers.
const TURNS: usize = 2;
