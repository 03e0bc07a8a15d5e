//! What an explanation says to change, and what it says of a token whose key is not at hand.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring, mint};
use tower_jwt_session::{
    Algorithm, CheckOutcome, Clock as _, Explanation, Login, Revocations, Sessions,
};

use super::rejections::{claiming, headed, refusals, sessions};
use crate::token::{NOW, ed25519, header, payload, with};

#[test]
fn every_refusal_has_one_sentence_of_what_has_to_change() {
    let mut sentences = BTreeMap::new();
    for (token, kind, ..) in refusals() {
        let explanation = sessions().explain(&token);
        let fix = explanation.fix.clone().expect("a sentence");
        assert!(fix.len() > 20 && !fix.ends_with('.') && !fix.contains(['\n', '\r']), "{fix}");
        assert_ne!(&*fix, "the request must meet the requirement of the route", "{kind:?}");
        let text = explanation.to_string();
        assert!(text.trim_end().ends_with(&format!("to be accepted: {fix}")), "{text}");
        assert_eq!(serde_json::to_value(&explanation).unwrap()["fix"], *fix);
        sentences.insert(fix, kind);
    }
    assert!(sentences.len() >= 20, "{sentences:#?}");
    let valid = sessions().explain(&claiming(payload()));
    assert_eq!((valid.fix.as_deref(), valid.outcome), (None, "valid"));
}

/// Of a token that its own key has signed, all but the key is judged alike.
#[test]
fn explanation_without_key_makes_all_other_checks() {
    for (token, kind, ..) in refusals() {
        let [with, without] = [sessions().explain(&token), sessions().explain_without_key(&token)];
        let name = |explanation: &Explanation| explanation.failed().map(|check| check.name);
        // Whether the header names a key and its algorithm is a question to the ring.
        if name(&with) == Some("key") {
            assert_eq!(without.outcome, "not_verified", "{without}");
            continue;
        }
        assert_eq!(name(&with), name(&without), "{kind:?}: {with}{without}");
        assert_eq!((&with.rejection, &with.fix), (&without.rejection, &without.fix));
        assert!(!without.signature_verified);
    }
    let unknown = fixed_key(Algorithm::HS256).with_key_id("other");
    let forged = mint(&unknown, header(&unknown).to_string(), payload().to_string());
    let explanation = sessions().explain_without_key(&forged);
    assert!(explanation.rejection.is_none() && !explanation.signature_verified);
    assert_eq!(explanation.outcome, "not_verified");
    let not_checked = explanation.checks.iter();
    let not_checked = not_checked.filter(|check| check.outcome == CheckOutcome::NotChecked);
    let names: Vec<_> = not_checked.map(|check| check.name).collect();
    assert_eq!(names, ["key", "key times", "signature", "revocation"]);
    assert_eq!(explanation.checks.len(), 20);
    let text = explanation.to_string();
    assert!(text.contains("signature: not checked") && text.contains("claims (not verified)"));
    // Of an unknown key, it finds what else is wrong.
    let expired = with(with(payload(), "iat", NOW - 1000), "exp", NOW - 100);
    let forged = mint(&unknown, header(&unknown).to_string(), expired.to_string());
    assert_eq!(sessions().explain(&forged).failed().unwrap().name, "key");
    assert_eq!(sessions().explain_without_key(&forged).failed().unwrap().name, "expiry");
    let none = headed(with(header(&ed25519()), "alg", "none"));
    assert_eq!(sessions().explain_without_key(&none).failed().unwrap().name, "algorithm");
}

#[tokio::test]
async fn explanation_names_the_revocation() {
    let clock = ManualClock::default();
    let revocations = Revocations::builder("app").store(MemoryStore::new()).clock(clock.clone());
    let sessions = Sessions::<()>::builder(fixed_ring(clock.clone()), "https://issuer.test", "app")
        .revocations(revocations.found_now().open().await.unwrap())
        .build()
        .unwrap();
    let token = |subject| sessions.issue(&Login::new(subject, ())).unwrap().as_str().to_owned();
    let [by_id, by_subject, by_all] = ["alice", "bob", "carol"].map(token);
    let found = |token: &str| {
        let explanation = sessions.explain(token);
        let failed = explanation.failed().expect("revoked");
        assert_eq!((failed.name, explanation.outcome), ("revocation", "revoked"));
        failed.found.clone().unwrap().into_string()
    };
    let id = sessions.validate(&by_id).unwrap().session_id().to_owned();
    sessions.revoke_session(&id).await.unwrap();
    assert_eq!(found(&by_id), "the session of this ID was revoked");
    sessions.revoke_subject("bob").await.unwrap();
    let cut_off = found(&by_subject);
    let expected = format!("logins of the subject up to {} were revoked (version ", clock.now());
    assert!(cut_off.starts_with(&expected) && cut_off.contains("(version 0)"), "{cut_off}");
    sessions.validate(&by_all).unwrap();
    clock.advance(Duration::from_secs(1));
    sessions.revoke_logins_before(clock.now()).await.unwrap();
    assert!(found(&by_all).starts_with(&format!("all logins up to {} were", clock.now())));
}
