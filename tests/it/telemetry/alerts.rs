//! The alerts of `examples/deploy/prometheus`: each has metrics that exist, a test that fires it, and an
//! entry in the runbook.

use std::collections::BTreeSet;

const RULES: &str = include_str!("../../../examples/deploy/prometheus/rules.yaml");
const TESTS: &str = include_str!("../../../examples/deploy/prometheus/rules.test.yaml");
const RUNBOOK: &str = include_str!("../../../src/guide/runbook.md");

/// The names of all alerts.
fn alerts() -> BTreeSet<&'static str> {
    let lines = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<_> = lines.collect();
    let names: BTreeSet<_> = alerts.iter().copied().collect();
    assert_eq!(names.len(), alerts.len(), "a name occurs twice: {alerts:?}");
    assert!(names.len() > 20, "the rules are read: {names:?}");
    names
}

#[test]
fn alert_has_a_test_that_fires_it_and_one_that_does_not() {
    let (mut fired, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in TESTS.split("alertname: ").skip(1) {
        let name = test.split([',', '\n']).next().expect("a name");
        let expected = test.split("exp_alerts:").nth(1).expect("what is expected");
        let is_silent = expected.trim_start().starts_with("[]");
        if is_silent { &mut silent } else { &mut fired }.insert(name);
    }
    assert_eq!(fired, alerts());
    assert_eq!(silent, alerts());
}

#[test]
fn alert_leads_to_its_entry_in_the_runbook() {
    let headings: BTreeSet<_> = RUNBOOK
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(" Session"))
        .collect();
    let entries: BTreeSet<_> = headings.iter().map(|name| format!("Session{name}")).collect();
    assert_eq!(entries, alerts().into_iter().map(str::to_owned).collect());
    for alert in alerts() {
        let (_, rule) = RULES.split_once(&format!("- alert: {alert}\n")).expect("a rule");
        let url = rule.split("runbook_url: ").nth(1).expect("a URL").lines().next();
        let anchor = format!("/guide/runbook/index.html#{}", alert.to_lowercase());
        assert!(url.is_some_and(|url| url.ends_with(&anchor)), "{alert}: {url:?}");
    }
}

#[test]
fn alerts_and_their_tests_use_metrics_that_exist() {
    let (rows, mut outcomes) = (super::table("Metrics"), 0);
    let metrics: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| {
            let name = row[0].trim_matches('`').to_owned();
            match &*row[1] {
                "histogram" => vec![format!("{name}_sum"), format!("{name}_count")],
                _ => vec![name],
            }
        })
        .collect();
    // A misspelt outcome would be an alert that never fires.
    let kinds = include_str!("../../../src/error/rejection.rs");
    for selected in RULES.split("tower_jwt_session_").skip(1).filter(|rest| rest.contains('{')) {
        let Some((name, labels)) = selected.split_once('{').filter(|(name, _)| !name.contains(' '))
        else {
            continue;
        };
        let row = rows.iter().find(|row| row[0].trim_matches('`') == name).expect("a metric");
        let values = labels.split('"').nth(1).expect("a value").split('|');
        for value in values {
            let is_kind =
                row[4].contains("RejectionKind") && kinds.contains(&format!("\"{value}\""));
            assert!(
                is_kind || row[4].contains(&format!("`{value}`")),
                "{name}: no outcome {value}"
            );
            outcomes += 1;
        }
    }
    assert!(outcomes > 8, "only {outcomes} outcomes");
    for file in [RULES, TESTS] {
        let mut count = 0;
        for rest in file.split("tower_jwt_session_").skip(1) {
            let name: String =
                rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            assert!(metrics.contains(&name), "there is no metric {name}");
            count += 1;
        }
        assert!(count > 20, "only {count} metrics");
    }
}
