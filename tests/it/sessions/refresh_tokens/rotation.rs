//! What a store adds: each refresh token is redeemed once, a retry gets the same successor, and a
//! copy that is used ends the session.

use std::sync::Arc;

use tokio::sync::Barrier;
use tower_jwt_session::store::{EntryName, Redemption, RefreshTokenStore};
use tower_jwt_session::testing::fixed_ring;
use tower_jwt_session::{Clock, KeyRing, OperationErrorKind, Revocations, Root, Timestamp};

use super::*;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{claims, header, signed};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(30);

/// One replica: its clock, its connection to the store, its sessions.
struct Replica {
    clock: ManualClock,
    store: TestStore,
    revocations: Revocations,
    sessions: Sessions<User>,
}

impl Replica {
    async fn open(store: &TestStore, clock: ManualClock) -> Self {
        Self::with_keys(store, fixed_ring(clock.clone()), clock).await
    }

    async fn with_keys(store: &TestStore, keys: KeyRing, clock: ManualClock) -> Self {
        let store = store.sibling();
        let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
        // The background waits for longer than any test runs.
        let revocations = revocations.refresh_interval(MINUTE).insert_timeout(SECOND);
        let revocations = revocations.open().await.unwrap();
        let sessions = Sessions::builder(keys, "https://app.example", "app")
            .refresh_tokens(RefreshTokens::new().store(store.clone()).redeem_timeout(SECOND))
            .revocations(revocations.clone());
        Self { clock, store, revocations, sessions: sessions.build().unwrap() }
    }

    fn login(&self) -> IssuedTokens {
        login(&self.sessions)
    }

    async fn refresh(&self, tokens: &IssuedTokens) -> IssuedTokens {
        refresh(&self.sessions, tokens).await
    }

    async fn refused(&self, tokens: &IssuedTokens) -> RejectionKind {
        refused(&self.sessions, tokens.refresh_token.as_str()).await
    }

    /// What is recorded of it could not be.
    async fn not_recorded(&self, tokens: &IssuedTokens) {
        let refreshed = self.sessions.refresh(tokens.refresh_token.as_str()).await;
        let error = refreshed.unwrap_err();
        assert_eq!(error.kind(), OperationErrorKind::Store, "{error}");
        assert_eq!(error.status(), 503);
    }

    fn judge(&self, tokens: &IssuedTokens) -> Result<(), RejectionKind> {
        let session = self.sessions.validate(tokens.access_token.as_str());
        session.map(drop).map_err(|rejection| rejection.kind())
    }
}

/// As many replicas on one store, with clocks that show the same.
async fn replicas<const N: usize>() -> [Replica; N] {
    let store = TestStore::new();
    let mut opened = Vec::new();
    for _ in 0..N {
        opened.push(Replica::open(&store, ManualClock::default()).await);
    }
    opened.try_into().unwrap_or_else(|_| unreachable!())
}

/// Lets time pass for all.
fn pass(replicas: &[Replica], duration: Duration) {
    replicas.iter().for_each(|replica| replica.clock.advance(duration));
}

fn texts(tokens: &IssuedTokens) -> [&str; 2] {
    [tokens.access_token.as_str(), tokens.refresh_token.as_str()]
}

#[tokio::test]
async fn within_the_grace_every_replica_answers_the_same_successor() {
    let replicas = replicas::<3>().await;
    let [one, two, three] = &replicas;
    let tokens = one.login();
    pass(&replicas, 4 * MINUTE + Duration::from_millis(250));
    let next = one.refresh(&tokens).await;
    let lifetime = next.access_token.lifetime();
    assert_eq!(sequence(&next), 1);
    for replica in [one, two, three] {
        pass(&replicas, GRACE / 3);
        let again = replica.refresh(&tokens).await;
        assert_eq!(texts(&again), texts(&next));
        assert_eq!(again.access_token.expires_at(), next.access_token.expires_at());
        let left = again.access_token.lifetime();
        assert!(
            left < lifetime - GRACE / 4,
            "the lifetime is what is left: {left:?} of {lifetime:?}"
        );
        assert_eq!(replica.judge(&again), Ok(()));
    }
    // The client goes on with that successor.
    let last = two.refresh(&next).await;
    assert_eq!(sequence(&last), 2);
    assert_eq!(three.judge(&last), Ok(()));
}

