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
    for page in fs::read_dir(source().join("guide")).unwrap() {
        let path = page.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "md") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 250, "{name} has {lines} lines");
            assert!(list.contains(&format!("\"{name}\"")), "{name} is not listed");
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
