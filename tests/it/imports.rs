//! The imports of `src`: no file imports from a room above its own, or a file that imports it.
//!
//! Read are `use` lines and paths in the code: `crate::`, `super::`, `self::` and those of child modules, with
//! nested braces, re-exports and tests. A name that a module re-exports counts as that module's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms, from top to bottom. Imports point down, or stay in the room.
const ROOMS: [&[&str]; 17] = [
    &["lib", "testing"],
    &["guide"],
    &["axum"],
    &["layer"],
    &["response"],
    &["sessions"],
    &["token"],
    &["revocation"],
    &["keyring"],
    &["transport", "telemetry"],
    &["audit"],
    &["keys"],
    &["replica"],
    &["store"],
    &["claims"],
    &["crypto", "error"],
    &["base64url", "clock", "cooldown", "sync", "tasks"],
];

/// The rooms that code of tests may import from anywhere.
const FOR_TESTS: [&str; 2] = ["lib", "testing"];

/// Known circles and arrows up, each as `file -> file`. The list may only become shorter.
const KNOWN: &[&str] = &[];

/// A module's path, such as `keyring::rotating`; empty for `lib.rs`.
type Module = Vec<String>;

struct Source {
    modules: BTreeMap<Module, File>,
}

struct File {
    path: String,
    text: String,
    lines: usize,
    /// It is compiled for tests alone.
    test: bool,
}

impl Source {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut modules = BTreeMap::new();
        read_folder(&root, &mut Vec::new(), &mut modules);
        let mut source = Self { modules };
        source.mark_tests();
        source
    }

    /// Finds the files behind `#[cfg(test)] mod name;`, and those below.
    fn mark_tests(&mut self) {
        let mut tests = BTreeSet::new();
        for (module, file) in &self.modules {
            for (at, _) in file.text.match_indices("mod ") {
                let rest = &file.text[at + 4..];
                let Some(name) = rest.split(';').next().filter(|name| is_name(name)) else {
                    continue;
                };
                let before = file.text[..at].rsplit([';', '}']).next().unwrap_or_default();
                if is_for_tests(before) {
                    tests.insert([module.as_slice(), &[name.to_owned()]].concat());
                }
            }
        }
        for (module, file) in &mut self.modules {
            file.test = tests.iter().any(|test| module.starts_with(test));
        }
    }

    /// The module of the file in which that path ends.
    fn file_of<'a>(&self, path: &'a [String]) -> &'a [String] {
        let length =
            (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]));
        &path[..length.expect("lib.rs is there")]
    }

    /// Each file's imports, with whether tests alone have it.
    fn imports(&self) -> BTreeMap<(&Module, &[String]), bool> {
        let mut imports = BTreeMap::new();
        for (module, file) in &self.modules {
            for (path, in_test) in paths(module, file, self) {
                let target = self.modules.get_key_value(self.file_of(&path)).expect("a file").0;
                let only_tests = imports.entry((module, target.as_slice())).or_insert(true);
                *only_tests &= in_test || file.test;
            }
        }
        imports.retain(|(from, to), _| from.as_slice() != *to);
        imports
    }

    fn path(&self, module: &[String]) -> &str {
        &self.modules[module].path
    }
}

fn read_folder(folder: &Path, module: &mut Module, modules: &mut BTreeMap<Module, File>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // Crates of their own, which use the library from outside.
        if module.is_empty() && name == "bin" {
            continue;
        }
        if path.is_dir() {
            module.push(name);
            read_folder(&path, module, modules);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            let mut of = module.clone();
            if name != "mod" && name != "lib" {
                of.push(name);
            }
            let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            let path = shown.to_str().unwrap().replace('\\', "/");
            modules.insert(of, File { path, text: code_of(&text), lines, test: false });
        }
    }
}

/// A text without comments, and with empty literals.
fn code_of(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let is_after_name = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = &rest[rest.find("*/").expect("the comment's end") + 2..];
        } else if let Some(marks) = raw_text(rest).filter(|_| !is_after_name) {
            let end = format!("\"{}", "#".repeat(marks));
            let begin = rest.find('"').expect("it was seen") + 1;
            let length = rest[begin..].find(&end).expect("the literal's end");
            rest = &rest[begin + length + end.len()..];
            code.push_str("\"\"");
        } else if first == '"' {
            let end = literal_end(&rest[1..], '"');
            rest = &rest[1 + end + 1..];
            code.push_str("\"\"");
        } else if first == '\'' && is_char(rest) {
            let end = literal_end(&rest[1..], '\'');
            rest = &rest[1 + end + 1..];
            code.push_str("' '");
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

/// How many `#` a raw literal that begins here has.
fn raw_text(rest: &str) -> Option<usize> {
    let marked = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let text = marked.trim_start_matches('#');
    text.starts_with('"').then_some(marked.len() - text.len())
}

fn literal_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, next) in text.char_indices() {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if next == quote => return at,
            _ => {}
        }
    }
    panic!("a literal without an end: {}", &text[..text.len().min(40)]);
}

