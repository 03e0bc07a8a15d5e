//! The store is emptied, and one replica starts again before the others have looked.

use std::fs;

use crate::Problem;
use crate::faults::expected::LOST;
use crate::faults::fault::{Allows, FAULT, Fault, NOTHING, act};
use crate::faults::promises::{FORGOTTEN, GONE, NOT_SEEN};
use crate::faults::{postgres, redis, replicas};
use crate::run::perform::Scene;
use crate::setup::store::StoreKind;

const PURGE: Fault = Fault {
    allows: Allows {
        unreachable: Some(GONE),
        cut_off: Some(NOT_SEEN),
        forgotten: Some(FORGOTTEN),
        ..NOTHING
    },
    expected: LOST,
    ..FAULT
};

/// Its faults.
pub(crate) const FAULTS: [Fault; 3] = [
    Fault {
        name: "directory-purge-restart",
        does: "`rm -rf` of all entries and `kill -9` of one replica, which starts again at once",
        inject: act!(directory),
        ..PURGE
    },
    Fault {
        name: "redis-purge-restart",
        store: StoreKind::Redis,
        does: "FLUSHALL and `kill -9` of one replica, which starts again at once",
        inject: act!(redis_server),
        ..PURGE
    },
    Fault {
        name: "postgres-purge-restart",
        store: StoreKind::Postgres,
        does: "TRUNCATE and `kill -9` of one replica, which starts again at once",
        options: postgres::FAULT.options,
        hold: 14,
        inject: act!(postgres_server),
        ..PURGE
    },
];

async fn directory(scene: &mut Scene) -> Result<(), Problem> {
    replicas::kill(scene).await?;
    for entry in fs::read_dir(scene.cluster.store.directory()).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(entry.path());
    }
    replicas::start(scene).await
}

async fn redis_server(scene: &mut Scene) -> Result<(), Problem> {
    replicas::kill(scene).await?;
    redis::flush(scene).await?;
    replicas::start(scene).await
}

async fn postgres_server(scene: &mut Scene) -> Result<(), Problem> {
    replicas::kill(scene).await?;
    postgres::truncate(scene).await?;
    replicas::start(scene).await
}
