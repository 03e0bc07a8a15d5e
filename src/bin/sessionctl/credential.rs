//! A token out of what an operator pastes: a header line, a cookie, quotes, line breaks.

use std::io::{IsTerminal, Read};
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;
use crate::secret;
use crate::terminal::Terminal;

/// A token, and where in the text it was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) token: String,
    pub(crate) source: &'static str,
    /// Whether white space inside of it was removed.
    pub(crate) was_wrapped: bool,
}

impl Credential {
    /// What a text without a token is.
    fn without_token(&self) -> &'static str {
        if self.source == JAR { "a cookie jar without a token" } else { "empty" }
    }
}

/// Reads the token from standard input.
///
/// # Errors
///
/// If there is none, or more than one could be.
pub(crate) fn read(terminal: &Terminal) -> Result<Credential, Failure> {
    if std::io::stdin().is_terminal() {
        terminal.say("Paste the token, or the line that has it; then press Enter and Ctrl-D:");
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        let text = format!("standard input has more than {LONGEST} bytes: expected one token");
        return Err(Failure::usage(text));
    }
    let credential = find(&String::from_utf8_lossy(&bytes));
    if credential.token.is_empty() {
        return Err(Failure::usage(format!(
            "standard input is {}: expected a token, `Bearer …`, a cookie or a header's line; for \
             example `sessionctl token explain < token.txt`",
            credential.without_token()
        )));
    }
    Ok(credential)
}

/// Reads the token from a file, so that standard input can confirm.
///
/// # Errors
///
/// If it cannot be read, or has no token.
pub(crate) fn read_file(option: &str, path: &Path) -> Result<Credential, Failure> {
    let place = format!("{option} {}", path.display());
    let credential = find(&String::from_utf8_lossy(&secret::file(&place, path)?));
    match credential.token.is_empty() {
        true => {
            let found = credential.without_token();
            Err(Failure::usage(format!("{place}: is {found}: expected a token of the user")))
        }
        false => Ok(credential),
    }
}

/// Finds the token in a text. What remains is not corrected: a broken token stays broken.
pub(crate) fn find(text: &str) -> Credential {
    let text = bare(text);
    let (mut source, mut rest) = ("the text", text);
    if let Ok(Value::Object(members)) = serde_json::from_str(text) {
        let names = ["access_token", "token", "id_token", "refresh_token"];
        if let Some(token) = names.iter().find_map(|name| members.get(*name)?.as_str()) {
            return finished("a member of a JSON object", token);
        }
    }
    // Of several pasted lines, the one of a header that carries tokens.
    for (name, of) in HEADERS {
        let line = text.lines().map(bare).find_map(|line| value_of(line, name));
        if let Some(value) = line {
            // A value may be wrapped, if nothing but it was pasted.
            let is_alone = text.lines().skip(1).all(|line| !line.contains(':'));
            let whole = value_of(text, name).filter(|_| is_alone);
            (source, rest) = (of, whole.unwrap_or(value));
            break;
        }
    }
    let is_jar = text.starts_with("# Netscape HTTP Cookie File");
    match text.lines().find_map(jar_value) {
        Some(value) => return finished(JAR, value),
        None if is_jar => return finished(JAR, ""),
        None => {}
    }
    rest = bare(rest);
    if let Some(token) = without_scheme(rest) {
        return finished(if source == "the text" { "a Bearer credential" } else { source }, token);
    }
    match cookie(rest) {
        Some(value) => finished(if source == "the text" { "a cookie" } else { source }, value),
        None => finished(source, rest),
    }
}

fn finished(source: &'static str, token: &str) -> Credential {
    let token = bare(token);
    let joined: String = token.split_whitespace().collect();
    Credential { was_wrapped: joined != token, token: joined, source }
}

/// Without white space, quotes and punctuation around it.
fn bare(text: &str) -> &str {
    text.trim_matches(|it: char| {
        it.is_whitespace() || "\"'`,;<>\u{feff}\u{200b}\u{201c}\u{201d}".contains(it)
    })
}

/// The value of a header's line, also of one in a command (`-H 'Authorization: …'`).
fn value_of<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    let line = line.strip_prefix("-H").map_or(line, bare);
    let start = line.get(..name.len())?;
    let rest = start.eq_ignore_ascii_case(name).then(|| &line[name.len()..])?;
    rest.trim_start().strip_prefix(':')
}

