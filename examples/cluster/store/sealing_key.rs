//! The key that seals the private keys in a store, in a separate file: the command line would show it
//! to everyone on the machine.

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use crate::{
    BoxError,
    store::{
        keys::Secret,
        meeting::{hexadecimal, random},
    },
};

/// The key in the file, which is made if there is none: 64 hexadecimal digits.
///
/// # Errors
/// If it holds something else, or others can read it.
pub(crate) fn of(file: &Path) -> Result<Secret, BoxError> {
    let shown = file.display();
    match std::fs::read_to_string(file) {
        Ok(text) => {
            private(file)?;
            read(text.trim()).ok_or_else(|| {
                format!(
                    "--secret-file {shown}: expected 64 hexadecimal digits, found {} characters; make \
                     one with `openssl rand -hex 32`",
                    text.trim().chars().count()
                )
                .into()
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(file)
            .map_err(|error| format!("--secret-file {shown}: cannot make it: {error}").into()),
        Err(error) => Err(format!("--secret-file {shown}: {error}").into()),
    }
}

/// Makes the file, which only its owner can read. Of several replicas that start at once, one makes it;
/// none sees half of it.
fn make(file: &Path) -> Result<Secret, BoxError> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let secret = random()?;
    let mut made = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(made, "{}", hexadecimal(&secret))?;
    match made.persist_noclobber(file) {
        Ok(_) => Ok(secret),
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => of(file),
        Err(failed) => Err(failed.error.into()),
    }
}

fn read(text: &str) -> Option<Secret> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
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

        std::fs::write(&file, "secret").expect("it can be written");
        let problem = of(&file).expect_err("no key").to_string();
        assert!(
            problem.contains("expected 64 hexadecimal digits, found 6 characters"),
            "{problem}"
        );
    }
}