/// A character, and no lifetime.
fn is_char(rest: &str) -> bool {
    let mut next = rest.chars().skip(1);
    next.next() == Some('\\') || next.next() == Some('\'')
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|next| next.is_alphanumeric() || next == '_')
}

fn is_for_tests(attributes: &str) -> bool {
    let attributes: String = attributes.split_whitespace().collect();
    let conditions = attributes.match_indices("#[cfg(").map(|(at, _)| &attributes[at + 6..]);
    conditions.into_iter().any(|condition| {
        let condition = condition.split(")]").next().unwrap_or_default();
        condition == "test" || condition.starts_with("all(test,")
    })
}

/// The paths in a file that lead into this crate, absolute, with whether they are in tests.
fn paths(module: &Module, file: &File, source: &Source) -> Vec<(Module, bool)> {
    let mut found = Vec::new();
    // Blocks: the inline module's name, if it is one's, and whether it is for tests.
    let mut blocks: Vec<(Option<String>, bool)> = Vec::new();
    let mut item = 0;
    let text = &file.text;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let in_test = blocks.iter().any(|(_, test)| *test) || is_for_tests(&text[item..at]);
        match next {
            '{' => {
                let head = text[item..at].trim_end();
                let name =
                    head.rsplit_once("mod ").map(|(_, name)| name).filter(|name| is_name(name));
                blocks.push((name.map(str::to_owned), is_for_tests(&text[item..at])));
                item = at + 1;
            }
            '}' => {
                blocks.pop();
                item = at + 1;
            }
            ';' => item = at + 1,
            _ if is_start(text, at) => {
                let inline = blocks.iter().filter_map(|(name, _)| name.clone());
                let here: Module = module.iter().cloned().chain(inline).collect();
                let word = word_at(text, at);
                let (tree, is_use) = match word {
                    // And no `use<'a>` of a type.
                    "use" if text[at + 3..].starts_with(char::is_whitespace) => {
                        (text[at + 3..].split(';').next().unwrap_or_default(), true)
                    }
                    _ => (path_at(text, at), false),
                };
                let mut trees = Vec::new();
                // The words of `pub(crate)` and `pub(in crate::keys)` import nothing.
                if !text[..at].ends_with("pub(") && !text[..at].ends_with("(in ") {
                    expand(String::new(), tree, &mut trees);
                }
                for path in trees {
                    let absolute = absolute(&here, &path, source);
                    found.extend(absolute.map(|path| (path, in_test)));
                }
                if is_use {
                    at += 3 + tree.len();
                } else {
                    at += tree.len().max(word.len());
                }
                continue;
            }
            _ => {}
        }
        at += next.len_utf8();
    }
    found
}

/// Whether a word begins here.
fn is_start(text: &str, at: usize) -> bool {
    let is_part = |next: char| next.is_alphanumeric() || next == '_';
    text[at..].starts_with(is_part) && !text[..at].ends_with(is_part)
}

fn word_at(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_');
    &rest[..end.unwrap_or(rest.len())]
}

/// The path that begins here: words joined by `::`.
fn path_at(text: &str, at: usize) -> &str {
    let mut end = at + word_at(text, at).len();
    while text[end..].starts_with("::") && is_start(text, end + 2) {
        end += 2 + word_at(text, end + 2).len();
    }
    &text[at..end]
}

