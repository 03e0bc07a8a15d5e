//! The checks of the replicas: each alone, and against each other.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_jwt_session::Timestamp;

use crate::commands::doctor::line::{Check, Line, Outcome, Problem};
use crate::commands::doctor::status::{Replica, Status};
use crate::time::words;

use Outcome::{Failed, NotChecked, Ok as Good, Warning};

/// All lines about the replicas, in the order of the checklist.
pub(crate) fn check(replicas: &[Replica], skew: Duration) -> Vec<Line> {
    let mut lines = vec![instances(replicas), reachable(replicas)];
    if replicas.iter().all(|replica| replica.document().is_none()) {
        return lines;
    }
    lines.extend([
        // First: a wrong clock is the cause of failures in many lines below.
        clocks(replicas, skew),
        ready(replicas),
        names(replicas),
        ring(replicas),
        fingerprint(replicas),
        rotation(replicas),
        reads(replicas),
        writes(replicas),
        revocations(replicas),
        versions(replicas),
        sealed(replicas),
        skipped(replicas),
        panics(replicas),
        issuers(replicas),
    ]);
    lines
}

/// The problems that each replica's document shows, with its URL. Equal ones are one.
fn each(replicas: &[Replica], problem: impl Fn(&Status) -> Vec<Problem>) -> Vec<Problem> {
    let mut problems: Vec<(Problem, Vec<&str>)> = Vec::new();
    for replica in replicas {
        for found in replica.document().map(&problem).unwrap_or_default() {
            match problems.iter_mut().find(|(problem, _)| *problem == found) {
                Some((_, urls)) if !urls.contains(&&*replica.url) => urls.push(&replica.url),
                Some(_) => {}
                None => problems.push((found, vec![&replica.url])),
            }
        }
    }
    let shown = problems.into_iter();
    shown.map(|((outcome, text), urls)| (outcome, format!("{}: {text}", urls.join(", ")))).collect()
}

/// Which replicas show which value.
fn groups(
    replicas: &[Replica],
    value: impl Fn(&Status) -> Option<String>,
) -> BTreeMap<String, Vec<&str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for replica in replicas {
        if let Some(value) = replica.document().and_then(&value) {
            groups.entry(value).or_default().push(&replica.url);
        }
    }
    groups
}

/// `ok` for one value, and `outcome` for several.
fn same(check: Check, outcome: Outcome, groups: &BTreeMap<String, Vec<&str>>, what: &str) -> Line {
    let shown = groups.iter().map(|(value, urls)| format!("{value} at {}", urls.join(", ")));
    let shown: Vec<_> = shown.collect();
    match groups.len() {
        0 => check.line(NotChecked, format!("no replica shows its {what}")),
        1 => check.line(Good, format!("one {what}: {}", groups.keys().next().map_or("", |it| it))),
        several => check.line(outcome, format!("{several} different: {}", shown.join("; "))),
    }
}

fn instances(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "instances",
        expected: "at least 2, on different machines",
        fix: "run two replicas or more, and give the address of each",
    };
    let outcome = if replicas.len() < 2 { Failed } else { Good };
    check.line(outcome, format!("{} given", replicas.len()))
}

fn reachable(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "reachable",
        expected: "each answers /health/status with 200",
        fix: "start the replica, or correct its address: `Sessions::status_router` is on the internal port",
    };
    let failed = replicas.iter().filter_map(|replica| {
        let error = replica.status.as_ref().err()?;
        Some((Failed, format!("{}: {error}", replica.url)))
    });
    check.of(failed.collect(), format!("all {} answer", replicas.len()))
}

fn ready(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "ready",
        expected: "each answers /health/ready with 200",
        fix: "do what the reason says; a replica that is not ready gets no requests",
    };
    let problems = replicas.iter().filter_map(|replica| {
        let status = replica.document()?;
        let text = match &replica.ready {
            Ok(200) if status.ready => return None,
            Ok(_) if !status.reasons.is_empty() => status.reasons.join(", "),
            Ok(code) => format!("/health/ready answered {code}"),
            Err(error) => format!("/health/ready: {error}"),
        };
        Some((Failed, format!("{}: {text}", replica.url)))
    });
    check.of(problems.collect(), "all that answer are ready")
}

