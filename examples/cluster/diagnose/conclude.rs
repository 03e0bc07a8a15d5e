//! From findings to the cause: the table of the guide, as code. It does not know what was broken.

use serde_json::Value;

use crate::diagnose::{cause::Cause, findings::Findings};

/// The cause that the findings lead to; none if they lead nowhere.
pub(crate) fn conclude(findings: &Findings) -> Option<Cause> {
    let counted = |reason| findings.count(reason) > 0;
    if counted("cross_site") {
        return Some(Cause::RewrittenHost);
    }
    if counted("revoked") {
        return Some(Cause::Revoked);
    }
    if counted("expired") {
        return Some(Cause::Expired);
    }
    if counted("issued_in_future") {
        return Some(Cause::WrongClock);
    }
    if counted("unknown_key") || counted("wrong_issuer") {
        let mut fingerprints = findings.fingerprints().into_values();
        let first = fingerprints.next();
        if fingerprints.any(|other| Some(other) != first) {
            return Some(Cause::OtherKeys);
        }
        let (_, explanation) = findings.explanation.as_ref()?;
        return Some(match is_of_another_issuer(explanation) {
            true => Cause::SharedCookieName,
            false => Cause::PurgedStore,
        });
    }
    let lost = findings.answers.iter().any(|it| it.with_cookie && it.status == 401);
    (lost && counted("missing")).then_some(Cause::DroppedCookie)
}

/// Whether the token names another issuer than this service's.
fn is_of_another_issuer(explanation: &Value) -> bool {
    explanation["claims"]["iss"].as_str().is_some_and(|it| it != crate::arms::replica::ISSUER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnose::findings::Seen;

    fn findings(reason: &str, fingerprints: [&str; 2], issuer: &str) -> Findings {
        let seen = Seen {
            request: "GET /me",
            with_cookie: true,
            replica: "replica-1".to_owned(),
            status: 401,
        };
        let status = |it: &str| json!({ "ring": { "fingerprint": it } });
        let names = ["replica-1", "replica-2"].map(str::to_owned);
        Findings {
            answers: vec![seen],
            refusals: [(names[0].clone(), [(reason.to_owned(), 1)].into())].into(),
            statuses: names.clone().into_iter().zip(fingerprints.map(status)).collect(),
            log: Vec::new(),
            explanation: Some((names[0].clone(), json!({ "claims": { "iss": issuer } }))),
        }
    }

    #[test]
    fn each_finding_leads_to_one_cause() {
        let (own, other) = (crate::arms::replica::ISSUER, "https://other.example");
        for (reason, fingerprints, issuer, cause) in [
            ("unknown_key", ["a", "b"], own, Some(Cause::OtherKeys)),
            ("unknown_key", ["a", "a"], own, Some(Cause::PurgedStore)),
            ("unknown_key", ["a", "a"], other, Some(Cause::SharedCookieName)),
            ("issued_in_future", ["a", "a"], own, Some(Cause::WrongClock)),
            ("missing", ["a", "a"], own, Some(Cause::DroppedCookie)),
            ("cross_site", ["a", "a"], own, Some(Cause::RewrittenHost)),
            ("expired", ["a", "a"], own, Some(Cause::Expired)),
            ("revoked", ["a", "a"], own, Some(Cause::Revoked)),
            ("forbidden", ["a", "a"], own, None),
        ] {
            assert_eq!(conclude(&findings(reason, fingerprints, issuer)), cause, "{reason}");
        }
        let mut anonymous = findings("missing", ["a", "a"], own);
        anonymous.answers[0].with_cookie = false;
        assert_eq!(conclude(&anonymous), None, "a request without a cookie is refused everywhere");
    }
}
