//! The public keys of ES256 as files for HAProxy, written anew when the keys change.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    BoxError,
    command::keys::KeysOptions,
    processes::process::announce,
    users::client::{Client, Credentials},
};

/// The part of HAProxy's configuration that names all files: it reads none but those.
const CONFIGURATION: &str = "keys.cfg";
/// What precedes the point of a P-256 key in a SubjectPublicKeyInfo (RFC 5480), up to its first byte, which
/// says that the point is not compressed.
const P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The text of each file, by its name.
type Files = BTreeMap<String, String>;

/// Writes the files once, or after every change until Ctrl-C.
///
/// # Errors
/// If the keys cannot be fetched or written. With `--every` only at the start: later they may be next time.
pub(crate) async fn run(options: KeysOptions) -> Result<ExitCode, BoxError> {
    let directory = std::path::absolute(&options.into)?;
    prepare(&directory)?;
    let mut written = update(&options, &directory, None).await?;
    while let Some(every) = options.every {
        sleep(every).await;
        match update(&options, &directory, Some(&written)).await {
            Ok(files) => written = files,
            Err(error) => eprintln!("keys: {error}; the files stay as they are"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Fetches the keys, and writes what has changed; returns the files.
async fn update(
    options: &KeysOptions,
    directory: &Path,
    before: Option<&Files>,
) -> Result<Files, BoxError> {
    let files = files(&fetch(&options.jwks).await?, directory)?;
    if before == Some(&files) {
        return Ok(files);
    }
    // The configuration last: it names no file that is not there.
    for (name, text) in files.iter().filter(|(name, _)| *name != CONFIGURATION) {
        write(&directory.join(name), text)?;
    }
    write(&directory.join(CONFIGURATION), &files[CONFIGURATION])?;
    for file in pem_files(directory)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            std::fs::remove_file(file)?;
        }
    }
    announce(&format!("{} keys are in {}", files.len() - 1, directory.display()));
    if let Some(command) = &options.then {
        let status = Command::new("/bin/sh").args(["-c", command]).status()?;
        if !status.success() {
            return Err(format!("`{command}` failed ({status})").into());
        }
    }
    Ok(files)
}

async fn fetch(url: &str) -> Result<Value, BoxError> {
    let path = url.strip_prefix("http://").and_then(|rest| rest.find('/'));
    let (base, path) = path.map_or((url, "/"), |at| url.split_at("http://".len() + at));
    let answer = Client::new(base).get(path, Credentials::Nobody).await;
    let answer = answer.map_err(|error| format!("cannot fetch {url}: {error}"))?;
    if !answer.status.is_success() || !answer.json["keys"].is_array() {
        return Err(format!("{url} answers {}, expected a JWKS", answer.status).into());
    }
    Ok(answer.json)
}

/// The files of a JWKS.
fn files(jwks: &Value, directory: &Path) -> Result<Files, BoxError> {
    let mut files = Files::new();
    let mut configuration =
        "# Written by `keys`: HAProxy verifies only with files that it reads at its \
                             start.\nbackend keys\n    mode http\n"
            .to_owned();
    for key in jwks["keys"].as_array().into_iter().flatten() {
        let Some((kid, pem)) = read(key) else { continue };
        let file = format!("{kid}.pem");
        let shown = directory.join(&file);
        configuration += &format!(
            "    http-request set-var(txn.unused) str(),jwt_verify(\"ES256\",\"{}\")\n",
            shown.display()
        );
        files.insert(file, pem);
    }
    if files.is_empty() {
        return Err(
            "the JWKS has no key of ES256: start the replicas with `--algorithm ES256`".into()
        );
    }
    files.insert(CONFIGURATION.to_owned(), configuration);
    Ok(files)
}

/// The ID of a key of ES256, and the key in PEM. The ID becomes the name of a file, so it is checked.
fn read(key: &Value) -> Option<(&str, String)> {
    let is = |name: &str, value: &str| key[name].as_str() == Some(value);
    let kid = key["kid"].as_str()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !is("kty", "EC") || !is("crv", "P-256") || kid.is_empty() || !kid.bytes().all(plain) {
        return None;
    }
    let number = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok()?;
        (bytes.len() == 32).then_some(bytes)
    };
    let der = [&P256[..], &number("x")?, &number("y")?].concat();
    Some((kid, pem::encode(&pem::Pem::new("PUBLIC KEY", der))))
}

/// Makes the directory. Others' files are not touched: those of keys that are gone are removed later.
fn prepare(directory: &Path) -> Result<(), BoxError> {
    let shown = directory.display();
    if !directory.is_dir() {
        let made = std::fs::create_dir(directory);
        return made.map_err(|error| format!("--into {shown}: cannot make it: {error}").into());
    }
    if !directory.join(CONFIGURATION).exists() && !pem_files(directory)?.is_empty() {
        let problem =
            "found PEM files that `keys` has not written, expected a directory for its own";
        return Err(format!("--into {shown}: {problem}").into());
    }
    Ok(())
}

fn pem_files(directory: &Path) -> Result<Vec<PathBuf>, BoxError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "pem") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Replaces a file at once: no reader sees half of it.
fn write(file: &Path, text: &str) -> Result<(), BoxError> {
    let directory = file.parent().ok_or("a file is in a directory")?;
    let mut new = tempfile::Builder::new();
    // They are public, and HAProxy may run as another user.
    #[cfg(unix)]
    new.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut new = new.tempfile_in(directory)?;
    new.write_all(text.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_keys_of_es256_with_a_plain_name_become_files() {
        let half = URL_SAFE_NO_PAD.encode([7; 32]);
        let key = |kid: &str, curve: &str| json!({ "kty": "EC", "crv": curve, "kid": kid, "x": half, "y": half });
        let jwks =
            json!({ "keys": [key("a-b_1", "P-256"), key("../a", "P-256"), key("c", "P-384")] });
        let files = files(&jwks, Path::new("/keys")).expect("there is one");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a-b_1.pem", "keys.cfg"]);
        assert!(files["a-b_1.pem"].starts_with("-----BEGIN PUBLIC KEY-----"));
        assert!(files["keys.cfg"].ends_with("str(),jwt_verify(\"ES256\",\"/keys/a-b_1.pem\")\n"));
        assert!(super::files(&json!({ "keys": [] }), Path::new("/keys")).is_err());
    }

    #[test]
    fn a_directory_with_other_keys_is_not_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        prepare(directory.path()).expect("it is empty");
        write(&directory.path().join("other.pem"), "").expect("it can be written");
        assert!(prepare(directory.path()).is_err());
        write(&directory.path().join(CONFIGURATION), "").expect("it can be written");
        prepare(directory.path()).expect("it has been one of ours");
    }
}