#[tokio::test]
async fn the_grace_ends_with_the_clocks_difference() {
    for (wait, again) in [(GRACE + SKEW, true), (GRACE + SKEW + Duration::from_millis(1), false)] {
        let replicas = replicas::<2>().await;
        let [one, two] = &replicas;
        let tokens = one.login();
        let next = one.refresh(&tokens).await;
        pass(&replicas, wait);
        if again {
            assert_eq!(texts(&two.refresh(&tokens).await), texts(&next));
            continue;
        }
        assert_eq!(two.refused(&tokens).await, RejectionKind::Reused);
    }
}

/// Whichever replica redeems it first, and whichever is asked again, by clocks as different as they
/// may be: nobody is logged out, and what is answered is valid everywhere.
#[tokio::test]
async fn clocks_that_differ_end_no_session() {
    let start = ManualClock::default().now();
    for [first, second] in [[start, start + SKEW], [start + SKEW, start], [start, start - SKEW]] {
        let store = TestStore::new();
        let one = Replica::open(&store, ManualClock::new(first)).await;
        let two = Replica::open(&store, ManualClock::new(second)).await;
        let tokens = one.login();
        let next = one.refresh(&tokens).await;
        for replica in [&one, &two] {
            replica.clock.advance(GRACE);
        }
        let again = two.refresh(&tokens).await;
        assert_eq!(texts(&again), texts(&next));
        for replica in [&one, &two] {
            assert_eq!(replica.judge(&again), Ok(()));
            assert_eq!(texts(&replica.refresh(&tokens).await), texts(&next));
        }
        // Reuse is found all the same.
        let last = two.refresh(&next).await;
        assert_eq!(one.refused(&tokens).await, RejectionKind::Reused);
        assert_eq!(one.refused(&last).await, RejectionKind::Revoked);
    }
}

#[tokio::test]
async fn ancestor_reused_within_grace_ends_session_everywhere() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let (tokens, other) = (one.login(), one.login());
    let next = two.refresh(&tokens).await;
    let last = one.refresh(&next).await;
    // The client is past it: who sends this has a copy.
    assert_eq!(two.refused(&tokens).await, RejectionKind::Reused);
    for tokens in [&tokens, &next, &last] {
        assert_eq!(two.judge(tokens), Err(RejectionKind::Revoked));
        assert_eq!(two.refused(tokens).await, RejectionKind::Revoked);
    }
    one.revocations.refresh().await.unwrap();
    for tokens in [&tokens, &next, &last] {
        assert_eq!(one.judge(tokens), Err(RejectionKind::Revoked));
        assert_eq!(one.refused(tokens).await, RejectionKind::Revoked);
    }
    // The same user's other session is another family.
    assert_eq!(sequence(&one.refresh(&other).await), 1);
}

#[tokio::test]
async fn refresh_reused_after_grace_ends_session_even_if_last() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let tokens = one.login();
    let next = one.refresh(&tokens).await;
    pass(&replicas, 2 * MINUTE);
    assert_eq!(two.refused(&tokens).await, RejectionKind::Reused);
    assert_eq!(two.judge(&next), Err(RejectionKind::Revoked));
    one.revocations.refresh().await.unwrap();
    assert_eq!(one.refused(&next).await, RejectionKind::Revoked);
}

/// What was redeemed is remembered for as long as a token of the session can be good.
#[tokio::test]
async fn reuse_is_found_as_long_as_the_token_is_good() {
    let replicas = replicas::<1>().await;
    let [replica] = &replicas;
    let tokens = replica.login();
    replica.refresh(&tokens).await;
    pass(&replicas, 12 * HOUR - SECOND);
    // So many others that the store drops what it may.
    for other in 0..500 {
        let family = EntryName::parse(format!("f-{other}")).unwrap();
        let redemption = Redemption::new(family, 0, replica.clock.now(), SECOND);
        replica.store.redeem("app", &redemption).await.unwrap();
    }
    assert_eq!(replica.refused(&tokens).await, RejectionKind::Reused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_at_once_on_five_replicas_all_get_one_successor() {
    let replicas = Arc::new(replicas::<5>().await);
    for (place, replica) in replicas.iter().enumerate() {
        // As different as clocks may be.
        replica.clock.advance(SKEW / 4 * place as u32);
    }
    let mut tokens = replicas[0].login();
    for round in 1..=20 {
        pass(&*replicas, 4 * MINUTE);
        let (start, token) = (Arc::new(Barrier::new(50)), tokens.refresh_token.as_str().to_owned());
        let clients: Vec<_> = (0..50)
            .map(|client| {
                let (replicas, start, token) = (replicas.clone(), start.clone(), token.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    replicas[client % 5].sessions.refresh(&token).await.unwrap()
                })
            })
            .collect();
        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.unwrap());
        }
        let first = answers.pop().unwrap();
        assert!(answers.iter().all(|answer| texts(answer) == texts(&first)), "round {round}");
        assert_eq!(sequence(&first), round);
        for replica in &*replicas {
            assert_eq!(replica.judge(&first), Ok(()));
            assert_eq!(replica.revocations.status().sessions, 0, "nobody was logged out");
        }
        tokens = first;
    }
}

