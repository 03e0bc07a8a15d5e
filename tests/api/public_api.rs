//! The public API, item by item, as `public-api.txt` lists it. A change of it is a change of that file,
//! which a reviewer reads: `UPDATE_PUBLIC_API=1 cargo test -p api` writes it.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use public_api::Builder;

#[test]
fn public_api_is_the_listed_one() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).expect("the workspace");
    let target = root.join("target/public-api");
    let output = Command::new(env::var("CARGO").as_deref().unwrap_or("cargo"))
        .args([
            "rustdoc",
            "--lib",
            "--all-features",
            "--package",
            "tower-jwt-session",
            "--target-dir",
        ])
        .arg(&target)
        .args(["--", "-Zunstable-options", "--output-format=json", "--cap-lints=allow"])
        // rustdoc's JSON is not stable: the version of public-api in Cargo.lock goes with the toolchain.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTFLAGS")
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let api = Builder::from_rustdoc_json(target.join("doc/tower_jwt_session.json"))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("rustdoc's JSON in the format that public-api reads");
    let found = api.to_string();

    let list = here.join("public-api.txt");
    if env::var_os("UPDATE_PUBLIC_API").is_some() {
        fs::write(&list, &found).expect("the list is written");
    }
    let listed = fs::read_to_string(&list).expect("the list is there");
    let only_in = |these: &str, those: &str| {
        let those: std::collections::HashSet<&str> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(String::from).collect::<Vec<_>>()
    };
    let (added, removed) = (only_in(&found, &listed), only_in(&listed, &found));
    assert!(
        added.is_empty() && removed.is_empty(),
        "not listed: {added:#?}\nlisted, but gone: {removed:#?}\nif that is meant: UPDATE_PUBLIC_API=1 cargo test -p api"
    );
}
