//! The algorithm and the lifetimes.

use std::time::Duration;

use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, KeyRing, Root, RotationPolicy};

use super::fleet::{Fleet, HOUR, LONGEST, Replica, Site, sessions};

const ISSUER: &str = "https://app.example";

fn algorithm(algorithm: Algorithm) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        let ring = site.ring().algorithm(algorithm).open().await.expect("the ring opens");
        Replica::of(sessions::<()>(ring, ISSUER, "app"), ())
    }
}

/// The algorithm that each replica signs with.
fn signing(fleet: &Fleet) -> Vec<Algorithm> {
    let signing = fleet.replicas.iter().map(|replica| {
        let status = replica.ring.status();
        let signer = status.keys.iter().find(|key| Some(key.generation) == status.generation);
        signer.expect("a key signs").algorithm
    });
    signing.collect()
}

#[tokio::test]
async fn algorithm_changed_by_one_deployment_and_a_rotation_refuses_nobody() {
    let mut fleet = Fleet::of(algorithm(Algorithm::EdDSA)).await;
    fleet.deploy(algorithm(Algorithm::ES256)).await;
    assert_eq!(signing(&fleet), [Algorithm::EdDSA; 3], "the published key is next in line");
    let at = fleet.replicas[1].ring.rotate_now().await.expect("rotates");
    let lead = at - tower_jwt_session::Clock::now(&fleet.site.clock);
    assert!(lead <= Site::rotation().full_lead(), "{lead:?}");
    fleet.pass(lead + Duration::from_secs(300)).await;
    assert_eq!(signing(&fleet), [Algorithm::ES256; 3]);
    fleet.pass(12 * HOUR).await;
    assert_eq!((signing(&fleet), fleet.refused), (vec![Algorithm::ES256; 3], 0));
}

/// All keys of a derived ring are of one algorithm: this takes a root of its own, and logs users out.
#[tokio::test]
async fn algorithm_of_a_derived_ring_changed_refuses_users() {
    let version = |algorithm| {
        async move |site: &Site| {
            let root = Root::new((100..132).collect::<Vec<u8>>()).expect("random enough");
            let ring = KeyRing::derived("app", root).algorithm(algorithm);
            let ring = ring.rotation(Site::rotation()).clock(site.clock.clone()).build();
            Replica::of(sessions::<()>(ring.expect("good settings"), ISSUER, "app"), ())
        }
    };
    let mut fleet = Fleet::of(version(Algorithm::EdDSA)).await;
    fleet.deploy(version(Algorithm::HS256)).await;
    assert!(fleet.refused > 0);
}

/// A ring in a store: every key's record says how long its tokens may live.
#[tokio::test]
async fn lifetimes_changed_in_one_deployment_refuse_nobody() {
    let version = |idle: Duration, longest: Duration| {
        async move |site: &Site| {
            let rotation = Site::rotation().max_token_lifetime(longest);
            let ring = site.ring().rotation(rotation).open().await.expect("the ring opens");
            Replica::of(sessions::<()>(ring, ISSUER, "app").idle_lifetime(idle), ())
        }
    };
    let mut fleet = Fleet::of(version(HOUR, 2 * HOUR)).await;
    fleet.deploy(version(20 * HOUR, 24 * HOUR)).await;
    fleet.pass(24 * HOUR).await;
    fleet.deploy(version(HOUR, 2 * HOUR)).await;
    fleet.pass(24 * HOUR).await;
    assert_eq!(fleet.refused, 0);
}

/// A ring of fixed keys: each replica compares with its own setting.
fn fixed(idle: Duration, longest: Duration) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        let rotation = RotationPolicy::new().max_token_lifetime(longest);
        let ring = KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).rotation(rotation);
        let ring = ring.clock(site.clock.clone()).build().expect("good settings");
        Replica::of(sessions::<()>(ring, ISSUER, "app").idle_lifetime(idle), ())
    }
}

#[tokio::test]
async fn lifetimes_of_fixed_keys_changed_in_two_deployments_refuse_nobody() {
    let mut fleet = Fleet::of(fixed(HOUR, 2 * HOUR)).await;
    fleet.deploy(fixed(HOUR, 24 * HOUR)).await;
    fleet.deploy(fixed(20 * HOUR, 24 * HOUR)).await;
    fleet.pass(LONGEST).await;
    // And back: tokens first, then the bound when the last long one has expired.
    fleet.deploy(fixed(HOUR, 24 * HOUR)).await;
    fleet.pass(20 * HOUR).await;
    fleet.deploy(fixed(HOUR, 2 * HOUR)).await;
    fleet.pass(LONGEST).await;
    assert_eq!(fleet.refused, 0);
}

#[tokio::test]
async fn lifetimes_of_fixed_keys_changed_at_once_refuse_users() {
    let mut fleet = Fleet::of(fixed(HOUR, 2 * HOUR)).await;
    fleet.deploy(fixed(20 * HOUR, 24 * HOUR)).await;
    assert!(fleet.refused > 0);
}

/// A derived ring, whose replicas have to agree on the signing period, too.
fn derived(idle: Duration, rotation: RotationPolicy) -> impl AsyncFn(&Site) -> Replica {
    async move |site: &Site| {
        let root = Root::new((100..132).collect::<Vec<u8>>()).expect("random enough");
        let ring = KeyRing::derived("app", root).rotation(rotation.clone());
        let ring = ring.clock(site.clock.clone()).build().expect("good settings");
        Replica::of(sessions::<()>(ring, ISSUER, "app").idle_lifetime(idle), ())
    }
}

#[tokio::test]
async fn lifetimes_of_derived_keys_are_changed_with_their_period_as_it_was() {
    let day = RotationPolicy::new().signing_period(24 * HOUR);
    let month = day.clone().max_token_lifetime(30 * 24 * HOUR);
    let mut fleet = Fleet::of(derived(HOUR, RotationPolicy::new())).await;
    fleet.deploy(derived(HOUR, month.clone())).await;
    fleet.deploy(derived(20 * HOUR, month)).await;
    fleet.pass(26 * HOUR).await;
    assert_eq!(fleet.refused, 0);

    let mut fleet = Fleet::of(derived(HOUR, RotationPolicy::new())).await;
    fleet.deploy(derived(HOUR, RotationPolicy::new().max_token_lifetime(30 * 24 * HOUR))).await;
    assert!(fleet.refused > 0, "the default period follows");
}
