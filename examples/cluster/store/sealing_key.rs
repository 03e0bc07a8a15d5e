//! The key that seals the private keys in a store, in a separate file: the command line would show it
//! to everyone on the machine.

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use tower_jwt_session::{KeyError, SealingKey};

use crate::{
    BoxError,
    store::meeting::{hexadecimal, random},
};

/// The text of the key in the file, which is made if there is none.
///
/// # Errors
/// If it holds something else, or others can read it.
pub(crate) fn of(file: &Path) -> Result<String, BoxError> {
    let shown = file.display();
    match std::fs::read_to_string(file) {
        Ok(text) => {
            private(file)?;
            let text = text.trim().to_owned();
            match parsed(&text) {
                Ok(_) => Ok(text),
                Err(_) => Err(format!(
                    "--secret-file {shown}: expected 32 bytes as base64 or as 64 hexadecimal digits, \
                     found {} characters in {} lines; make one with `openssl rand -base64 32`; for two \
                     keys, give two files and the option twice",
                    text.chars().count(),
                    text.lines().count()
                )
                .into()),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(file)
            .map_err(|error| format!("--secret-file {shown}: cannot make it: {error}").into()),
        Err(error) => Err(format!("--secret-file {shown}: {error}").into()),
    }
}

/// Makes the file, which only its owner can read. Of several replicas that start at once, one makes it;
/// none sees half of it.
fn make(file: &Path) -> Result<String, BoxError> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let secret = hexadecimal(&random()?);
    let mut made = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(made, "{secret}")?;
    match made.persist_noclobber(file) {
        Ok(_) => Ok(secret),
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => of(file),
        Err(failed) => Err(failed.error.into()),
    }
}

/// Reads the text of a key.
///
/// # Errors
/// If it is none.
pub(crate) fn parsed(text: &str) -> Result<SealingKey, KeyError> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => SealingKey::from_hex(text),
        false => SealingKey::from_base64(text),
    }
}

#[cfg(unix)]
fn private(file: &Path) -> Result<(), BoxError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let file = file.display();
    Err(format!("--secret-file {file}: others can read it (mode {mode:o}); `chmod 600 {file}`")
        .into())
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), BoxError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_read_by_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("key");
        let made = of(&file).expect("it is made");
        assert_eq!(of(&file).expect("it is read"), made);
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| std::fs::Permissions::from_mode(mode);
            let found = std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
            assert_eq!(found, 0o600);
            std::fs::set_permissions(&file, mode(0o644)).expect("its owner may");
            let problem = of(&file).expect_err("others can read it").to_string();
            assert!(problem.contains("(mode 644); `chmod 600 "), "{problem}");
            std::fs::set_permissions(&file, mode(0o600)).expect("its owner may");
        }

        let other = "3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=";
        std::fs::write(&file, format!("{other}\n")).expect("it can be written");
        assert_eq!(of(&file).expect("base64"), other);
        for (text, found) in [("tiny", "4 characters"), (&format!("{made}\n{made}"), "in 2 lines")]
        {
            std::fs::write(&file, text).expect("it can be written");
            let problem = of(&file).expect_err("no key").to_string();
            assert!(problem.contains("as base64 or as 64") && problem.contains(found), "{problem}");
            assert!(!problem.contains(text), "{problem}");
        }
    }
}
