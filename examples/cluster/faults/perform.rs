//! Each event, done to a cluster. The victim is chosen by one rule in every arm: of the replicas that are
//! alive, the one that answered most of the users last; of several, the last one.

use std::time::Duration;

use crate::{
    BoxError, faults::event::Event, faults::event::SPIKE_REPLICAS, faults::sessions,
    processes::cluster::Cluster, users::crowd::Crowd,
};
use tokio::time::sleep;

/// By how many milliseconds a wrong clock is ahead.
const CLOCK_OFFSET: i64 = 30_000;
/// How much each message to and from a slow store is delayed.
const STORE_DELAY: Duration = Duration::from_millis(50);
/// How long a traffic spike lasts.
pub(crate) const SPIKE: Duration = Duration::from_secs(4);
/// How many times as often users ask in it.
const SPIKE_FACTOR: u32 = 4;

/// Does it, and returns one sentence that says what was done.
///
/// # Errors
/// If it is not possible now, or fails.
pub(crate) async fn perform(
    event: Event,
    cluster: &mut Cluster<'_>,
    crowd: &Crowd,
) -> Result<String, BoxError> {
    event.is_possible(cluster)?;
    match event {
        Event::Kill => sessions::kill(cluster, crowd, victim(cluster, crowd)?.0).await,
        Event::Stop => {
            let (index, name) = victim(cluster, crowd)?;
            cluster.stop(index).await?;
            Ok(format!("stopped {name}"))
        }
        Event::Start => start(cluster).await,
        Event::Drain => {
            let (index, name) = victim(cluster, crowd)?;
            cluster.drain(index).await?;
            Ok(format!("drained {name}"))
        }
        Event::Roll => {
            let alive = cluster.alive();
            for &index in &alive {
                cluster.restart(index).await?;
            }
            Ok(format!("restarted {} replicas, one after the other", alive.len()))
        }
        Event::Add => {
            cluster.grow(1).await?;
            let name = cluster.names().pop().unwrap_or_default();
            Ok(format!("added {name}"))
        }
        Event::Remove => {
            let name = cluster.names().pop().unwrap_or_default();
            cluster.shrink().await?;
            Ok(format!("removed {name}"))
        }
        Event::Spike => spike(cluster, crowd).await,
        Event::FailHealth => {
            let (index, name) = victim(cluster, crowd)?;
            cluster.fail_health(index).await?;
            Ok(format!("the health check of {name} fails, its process lives"))
        }
        Event::Clock => {
            let (index, name) = victim(cluster, crowd)?;
            cluster.restart_with_clock(index, CLOCK_OFFSET).await?;
            Ok(format!("restarted {name} with a clock {} s ahead", CLOCK_OFFSET / 1000))
        }
        Event::RotateKeys => sessions::rotate_keys(cluster).await,
        Event::RevokeKey => sessions::revoke_key(cluster, crowd).await,
        Event::LogOutEverywhere => sessions::log_out_everywhere(cluster, crowd).await,
        Event::Replay => sessions::replay(cluster, crowd).await,
        Event::KillStore => {
            cluster.meeting.kill()?;
            Ok("killed the store".to_owned())
        }
        Event::StartStore => {
            cluster.meeting.heal().await?;
            Ok("the store is back".to_owned())
        }
        Event::SlowStore => {
            cluster.meeting.linked()?.slow(STORE_DELAY);
            Ok(format!("each message to and from the store takes {STORE_DELAY:?} longer"))
        }
        Event::EmptyStore => {
            cluster.meeting.empty().await?;
            Ok("emptied the store".to_owned())
        }
        Event::FailOverStore => {
            cluster.meeting.linked()?.fail_over().await?;
            Ok("killed the store; its follower took its place".to_owned())
        }
    }
}

/// The replica that is to suffer, and its name.
fn victim(cluster: &Cluster<'_>, crowd: &Crowd) -> Result<(usize, String), BoxError> {
    let users = crowd.users();
    let name = |index: usize| &cluster.replicas()[index].name;
    let of = |index: usize| users.iter().filter(|user| user.replica == *name(index)).count();
    let index = cluster.alive().into_iter().max_by_key(|&index| of(index));
    let index = index.ok_or("no replica is alive")?;
    Ok((index, name(index).clone()))
}

/// Brings every replica back that is not alive, or whose clock is off.
async fn start(cluster: &mut Cluster<'_>) -> Result<String, BoxError> {
    let alive = cluster.alive();
    let mut names = Vec::new();
    for index in 0..cluster.replicas().len() {
        if !alive.contains(&index) || cluster.replicas()[index].clock_offset() != 0 {
            cluster.recover(index).await?;
            names.push(cluster.replicas()[index].name.clone());
        }
    }
    Ok(format!("brought back {}", names.join(", ")))
}

/// More load for a while; a quarter into it, more replicas.
async fn spike(cluster: &mut Cluster<'_>, crowd: &Crowd) -> Result<String, BoxError> {
    let pause = crowd.pause();
    crowd.set_pause(pause / SPIKE_FACTOR);
    sleep(SPIKE / 4).await;
    let grown = cluster.grow(SPIKE_REPLICAS).await;
    sleep(SPIKE * 3 / 4).await;
    crowd.set_pause(pause);
    grown?;
    Ok(format!(
        "{SPIKE_FACTOR} times the load for {SPIKE:?}; {SPIKE_REPLICAS} replicas were added meanwhile"
    ))
}
