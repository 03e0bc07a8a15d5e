//! Fields of the application's claims: added with a default, renamed by an alias.

use serde::{Deserialize, Serialize};
use tower_jwt_session::SessionClaims;

use super::fleet::{Fleet, LONGEST, MINUTE, Replica, Site};

/// A version by its claims.
fn version<C: SessionClaims + Clone>(claims: C) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        Replica::of(site.sessions("https://app.example", "app").await, claims.clone())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Named {
    name: String,
}

fn named() -> Named {
    Named { name: "Alice".into() }
}

#[derive(Clone, Serialize, Deserialize)]
struct WithTeam {
    name: String,
    #[serde(default)]
    team: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct WithTeamRequired {
    name: String,
    team: String,
}

#[tokio::test]
async fn field_added_with_a_default_refuses_nobody() {
    let mut fleet = Fleet::of(version(named())).await;
    fleet.deploy(version(WithTeam { name: "Alice".into(), team: Some("red".into()) })).await;
    fleet.pass(LONGEST).await;
    assert_eq!(fleet.refused, 0);
}

#[tokio::test]
async fn field_added_without_a_default_refuses_users() {
    let mut fleet = Fleet::of(version(named())).await;
    fleet.deploy(version(WithTeamRequired { name: "Alice".into(), team: "red".into() })).await;
    assert!(fleet.refused > 0);
}

/// Reads both names, writes the old one.
#[derive(Clone, Serialize, Deserialize)]
struct Accepting {
    #[serde(alias = "display_name")]
    name: String,
}

/// Reads both names, writes the new one.
#[derive(Clone, Serialize, Deserialize)]
struct Renamed {
    #[serde(alias = "name")]
    display_name: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Final {
    display_name: String,
}

#[tokio::test]
async fn field_renamed_in_three_deployments_refuses_nobody() {
    let mut fleet = Fleet::of(version(named())).await;
    fleet.deploy(version(Accepting { name: "Alice".into() })).await;
    fleet.deploy(version(Renamed { display_name: "Alice".into() })).await;
    fleet.pass(LONGEST + MINUTE).await;
    fleet.deploy(version(Final { display_name: "Alice".into() })).await;
    fleet.pass(LONGEST).await;
    assert_eq!(fleet.refused, 0);
}

#[tokio::test]
async fn field_renamed_without_a_step_refuses_users() {
    let mut unprepared = Fleet::of(version(named())).await;
    unprepared.deploy(version(Renamed { display_name: "Alice".into() })).await;
    assert!(unprepared.refused > 0);
}
