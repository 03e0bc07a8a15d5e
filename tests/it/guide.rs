//! The guide pages: short, and true to the files that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn pages_are_short_and_listed() {
    let list = fs::read_to_string(source().join("guide/mod.rs")).unwrap();
    let (questions, _) = list.split_once("//! # Words of other frameworks").unwrap();
    for page in fs::read_dir(source().join("guide")).unwrap() {
        let path = page.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "md") {
            let page = fs::read_to_string(&path).unwrap();
            let lines = page.lines().count();
            assert!(lines <= 250, "{name} has {lines} lines");
            assert!(list.contains(&format!("\"{name}\"")), "{name} is not listed");
            let question = page.lines().next().unwrap();
            let row = format!("//! | {question} | [`{}`] |\n", name.trim_end_matches(".md"));
            assert!(questions.contains(&row), "{name} begins with another question: {question}");
        }
    }
}

#[test]
fn walks_enter_existing_files_once() {
    let page = fs::read_to_string(source().join("guide/walks.md")).unwrap();
    let walks: Vec<_> = page.split("\n# ").skip(1).collect();
    assert_eq!(walks.len(), 5);
    for walk in walks {
        let names = walk.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs"));
        let mut entered = BTreeSet::new();
        for name in names {
            assert!(source().join(name).is_file(), "there is no src/{name}");
            assert!(entered.insert(name), "{name} is entered twice: {walk}");
        }
        assert!(entered.len() > 5, "{walk}");
    }
}

/// The first program of a Markdown page.
fn program(page: &str) -> &str {
    let (_, rest) = page.split_once("```rust,no_run\n").expect("a program");
    rest.split_once("```").expect("its end").0
}

#[test]
fn quick_start_is_one_program_everywhere() {
    let example = include_str!("../../examples/quickstart.rs");
    for page in [include_str!("../../README.md"), include_str!("../../src/guide/first_service.md")]
    {
        let program = program(page);
        assert!(program.contains("fn main") && example.contains(program), "{program}");
    }
}

#[test]
fn readme_is_short() {
    let lines = include_str!("../../README.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}

#[test]
fn examples_are_short() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (mut folders, mut files) = (vec![examples.clone()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The cluster is a program of many rooms.
            match path.extension() {
                None if path.is_dir() && !path.ends_with("cluster") => folders.push(path),
                Some(extension) if extension == "rs" => {
                    let lines = fs::read_to_string(&path).unwrap().lines().count();
                    assert!(lines <= 100, "{} has {lines} lines", path.display());
                    files += 1;
                }
                _ => {}
            }
        }
    }
    assert!(files > 8, "{files} files");
}
