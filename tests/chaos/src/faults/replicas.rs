//! What happens to one replica of three.

use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Problem;
use crate::faults::fault::{Allows, Expected, FAULT, Fault, Heals, NOTHING, act};
use crate::faults::promises::{GONE, LOGOUT_FAILS, NOT_SEEN};
use crate::run::perform::Scene;
use crate::setup::process::run;

/// A process that is gone says nothing; its readiness check fails.
const GONE_UNSEEN: Expected = Expected {
    status: &[],
    metric: &[],
    log: &[],
    unseen: Some("the process says nothing: its readiness check fails"),
};

/// Their faults.
pub(crate) const FAULTS: [Fault; 4] = [
    Fault {
        name: "replica-killed",
        does: "`kill -9` of one replica, which is started again",
        allows: Allows { unreachable: Some(GONE), ..NOTHING },
        expected: GONE_UNSEEN,
        inject: act!(kill),
        lift: act!(start),
        ..FAULT
    },
    Fault {
        name: "replica-stopped",
        does: "one replica is stopped (SIGSTOP) for longer than its `max_staleness` of 5 seconds, \
               with copies of ended sessions waiting there",
        options: &["--signing-seconds", "10", "--stale-seconds", "5"],
        allows: Allows {
            unreachable: Some(GONE),
            sessions: Some(
                "RevocationsBuilder::max_staleness: it answers 503 until it has read the store",
            ),
            logins: Some("the same"),
            ..NOTHING
        },
        expected: Expected {
            status: &[],
            metric: &[],
            log: &[],
            unseen: Some("a process that is stopped says nothing: its readiness check fails"),
        },
        hold: 9,
        inject: act!(stop),
        lift: act!(resume),
        ..FAULT
    },
    Fault {
        name: "replica-64-files",
        does: "one replica may open 64 files, and 100 idle connections take them all",
        prefix: &["/usr/bin/prlimit", "--nofile=64:64"],
        allows: Allows {
            unreachable: Some("no promise: new connections wait, which is the server's affair"),
            logouts: Some(LOGOUT_FAILS),
            cut_off: Some(NOT_SEEN),
            ..NOTHING
        },
        expected: Expected {
            status: &[],
            metric: &[],
            log: &["refresh failed", "cannot write to the store"],
            unseen: Some("nobody can ask for its status: new connections wait"),
        },
        inject: act!(hundred_connections),
        lift: act!(close_connections),
        ..FAULT
    },
    Fault {
        name: "replica-10000-connections",
        does: "10,000 idle connections to one replica",
        prefix: &["/usr/bin/prlimit", "--nofile=16384"],
        needs: Some(many_files),
        expected: Expected { unseen: Some("nothing is wrong"), ..GONE_UNSEEN },
        heals: Heals { within: 20, how: "nothing is wrong", says: None },
        inject: act!(ten_thousand_connections),
        lift: act!(close_connections),
        ..FAULT
    },
];

pub(crate) async fn kill(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.last()?.kill();
    Ok(())
}

pub(crate) async fn start(scene: &mut Scene) -> Result<(), Problem> {
    let last = scene.cluster.last()?;
    // A balancer sends nothing to a process of which it does not know that it is ready.
    last.peer.put_in_rotation(false);
    last.start_again()
}

async fn stop(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.last()?.signal("STOP")
}

async fn resume(scene: &mut Scene) -> Result<(), Problem> {
    // They were ended while it stood still, and are beyond the bound, or will be refused anyway.
    let index = scene.cluster.replicas.len() - 1;
    scene.load.wait_at(index, 24);
    sleep(Duration::from_millis(300)).await;
    scene.cluster.last()?.signal("CONT")
}

async fn hundred_connections(scene: &mut Scene) -> Result<(), Problem> {
    connect(scene, 100).await
}

async fn ten_thousand_connections(scene: &mut Scene) -> Result<(), Problem> {
    connect(scene, 10_000).await
}

async fn connect(scene: &mut Scene, count: usize) -> Result<(), Problem> {
    let url = scene.cluster.last()?.peer.url.clone();
    let address = url.trim_start_matches("http://");
    let mut held = Vec::new();
    for number in 0..count {
        // Beyond those that it accepts the system queues some, and then lets none in.
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_secs(2), connecting).await {
            Ok(Ok(stream)) => held.push(stream),
            Ok(Err(error)) => return Err(format!("connection {number}: {error}")),
            Err(_) => break,
        }
    }
    scene.cluster.held.push(Box::new(held));
    Ok(())
}

async fn close_connections(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.held.clear();
    Ok(())
}

/// Lets this process and its children open as many files.
fn many_files() -> Result<(), Problem> {
    let this = std::process::id().to_string();
    let raised = run(Command::new("prlimit").args(["--pid", &this, "--nofile=16384:"]));
    raised.map_err(|problem| format!("10,000 connections take as many open files: {problem}"))
}
