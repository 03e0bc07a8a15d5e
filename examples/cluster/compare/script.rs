//! The script of one arm: each fault, what undoes it, and what the users met meanwhile.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    BoxError,
    compare::counters::{Counters, Unasked},
    compare::outcome::{Added, Phase, Row, Sample, Spike, milliseconds},
    faults::{event::Event, perform::perform},
    processes::cluster::Cluster,
    users::crowd::Crowd,
    users::tally::Tally,
};

/// How many replicas there are, before and after each fault.
pub(crate) const REPLICAS: usize = 3;
/// How often the users' counts are read.
const SAMPLE: Duration = Duration::from_millis(100);
/// How many of those reads make a moment of a spike.
const SAMPLES_PER_MOMENT: usize = 5;
/// How long users who were logged out may take to log in again, before the next fault.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(600);
/// How long the users are watched after a fault was undone.
const AFTERMATH: Duration = Duration::from_millis(400);

/// What undoes a fault; nothing if it leaves nothing to undo.
fn undone_by(fault: Event) -> Option<Event> {
    match fault {
        Event::Kill | Event::Stop | Event::Drain | Event::FailHealth | Event::Clock => {
            Some(Event::Start)
        }
        Event::KillStore | Event::SlowStore => Some(Event::StartStore),
        _ => None,
    }
}

/// Runs one phase; `unasked` is what the store does without users.
///
/// # Errors
/// If the cluster cannot be kept up.
pub(crate) async fn run(
    phase: Phase,
    cluster: &mut Cluster<'_>,
    crowd: &Crowd,
    watched_for: Duration,
    unasked: Unasked,
) -> Result<Row, BoxError> {
    settle(cluster, crowd).await?;
    let names = cluster.names();
    let before = Counters::read(cluster).await;
    crowd.take();
    let (start, mut tally, mut samples) = (Instant::now(), Tally::default(), Vec::new());
    let said = {
        let mut work = pin!(act(phase, cluster, crowd, watched_for));
        let mut ticks = interval(SAMPLE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                said = &mut work => break said?,
                _ = ticks.tick() => {
                    let counted = crowd.take();
                    samples.push((start.elapsed(), counted.clone()));
                    tally.merge(counted);
                }
            }
        }
    };
    tally.merge(crowd.take());
    let took = start.elapsed().as_secs_f64();
    let after = Counters::read(cluster).await;
    let commands = after.commands_since(&before).map(|it| unasked.taken_from(it, took));
    let spike = (phase == Phase::Fault(Event::Spike)).then(|| Spike {
        samples: moments(&samples),
        added: added(&cluster.names()[names.len()..], &samples, &tally),
    });
    Ok(Row {
        phase,
        said,
        took,
        rate: tally.requests as f64 / took,
        commands_per_request: commands.map(|it| it / tally.requests.max(1) as f64),
        copied_per_second: after.sent_since(&before) as f64 / took,
        memory_per_replica: after.memory_per_replica(),
        spike,
        tally,
    })
}

/// Does what a phase is about, and undoes it.
async fn act(
    phase: Phase,
    cluster: &mut Cluster<'_>,
    crowd: &Crowd,
    watched_for: Duration,
) -> Result<String, BoxError> {
    let Phase::Fault(fault) = phase else {
        sleep(watched_for).await;
        return Ok("nothing was done".to_owned());
    };
    let said = perform(fault, cluster, crowd).await?;
    if fault != Event::Spike {
        // A spike is watched while it lasts.
        sleep(watched_for).await;
    }
    if let Some(remedy) = undone_by(fault) {
        perform(remedy, cluster, crowd).await?;
        sleep(AFTERMATH).await;
    }
    Ok(said)
}

/// Brings the number of replicas back, and waits until every user has a session again. Where sessions are
/// lost all the time, that never comes.
async fn settle(cluster: &mut Cluster<'_>, crowd: &Crowd) -> Result<(), BoxError> {
    while cluster.replicas().len() > REPLICAS {
        cluster.shrink().await?;
    }
    if cluster.replicas().len() < REPLICAS {
        cluster.grow(REPLICAS - cluster.replicas().len()).await?;
    }
    let start = Instant::now();
    while start.elapsed() < SETTLE_TIMEOUT && crowd.users().iter().any(|user| !user.logged_in) {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The course of a spike.
fn moments(samples: &[(Duration, Tally)]) -> Vec<Sample> {
    let mut since = Duration::ZERO;
    let moments = samples.chunks(SAMPLES_PER_MOMENT).map(|chunk| {
        let mut tally = Tally::default();
        chunk.iter().for_each(|(_, counted)| tally.merge(counted.clone()));
        let until = chunk.last().map_or(since, |(at, _)| *at);
        let length = (until - since).as_secs_f64().max(f64::EPSILON);
        since = until;
        Sample {
            at_ms: whole_milliseconds(until),
            rate: tally.requests as f64 / length,
            p99_ms: tally.percentile(99).map(milliseconds),
        }
    });
    moments.collect()
}

/// What the replicas that came answered.
fn added(names: &[String], samples: &[(Duration, Tally)], total: &Tally) -> Vec<Added> {
    let added = names.iter().map(|name| {
        let first = samples.iter().find(|(_, counted)| counted.by_replica.contains_key(name));
        let refusals = total.refusals.iter().filter(|((refuser, _), _)| refuser == name);
        Added {
            name: name.clone(),
            first_answer_ms: first.map(|(at, _)| whole_milliseconds(*at)),
            answers: total.by_replica.get(name).copied().unwrap_or_default(),
            refused: refusals.map(|(_, count)| count).sum(),
        }
    });
    added.collect()
}

fn whole_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, by: &str, requests: u64) -> (Duration, Tally) {
        let by_replica = [(by.to_owned(), requests)].into();
        let micros = vec![1500; requests as usize];
        (Duration::from_millis(at), Tally { requests, by_replica, micros, ..Tally::default() })
    }

    #[test]
    fn a_spike_is_seen_moment_by_moment() {
        let samples: Vec<_> = (1..=10).map(|tick| sample(100 * tick, "a", 5)).collect();
        let moments = moments(&samples);
        let shown: Vec<_> =
            moments.iter().map(|it| (it.at_ms, it.rate.round(), it.p99_ms)).collect();
        assert_eq!(shown, [(500, 50.0, Some(1.5)), (1000, 50.0, Some(1.5))]);
    }

    #[test]
    fn the_first_answer_of_a_new_replica_is_found() {
        let samples = [sample(100, "a", 5), sample(200, "b", 3)];
        let mut total = Tally::default();
        samples.iter().for_each(|(_, counted)| total.merge(counted.clone()));
        total.refusals = [(("b".to_owned(), "a".to_owned()), 2)].into();
        let names = ["b".to_owned(), "c".to_owned()];
        let [b, c] = &added(&names, &samples, &total)[..] else { panic!("two were added") };
        assert_eq!((b.first_answer_ms, b.answers, b.refused), (Some(200), 3, 2));
        assert_eq!((c.first_answer_ms, c.answers), (None, 0));
    }
}
