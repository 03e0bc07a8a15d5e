//! A token that claims the version of a cutoff which this replica has not read is not signed again: the holder
//! of a leaked key can write any version, and would have it believed anew with each token.

use axum::Router;
use axum::routing::get as on_get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tower_jwt_session::{Clock as _, Revocations, Session};

use super::*;
use crate::support::stores::TestStore;
use crate::support::web::{Credentials as _, get, send, signed};

struct Replica {
    clock: ManualClock,
    revocations: Revocations,
    sessions: Sessions<User>,
}

impl Replica {
    async fn open(store: &TestStore) -> Self {
        let clock = ManualClock::default();
        let builder = Revocations::builder("app").store(store.sibling()).clock(clock.clone());
        let builder = builder.refresh_interval(HOUR).found_now();
        let revocations = builder.open().await.unwrap();
        let sessions = web::builder(&clock)
            .revocations(revocations.clone())
            .refresh_tokens(RefreshTokens::new().store(store.clone()))
            .build()
            .unwrap();
        Self { clock, revocations, sessions }
    }

    /// Whether the cookie with a token is renewed by a request.
    async fn renews(&self, token: &str) -> bool {
        let me = async |session: Session<User>| session.subject().to_owned();
        let app = Router::new().route("/me", on_get(me)).layer(self.sessions.layer());
        let answer = send(&app, get("/me").cookie(token)).await;
        assert_eq!(answer.status, 200);
        !answer.all("set-cookie").is_empty()
    }
}

/// The same token with another claim, signed by the same key.
fn claiming(token: &str, changes: &[(&str, i64)]) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let mut claims = claims_of(token);
    for (name, value) in changes {
        claims[*name] = (*value).into();
    }
    signed(&header, &claims)
}

/// The times of a token whose renewal is due.
fn due(replica: &Replica) -> [(&'static str, i64); 3] {
    let now = replica.clock.now().as_unix_seconds();
    [("iat", now - 30), ("auth_time", now - 30), ("exp", now + 20)]
}

#[tokio::test]
async fn invented_version_is_not_signed_again_and_ends_with_the_next_revocation() {
    for (name, everyone) in [("rv", false), ("rg", true)] {
        let one = Replica::open(&TestStore::new()).await;
        let now = one.clock.now();
        let tokens = login(&one.sessions);
        let invented = (name, now.as_unix_millis() + 2_000_000);
        let token = claiming(tokens.access_token.as_str(), &due(&one));
        assert!(one.renews(&token).await);
        assert!(!one.renews(&claiming(&token, &[invented])).await);

        let forged = claiming(tokens.refresh_token.as_str(), &[invented]);
        for _ in 0..3 {
            let error = one.sessions.refresh(&forged).await.unwrap_err();
            assert_eq!(error.status(), 503);
            let kind = error.rejection().unwrap().kind();
            assert!(matches!(kind, RejectionKind::StaleRevocations { .. }), "{kind:?}");
            one.clock.advance(SKEW / 4);
        }
        match everyone {
            true => one.sessions.revoke_logins_before(one.clock.now()).await.unwrap(),
            false => one.sessions.revoke_subject("alice").await.unwrap(),
        }
        one.clock.advance(SKEW);
        one.revocations.refresh().await.unwrap();
        assert_eq!(refused(&one.sessions, &forged).await, RejectionKind::Revoked);
    }
}

#[tokio::test]
async fn version_of_a_cutoff_elsewhere_is_read_and_then_signed_again() {
    for everyone in [false, true] {
        let store = TestStore::new();
        let [one, two] = [Replica::open(&store).await, Replica::open(&store).await];
        match everyone {
            true => two.sessions.revoke_logins_before(two.clock.now()).await.unwrap(),
            false => two.sessions.revoke_subject("alice").await.unwrap(),
        }
        let tokens = login(&two.sessions);
        let name = if everyone { "rg" } else { "rv" };
        assert!(claims_of(tokens.refresh_token.as_str())[name].is_u64());
        let due = claiming(tokens.access_token.as_str(), &due(&one));
        assert!(!one.renews(&due).await);
        let next = refresh(&one.sessions, &tokens).await;
        assert_eq!(claims_of(next.refresh_token.as_str())[name], claims_of(&due)[name]);
        assert!(one.renews(&due).await);
    }
}

/// Kept for a time only: a session that is renewed for longer claims a register that is gone.
#[tokio::test]
async fn version_of_a_register_that_is_no_longer_kept_is_signed_again() {
    let one = Replica::open(&TestStore::new()).await;
    let tokens = login(&one.sessions);
    let long_ago = ("rv", one.clock.now().as_unix_millis() - 365 * 24 * 3600 * 1000);
    refresh(&one.sessions, &tokens).await;
    let token = claiming(tokens.access_token.as_str(), &due(&one));
    assert!(one.renews(&claiming(&token, &[long_ago])).await);
    let other = login(&one.sessions);
    one.sessions.refresh(&claiming(other.refresh_token.as_str(), &[long_ago])).await.unwrap();
}
