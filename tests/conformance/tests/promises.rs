//! What `.github/SECURITY.md` promises has tests: those that it names are there.

use conformance::is_test;

#[test]
fn every_test_that_is_named_is_there() {
    let page = include_str!("../../../.github/SECURITY.md");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.skip(1) {
        let tests = row.rsplit('|').nth(1).expect("a last column");
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in &tests {
            assert!(is_test(test), "there is no test {test}");
        }
        named += tests.len();
    }
    assert!(named > 50, "only {named} tests");
}