fn names(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "names",
        expected: "the same issuer and audience at all replicas",
        fix: "finish the rolling update, or give all replicas the same names in `Sessions::builder`: a replica \
              with others refuses the tokens of the rest",
    };
    let names = |status: &Status| {
        let (issuers, audiences) = (&status.accepted_issuers, &status.audiences);
        let is_shown = !issuers.is_empty() && !audiences.is_empty();
        is_shown.then(|| format!("{}, audience {}", issuers.join(" or "), audiences.join(" or ")))
    };
    same(check, Failed, &groups(replicas, names), "issuer")
}

fn ring(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "ring",
        expected: "one name at all replicas",
        fix: "give all replicas the same name in `KeyRing::builder`",
    };
    same(check, Failed, &groups(replicas, |status| Some(status.ring.ring.clone())), "ring")
}

fn fingerprint(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "fingerprint",
        expected: "the same keys at all replicas",
        fix: "give all replicas the same store, ring and sealing keys; if a replica has started just now, \
              ask again after the refresh interval",
    };
    let fingerprint = |status: &Status| Some(status.ring.fingerprint.clone());
    same(check, Failed, &groups(replicas, fingerprint), "fingerprint")
}

fn rotation(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "rotation",
        expected: "a key that signs, and its successor in time",
        fix: "if it is overdue, make the store writable: see the line `writes` and `sessionctl store check`; a \
              pause after a revocation ends by itself at its time",
    };
    let problems = each(replicas, |status| {
        let ring = &status.ring;
        let mut problems = Vec::new();
        if ring.rotation_overdue {
            problems.push((Failed, "rotation is overdue".to_owned()));
        }
        if let Some(paused) = &ring.issuing_paused {
            let until = paused.until.map_or("an unknown time".to_owned(), |it| it.to_string());
            let reason = &paused.reason;
            // Somebody revoked keys on purpose, and nothing needs to be done.
            let ends = paused.until.is_some() && reason == "revoked";
            let (outcome, how) = if ends { (Warning, ", by itself") } else { (Failed, "") };
            problems.push((outcome, format!("issuing is paused ({reason}) until {until}{how}")));
        }
        problems
    });
    let signs =
        |status: &Status| status.ring.sealed.is_some() || status.ring.signing_key_id.is_some();
    if problems.is_empty() && !replicas.iter().filter_map(Replica::document).any(signs) {
        return check.line(NotChecked, "its keys are those of an issuer: it signs nothing");
    }
    let signers = groups(replicas, |status| status.ring.signing_key_id.clone());
    let signers: Vec<_> = signers.into_keys().collect();
    check.of(problems, format!("signing key {}", signers.join(", ")))
}

