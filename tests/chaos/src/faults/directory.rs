//! What happens to a directory, and to the file system that it is on.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::sleep;

use crate::Problem;
use crate::faults::expected::{LOST, UNREAD, UNWRITTEN};
use crate::faults::fault::{Allows, Expected, FAULT, Fault, Heals, NOTHING, act};
use crate::faults::promises::{NOT_SEEN, STORE_AWAY, STORE_READ_ONLY};
use crate::run::perform::Scene;
use crate::setup::process::{copy, run};
use crate::setup::store::StoreKind::Volume;

/// Its faults.
pub(crate) const FAULTS: [Fault; 8] = [
    Fault {
        name: "directory-deleted",
        does: "`rm -rf` of the directory",
        allows: STORE_AWAY,
        expected: UNREAD,
        heals: Heals { within: 20, how: "after `mkdir -m 700`", says: Some("mkdir -m 700") },
        inject: act!(delete),
        lift: act!(make),
        ..FAULT
    },
    Fault {
        name: "directory-replaced",
        does: "another, empty volume is mounted in its place, and later the right one again",
        allows: Allows { cut_off: Some(NOT_SEEN), ..STORE_AWAY },
        expected: LOST,
        inject: act!(replace),
        lift: act!(bring_back),
        ..FAULT
    },
    Fault {
        name: "directory-permissions",
        does: "`chmod 755`: others may read it",
        allows: STORE_AWAY,
        expected: UNREAD,
        heals: Heals { within: 20, how: "after `chmod 700`", says: Some("chmod") },
        inject: act!(open_to_all),
        lift: act!(close_to_others),
        ..FAULT
    },
    Fault {
        name: "directory-read-only",
        does: "the directory and all in it can be read, and not written (`chattr +i`)",
        needs: Some(can_be_immutable),
        allows: STORE_READ_ONLY,
        expected: UNWRITTEN,
        inject: act!(read_only),
        lift: act!(writable),
        ..FAULT
    },
    Fault {
        name: "directory-full",
        store: Volume,
        does: "the file system is full",
        allows: STORE_READ_ONLY,
        expected: UNWRITTEN,
        inject: act!(fill),
        lift: act!(make_room),
        ..FAULT
    },
    Fault {
        name: "directory-garbage",
        does: "files of random bytes, an empty one, a directory and a symbolic link among the entries",
        expected: Expected {
            status: &["/skipped"],
            metric: &[],
            log: &["skipped an entry"],
            unseen: Some("nothing is lost: no metric counts what was skipped"),
        },
        inject: act!(litter),
        lift: act!(tidy),
        ..FAULT
    },
    Fault {
        name: "directory-truncated-entries",
        does: "every file is cut to half of its length",
        allows: Allows { cut_off: Some(NOT_SEEN), ..STORE_AWAY },
        expected: Expected {
            status: &["/skipped", "/failure"],
            metric: &[],
            log: &["skipped an entry", "the store lost entries", "the store lost revocations"],
            unseen: Some("nothing is lost: no metric counts what was skipped"),
        },
        inject: act!(cut_all),
        lift: act!(remove_cut),
        heals: Heals {
            within: 20,
            how: "by itself; the cut entries are removed by hand",
            says: None,
        },
        ..FAULT
    },
    Fault {
        name: "directory-older",
        does: "it is replaced by a copy that is 3 seconds old",
        allows: Allows { cut_off: Some(NOT_SEEN), ..NOTHING },
        expected: LOST,
        inject: act!(older),
        ..FAULT
    },
];

fn failed(error: impl ToString) -> Problem {
    error.to_string()
}

/// A place beside the directory.
fn beside(directory: &Path, name: &str) -> PathBuf {
    directory.with_file_name(name)
}

async fn delete(scene: &mut Scene) -> Result<(), Problem> {
    // Replicas may write into it meanwhile.
    let directory = scene.cluster.store.directory();
    for _ in 0..50 {
        if fs::remove_dir_all(&directory).is_ok() || !directory.exists() {
            return Ok(());
        }
    }
    Err("the directory cannot be removed".to_owned())
}

async fn make(scene: &mut Scene) -> Result<(), Problem> {
    let directory = scene.cluster.store.directory();
    fs::create_dir(&directory).map_err(failed)?;
    mode(&directory, 0o700)
}

fn mode(path: &Path, mode: u32) -> Result<(), Problem> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

async fn replace(scene: &mut Scene) -> Result<(), Problem> {
    let directory = scene.cluster.store.directory();
    fs::rename(&directory, beside(&directory, "right")).map_err(failed)?;
    make(scene).await
}

