//! The commands of `sessions`: they record as the service's own calls do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tower_jwt_session::Timestamp;

use crate::commands::sessions::record::{Act, record, unverified_claims};
use crate::commands::sessions::target::Target;
use crate::credential;
use crate::failure::Failure;
use crate::options::issuers;
use crate::terminal::Terminal;
use crate::time;

/// The commands about sessions.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Revokes one session by its ID, the claim `sid`: see `token explain`.
    Revoke(Revoke),
    /// Revokes all sessions of a subject that have begun by now; later logins stay valid.
    RevokeSubject(OfSubject),
    /// Has the claims of a subject's sessions read again: cookie sessions are renewed by their next request,
    /// and bearer clients with a refresh token redeem it. Nobody is logged out.
    ReloadClaims(OfSubject),
    /// Revokes the sessions of ALL users whose login was before a time, or up to 10 minutes after it.
    RevokeBefore(RevokeBefore),
}

/// The options of `sessions revoke`.
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    target: Target,
    /// The session's ID.
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// The `iss` of the session's tokens. Needed only for an ID that is not one of this crate.
    #[arg(long, value_name = "ISS")]
    issuer: Vec<String>,
}

/// The options of `sessions revoke-subject` and `reload-claims`.
#[derive(Args)]
pub(crate) struct OfSubject {
    #[command(flatten)]
    target: Target,
    /// The subject, the claim `sub`.
    #[arg(value_name = "SUB", required_unless_present = "of_token")]
    subject: Option<String>,
    /// Takes the subject and the issuer from a token in this file, or on standard input if none is named. It may have
    /// expired; its signature is not checked.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", conflicts_with = "subject")]
    of_token: Option<PathBuf>,
    /// The `iss` of the service's tokens. Repeated for each name that the service accepts. Otherwise
    /// SESSIONCTL_ISSUER, with a space between two names.
    #[arg(long, value_name = "ISS")]
    issuer: Vec<String>,
}

impl OfSubject {
    /// The subject, and the names of its issuer.
    fn names(self, terminal: &Terminal) -> Result<(Target, String, Vec<String>), Failure> {
        let Self { target, subject, of_token, issuer } = self;
        let mut issuers = issuers(issuer)?;
        let subject = match of_token {
            None => subject.unwrap_or_default(),
            Some(file) => {
                let credential = match file.as_os_str() == "-" {
                    true => credential::read(terminal)?,
                    false => credential::read_file("--of-token", &file)?,
                };
                let [issuer, subject] = of_token_names(&credential.token)?;
                if !issuers.contains(&issuer) {
                    issuers.push(issuer);
                }
                subject
            }
        };
        if subject.is_empty() {
            return Err(Failure::usage("the subject is empty: expected the claim `sub`"));
        }
        if issuers.is_empty() || issuers.iter().any(String::is_empty) {
            return Err(Failure::usage(
                "--issuer is missing or empty: expected the `iss` of the service's tokens, as `sessionctl doctor` \
                 shows it in the line `names`; give `--issuer ISS`, set SESSIONCTL_ISSUER, or give `--of-token`",
            ));
        }
        Ok((target, subject, issuers))
    }
}

/// The claims `iss` and `sub` of a token.
fn of_token_names(token: &str) -> Result<[String; 2], Failure> {
    let claims = unverified_claims(token)?;
    let claim = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let names = ["iss", "sub"].map(claim);
    match names.iter().any(String::is_empty) {
        true => Err(Failure::usage(
            "found no token with the claims `iss` and `sub`: expected one of the user's tokens; \
             `sessionctl token explain` shows what it found",
        )),
        false => Ok(names),
    }
}

/// The options of `sessions revoke-before`.
#[derive(Args)]
pub(crate) struct RevokeBefore {
    #[command(flatten)]
    target: Target,
    /// The time, such as 2027-01-15T08:00:00Z, `now` or -2h; not in the future.
    #[arg(value_name = "TIME", value_parser = time::time, allow_hyphen_values = true)]
    time: Timestamp,
}

impl Command {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Revoke(Revoke { target, id, issuer }) => {
                check_id(&id, &issuer)?;
                record(&target, &issuer, Act::Session(id), terminal).await
            }
            Self::RevokeSubject(of) => {
                let (target, subject, issuers) = of.names(terminal)?;
                record(&target, &issuers, Act::Subject(subject), terminal).await
            }
            Self::ReloadClaims(of) => {
                let (target, subject, issuers) = of.names(terminal)?;
                record(&target, &issuers, Act::Reload(subject), terminal).await
            }
            Self::RevokeBefore(RevokeBefore { target, time }) => {
                let now = time::now();
                if time > now {
                    return Err(Failure::usage(format!(
                        "found the time {time}, which is {}: expected one no later than now, {now}; \
                         nothing was written",
                        time::relative(time, now),
                    )));
                }
                record(&target, &[], Act::Before(time), terminal).await
            }
        }
    }
}

/// An ID of this crate needs no issuer: it is 16 bytes as base64url.
fn check_id(id: &str, issuer: &[String]) -> Result<(), Failure> {
    if id.matches('.').count() >= 2 {
        return Err(Failure::usage(
            "found a token, expected the session's ID, its claim `sid`; `sessionctl token explain` shows it",
        ));
    }
    let is_own =
        id.len() == 22 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it));
    if id.is_empty() || (!is_own && issuer.is_empty()) {
        return Err(Failure::usage(format!(
            "found the session ID {id:?}, which has not the 22 characters of one of this crate; for all sessions of a \
             user, `sessionctl sessions revoke-subject {id}`; if another issuer made it, give its name with --issuer"
        )));
    }
    Ok(())
}