fn clocks(replicas: &[Replica], skew: Duration) -> Line {
    let check = Check {
        name: "clocks",
        expected: "clocks within clock_skew of each other and of the store",
        fix: "correct the clock of the machine named (NTP, chrony); a replica with a wrong clock logs users \
              out",
    };
    let skew_ms = i64::try_from(skew.as_millis()).unwrap_or(i64::MAX);
    let judge = |offset: i64, uncertainty: i64, against: &str| -> Option<Problem> {
        let certain = offset.abs().saturating_sub(uncertainty);
        let outcome = match certain {
            certain if certain > skew_ms => Failed,
            certain if certain > skew_ms / 2 => Warning,
            _ => return None,
        };
        let direction = if offset > 0 { "ahead of" } else { "behind" };
        let by = words(Duration::from_millis(offset.unsigned_abs()));
        Some((outcome, format!("{by} {direction} {against}")))
    };
    let mut problems = each(replicas, |status| {
        let offset = status.ring.clock_offset.as_ref();
        let problem = offset.and_then(|it| {
            judge(
                it.offset_ms,
                it.uncertainty_ms.try_into().unwrap_or(i64::MAX),
                "the store's clock",
            )
        });
        problem.into_iter().collect()
    });
    let mut offsets: Vec<_> = replicas.iter().filter_map(offset).collect();
    offsets.sort_unstable();
    let Some(&(median, ..)) = offsets.get(offsets.len() / 2) else {
        return check.of(problems, "no replica shows its clock");
    };
    for (offset, uncertainty, url) in &offsets {
        let others = if offsets.len() > 2 { "the other replicas" } else { "the other replica" };
        let against = offsets.first().filter(|_| offsets.len() == 2).map_or(median, |it| it.0);
        let problem = judge(offset.saturating_sub(against), *uncertainty, others);
        problems.extend(problem.map(|(outcome, text)| (outcome, format!("{url}: {text}"))));
    }
    // If they agree, this machine is the one that is wrong, which harms no user.
    if problems.is_empty()
        && let Some((_, text)) = judge(-median, 0, "the replicas")
    {
        problems.push((Warning, format!("this machine's clock is {text}")));
    }
    let spread = offsets.last().map_or(0, |last| last.0.saturating_sub(offsets[0].0));
    let spread = words(Duration::from_millis(spread.unsigned_abs()));
    check.of(problems, format!("within {spread} of each other"))
}

/// The offset of a replica's clock from this machine's, and its uncertainty, in milliseconds.
fn offset(replica: &Replica) -> Option<(i64, i64, &str)> {
    let (answer, status) = replica.status.as_ref().ok()?;
    let time = status.time?.as_unix_millis();
    let uncertainty = i64::try_from(answer.uncertainty.as_millis()).unwrap_or(i64::MAX);
    Some((time.saturating_sub(answer.at.as_unix_millis()), uncertainty, &replica.url))
}

/// The age of a read by the replica's own clock, if it is older than it should be.
fn old(read: Timestamp, bound: Duration, status: &Status) -> Option<Problem> {
    let age = status.time? - read;
    (age > bound).then(|| {
        (Warning, format!("the last good read was {} ago, the bound is {bound:?}", words(age)))
    })
}

fn reads(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "reads",
        expected: "the keys are read from the store, or from the issuer, within the refresh bound",
        fix: "make the store reachable: `sessionctl store check`; for an issuer, its JWKS from the replica",
    };
    let problems = each(replicas, |status| {
        let others = status.issuers.iter().filter_map(|issuer| {
            let failure = issuer.ring.as_ref()?.failure.as_ref()?;
            Some((Failed, format!("{}: {failure}", issuer.issuer)))
        });
        let mut problems: Vec<_> = others.collect();
        problems.extend(own_reads(status));
        problems
    });
    check.of(problems, "no failure")
}

/// The problem with the reads of the service's own ring.
fn own_reads(status: &Status) -> Option<Problem> {
    match &status.ring.failure {
        Some(failure) => Some((Failed, failure.clone())),
        None => {
            let bound = status.revocations.as_ref().map_or(0, |it| it.refresh_bound_ms);
            let bound = Duration::from_millis(bound).max(LONGEST_REFRESH);
            // Rings that are not in a store are read when their source says so.
            let read = status.ring.refreshed_at.filter(|_| status.ring.sealed.is_some());
            read.and_then(|read| old(read, bound, status))
        }
    }
}

fn writes(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "writes",
        expected: "the last write succeeded",
        fix: "make the store writable (disk, memory, rights, a primary): logouts fail, and no key can be made",
    };
    let problems = each(replicas, |status| {
        let of_keys = status.ring.write_failure.iter().map(|it| format!("keys: {it}"));
        let revocations = status.revocations.iter();
        let of_revocations = revocations.filter_map(|it| it.write_failure.as_ref());
        let of_revocations = of_revocations.map(|it| format!("revocations: {it}"));
        of_keys.chain(of_revocations).map(|text| (Failed, text)).collect()
    });
    check.of(problems, "no failure")
}

