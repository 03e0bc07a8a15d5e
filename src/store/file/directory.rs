//! The file store's blocking work: reads, writes and checks of its directory.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crypto::secret_bytes::SecretBytes;
use crate::store::contract::{Entry, EntryName, Insertion, Loaded, Skipped, StoreError};
use crate::store::file::temporary::{TEMPORARIES, Temporary, failed, sweep};
use crate::store::ring_name;

#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) group: bool,
    pub(crate) attribute_cache: Duration,
}

impl Directory {
    pub(crate) fn load(&self, ring: &str) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let Some(directory) = self.ring(ring)? else {
            return Ok(loaded);
        };
        for item in fs::read_dir(&directory).map_err(failed("list", &directory))? {
            let item = item.map_err(failed("list", &directory))?;
            let (file, path) = (item.file_name(), item.path());
            // Our temporary files, and files of the file system itself.
            if file.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match entry_name(&file) {
                // What is missing now was removed since it was listed.
                Some(name) => self.read_into(&mut loaded, name, &path)?,
                None => {
                    let reason = "is not named `<name>.json`, as an entry is";
                    loaded.skipped.push(Skipped::new(path.display().to_string(), reason));
                }
            }
        }
        Ok(loaded)
    }

    /// Reads the last first: what was inserted before an entry that was found is found, too.
    pub(crate) fn read_named(&self, ring: &str, names: &[EntryName]) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let Some(directory) = self.ring(ring)? else {
            return Ok(loaded);
        };
        for name in names.iter().rev() {
            self.read_into(&mut loaded, name.clone(), &entry_path(&directory, name))?;
        }
        Ok(loaded)
    }

    fn read_into(
        &self,
        loaded: &mut Loaded,
        name: EntryName,
        path: &Path,
    ) -> Result<(), StoreError> {
        match self.read(path)? {
            Found::Value(value) => loaded.entries.push(Entry { name, value }),
            Found::Unfit(reason) => {
                loaded.skipped.push(Skipped::new(path.display().to_string(), reason));
            }
            Found::Missing => {}
        }
        Ok(())
    }

    pub(crate) fn insert(&self, ring: &str, entry: &Entry) -> Result<Insertion, StoreError> {
        entry.check_length()?;
        let directory = self.ring_made(ring)?;
        let path = entry_path(&directory, &entry.name);
        for _ in 0..ATTEMPTS {
            match self.read(&path)? {
                Found::Missing => {}
                Found::Value(value) => {
                    // Its writer may have died before this, and its value is about to be used.
                    sync_directory(&directory)?;
                    // If a network file system's answer was lost, the winner gets an error.
                    return Ok(if value == entry.value {
                        Insertion::Inserted
                    } else {
                        Insertion::Exists(value)
                    });
                }
                Found::Unfit(reason) => {
                    let path = path.display();
                    return Ok(Insertion::Unreadable(format!("{path}: what is there {reason}")));
                }
            }
            let (temporary, _) = self.write_aside(&directory, &entry.value)?;
            // A rename would replace the entry that another replica has made meanwhile.
            let linked = fs::hard_link(&temporary.0, &path);
            drop(temporary);
            match linked {
                Ok(()) => {
                    sync_directory(&directory)?;
                    return Ok(Insertion::Inserted);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("insert", &path)(error)),
            }
        }
        Err(StoreError::new(format!(
            "could not insert {}: it was repeatedly inserted and removed by other writers; gave up \
             after {ATTEMPTS} attempts",
            path.display()
        )))
    }

    pub(crate) fn remove(&self, ring: &str, name: &EntryName) -> Result<(), StoreError> {
        let Some(directory) = self.ring(ring)? else {
            return Ok(());
        };
        let path = entry_path(&directory, name);
        match fs::remove_file(&path) {
            Ok(()) => sync_directory(&directory),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    /// The file system's time, by a file written into the ring's directory: that of its server, where
    /// machines share it.
    pub(crate) fn time(&self, ring: &Path) -> Result<Timestamp, StoreError> {
        let (_, now) = self.write_aside(ring, b"")?;
        Ok(now.into())
    }

    /// The directory of `ring`, if there is one. A store that is gone is an error: it is not empty.
    pub(crate) fn ring(&self, ring: &str) -> Result<Option<PathBuf>, StoreError> {
        if !ring_name::is_valid(ring) {
            return Err(StoreError::new(format!("{ring:?} is not a ring's name")));
        }
        self.check(&self.path)?;
        self.existing(self.path.join(ring))
    }

    /// A private directory, if there is one.
    pub(crate) fn existing(&self, path: PathBuf) -> Result<Option<PathBuf>, StoreError> {
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            _ => self.check(&path).map(|()| Some(path)),
        }
    }

    /// The directory of `ring`, made unless it is there.
    pub(crate) fn ring_made(&self, ring: &str) -> Result<PathBuf, StoreError> {
        if let Some(directory) = self.ring(ring)? {
            return Ok(directory);
        }
        self.made(self.path.join(ring))
    }

    /// A private directory, made unless it is there.
    pub(crate) fn made(&self, path: PathBuf) -> Result<PathBuf, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(false);
        #[cfg(unix)]
        builder.mode(0o700);
        match builder.create(&path) {
            Ok(()) => {
                #[cfg(unix)]
                if self.group {
                    // Not by the mode above, which the umask cuts. New files inherit the group.
                    let mode = fs::Permissions::from_mode(0o2770);
                    fs::set_permissions(&path, mode).map_err(failed("set the mode of", &path))?;
                }
                path.parent().map_or(Ok(()), sync_directory)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(&path).display();
                let text = format!(
                    "could not create the directory {}: its parent is missing: mount its volume, or \
                     make it with `mkdir -p {parent}`",
                    path.display()
                );
                return Err(StoreError::with_source(text, error));
            }
            Err(error) => return Err(failed("create the directory", &path)(error)),
        }
        self.check(&path)?;
        Ok(path)
    }

    /// Checks that `path` is a directory, and private.
    pub(crate) fn check(&self, path: &Path) -> Result<(), StoreError> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path == self.path => {
                return Err(StoreError::with_source(self.gone(), error));
            }
            metadata => metadata.map_err(failed("read", path))?,
        };
        let reason = if metadata.is_symlink() {
            "is a symbolic link: name the directory itself".to_owned()
        } else if !metadata.is_dir() {
            "is not a directory: move that file away, or name another directory".to_owned()
        } else if let Some(reason) = self.exposed(&metadata, path) {
            match self.foreign(path) {
                // A wrong path, such as the parent's: others need that directory as it is.
                Some(name) => format!(
                    "holds {name:?}, which no store has: name the store's own directory; nothing was changed"
                ),
                None => reason,
            }
        } else {
            return Ok(());
        };
        Err(StoreError::new(format!("{} {reason}", path.display())))
    }

    /// An entry of the store's directory that no store makes, if there is one.
    #[cfg(unix)]
    fn foreign(&self, path: &Path) -> Option<String> {
        let items = fs::read_dir(path).ok().filter(|_| path == self.path)?.flatten();
        let mut foreign = items.filter(|item| {
            let is_hidden = item.file_name().as_encoded_bytes().starts_with(b".");
            let is_private = |it: Metadata| it.is_dir() && it.mode() & 0o007 == 0;
            let is_founded = |name| item.path().join(name).is_file();
            let is_of_store = item.metadata().is_ok_and(is_private)
                || ["birth.json", "founded.json"].into_iter().any(is_founded);
            !is_hidden && !is_of_store
        });
        Some(foreign.next()?.file_name().to_string_lossy().into_owned())
    }

    #[cfg(not(unix))]
    fn foreign(&self, _path: &Path) -> Option<String> {
        None
    }

    /// The error for a missing directory of the store, with the fix.
    fn gone(&self) -> String {
        let (path, mode) = (self.path.display(), if self.group { "2770" } else { "700" });
        format!(
            "the store's directory {path} is missing; if it was deleted, make it again with `mkdir \
             -m {mode} {path}`, and live replicas restore what they hold (it is not made again by \
             itself, since its volume may not be mounted)"
        )
    }

    /// Writes a new file, whole and synced, into the ring's directory of temporary files. Returns the file
    /// system's time, too: that of its server, where machines share it.
    ///
    /// They have a directory of their own, so that a ring's directory changes with its entries
    /// alone, and sweeping costs the same however many entries there are.
    pub(crate) fn write_aside(
        &self,
        ring: &Path,
        value: &[u8],
    ) -> Result<(Temporary, SystemTime), StoreError> {
        let directory = self.made(ring.join(TEMPORARIES))?;
        let (temporary, now) = self.write_temporary(&directory, value)?;
        sweep(&directory, now);
        Ok((temporary, now))
    }

    /// Writes a new file, whole and synced, and returns the file system's time.
    fn write_temporary(
        &self,
        directory: &Path,
        value: &[u8],
    ) -> Result<(Temporary, SystemTime), StoreError> {
        let temporary = Temporary::new(directory);
        let path = &temporary.0;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(path).map_err(failed("create", path))?;
        #[cfg(unix)]
        let mode = if self.group { 0o640 } else { 0o600 };
        let mut write = || {
            file.write_all(value)?;
            #[cfg(unix)]
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            let metadata = file.metadata()?;
            Ok((metadata.modified()?, metadata))
        };
        let (now, metadata) = write().map_err(failed("write", path))?;
        if let Some(reason) = self.exposed(&metadata, path) {
            return Err(StoreError::new(format!(
                "the file system does not keep permissions: {} {reason}",
                path.display(),
            )));
        }
        Ok((temporary, now))
    }

    /// Checks that the file system has hard links and permissions, and removes old temporary files.
    pub(crate) fn probe(&self) -> Result<(), StoreError> {
        let (temporary, now) = self.write_temporary(&self.path, b"")?;
        let link = Temporary::new(&self.path);
        match fs::hard_link(&temporary.0, &link.0) {
            // The name is unique: a network file system's answer was lost.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => linked.map_err(failed(
                "create a hard link (each entry needs one; does the file system support them?) in",
                &self.path,
            ))?,
        }
        if fs::hard_link(&temporary.0, &link.0).is_ok() {
            return Err(StoreError::new(format!(
                "a hard link replaces a file in {}: use another file system",
                self.path.display(),
            )));
        }
        sweep(&self.path, now);
        for item in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let ring = item.file_name().to_str().is_some_and(ring_name::is_valid);
            if ring && item.file_type().is_ok_and(|kind| kind.is_dir()) {
                sweep(&item.path().join(TEMPORARIES), now);
            }
        }
        Ok(())
    }

    pub(crate) fn read(&self, path: &Path) -> Result<Found, StoreError> {
        for _ in 0..ATTEMPTS {
            match self.read_once(path) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => match error.kind() {
                    ErrorKind::NotFound => return Ok(Found::Missing),
                    // Cut short, or replaced on an NFS server.
                    ErrorKind::UnexpectedEof | ErrorKind::StaleNetworkFileHandle => {}
                    // Not skipped: it may be an entry, without which the ring is incomplete.
                    _ => return Err(failed("read", path)(error)),
                },
            }
        }
        Ok(Found::Unfit("changes while it is read".to_owned()))
    }

    /// Reads the file, or `None` if it was replaced or grew meanwhile.
    fn read_once(&self, path: &Path) -> io::Result<Option<Found>> {
        let named = fs::symlink_metadata(path)?;
        if !named.is_file() {
            return Ok(Some(Found::Unfit("is not a regular file".to_owned())));
        }
        let mut file = File::open(path)?;
        // From here on, all is about the opened file, whatever becomes of the path: it must be the
        // one just seen not to be a symbolic link.
        let opened = file.metadata()?;
        if !is_same_file(&named, &opened) {
            return Ok(None);
        }
        if let Some(reason) = self.exposed(&opened, path) {
            return Ok(Some(Found::Unfit(reason)));
        }
        let Some(length) =
            usize::try_from(opened.len()).ok().filter(|length| *length <= Entry::MAX_BYTES)
        else {
            let (length, most) = (opened.len(), Entry::MAX_BYTES);
            let reason = format!("has {length} bytes, the maximum is {most}");
            return Ok(Some(Found::Unfit(reason)));
        };
        // Exactly as long as the file, so that no reallocation leaves a copy behind.
        let mut value = Zeroizing::new(vec![0; length]);
        file.read_exact(&mut value)?;
        let is_whole = file.read(&mut [0])? == 0;
        Ok(is_whole.then_some(Found::Value(SecretBytes(value))))
    }

    /// The reason why the mode gives too many users access, if it does.
    #[cfg(unix)]
    pub(crate) fn exposed(&self, metadata: &Metadata, path: &Path) -> Option<String> {
        let mode = metadata.mode() & 0o7777;
        let refused = if self.group { 0o007 } else { 0o077 };
        let who = match mode & refused {
            0 => return None,
            bits if bits & 0o007 == 0 => "its group",
            _ => "others",
        };
        let (path, fixed) = (path.display(), mode & !refused);
        let chmod = format!("`chmod {fixed:o} {path}`");
        // A pod's fsGroup sets the group bits at each start, so that no chmod lasts.
        let fix = match who {
            "its group" => format!(
                "{chmod}, or `allow_group` if the group is the service's own, such as a pod's fsGroup"
            ),
            _ => chmod,
        };
        Some(format!("has mode {mode:04o}, which gives {who} access: {fix}"))
    }

    #[cfg(not(unix))]
    pub(crate) fn exposed(&self, _metadata: &Metadata, _path: &Path) -> Option<String> {
        None
    }
}

/// The contents at a path.
pub(crate) enum Found {
    Missing,
    Value(SecretBytes),
    /// Data that is not used; the text continues a sentence that begins with the path.
    Unfit(String),
}

fn entry_name(file: &OsStr) -> Option<EntryName> {
    EntryName::parse(file.to_str()?.strip_suffix(".json")?)
}

fn entry_path(directory: &Path, name: &EntryName) -> PathBuf {
    directory.join(format!("{name}.json"))
}

#[cfg(unix)]
pub(crate) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
pub(crate) fn is_same_file(_one: &Metadata, other: &Metadata) -> bool {
    other.is_file()
}

/// Makes the names in the directory outlive a crash of the machine, where that can be asked for.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let cannot_be_asked = |error: &io::Error| {
        use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
        matches!(error.kind(), InvalidInput | Unsupported | PermissionDenied)
    };
    match File::open(path).and_then(|directory| directory.sync_all()) {
        Err(error) if cfg!(unix) && !cannot_be_asked(&error) => Err(failed("sync", path)(error)),
        _ => Ok(()),
    }
}

/// How often an operation is tried while other writers insert and remove the same entry.
pub(crate) const ATTEMPTS: usize = 8;