/// A signature that is never the same twice changes nothing of what is signed.
#[tokio::test]
async fn the_same_successor_has_the_same_claims_with_every_algorithm() {
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::PS256, Algorithm::RS256] {
        let store = TestStore::new();
        let clock = ManualClock::default();
        let keys = KeyRing::fixed([fixed_key(algorithm)]).clock(clock.clone()).build().unwrap();
        let replica = Replica::with_keys(&store, keys, clock).await;
        let tokens = replica.login();
        let [one, two] = [replica.refresh(&tokens).await, replica.refresh(&tokens).await];
        for (one, two) in texts(&one).into_iter().zip(texts(&two)) {
            assert_eq!(claims_of(one), claims_of(two), "{algorithm:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_begins_to_sign_meanwhile_changes_nothing() {
    let clock = ManualClock::default();
    let root = Root::new((100..132).collect::<Vec<u8>>()).unwrap();
    let keys = KeyRing::derived("app", root).clock(clock.clone()).build().unwrap();
    let replica = Replica::with_keys(&TestStore::new(), keys, clock.clone()).await;
    let day = 24 * 60 * 60;
    let midnight = clock.now().as_unix_seconds() / day * day + day;
    clock.set(Timestamp::from_unix_seconds(midnight) - 5 * SECOND);
    replica.revocations.refresh().await.unwrap();
    let tokens = replica.login();
    let next = replica.refresh(&tokens).await;
    let key_before = replica.sessions.keys().status().signing_key_id;
    clock.advance(10 * SECOND);
    assert_ne!(replica.sessions.keys().status().signing_key_id, key_before);
    assert_eq!(texts(&replica.refresh(&tokens).await), texts(&next));
}

#[tokio::test]
async fn a_store_that_is_down_costs_no_token() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let tokens = one.login();
    one.store.down();
    one.not_recorded(&tokens).await;
    pass(&replicas, 10 * MINUTE);
    one.not_recorded(&tokens).await;
    one.store.up();
    let next = one.refresh(&tokens).await;
    assert_eq!(sequence(&next), 1);
    assert_eq!(claims_of(texts(&next)[0])["iat"], one.clock.now().as_unix_seconds());
    assert_eq!(texts(&two.refresh(&tokens).await), texts(&next));
}

/// It was redeemed, but the answer was lost: the client that tries again gets the one successor.
#[tokio::test]
async fn an_answer_that_is_lost_costs_no_session() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let tokens = one.login();
    let began = one.clock.now();
    one.store.lose_answers();
    one.not_recorded(&tokens).await;
    one.store.up();
    pass(&replicas, GRACE);
    let next = two.refresh(&tokens).await;
    assert_eq!(claims_of(texts(&next)[0])["iat"], began.as_unix_seconds());
    assert_eq!(texts(&one.refresh(&tokens).await), texts(&next));
    assert_eq!(sequence(&one.refresh(&next).await), 2);
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_and_the_client_may_go_away() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let tokens = one.login();
    one.store.hang(&[Operation::Redeem]);
    one.not_recorded(&tokens).await;
    // One that is dropped while it waits.
    one.store.forget_calls();
    let token = tokens.refresh_token.as_str().to_owned();
    let sessions = one.sessions.clone();
    let request = tokio::spawn(async move { sessions.refresh(&token).await.map(drop) });
    one.store.called(Operation::Redeem).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    one.store.up();
    assert_eq!(texts(&one.refresh(&tokens).await), texts(&two.refresh(&tokens).await));
}

#[tokio::test]
async fn what_can_not_be_issued_is_not_redeemed() {
    let replicas = replicas::<1>().await;
    let [replica] = &replicas;
    let tokens = replica.login();
    let keys = replica.sessions.keys();
    keys.replace([public_key()]).unwrap();
    let refreshed = replica.sessions.refresh(tokens.refresh_token.as_str()).await;
    assert_eq!(refreshed.unwrap_err().kind(), OperationErrorKind::NoSigningKey);
    assert_eq!(replica.store.calls(Operation::Redeem), [""; 0]);
    keys.replace([fixed_key(Algorithm::EdDSA)]).unwrap();
    pass(&replicas, 10 * MINUTE);
    let next = replica.refresh(&tokens).await;
    assert_eq!(claims_of(texts(&next)[0])["iat"], replica.clock.now().as_unix_seconds());
}