fn revocations(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "revocations",
        expected: "one name at all replicas, read within refresh_bound_ms",
        fix: "give all replicas `.revocations(..)` of the same name and store; without them a logout does not \
              hold against a stolen copy",
    };
    let names = groups(replicas, |status| {
        Some(status.revocations.as_ref().map_or_else(|| "none".to_owned(), |it| it.name.clone()))
    });
    if names.len() != 1 {
        return same(check, Failed, &names, "name");
    }
    if names.contains_key("none") {
        return check.line(Warning, "no replica has revocations");
    }
    let fix = "make the store readable: `sessionctl store check`";
    let check = Check { fix, ..check };
    let problems = each(replicas, |status| {
        let Some(revocations) = &status.revocations else { return Vec::new() };
        if let Some(format) = revocations.newer_format {
            return vec![(
                Failed,
                format!("records of a newer version (format {format}): upgrade it"),
            )];
        }
        if let Some(failure) = &revocations.failure {
            return vec![(Failed, failure.clone())];
        }
        let bound = Duration::from_millis(revocations.refresh_bound_ms);
        old(revocations.refreshed_at, bound, status).into_iter().collect()
    });
    check.of(problems, "read within the bound at all replicas")
}

fn versions(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "versions",
        expected: "one version of tower-jwt-session",
        fix: "finish the rolling update",
    };
    let version = |status: &Status| Some(status.crate_version.clone().unwrap_or("unknown".into()));
    same(check, Warning, &groups(replicas, version), "version")
}

fn sealed(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "sealed",
        expected: "private keys sealed in the store",
        fix: "give all replicas `.seal_with([..])`, with `.dangerous_unsealed()` beside it until no unsealed \
              key is left",
    };
    let kinds = groups(replicas, |status| {
        let kind = status.ring.sealed.map(|it| if it { "sealed" } else { "unsealed" });
        Some(kind.unwrap_or("not in a store").to_owned())
    });
    let names: Vec<_> = kinds.keys().map(String::as_str).collect();
    match names[..] {
        ["unsealed"] => check.line(Warning, "no replica seals private keys"),
        _ => same(check, Failed, &kinds, "kind"),
    }
}

fn skipped(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "entries",
        expected: "no entry of the store that cannot be used",
        fix: "remove the entry, or give the sealing key or version that reads it; nothing for a key that was made in \
              the future, if all clocks are right again",
    };
    let problems = each(replicas, |status| {
        let of_keys = status.ring.skipped.iter();
        let skipped = of_keys.chain(status.revocations.iter().flat_map(|it| &it.skipped));
        let mut skipped: Vec<_> = skipped.map(|skipped| (Warning, skipped.clone())).collect();
        let more = skipped.len().saturating_sub(MOST_SHOWN);
        skipped.truncate(MOST_SHOWN);
        if more > 0 {
            skipped.push((Warning, format!("and {more} more: see skipped in /health/status")));
        }
        skipped
    });
    check.of(problems, "all are read")
}

fn panics(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "panics",
        expected: "no panic in a background task",
        fix: "read the log, and report it",
    };
    let problems = each(replicas, |status| {
        let of_revocations = status.revocations.as_ref().map_or(0, |it| it.task_panics);
        let panics = status.ring.task_panics + of_revocations;
        (panics > 0).then(|| (Warning, format!("{panics} panics"))).into_iter().collect()
    });
    check.of(problems, "none")
}

fn issuers(replicas: &[Replica]) -> Line {
    let check = Check {
        name: "issuers",
        expected: "the keys of each accepted issuer are fetched",
        fix: "make the issuer's JWKS reachable from the replica",
    };
    let problems = each(replicas, |status| {
        let unready = status.issuers.iter().filter(|issuer| !issuer.ready);
        unready.map(|it| (Failed, format!("{} is not ready", it.issuer))).collect()
    });
    check.of(problems, "none is unready")
}

/// Entries that one replica's line shows.
const MOST_SHOWN: usize = 3;
/// More than a replica with default settings needs for a read of its keys.
const LONGEST_REFRESH: Duration = Duration::from_secs(60);
