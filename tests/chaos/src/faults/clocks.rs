//! The clock of one replica is wrong, from its start or from a moment on (libfaketime).

use std::fs;
use std::path::Path;

use crate::Problem;
use crate::faults::fault::{Allows, Expected, FAULT, Fault, Heals, NOTHING, Refused, act};
use crate::faults::promises::{CLOCK, GONE};
use crate::run::perform::Scene;
use crate::setup::process::faketime_directory;
use crate::setup::store::StoreKind;

/// The tokens of the replica are in the future of the others.
const AHEAD: Allows = Allows { refused: Refused::Others(CLOCK), ..NOTHING };
/// All tokens from before and of the others are in its future.
const BEHIND: Allows = Allows { refused: Refused::Last(CLOCK), ..NOTHING };

/// The shipped default of `clock_skew`, and periods that are long enough for an hour.
const OPTIONS: &[&str] =
    &["--clock-skew-seconds", "60", "--signing-seconds", "7200", "--session-seconds", "10800"];
/// The library reads the offset from a file. Ages are measured by a clock that nobody sets, and the files'
/// times are the file server's.
const PREFIX: &[&str] = &[
    "/usr/bin/env",
    "LD_PRELOAD={faketime}/libfaketimeMT.so.1",
    "FAKETIME_TIMESTAMP_FILE={home}/offset",
    "FAKETIME_NO_CACHE=1",
    "FAKETIME_DONT_FAKE_MONOTONIC=1",
    "DONT_FAKE_MONOTONIC=1",
    "NO_FAKE_STAT=1",
];

const WITHIN: Fault = Fault {
    options: OPTIONS,
    prefix: PREFIX,
    needs: Some(faketime),
    expected: Expected {
        status: &[],
        metric: &[],
        log: &[],
        unseen: Some("nothing is wrong: within clock_skew (60 s)"),
    },
    // Longer than the bound of a revocation, 10 s with these options.
    hold: 14,
    lift: act!(right),
    ..FAULT
};
const BEYOND: Fault = Fault {
    expected: Expected {
        status: &[],
        metric: &["issued_in_future"],
        log: &["was issued in the future: a replica's clock is wrong"],
        unseen: Some("a directory has no clock, so that nobody knows whose clock is wrong"),
    },
    heals: Heals { within: 20, how: "when the clock is right", says: Some("clock is wrong") },
    ..WITHIN
};
/// A store with a clock knows whose is wrong.
const KNOWN: Fault = Fault {
    store: StoreKind::Redis,
    expected: Expected {
        status: &["/ring/clock_offset"],
        metric: &["clock_offset_seconds"],
        log: &["this replica's clock differs from the store's"],
        unseen: None,
    },
    heals: Heals {
        within: 20,
        how: "when the clock is right",
        says: Some("not ready because of its clock"),
    },
    ..WITHIN
};

/// Their faults.
pub(crate) const FAULTS: [Fault; 10] = [
    Fault {
        name: "clock-30-ahead",
        does: "one replica's clock is set 30 s ahead",
        inject: act!(ahead_30),
        ..WITHIN
    },
    Fault {
        name: "clock-30-behind",
        does: "one replica's clock is set 30 s back",
        inject: act!(behind_30),
        ..WITHIN
    },
    Fault {
        name: "clock-90-ahead",
        does: "one replica's clock is set 90 s ahead",
        allows: AHEAD,
        inject: act!(ahead_90),
        ..BEYOND
    },
    Fault {
        name: "clock-90-behind",
        does: "one replica's clock is set 90 s back",
        allows: BEHIND,
        inject: act!(behind_90),
        ..BEYOND
    },
    Fault {
        name: "clock-hour-ahead",
        does: "one replica's clock is set 1 hour ahead",
        allows: AHEAD,
        inject: act!(ahead_hour),
        ..BEYOND
    },
    Fault {
        name: "clock-hour-behind",
        does: "one replica's clock is set 1 hour back",
        allows: BEHIND,
        inject: act!(behind_hour),
        ..BEYOND
    },
    Fault {
        name: "clock-90-ahead-start",
        does: "one replica is started again with a clock that is 90 s ahead",
        allows: Allows { unreachable: Some(GONE), ..AHEAD },
        inject: act!(starts_ahead_90),
        ..BEYOND
    },
    Fault {
        name: "clock-90-ahead-redis",
        does: "one replica's clock is set 90 s ahead; the store has a clock",
        allows: AHEAD,
        inject: act!(ahead_90),
        ..KNOWN
    },
    Fault {
        name: "clock-90-behind-redis",
        does: "one replica's clock is set 90 s back; the store has a clock",
        allows: BEHIND,
        inject: act!(behind_90),
        ..KNOWN
    },
    Fault {
        name: "clock-hour-ahead-postgres",
        store: StoreKind::Postgres,
        does: "one replica's clock is set 1 hour ahead; the store has a clock",
        allows: AHEAD,
        inject: act!(ahead_hour),
        ..KNOWN
    },
];

fn faketime() -> Result<(), Problem> {
    let missing = || "libfaketime is not installed: `apt-get install libfaketime`".to_owned();
    faketime_directory().map(drop).ok_or_else(missing)
}

/// Sets the clock of the last replica.
fn set(scene: &Scene, offset: &str) -> Result<(), Problem> {
    let home: &Path = scene.cluster.store.home();
    // In one step: a half-written offset would be another.
    let new = home.join("offset.new");
    fs::write(&new, offset).map_err(|error| error.to_string())?;
    fs::rename(&new, home.join("offset")).map_err(|error| error.to_string())
}

async fn ahead_30(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "+30")
}

async fn behind_30(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "-30")
}

async fn ahead_90(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "+90")
}

async fn behind_90(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "-90")
}

async fn ahead_hour(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "+3600")
}

async fn behind_hour(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "-3600")
}

async fn starts_ahead_90(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.last()?.kill();
    set(scene, "+90")?;
    scene.cluster.last()?.start_again()
}

async fn right(scene: &mut Scene) -> Result<(), Problem> {
    set(scene, "+0")
}
