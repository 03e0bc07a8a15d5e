//! Which refresh tokens were redeemed: a file for each, of which a session's highest counts.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::directory::{ATTEMPTS, Directory, Found, sync_directory};
use crate::clock::Timestamp;
use crate::store::contract::{EntryName, StoreError};
use crate::store::file::temporary::failed;
use crate::store::redemption::{Redeemed, Redemption};

impl Directory {
    /// Enters the redemption's file, which a hard link never does twice, and only then looks for
    /// the highest: so every later redemption sees the first. A file with a lower sequence than
    /// another has no meaning, even if its writer died.
    pub(crate) fn redeem(
        &self,
        ring: &str,
        redemption: &Redemption,
    ) -> Result<Redeemed, StoreError> {
        let Redemption { family, sequence, at, keep_for } = redemption;
        let ring = self.ring_made(ring)?;
        let redeemed = self.made(ring.join(REDEEMED))?;
        // One directory for all would be long, and one per session too many.
        let shelf = &family.as_str()[..family.as_str().len().min(2)];
        let shelf = self.made(redeemed.join(shelf))?;
        let until = *at + *keep_for;
        let value = format!("{} {}", at.as_unix_millis(), until.as_unix_millis());
        let (temporary, written) = self.write_aside(&ring, value.as_bytes())?;
        // SECURITY: a replica whose clock is ahead must not remove what holds for the others.
        let now = Timestamp::from(written).min(*at);
        let path = file_path(&shelf, family, *sequence);
        let is_new = match fs::hard_link(&temporary.0, &path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed("enter", &path)(error)),
        };
        drop(temporary);
        sync_directory(&shelf)?;
        for _ in 0..ATTEMPTS {
            let files = list(&shelf)?;
            let of_family = files.iter().filter(|(of, _)| of == family);
            // Possibly not even our own, if others have redeemed meanwhile.
            let Some((_, highest)) = of_family.max_by_key(|(_, sequence)| *sequence) else {
                continue;
            };
            let Some((redeemed_at, _)) = self.times(&file_path(&shelf, family, *highest))? else {
                continue;
            };
            let needless = is_new.then_some(*sequence);
            self.tidy(&shelf, &files, (family, *highest), needless, now);
            return Ok(Redeemed { sequence: *highest, at: redeemed_at });
        }
        Err(StoreError::new(format!(
            "could not redeem {}: it was repeatedly replaced by other writers; gave up after {ATTEMPTS} attempts",
            path.display()
        )))
    }

    /// Removes files without meaning. Other redemptions retry what fails.
    fn tidy(
        &self,
        shelf: &Path,
        files: &[(EntryName, u32)],
        (family, highest): (&EntryName, u32),
        needless: Option<u32>,
        now: Timestamp,
    ) {
        let until = |of: &EntryName, sequence| {
            let times = self.times(&file_path(shelf, of, sequence));
            times.map(|times| times.map(|(_, until)| until))
        };
        let remove = |of: &EntryName, sequence| {
            let _ = fs::remove_file(file_path(shelf, of, sequence));
        };
        // While a list is made files come and go. One that the list has to show was the highest
        // when it began, and goes only after two more were redeemed; and not while it is to be kept
        // for longer than the highest, since the longest time holds for all of a family. One that
        // was used again, and made just now, has nothing to keep.
        for (of, sequence) in files.iter().filter(|(of, _)| of == family) {
            let is_longer = || match (until(of, *sequence), until(of, highest)) {
                (Ok(Some(kept)), Ok(Some(longest))) => kept > longest,
                (kept, longest) => kept.is_err() || longest.is_err(),
            };
            if highest - sequence >= 2 && (needless == Some(*sequence) || !is_longer()) {
                remove(of, *sequence);
            }
        }
        // A shelf grows by new sessions alone.
        if files.iter().any(|(of, sequence)| of == family && *sequence != highest) {
            return;
        }
        let mut families: BTreeMap<&EntryName, Vec<u32>> = BTreeMap::new();
        for (of, sequence) in files.iter().filter(|(of, _)| of != family) {
            families.entry(of).or_default().push(*sequence);
        }
        for (of, sequences) in families {
            let is_over = |sequence| matches!(until(of, sequence), Ok(Some(until)) if until < now);
            if sequences.iter().all(|sequence| is_over(*sequence)) {
                sequences.into_iter().for_each(|sequence| remove(of, sequence));
            }
        }
    }

    /// When it was redeemed, and until when that is kept; `None` if the file is gone.
    fn times(&self, path: &Path) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let unfit = |reason: &str| {
            let path = path.display();
            Err(StoreError::new(format!("could not redeem {path}: what is there {reason}")))
        };
        let value = match self.read(path)? {
            Found::Missing => return Ok(None),
            Found::Unfit(reason) => return unfit(&reason),
            Found::Value(value) => value,
        };
        let text = str::from_utf8(&value).unwrap_or_default();
        let mut times =
            text.split(' ').map(|millis| millis.parse().map(Timestamp::from_unix_millis));
        match (times.next(), times.next()) {
            (Some(Ok(at)), Some(Ok(until))) => Ok(Some((at, until))),
            _ => unfit("is no redemption: remove it"),
        }
    }
}

/// All redemptions in a directory. Other files were not made by this crate, and are ignored.
fn list(shelf: &Path) -> Result<Vec<(EntryName, u32)>, StoreError> {
    let mut found = Vec::new();
    for item in fs::read_dir(shelf).map_err(failed("list", shelf))? {
        let file = item.map_err(failed("list", shelf))?.file_name();
        let parts = file.to_str().and_then(|file| file.rsplit_once('.'));
        let parts = parts.and_then(|(family, sequence)| {
            Some((EntryName::parse(family)?, sequence.parse().ok()?))
        });
        found.extend(parts);
    }
    Ok(found)
}

fn file_path(shelf: &Path, family: &EntryName, sequence: u32) -> PathBuf {
    shelf.join(format!("{family}.{sequence}"))
}

/// The directory in a ring's. Where entries are listed, names that begin with a dot are skipped.
const REDEEMED: &str = ".redeemed";
