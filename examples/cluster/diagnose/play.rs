//! The command: each cause in turn, what is found, and what it leads to.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use serde_json::Value;

use crate::{
    BoxError,
    arms::{replica::Service, telemetry::Log},
    command::{arm::Arm, pace::Pace, prove::Keys},
    diagnose::{
        breakage::{self, Story},
        cause::Cause,
        conclude::conclude,
        findings::{Findings, Seen},
    },
    processes::cluster::{Cluster, ClusterOptions},
    store::{choice::Store, meeting::Meeting},
    terminal::Terminal,
};

/// No key changes meanwhile.
const SIGNING_PERIOD: Duration = Duration::from_secs(600);
/// How long a session lives.
const SESSION_LIFETIME: Duration = Duration::from_secs(300);
const STORE_TIMEOUT: Duration = Duration::from_millis(200);
/// The name of the cookie of both services, where they share it.
const SHARED_COOKIE: &str = "__Host-session";
/// How many different lines of the logs are shown, and how much of a line.
const LINES: usize = 2;
const CHARACTERS: usize = 150;

/// Plays the causes, and says by the exit status whether each was found.
///
/// # Errors
/// If a cluster cannot be kept up.
pub(crate) async fn diagnose(causes: &[Cause], terminal: &Terminal) -> Result<ExitCode, BoxError> {
    let mut missed = Vec::new();
    for (index, &cause) in causes.iter().enumerate() {
        let (number, word) = (index + 1, cause.word());
        terminal.line(&terminal.bold(&format!("{number} of {}: {word}", causes.len())));
        terminal.meanwhile("breaking a cluster");
        let played = play(cause).await;
        terminal.clear();
        let (story, findings) = played.map_err(|error| format!("{word}: {error}"))?;
        terminal.line(&shown(&story, &findings));
        let found = conclude(&findings);
        let verdict = match found {
            Some(found) if found == cause => terminal.good(found.sentence()),
            Some(found) => terminal.bad(found.sentence()),
            None => terminal.bad("not found"),
        };
        terminal.line(&format!("  cause      {verdict}"));
        terminal.line(&format!("  fix        {}\n", found.map_or("", Cause::fix)));
        if found != Some(cause) {
            missed.push(word);
        }
    }
    if missed.is_empty() {
        terminal.line(&format!("{} of {} causes were found.", causes.len(), causes.len()));
        return Ok(ExitCode::SUCCESS);
    }
    terminal.line(&terminal.bad(&format!("Not found: {}.", missed.join(", "))));
    Ok(ExitCode::FAILURE)
}

/// Starts the service and a neighbor, breaks the service, and looks at it.
async fn play(cause: Cause) -> Result<(Vec<Seen>, Findings), BoxError> {
    let mut meeting = Meeting::prepare(Store::File, Keys::Shared).await?;
    let mut other_meeting = Meeting::prepare(Store::File, Keys::Shared).await?;
    let logs = meeting.make_directory("logs")?;
    let cookie = (cause == Cause::SharedCookieName).then(|| SHARED_COOKIE.to_owned());
    let options = ClusterOptions {
        arm: Arm::Stateless,
        pace: Pace {
            signing_period: SIGNING_PERIOD,
            session_lifetime: SESSION_LIFETIME,
            store_timeout: STORE_TIMEOUT,
        },
        replicas: 2,
        port: 0,
        log: Log::Directory(logs.clone()),
        service: Service { cookie, ..Service::default() },
    };
    let mut neighbor = options.clone();
    neighbor.log = Log::Off;
    neighbor.replicas = 1;
    neighbor.service.issuer = "https://neighbor.example".to_owned();

    let mut cluster = Cluster::start(options, &mut meeting).await?;
    let neighbor = Cluster::start(neighbor, &mut other_meeting).await?;
    let Story { answers, token } = breakage::play(cause, &mut cluster, &neighbor).await?;
    let findings = Findings::gather(&cluster, &logs, answers.clone(), token.as_deref()).await?;
    cluster.end().await;
    neighbor.end().await;
    meeting.clear().await?;
    other_meeting.clear().await?;
    Ok((answers, findings))
}

/// What was found, a line for each place to look at.
fn shown(answers: &[Seen], findings: &Findings) -> String {
    let mut text = format!("  users say  {}\n", symptom(answers));
    for (replica, reasons) in &findings.refusals {
        let reasons: Vec<_> =
            reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
        text += &format!("  /metrics   {replica}: refusals: {reasons}\n");
    }
    for (fingerprint, replicas) in by_fingerprint(findings) {
        text += &format!("  /health    {}: keys {fingerprint}\n", replicas.join(", "));
    }
    for (replica, ahead) in findings.clocks() {
        text +=
            &format!("  /health    {replica}: its clock is {ahead:.1} s ahead of this machine's\n");
    }
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for (replica, line) in &findings.log {
        if !lines.iter().any(|(_, known)| reason(known) == reason(line)) {
            lines.push((replica, line));
        }
    }
    for (replica, line) in lines.into_iter().take(LINES) {
        text += &format!("  log        {replica}: {}\n", cut(line));
    }
    if let Some((replica, explanation)) = &findings.explanation {
        text += &format!("  explain    {replica}: {}\n", cut(&explained(explanation)));
    }
    text.trim_end().to_owned()
}

/// The fixed phrase of a line of the log, and the reason.
fn reason(line: &str) -> &str {
    line.split_once(" about=").map_or(line, |(reason, _)| reason)
}

/// As much of a text as a line of a terminal may have.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What users can say: which requests failed, and at whom.
fn symptom(answers: &[Seen]) -> String {
    let failed: Vec<_> = answers.iter().filter(|it| it.status >= 400).collect();
    let Some(first) = failed.first() else { return "nothing".to_owned() };
    let mut replicas: Vec<_> = failed.iter().map(|it| it.replica.as_str()).collect();
    replicas.sort_unstable();
    replicas.dedup();
    format!(
        "{} of {} requests failed, the first: {} → {}; by {}",
        failed.len(),
        answers.len(),
        first.request,
        first.status,
        replicas.join(", ")
    )
}

fn by_fingerprint(findings: &Findings) -> BTreeMap<&str, Vec<&str>> {
    let mut replicas: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (replica, fingerprint) in findings.fingerprints() {
        replicas.entry(fingerprint).or_default().push(replica);
    }
    replicas
}

/// The check that refused the token, and whose token it is.
fn explained(explanation: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let checks = explanation["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = checks.iter().find(|check| check["outcome"] == "failed");
    let check = failed.map_or("no check fails".to_owned(), |check| {
        let [name, found, expected] =
            ["name", "found", "expected"].map(|member| text(&check[member]));
        format!("{name}: found {found}, expected {expected}")
    });
    let issuer = text(&explanation["claims"]["iss"]);
    format!("a token of {issuer}; {check}")
}
