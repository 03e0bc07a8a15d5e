//! The guides about moving state the lines of the programs, and their code.

use std::fs;
use std::path::Path;

/// Lines with code: neither empty nor a comment.
fn lines_of_code(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    text.lines().map(str::trim).filter(is_code).count()
}

/// Compares each row of the page's table that begins with a file, such as ``| `after.rs`: …``.
fn check(page: &str, directory: &str, files: &[&str]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("../../src/guide").join(page)).unwrap();
    for file in files {
        let lines = lines_of_code(&here.join(directory).join(file));
        let row = text.lines().find(|line| line.starts_with(&format!("| `{file}`")));
        let row = row.unwrap_or_else(|| panic!("{page} has no row that begins with | `{file}`"));
        let expected = format!("| {lines} |");
        assert!(row.ends_with(&expected), "{page}: {row:?} has to end with {expected:?}");
    }
}

#[test]
fn guides_state_the_lines_of_the_programs() {
    check("from_axum_login.md", "axum_login", &["before.rs", "after.rs", "moving.rs"]);
    check("from_jsonwebtoken.md", "axum_jwt_auth", &["before.rs", "after.rs", "moving.rs"]);
}

#[test]
fn guide_has_the_code_that_keeps_users_logged_in() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../../src/guide/adopting_sessions.md")).unwrap();
    let program = fs::read_to_string(here.join("axum_login/moving.rs")).unwrap();
    let start = program.find("async fn adopt(").unwrap();
    assert!(page.contains(&program[start..]), "the page's code is not that of moving.rs");
}