/// All paths of a tree: `a::{b, c::{d, e}}`.
fn expand(prefix: String, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        paths.push(format!("{prefix}{path}"));
        return;
    };
    let inside = rest.rsplit_once('}').expect("a closed brace").0;
    let (mut depth, mut begin) = (0, 0);
    for (at, next) in inside.char_indices().chain([(inside.len(), ',')]) {
        match next {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[begin..at].trim().is_empty() {
                    expand(format!("{prefix}{}", head.trim()), &inside[begin..at], paths);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// A path from the crate's root, if it leads into the crate.
fn absolute(here: &[String], path: &str, source: &Source) -> Option<Module> {
    let mut words: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut base = here.to_vec();
    match *words.first()? {
        "crate" => {
            base.clear();
            words.remove(0);
        }
        "self" if words.len() > 1 => _ = words.remove(0),
        "super" => {
            while words.first() == Some(&"super") {
                base.pop();
                words.remove(0);
            }
        }
        child => {
            let child = [here, &[child.to_owned()]].concat();
            if words.len() < 2 || !source.modules.contains_key(&child) {
                return None;
            }
        }
    }
    base.extend(words.into_iter().map(str::to_owned));
    Some(base)
}

fn room(module: &[String]) -> &str {
    module.first().map_or("lib", String::as_str)
}

/// How far from the top.
fn height(room: &str) -> usize {
    let found = ROOMS.iter().position(|rooms| rooms.contains(&room));
    found.unwrap_or_else(|| panic!("`{room}` is no room of the list"))
}

#[test]
fn imports_point_down_and_make_no_circle() {
    let source = Source::read();
    let mut imports = source.imports();
    imports.retain(|(_, to), in_tests| !(*in_tests && FOR_TESTS.contains(&room(to))));
    assert!(imports.len() > 200, "only {} imports were found", imports.len());

    let mut wrong = BTreeSet::new();
    let shown =
        |from: &[String], to: &[String]| format!("{} -> {}", source.path(from), source.path(to));
    for (from, to) in imports.keys() {
        if height(room(from)) > height(room(to)) {
            wrong.insert(shown(from, to));
        }
    }
    // An import whose target leads back, by whatever way.
    let reaches = |from: &[String], to: &[String]| {
        let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(module) = open.pop() {
            for (_, next) in imports.keys().filter(|(from, _)| from.as_slice() == module) {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.contains(to)
    };
    for (from, to) in imports.keys() {
        if reaches(to, from) {
            wrong.insert(shown(from, to));
        }
    }
    let known: BTreeSet<_> = KNOWN.iter().map(|known| (*known).to_owned()).collect();
    let [new, gone] = [wrong.difference(&known), known.difference(&wrong)]
        .map(|lines| lines.map(String::as_str).collect::<Vec<_>>());
    assert!(new.is_empty(), "circles, or imports from above:\n{}", new.join("\n"));
    assert!(gone.is_empty(), "gone, so take them from the list:\n{}", gone.join("\n"));
}

#[test]
fn room_holds_at_most_a_quarter_of_the_lines() {
    let source = Source::read();
    let all: usize = source.modules.values().map(|file| file.lines).sum();
    let mut rooms = BTreeMap::<&str, usize>::new();
    for (module, file) in &source.modules {
        *rooms.entry(room(module)).or_default() += file.lines;
    }
    for (room, lines) in rooms {
        assert!(4 * lines <= all, "{room}: {lines} of {all} lines");
    }
}

#[test]
fn import_reader_sees_braces_re_exports_tests_and_paths_in_code() {
    let file = |path: &str, text: &str| {
        let module: Module = match path {
            "lib" => Vec::new(),
            path => path.split("::").map(str::to_owned).collect(),
        };
        (module, File { path: path.into(), text: code_of(text), lines: 1, test: false })
    };
    let mut source = Source {
        modules: BTreeMap::from([
            file(
                "lib",
                "mod a; mod b; mod c; mod d; pub use crate::a::{self, A}; // use crate::c::C;",
            ),
            file("a", "mod inner; #[cfg(test)]\nmod model; pub(crate) use inner::I;"),
            file(
                "a::inner",
                "use super::super::b::{x::{Y, Z}, W as V}; const T: &str = \"crate::c::C\";",
            ),
            file("a::model", "use crate::b::B;"),
            file("b", "fn f(a: &'static str, c: char) { let _ = '\"'; crate::c::f() }"),
            file("c", "#[cfg(test)] mod tests { use super::*; use crate::d::D; } r#\"crate::a\"#"),
            file("d", ""),
        ]),
    };
    source.mark_tests();
    let imports = source.imports();
    let found: BTreeMap<_, _> = imports
        .iter()
        .map(|((from, to), test)| (format!("{} {}", source.path(from), source.path(to)), *test))
        .collect();
    let expected = [
        ("lib a", false),
        ("a a::inner", false),
        ("a::inner b", false),
        ("a::model b", true),
        ("b c", false),
        ("c d", true),
    ];
    assert_eq!(found, expected.map(|(line, test)| (line.to_owned(), test)).into());
}
