//! The example cluster's comparison: each arm shows its own weakness, and the figures can be read.

use std::process::{Command, Stdio};

#[test]
fn compare_shows_what_each_arm_loses() {
    let temporary = tempfile::tempdir().unwrap();
    let [json, svg] = ["compare.json", "compare.svg"].map(|name| temporary.path().join(name));
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "cluster", "--", "compare"])
        .args(["--arms", "stateless,sticky", "--faults", "kill", "--seconds", "1"])
        .arg("--json")
        .arg(&json)
        .arg("--svg")
        .arg(&svg)
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Each arm shows what it has to show."), "{text}");

    let svg_text = std::fs::read_to_string(&svg).unwrap();
    assert!(svg_text.starts_with("<svg ") && svg_text.ends_with("</svg>\n"), "{svg_text}");
    let json_text = std::fs::read_to_string(&json).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&json_text).unwrap();
    assert_eq!(figures["reasons"], serde_json::json!([]));
    let arms = figures["arms"].as_array().unwrap();
    let names: Vec<_> = arms.iter().map(|arm| arm["arm"].as_str().unwrap()).collect();
    assert_eq!(names, ["stateless", "sticky"]);
    for arm in arms {
        let rows = arm["rows"].as_array().unwrap();
        let phases: Vec<_> = rows.iter().map(|row| row["phase"].as_str().unwrap()).collect();
        assert_eq!(phases, ["steady", "kill"]);
        assert!(rows.iter().all(|row| row["requests"].as_u64() > Some(0)), "{arm}");
        assert!(arm["growth"]["sessions"].as_u64() > Some(0), "{arm}");
        let lost: Vec<_> = rows.iter().map(|row| row["lost"].as_u64().unwrap()).collect();
        match arm["arm"].as_str().unwrap() {
            "stateless" => assert_eq!(lost, [0, 0]),
            _ => assert!(lost[0] == 0 && lost[1] > 0, "{lost:?}"),
        }
    }

    std::fs::remove_file(json).unwrap();
    std::fs::remove_file(svg).unwrap();
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "something was left behind");
}
