//! `audit subject`: the name of a user in audit events.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use tower_jwt_session::audit::Audit;

use crate::commands::sessions::record::sessions_of;
use crate::failure::Failure;
use crate::options::issuers;
use crate::secret;
use crate::terminal::Terminal;

/// The commands about the audit trail.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Prints the pseudonym under which audit events name a subject, for services with a `subject_key`.
    Subject(OfSubject),
}

/// The options of `audit subject`.
#[derive(Args)]
pub(crate) struct OfSubject {
    /// The subject, the claim `sub`.
    #[arg(value_name = "SUB")]
    subject: String,
    /// The `iss` of the service's tokens. May be repeated. Otherwise SESSIONCTL_ISSUER, with a space between two
    /// names.
    #[arg(long, value_name = "ISS")]
    issuer: Vec<String>,
    /// A file with the key that the service gives to `subject_key`: its text, without white space around it.
    /// Otherwise SESSIONCTL_AUDIT_KEY_FILE names the file, or
    /// SESSIONCTL_AUDIT_KEY has the key.
    #[arg(long, value_name = "FILE")]
    audit_key_file: Option<PathBuf>,
}

/// A pseudonym.
#[derive(Serialize)]
struct Pseudonym {
    issuer: String,
    subject: String,
}

#[derive(Serialize)]
struct Report {
    subjects: Vec<Pseudonym>,
}

impl Command {
    pub(crate) async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let Self::Subject(OfSubject { subject, issuer, audit_key_file }) = self;
        if subject.is_empty() {
            return Err(Failure::usage("the subject is empty: expected the claim `sub`"));
        }
        let issuers = issuers(issuer)?;
        if issuers.is_empty() {
            return Err(Failure::usage(
                "--issuer is missing: expected the `iss` of the service's tokens; give `--issuer ISS` or set \
                 SESSIONCTL_ISSUER",
            ));
        }
        let key = key(audit_key_file)?;
        let mut subjects = Vec::new();
        for issuer in issuers {
            let audit = Audit::builder().subject_key(&key).build()?;
            let sessions = sessions_of::<()>(&issuer)?.audit(audit).build()?;
            let subject = sessions.audit_subject(&subject).unwrap_or_default();
            subjects.push(Pseudonym { issuer, subject });
        }
        terminal.show(&Report { subjects })
    }
}

/// The key's bytes, as the program of the production guide reads them.
fn key(file: Option<PathBuf>) -> Result<Vec<u8>, Failure> {
    let (option, path) = match (file, secret::environment(VARIABLE)?, secret::environment(FILE)?) {
        (Some(path), ..) => ("--audit-key-file", path),
        (None, None, Some(path)) => (FILE, path.into()),
        (None, Some(key), None) => return Ok(key.into_bytes()),
        (None, Some(_), Some(_)) => {
            return Err(Failure::usage(format!(
                "found {VARIABLE} and {FILE}: expected one of them; unset the other"
            )));
        }
        (None, None, None) => {
            return Err(Failure::usage(format!(
                "--audit-key-file is missing: expected a file with the key that the service gives to \
                 `subject_key`; give `--audit-key-file FILE` or set {FILE}; without such a key each process \
                 has other pseudonyms"
            )));
        }
    };
    let bytes = secret::file(&format!("{option} {}", path.display()), &path)?;
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => text.trim().as_bytes().to_vec(),
        Err(_) => bytes,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subjects = self.subjects.iter();
        subjects.try_for_each(|it| writeln!(f, "{}  of {}", it.subject, it.issuer))
    }
}

const VARIABLE: &str = "SESSIONCTL_AUDIT_KEY";
const FILE: &str = "SESSIONCTL_AUDIT_KEY_FILE";
