//! A service whose issuer is renamed while it runs: old and new replicas accept both names, and a revocation
//! holds for the sessions of both.

use serde_json::json;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, RefreshTokens, SessionsBuilder};

use super::*;
use crate::support::web::claims_of;

const OLD: &str = "https://old.example";
const NEW: &str = "https://new.example";

/// A replica that issues under the one name, and accepts the other.
async fn replica(store: &MemoryStore, issues: &str, accepts: Option<&str>) -> Replica {
    replica_with(store, issues, accepts, |sessions| sessions).await
}

async fn replica_with(
    store: &MemoryStore,
    issues: &str,
    accepts: Option<&str>,
    set: impl FnOnce(SessionsBuilder<()>) -> SessionsBuilder<()>,
) -> Replica {
    let clock = ManualClock::new(START);
    let revocations = builder(store.clone(), &clock).open().await.unwrap();
    let sessions = Sessions::builder(fixed_ring(clock.clone()), issues, "app");
    let sessions = accepts.into_iter().fold(sessions, SessionsBuilder::also_accept_issuer);
    let sessions = set(sessions.revocations(revocations.clone())).build().unwrap();
    Replica { clock, revocations, sessions }
}

/// The next token of a session, as that replica issues it.
fn renewed(at: &Replica, token: &str) -> String {
    let next = at.sessions.reissue(&at.session(token), ());
    at.sessions.issue(&next).unwrap().as_str().to_owned()
}

