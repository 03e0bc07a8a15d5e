//! Renames: issuer, audience, cookie. All accept both, then all issue the new, then the old one goes.

use tower_jwt_session::{CookieTransport, Transport};

use super::fleet::{Fleet, LONGEST, MINUTE, Replica, Site};

const OLD: &str = "https://old.example";
const NEW: &str = "https://new.example";

/// A version by the issuer that it issues, and another one that it accepts.
fn issuer(name: &'static str, other: Option<&'static str>) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        let sessions = site.sessions::<()>(name, "app").await;
        let sessions = match other {
            Some(other) => sessions.also_accept_issuer(other),
            None => sessions,
        };
        Replica::of(sessions, ())
    }
}

#[tokio::test]
async fn issuer_renamed_in_three_deployments_refuses_nobody() {
    let mut fleet = Fleet::of(issuer(OLD, None)).await;
    fleet.deploy(issuer(OLD, Some(NEW))).await;
    fleet.deploy(issuer(NEW, Some(OLD))).await;
    fleet.pass(LONGEST + MINUTE).await;
    fleet.deploy(issuer(NEW, None)).await;
    fleet.pass(LONGEST).await;
    assert_eq!(fleet.refused, 0);
}

#[tokio::test]
async fn issuer_renamed_without_a_step_refuses_users() {
    let mut unprepared = Fleet::of(issuer(OLD, None)).await;
    unprepared.deploy(issuer(NEW, Some(OLD))).await;
    assert!(unprepared.refused > 0, "old replicas refuse the new name");

    let mut hasty = Fleet::of(issuer(OLD, None)).await;
    hasty.deploy(issuer(OLD, Some(NEW))).await;
    hasty.deploy(issuer(NEW, Some(OLD))).await;
    assert_eq!(hasty.refused, 0);
    hasty.deploy(issuer(NEW, None)).await;
    assert!(hasty.refused > 0, "old tokens are still in use");
}

fn audience(name: &'static str, other: Option<&'static str>) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        let sessions = site.sessions::<()>(OLD, name).await;
        Replica::of(sessions.audiences(other), ())
    }
}

#[tokio::test]
async fn audience_renamed_in_three_deployments_refuses_nobody() {
    let mut fleet = Fleet::of(audience("shop", None)).await;
    fleet.deploy(audience("shop", Some("store"))).await;
    fleet.deploy(audience("store", Some("shop"))).await;
    fleet.pass(LONGEST + MINUTE).await;
    fleet.deploy(audience("store", None)).await;
    fleet.pass(LONGEST).await;
    assert_eq!(fleet.refused, 0);
}

#[tokio::test]
async fn audience_renamed_at_once_refuses_users() {
    let mut fleet = Fleet::of(audience("shop", None)).await;
    fleet.deploy(audience("store", Some("shop"))).await;
    assert!(fleet.refused > 0);
}

fn cookie(name: &'static str, other: Option<&'static str>) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        let cookie = CookieTransport::new().name(name);
        let cookie = match other {
            Some(other) => cookie.also_read_cookie(CookieTransport::new().name(other)),
            None => cookie,
        };
        let sessions = site.sessions::<()>(OLD, "app").await;
        Replica::of(sessions.transports([Transport::cookie(cookie)]), ())
    }
}

#[tokio::test]
async fn cookie_renamed_in_three_deployments_refuses_nobody() {
    let mut fleet = Fleet::of(cookie("__Host-old", None)).await;
    fleet.deploy(cookie("__Host-old", Some("__Host-new"))).await;
    fleet.deploy(cookie("__Host-new", Some("__Host-old"))).await;
    fleet.pass(LONGEST + MINUTE).await;
    fleet.deploy(cookie("__Host-new", None)).await;
    fleet.pass(LONGEST).await;
    assert_eq!(fleet.refused, 0);
}

#[tokio::test]
async fn cookie_renamed_at_once_refuses_users() {
    let mut fleet = Fleet::of(cookie("__Host-old", None)).await;
    fleet.deploy(cookie("__Host-new", Some("__Host-old"))).await;
    assert!(fleet.refused > 0);
}
