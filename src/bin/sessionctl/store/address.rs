//! Where a store is: the text of `--store`, read without connecting, and shown without a password.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a store is. `Debug` and `Display` show no login.
pub(crate) enum Address {
    Directory(PathBuf),
    Redis(String),
    /// The Sentinels, and the service's name or URL.
    Sentinel(Vec<String>, String),
    Cluster(Vec<String>),
    Postgres(String),
}

/// The forms that are accepted.
pub(crate) const FORMS: &str = "file:DIR, redis://HOST:PORT/DB, rediss://… (TLS), \
    sentinel:redis://HOST:26379,redis://HOST:26379,SERVICE, cluster:redis://HOST:PORT,redis://HOST:PORT \
    or postgres://USER@HOST/DATABASE";

impl Address {
    /// Reads the text of `--store`. The error does not repeat it, since it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(directory) = text.strip_prefix("file:") {
            return match directory {
                "" => Err("found `file:` without a directory: expected file:DIR".to_owned()),
                directory => Ok(Self::Directory(directory.into())),
            };
        }
        if let Some(urls) = text.strip_prefix("sentinel:") {
            let mut urls = list(urls);
            return match urls.pop() {
                Some(service) if !urls.is_empty() && urls.iter().all(|url| is_redis(url)) => {
                    Ok(Self::Sentinel(urls, service))
                }
                _ => Err(format!(
                    "found `sentinel:` without URLs and a service: expected {SENTINEL}"
                )),
            };
        }
        if let Some(urls) = text.strip_prefix("cluster:") {
            let urls = list(urls);
            if urls.is_empty() || !urls.iter().all(|url| is_redis(url)) {
                return Err(format!("found `cluster:` without URLs: expected {CLUSTER}"));
            }
            return Ok(Self::Cluster(urls));
        }
        match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis" | "rediss" | "redis+unix" | "unix") => Ok(Self::Redis(text.to_owned())),
            Some("postgres" | "postgresql") => Ok(Self::Postgres(text.to_owned())),
            // A path, which has no password.
            _ if text.starts_with(['/', '.']) => {
                Err(format!("found a path: expected {FORMS}; write `file:` before the directory"))
            }
            _ => Err(format!("found another form: expected {FORMS}")),
        }
    }

    /// The rings that a directory holds, as the end of an error about another one.
    pub(crate) fn rings(&self) -> String {
        match self {
            Self::Directory(path) => rings_in(path),
            _ => String::new(),
        }
    }

    fn urls(&self) -> impl Iterator<Item = &str> {
        let (many, one) = match self {
            Self::Directory(_) => (&[][..], None),
            Self::Redis(url) | Self::Postgres(url) => (&[][..], Some(url)),
            Self::Sentinel(urls, service) => (&urls[..], Some(service)),
            Self::Cluster(urls) => (&urls[..], None),
        };
        many.iter().chain(one).map(String::as_str)
    }
}

fn rings_in(path: &Path) -> String {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().join("birth.json").is_file());
    let mut names: Vec<_> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    if names.is_empty() {
        "; the directory holds no ring".to_owned()
    } else {
        format!("; the directory holds {}", names.join(", "))
    }
}

const SENTINEL: &str = "sentinel:redis://HOST:26379,redis://HOST:26379,SERVICE";
const CLUSTER: &str = "cluster:redis://HOST:PORT,redis://HOST:PORT";

/// URLs between commas or spaces. A comma in a password is written `%2C`.
fn list(text: &str) -> Vec<String> {
    let parts = text.split(|it: char| it == ',' || it.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn is_redis(url: &str) -> bool {
    url.starts_with("redis://") || url.starts_with("rediss://")
}

/// Whether one of the URLs in a text has a password: something follows a colon before an `@`, or the query
/// has one.
pub(crate) fn has_password(text: &str) -> bool {
    let is_secret = |url: &String| {
        let Some((_, rest)) = url.split_once("://") else { return false };
        let login = rest.rsplit_once('@').map(|(login, _)| login);
        let query = rest.split_once('?').map_or("", |(_, query)| query).to_ascii_lowercase();
        let in_query = query.split('&').any(|pair| pair.starts_with("pass"));
        in_query || login.is_some_and(|login| login.contains(':'))
    };
    list(text).iter().any(is_secret)
}

/// The host and what follows, without login and query.
fn place(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = match rest.rsplit_once('@') {
        // The text before it was not a login, or a login in the wrong place.
        Some((before, _)) if before.contains(['?', '#']) => "…",
        Some((_, place)) => place,
        None => rest,
    };
    let place = place.split(['?', '#']).next().unwrap_or_default();
    if scheme.is_empty() { place.to_owned() } else { format!("{scheme}://{place}") }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Directory(path) => return write!(f, "file:{}", path.display()),
            Self::Redis(_) | Self::Postgres(_) => "",
            Self::Sentinel(..) => "sentinel:",
            Self::Cluster(_) => "cluster:",
        };
        let places: Vec<_> = self.urls().map(place).collect();
        write!(f, "{kind}{}", places.join(","))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_shown_without_its_login() {
        for (text, shown, password) in [
            ("file:keys", "file:keys", false),
            ("redis://h:1/2", "redis://h:1/2", false),
            ("rediss://:secret@h", "rediss://h", true),
            ("redis://app@h", "redis://h", false),
            ("postgres://app:se/c@ret@h/db", "postgres://h/db", true),
            ("postgresql://h/db?user=a&password=secret", "postgresql://h/db", true),
            ("postgres://app:se?cret@h/db", "postgres://…", true),
            (
                "sentinel:redis://a:1, redis://b:1,main",
                "sentinel:redis://a:1,redis://b:1,main",
                false,
            ),
            (
                "sentinel:redis://a:1,redis://:secret@main/0",
                "sentinel:redis://a:1,redis://main/0",
                true,
            ),
            ("cluster:redis://:secret@a:1 redis://b:1", "cluster:redis://a:1,redis://b:1", true),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!((&*address.to_string(), has_password(text)), (shown, password), "{text}");
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn address_of_another_form_is_refused_without_repeating_it() {
        for text in
            ["", "keys", "file:", "mysql://a:secret@h", "sentinel:main", "cluster:", "a:secret@h"]
        {
            let problem = Address::parse(text).expect_err(text);
            assert!(problem.contains("expected ") && !problem.contains("secret"), "{problem}");
        }
    }
}
