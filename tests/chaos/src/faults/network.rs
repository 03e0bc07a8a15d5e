//! What happens to the network between the replicas and their store, by a proxy on the way.

use std::time::Duration;

use crate::Problem;
use crate::faults::expected::UNREAD;
use crate::faults::fault::{Expected, FAULT, Fault, act};
use crate::faults::postgres;
use crate::faults::promises::STORE_AWAY;
use crate::run::perform::Scene;
use crate::setup::replica::Replica;
use crate::setup::store::StoreKind::{Postgres, Redis};

const SLOW: Expected = Expected {
    status: &[],
    metric: &[],
    log: &[],
    unseen: Some("nothing is wrong: that is within all timeouts"),
};

/// Its faults.
pub(crate) const FAULTS: [Fault; 6] = [
    Fault {
        name: "network-slow-redis",
        store: Redis,
        does: "each way to Redis takes 100 ms longer",
        expected: SLOW,
        inject: act!(slow),
        lift: act!(fast),
        ..FAULT
    },
    Fault {
        name: "network-slow-postgres",
        store: Postgres,
        does: "each way to PostgreSQL takes 25 ms longer: a new connection takes 8 of them and more",
        expected: SLOW,
        inject: act!(slower_connections),
        lift: act!(fast),
        ..postgres::FAULT
    },
    Fault {
        name: "network-cut-redis",
        store: Redis,
        does: "nothing passes between any replica and Redis, and no connection is closed",
        allows: STORE_AWAY,
        expected: UNREAD,
        hold: 10,
        inject: act!(cut),
        lift: act!(heal),
        ..FAULT
    },
    Fault {
        name: "network-cut-postgres",
        store: Postgres,
        does: "nothing passes between any replica and PostgreSQL, and no connection is closed",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(cut),
        lift: act!(heal),
        ..postgres::FAULT
    },
    Fault {
        name: "network-one-replica-redis",
        store: Redis,
        does: "nothing passes between one replica and Redis",
        allows: STORE_AWAY,
        expected: UNREAD,
        hold: 10,
        inject: act!(cut_one),
        lift: act!(heal),
        ..FAULT
    },
    Fault {
        name: "network-one-replica-postgres",
        store: Postgres,
        does: "nothing passes between one replica and PostgreSQL",
        allows: STORE_AWAY,
        expected: UNREAD,
        inject: act!(cut_one),
        lift: act!(heal),
        ..postgres::FAULT
    },
];

/// Longer than any run.
const NEVER: Duration = Duration::from_secs(24 * 3600);

fn delay(replicas: &[Replica], delay: Duration) {
    for link in replicas.iter().filter_map(|replica| replica.link.as_ref()) {
        link.slow(delay);
    }
}

async fn slow(scene: &mut Scene) -> Result<(), Problem> {
    delay(&scene.cluster.replicas, Duration::from_millis(100));
    Ok(())
}

async fn slower_connections(scene: &mut Scene) -> Result<(), Problem> {
    delay(&scene.cluster.replicas, Duration::from_millis(25));
    Ok(())
}

async fn cut(scene: &mut Scene) -> Result<(), Problem> {
    delay(&scene.cluster.replicas, NEVER);
    Ok(())
}

async fn cut_one(scene: &mut Scene) -> Result<(), Problem> {
    let last = scene.cluster.replicas.len() - 1;
    delay(&scene.cluster.replicas[last..], NEVER);
    Ok(())
}

async fn fast(scene: &mut Scene) -> Result<(), Problem> {
    delay(&scene.cluster.replicas, Duration::ZERO);
    Ok(())
}

/// What waits in the middle is lost, as after a long cut.
async fn heal(scene: &mut Scene) -> Result<(), Problem> {
    let port = scene.cluster.store.server()?.port;
    let links = scene.cluster.replicas.iter().filter_map(|replica| replica.link.as_ref());
    for link in links.filter(|link| link.is_slow()) {
        link.slow(Duration::ZERO);
        link.lead_to(port);
    }
    Ok(())
}