/// No answer says that a session was ended which was not.
#[tokio::test]
async fn unrecorded_revocation_is_reported_and_retried() {
    let replicas = replicas::<1>().await;
    let [replica] = &replicas;
    let tokens = replica.login();
    let next = replica.refresh(&tokens).await;
    let last = replica.refresh(&next).await;
    replica.store.fail(&[Operation::Append]);
    replica.not_recorded(&tokens).await;
    assert_eq!(replica.judge(&last), Ok(()));
    replica.store.up();
    assert_eq!(replica.refused(&tokens).await, RejectionKind::Reused);
    assert_eq!(replica.judge(&last), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn ended_session_is_not_renewed() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let (tokens, other) = (one.login(), one.login());
    let session = one.sessions.validate(tokens.access_token.as_str()).unwrap();
    one.sessions.logout(&session).await.unwrap();
    assert_eq!(one.refused(&tokens).await, RejectionKind::Revoked);
    two.revocations.refresh().await.unwrap();
    assert_eq!(two.refused(&tokens).await, RejectionKind::Revoked);
    assert_eq!(two.store.calls(Operation::Redeem), [""; 0], "it is not even redeemed");

    let next = two.refresh(&other).await;
    two.sessions.revoke_subject("alice").await.unwrap();
    for tokens in [&other, &next] {
        assert_eq!(two.refused(tokens).await, RejectionKind::Revoked);
    }
    // Who logs in anew goes on, however often it is renewed.
    let mut tokens = two.login();
    for _ in 0..3 {
        tokens = two.refresh(&tokens).await;
        assert_eq!(two.judge(&tokens), Ok(()));
    }
    assert_eq!(one.judge(&tokens), Ok(()));
    one.revocations.refresh().await.unwrap();
    assert_eq!(one.judge(&tokens), Ok(()));
}

/// It was renewed where its end was not known yet: what came of it is ended, too.
#[tokio::test]
async fn tokens_renewed_before_revocation_was_known_are_revoked_too() {
    let replicas = replicas::<2>().await;
    let [one, two] = &replicas;
    let tokens = one.login();
    one.sessions.revoke_subject("alice").await.unwrap();
    pass(&replicas, 4 * MINUTE);
    let next = two.refresh(&tokens).await;
    assert_eq!(two.judge(&next), Ok(()));
    two.revocations.refresh().await.unwrap();
    assert_eq!(two.judge(&next), Err(RejectionKind::Revoked));
    assert_eq!(two.refused(&next).await, RejectionKind::Revoked);
    assert_eq!(one.refused(&next).await, RejectionKind::Revoked);
}

#[tokio::test]
async fn a_session_whose_id_no_store_can_hold_is_refused() {
    let replicas = replicas::<1>().await;
    let [replica] = &replicas;
    let mut header = header();
    header["typ"] = "refresh+jwt".into();
    for session_id in ["../../etc", "a b", "é", &"x".repeat(129)] {
        let changes = serde_json::json!({"seq": 0, "sid": session_id});
        let token = signed(&header, &claims(&replica.clock, changes));
        let refused = super::refused(&replica.sessions, &token).await;
        assert_eq!(refused, RejectionKind::InvalidClaim("sid"));
    }
    assert_eq!(replica.store.calls(Operation::Redeem), [""; 0]);
}

/// Its successor's times would follow from that, and someone who can write the store choose them.
#[tokio::test]
async fn refresh_redeemed_later_than_any_clock_shows_issues_nothing() {
    let (store, clock) = (TestStore::new(), ManualClock::default());
    let one = Replica::open(&store, clock.clone()).await;
    let redeemed_at = async |tokens: &IssuedTokens, at: Timestamp| {
        let sid = claims_of(tokens.refresh_token.as_str())["sid"].as_str().unwrap().to_owned();
        let family = EntryName::parse(sid).unwrap();
        let sequence = u32::try_from(sequence(tokens)).unwrap();
        let redemption = Redemption::new(family, sequence, at, 24 * HOUR);
        one.store.redeem("app", &redemption).await.unwrap();
    };
    // As far ahead as the clock of the replica that redeemed it may be.
    let tokens = one.login();
    redeemed_at(&tokens, clock.now() + SKEW).await;
    one.refresh(&tokens).await;
    for ahead in [SKEW + SECOND, 10 * HOUR] {
        let tokens = one.login();
        redeemed_at(&tokens, clock.now() + ahead).await;
        one.not_recorded(&tokens).await;
    }
}
