//! The files of a key directory, read whole.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::CryptoBackend;
use crate::crypto::der::KeyType;
use crate::crypto::error::KeyError;
use crate::keyring::error::RingError;
use crate::keys::jwk::Jwk;
use crate::keys::key::Key;
use crate::keys::pem;

/// The location of the files, and settings that they lack.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) path: PathBuf,
    pub(crate) rsa_algorithm: Algorithm,
    pub(crate) choice: Choice,
    pub(crate) backend: CryptoBackend,
}

/// Which key signs.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// The last by name, once its lead is complete.
    Newest,
    KeyId(String),
    /// The key in the file that this link points to.
    Link(String),
}

/// A key of the directory.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: Key,
    /// The file's name.
    pub(crate) name: String,
    /// When the file was put there, where that can be known.
    pub(crate) modified: Option<Timestamp>,
    /// Whether the link points to its file.
    pub(crate) is_linked: bool,
}

impl Files {
    /// Reads every key, in the order of the files' names.
    ///
    /// # Errors
    ///
    /// If there is none, or any file that looks like one cannot be used: all such files are named.
    pub(crate) fn read(&self) -> Result<Vec<Found>, RingError> {
        let failed = |what: &Path, error: io::Error| {
            self.error(format!("could not read {}: {error}", what.display()))
        };
        let data = self.path.join("..data");
        let (directory, is_mounted) = match fs::canonicalize(&data) {
            Ok(resolved) => (resolved, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (self.path.clone(), false),
            Err(error) => return Err(failed(&data, error)),
        };
        let files: io::Result<Vec<_>> = fs::read_dir(&directory).and_then(Iterator::collect);
        let files = files.map_err(|error| failed(&directory, error))?;
        let mut names: Vec<_> = files.iter().map(DirEntry::file_name).collect();
        names.sort_unstable();
        let linked = self.linked(&directory)?;
        let (mut found, mut faults, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let path = directory.join(&name);
            let name = name.to_string_lossy().into_owned();
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            let is_pem = extension == "pem";
            if !is_pem && extension != "jwk" {
                others.push(name);
                continue;
            }
            match self.read_file(&path, is_pem) {
                Ok((keys, modified)) => found.extend(keys.into_iter().map(|key| Found {
                    key,
                    name: name.clone(),
                    modified: modified.filter(|_| !is_mounted),
                    is_linked: linked.as_deref() == Some(&*name),
                })),
                Err(reason) => faults.push(format!("{name}: {reason}")),
            }
        }
        if !faults.is_empty() {
            return Err(self.error(faults.join("; ")));
        }
        if found.is_empty() {
            return Err(self.error(nothing(&others)));
        }
        distinct(found).map_err(|reason| self.error(reason))
    }

    /// The name of the file that the link points to.
    fn linked(&self, directory: &Path) -> Result<Option<String>, RingError> {
        let Choice::Link(link) = &self.choice else { return Ok(None) };
        let path = directory.join(link);
        let target = fs::read_link(&path).map_err(|error| {
            self.error(format!("signing_link is {link:?}, which is not a symbolic link: {error}"))
        })?;
        Ok(target.file_name().map(|name| name.to_string_lossy().into_owned()))
    }

    fn read_file(
        &self,
        path: &Path,
        is_pem: bool,
    ) -> Result<(Vec<Key>, Option<Timestamp>), String> {
        let (text, modified) = read_text(path)?;
        let keys = if is_pem {
            pem::keys(text.as_bytes(), |found| self.algorithm(found))
        } else {
            let key = Jwk::parse(&text).and_then(|jwk| jwk.either(Some(self.rsa_algorithm)));
            key.map(|key| vec![key])
        };
        let bound =
            |keys: Vec<Key>| keys.into_iter().map(|key| key.with_backend(self.backend)).collect();
        Ok((keys.and_then(bound).map_err(|error| error.to_string())?, modified))
    }

    /// PEM says which type of key it is, and for all but RSA only one algorithm fits.
    fn algorithm(&self, found: &KeyType) -> Result<Algorithm, KeyError> {
        match found {
            KeyType::Ed25519 => Ok(Algorithm::EdDSA),
            KeyType::P256 => Ok(Algorithm::ES256),
            KeyType::P384 => Ok(Algorithm::ES384),
            KeyType::Rsa => Ok(self.rsa_algorithm),
            KeyType::Other(found) => {
                Err(KeyError::wrong_kind(found, "an Ed25519, P-256, P-384 or RSA key"))
            }
        }
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> RingError {
        RingError::Directory { path: self.path.display().to_string(), reason: reason.into() }
    }
}

/// One key per ID: of the halves of a pair, the private one.
fn distinct(found: Vec<Found>) -> Result<Vec<Found>, String> {
    let mut keys: Vec<Found> = Vec::new();
    for next in found {
        let Some(held) = keys.iter_mut().find(|held| held.key.key_id() == next.key.key_id()) else {
            keys.push(next);
            continue;
        };
        if !held.key.is_pair_of(&next.key) {
            let key_id = next.key.key_id();
            return Err(format!(
                "{} and {} hold different keys of one key ID {key_id:?}: give each its own",
                held.name, next.name
            ));
        }
        let is_linked = held.is_linked || next.is_linked;
        if next.key.can_sign() && !held.key.can_sign() {
            *held = next;
        }
        held.is_linked = is_linked;
    }
    Ok(keys)
}

fn nothing(others: &[String]) -> String {
    let saw = match others {
        [] => "it is empty".to_owned(),
        others => {
            let names: Vec<_> = others.iter().take(8).map(|name| format!("{name:?}")).collect();
            let more = if others.len() > 8 { ", .." } else { "" };
            format!("it holds {}{more}", names.join(", "))
        }
    };
    format!("found no key: {saw}, expected files `*.pem` or `*.jwk`; give at least one key")
}

/// The text of a regular file.
fn read_text(path: &Path) -> Result<(Zeroizing<String>, Option<Timestamp>), String> {
    let file = open(path).map_err(|error| format!("could not open it: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("could not open it: {error}"))?;
    if !metadata.is_file() {
        return Err("found no regular file: remove it".to_owned());
    }
    // Room for any key, so that growing leaves no copy of one behind; and no more than that.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES + 1));
    let read = file.take(MAX_FILE_BYTES as u64 + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| format!("could not read it: {error}"))?;
    if bytes > MAX_FILE_BYTES {
        return Err(format!(
            "found more than {MAX_FILE_BYTES} bytes, expected at most that: remove the file"
        ));
    }
    Ok((text, metadata.modified().ok().map(Timestamp::from)))
}

/// Opens a file, without waiting where it is a pipe or a device.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

const MAX_FILE_BYTES: usize = 64 * 1024;