/// The value in a line of a cookie jar of curl or wget: seven fields with tabs between them. Of several cookies,
/// the first that looks like a token.
fn jar_value(line: &str) -> Option<&str> {
    let fields: Vec<_> = line.split('\t').collect();
    let [_, _, _, _, _, _, value] = fields[..] else { return None };
    let value = bare(value);
    (value.starts_with("ey") && value.matches('.').count() == 2).then_some(value)
}

fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(char::is_whitespace)?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The value of the cookie that looks most like a token, of a list of pairs.
fn cookie(text: &str) -> Option<&str> {
    let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    // A token may end with the padding `=`, and has dots before it.
    let named = pairs.filter(|(name, value)| is_name(name) && !value.trim_matches('=').is_empty());
    let values = named.map(|(_, value)| bare(value));
    values.max_by_key(|value| (value.starts_with("ey"), value.matches('.').count(), value.len()))
}

fn is_name(name: &str) -> bool {
    let is_part = |it: char| it.is_ascii_alphanumeric() || "_-".contains(it);
    !name.is_empty() && !name.starts_with("ey") && name.chars().all(is_part)
}

const LONGEST: u64 = 1024 * 1024;
const JAR: &str = "a line of a cookie jar";
const HEADERS: [(&str, &str); 5] = [
    ("authorization", "an Authorization line"),
    ("set-cookie", "a Set-Cookie line"),
    ("cookie", "a Cookie line"),
    ("x-forwarded-access-token", "a header's line"),
    ("sec-websocket-protocol", "a Sec-WebSocket-Protocol line"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_0";

    #[test]
    fn token_is_found_in_what_is_pasted() {
        for (text, source) in [
            (TOKEN.to_owned(), "the text"),
            (format!("\r\n \"{TOKEN}\" \n"), "the text"),
            (format!("'{TOKEN}',"), "the text"),
            (format!("\u{feff}\u{201c}{TOKEN}\u{201d}"), "the text"),
            (format!("Bearer {TOKEN}"), "a Bearer credential"),
            (format!("bearer   {TOKEN}\n"), "a Bearer credential"),
            (format!("Authorization: Bearer {TOKEN}"), "an Authorization line"),
            (format!("authorization:Bearer {TOKEN}\r\n"), "an Authorization line"),
            (format!("-H 'Authorization: Bearer {TOKEN}'"), "an Authorization line"),
            (
                format!("GET / HTTP/1.1\nHost: x\nAuthorization: Bearer {TOKEN}\nAccept: */*\n"),
                "an Authorization line",
            ),
            (
                format!("Set-Cookie: __Host-app={TOKEN}; Path=/; Secure; HttpOnly; SameSite=Lax"),
                "a Set-Cookie line",
            ),
            (format!("< set-cookie: __Host-app={TOKEN}; Path=/"), "a Set-Cookie line"),
            (format!("Cookie: theme=dark.mode; __Host-app={TOKEN}; _ga=1.2.3"), "a Cookie line"),
            (format!("__Host-app={TOKEN}"), "a cookie"),
            (format!("__Host-app={TOKEN}; Path=/; Max-Age=1000000"), "a cookie"),
            (
                format!(
                    "# Netscape HTTP Cookie File\n\n#HttpOnly_localhost\tFALSE\t/\tTRUE\t0\t__Host-app\t{TOKEN}\n"
                ),
                "a line of a cookie jar",
            ),
            (
                format!(
                    "h\tFALSE\t/\tTRUE\t0\ttheme\tdark\nh\tFALSE\t/\tTRUE\t0\t__Host-app\t{TOKEN}"
                ),
                "a line of a cookie jar",
            ),
            (format!("{{\"access_token\": \"{TOKEN}\"}}"), "a member of a JSON object"),
        ] {
            let found = find(&text);
            let expected = Credential { token: TOKEN.into(), source, was_wrapped: false };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn wrapped_token_is_joined() {
        let (first, second) = TOKEN.split_at(20);
        for text in [
            format!("{first}\n{second}"),
            format!("Bearer {first}\r\n  {second}"),
            format!("Authorization: Bearer {first}\n{second}\n"),
        ] {
            let found = find(&text);
            assert_eq!((&*found.token, found.was_wrapped), (TOKEN, true), "{text}");
        }
    }

    #[test]
    fn broken_token_stays_broken() {
        for text in ["a.b.c==", "eyJ.eyJ.a+/b", "opaque", "e30.e30.", "a..b", "ey=.ey=.x="] {
            let found = find(text);
            let expected =
                Credential { token: text.into(), source: "the text", was_wrapped: false };
            assert_eq!(found, expected);
        }
        assert_eq!(find(" \n ").token, "");
    }
}