#[tokio::test]
async fn token_of_another_name_is_accepted_and_renewed_under_the_issued_one() {
    let store = MemoryStore::new();
    let old = replica(&store, OLD, Some(NEW)).await;
    let new = replica(&store, NEW, Some(OLD)).await;
    let token = old.login("alice");
    let session = new.session(&token);
    assert_eq!((session.issuer(), session.subject()), (OLD, "alice"));
    let renewed = renewed(&new, &token);
    assert_eq!(claims_of(&renewed)["iss"], json!(NEW));
    for replica in [&old, &new] {
        let next = replica.session(&renewed);
        assert_eq!((next.issuer(), next.session_id()), (NEW, session.session_id()));
    }
    let stranger = replica(&store, "https://third.example", None).await;
    let rejection = new.sessions.validate(&stranger.login("alice")).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::WrongIssuer);
    assert_eq!(rejection.found(), Some(r#""https://third.example""#));
    let expected = r#""https://new.example" or "https://old.example" (the issuer of the sessions)"#;
    assert_eq!(rejection.expected(), Some(expected));
}

#[tokio::test]
async fn logout_everywhere_ends_sessions_of_both_names_on_both_versions() {
    for at_old in [true, false] {
        let store = MemoryStore::new();
        let old = replica(&store, OLD, Some(NEW)).await;
        let new = replica(&store, NEW, Some(OLD)).await;
        let tokens = [old.login("alice"), new.login("alice")];
        let other = old.login("bob");
        let ends = if at_old { &old } else { &new };
        ends.sessions.logout_everywhere(&ends.session(&tokens[1])).await.unwrap();
        for replica in [&old, &new] {
            replica.refresh().await;
            for token in &tokens {
                assert_eq!(replica.judge(token), Err(RejectionKind::Revoked), "{at_old}");
            }
            assert_eq!(replica.judge(&other), Ok(()));
        }
        // A later login stays, under either name.
        for at in [&old, &new] {
            let later = at.sessions.login(&Login::new("alice", ())).await.unwrap();
            for replica in [&old, &new] {
                assert_eq!(replica.judge(later.as_str()), Ok(()));
            }
        }
    }
}

#[tokio::test]
async fn logout_ends_the_renewed_token_of_the_other_name() {
    let store = MemoryStore::new();
    let old = replica(&store, OLD, Some(NEW)).await;
    let new = replica(&store, NEW, Some(OLD)).await;
    let token = old.login("alice");
    let renewed = renewed(&new, &token);
    old.logout(&token).await;
    new.refresh().await;
    for replica in [&old, &new] {
        assert_eq!(replica.judge(&renewed), Err(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn session_of_a_login_after_cutoffs_survives_its_renewal_under_the_other_name() {
    let store = MemoryStore::new();
    // Cutoffs from before the rename are recorded under the old name alone.
    let before = replica(&store, OLD, None).await;
    for _ in 0..3 {
        before.sessions.revoke_subject("alice").await.unwrap();
    }
    let old = replica(&store, OLD, Some(NEW)).await;
    let new = replica(&store, NEW, Some(OLD)).await;
    let all = [&before, &old, &new];
    let early = old.sessions.login(&Login::new("alice", ())).await.unwrap();
    pass(&all, seconds(5 * 60));
    new.refresh().await;
    let next = renewed(&new, early.as_str());
    assert_eq!(new.judge(&next), Ok(()));
    // A login right after a cutoff of both, renewed while the time alone would end it.
    new.sessions.revoke_subject("alice").await.unwrap();
    assert_eq!(new.judge(&next), Err(RejectionKind::Revoked));
    let late = old.sessions.login(&Login::new("alice", ())).await.unwrap();
    pass(&all, seconds(5 * 60));
    new.refresh().await;
    let next = renewed(&new, late.as_str());
    assert_eq!(new.judge(&next), Ok(()));
    pass(&all, seconds(60));
    new.refresh().await;
    assert_eq!(new.judge(&next), Ok(()), "no register counts as lost");
    // The next cutoff ends it.
    old.sessions.revoke_subject("alice").await.unwrap();
    new.refresh().await;
    for replica in [&old, &new] {
        assert_eq!(replica.judge(&next), Err(RejectionKind::Revoked));
        assert_eq!(replica.judge(late.as_str()), Err(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn cutoff_of_which_a_replica_knows_one_name_is_not_escaped_by_a_renewal() {
    let store = MemoryStore::new();
    let old = replica(&store, OLD, Some(NEW)).await;
    let new = replica(&store, NEW, Some(OLD)).await;
    // A replica from after the rename records the new name alone.
    let after = replica(&store, NEW, None).await;
    let token = old.login("alice");
    pass(&[&old, &new, &after], seconds(5 * 60));
    after.sessions.revoke_subject("alice").await.unwrap();
    pass(&[&old, &new, &after], seconds(5 * 60));
    new.refresh().await;
    let next = renewed(&new, &token);
    assert_eq!(new.judge(&next), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn refresh_token_of_the_other_name_is_redeemed() {
    let store = MemoryStore::new();
    let tokens = |sessions: SessionsBuilder<()>| {
        sessions.refresh_tokens(RefreshTokens::new().store(store.clone()))
    };
    let old = replica_with(&store, OLD, Some(NEW), tokens).await;
    let new = replica_with(&store, NEW, Some(OLD), tokens).await;
    let first = old.sessions.issue_with_refresh_token(&Login::new("alice", ())).unwrap();
    pass(&[&old, &new], seconds(5 * 60));
    let second = new.sessions.refresh(first.refresh_token.as_str()).await.unwrap();
    assert_eq!(old.session(second.access_token.as_str()).issuer(), NEW);
    let third = old.sessions.refresh(second.refresh_token.as_str()).await.unwrap();
    assert_eq!(new.session(third.access_token.as_str()).issuer(), OLD);
    new.sessions.revoke_subject("alice").await.unwrap();
    old.refresh().await;
    for replica in [&old, &new] {
        let refused = replica.sessions.refresh(third.refresh_token.as_str()).await.unwrap_err();
        assert_eq!(refused.rejection().unwrap().kind(), RejectionKind::Revoked);
    }
}

#[test]
fn token_for_any_of_several_audiences_is_accepted_and_issued_for_one() {
    let keys = fixed_ring(ManualClock::new(START));
    let builder = |audience: &str| Sessions::<()>::builder(keys.clone(), OLD, audience);
    let new = builder("new").audiences(["old", "mobile"]).build().unwrap();
    for audience in ["new", "old", "mobile"] {
        let sessions = builder(audience).build().unwrap();
        let token = sessions.issue(&Login::new("alice", ())).unwrap();
        let session = new.validate(token.as_str()).unwrap();
        let next = new.issue(&new.reissue(&session, ())).unwrap();
        assert_eq!(claims_of(next.as_str())["aud"], json!("new"));
    }
    let token = builder("other").build().unwrap().issue(&Login::new("alice", ())).unwrap();
    let rejection = new.validate(token.as_str()).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::WrongAudience);
    assert_eq!(rejection.expected(), Some(r#""new" or "old" or "mobile""#));
    let explained = new.explain(token.as_str());
    assert_eq!(explained.failed().unwrap().name, "audience");
}

#[test]
fn name_that_is_empty_or_repeated_is_a_build_error() {
    let keys = || KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).build().unwrap();
    let builder = || Sessions::<()>::builder(keys(), OLD, "app");
    for (builder, text) in [
        (
            builder().also_accept_issuer(""),
            "also_accept_issuer is empty: give a name, or remove it",
        ),
        (
            builder().also_accept_issuer(OLD),
            "also_accept_issuer is \"https://old.example\": it is accepted already: remove it",
        ),
        (
            builder().also_accept_issuer(NEW).also_accept_issuer(NEW),
            "also_accept_issuer is \"https://new.example\": it is accepted already: remove it",
        ),
        (builder().audiences([""]), "audiences is empty: give a name, or remove it"),
    ] {
        assert_eq!(builder.build().unwrap_err().to_string(), text);
    }
}