async fn bring_back(scene: &mut Scene) -> Result<(), Problem> {
    let directory = scene.cluster.store.directory();
    fs::rename(&directory, beside(&directory, "wrong")).map_err(failed)?;
    fs::rename(beside(&directory, "right"), &directory).map_err(failed)
}

async fn open_to_all(scene: &mut Scene) -> Result<(), Problem> {
    mode(&scene.cluster.store.directory(), 0o755)
}

async fn close_to_others(scene: &mut Scene) -> Result<(), Problem> {
    mode(&scene.cluster.store.directory(), 0o700)
}

async fn read_only(scene: &mut Scene) -> Result<(), Problem> {
    immutable(scene, "+i")
}

async fn writable(scene: &mut Scene) -> Result<(), Problem> {
    immutable(scene, "-i")
}

/// A file system cannot be remounted while replicas have files open for writing.
fn immutable(scene: &Scene, attribute: &str) -> Result<(), Problem> {
    let directory = scene.cluster.store.directory();
    run(Command::new("chattr").args(["-R", "-f", attribute]).arg(directory))
}

/// Only root may do it, and not on every file system.
fn can_be_immutable() -> Result<(), Problem> {
    let directory = tempfile::tempdir().map_err(failed)?;
    for attribute in ["+i", "-i"] {
        let set = run(Command::new("chattr").arg(attribute).arg(directory.path()));
        set.map_err(|problem| format!("a read-only directory takes `chattr +i`: {problem}"))?;
    }
    Ok(())
}

async fn fill(scene: &mut Scene) -> Result<(), Problem> {
    let path = scene.cluster.store.volume()?.path().join("fill");
    let mut file = fs::File::create(path).map_err(failed)?;
    // To the last byte.
    while file.write_all(&[0; 4096]).is_ok() {}
    Ok(())
}

async fn make_room(scene: &mut Scene) -> Result<(), Problem> {
    fs::remove_file(scene.cluster.store.volume()?.path().join("fill")).map_err(failed)
}

/// The directories of rings, of which each holds entries.
fn rings(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(directory).map_err(failed)?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

async fn litter(scene: &mut Scene) -> Result<(), Problem> {
    for ring in rings(&scene.cluster.store.directory())? {
        let bytes: Vec<u8> = (0..997_u32).map(|number| (number * 31 % 251) as u8).collect();
        fs::write(ring.join("garbage-1.json"), bytes).map_err(failed)?;
        fs::write(ring.join("garbage-2.json"), []).map_err(failed)?;
        fs::create_dir(ring.join("garbage-3.json")).map_err(failed)?;
        std::os::unix::fs::symlink("/dev/zero", ring.join("garbage-4.json")).map_err(failed)?;
    }
    Ok(())
}

async fn tidy(scene: &mut Scene) -> Result<(), Problem> {
    for ring in rings(&scene.cluster.store.directory())? {
        for number in [1, 2, 4] {
            fs::remove_file(ring.join(format!("garbage-{number}.json"))).map_err(failed)?;
        }
        fs::remove_dir(ring.join("garbage-3.json")).map_err(failed)?;
    }
    Ok(())
}

/// All files below, of which some may go meanwhile.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn cut_all(scene: &mut Scene) -> Result<(), Problem> {
    let mut cut = Vec::new();
    for path in files(&scene.cluster.store.directory()) {
        let Ok(file) = fs::File::options().write(true).open(&path) else { continue };
        let length = file.metadata().map_err(failed)?.len();
        file.set_len(length / 2).map_err(failed)?;
        cut.push((path, length / 2));
    }
    scene.cluster.held.push(Box::new(cut));
    Ok(())
}

async fn remove_cut(scene: &mut Scene) -> Result<(), Problem> {
    let cut = scene.cluster.held.pop().and_then(|it| it.downcast::<Vec<(PathBuf, u64)>>().ok());
    for (path, length) in *cut.ok_or("nothing was cut")? {
        // Those that the replicas have written again are whole.
        if fs::metadata(&path).is_ok_and(|file| file.len() == length) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

async fn older(scene: &mut Scene) -> Result<(), Problem> {
    let directory = scene.cluster.store.directory();
    let copied = beside(&directory, "older");
    copy(&directory, &copied)?;
    sleep(Duration::from_secs(3)).await;
    fs::rename(&directory, beside(&directory, "newer")).map_err(failed)?;
    fs::rename(&copied, &directory).map_err(failed)
}
