//! Published flaws of other libraries: each is answered by a test, or by why it can't be here. The
//! list is complete against a file of them, where that is present.

use std::collections::BTreeSet;
use std::process::ExitCode;

use conformance::{count, is_test, published, report};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

/// The answer to a flaw.
#[derive(Clone, Copy)]
enum Answer {
    /// A test that would find it here.
    Test(&'static str),
    /// Why it can't be here.
    #[allow(dead_code)] // For who reads.
    Never(&'static str),
}

use Answer::{Never, Test};

const ANSWERS: &[(Answer, &[&str])] = &[
    // Which algorithm, and which key.
    (Test("attacks::alg_none"), &["CVE-2015-2951", "CVE-2026-23993"]),
    (
        Test("attacks::algorithm_confusion"),
        &[
            "CVE-2015-9235",
            "CVE-2016-10555",
            "CVE-2016-1000223",
            "CVE-2017-11424",
            "CVE-2021-46743",
            "CVE-2022-29217",
            "CVE-2023-48223",
            "CVE-2024-33663",
            "CVE-2024-37568",
            "CVE-2026-34950",
            "CVE-2026-48526",
            "CVE-2026-85394",
            "CVE-2026-102268",
            "CVE-2026-102273",
            "GHSA-g3jj-5cmm-3hxx",
            "GHSA-ww5h-9m49-7xx4",
        ],
    ),
    (
        Test(
            "it::keyring::issuer::documents::an_rsa_key_without_an_algorithm_takes_the_one_that_is_set",
        ),
        &["CVE-2026-22817", "CVE-2026-44699"],
    ),
    (Test("attacks::header_keys"), &["CVE-2018-0114"]),
    (Test("attacks::key_id_injection"), &["CVE-2025-65945"]),
    (
        Test("it::keyring::issuer::open::only_https_is_taken_or_http_on_loopback_where_allowed"),
        &["CVE-2026-48522"],
    ),
    (Test("it::keyring::issuer::http::no_redirect_is_followed"), &["CVE-2026-102267"]),
    (
        Test("it::keys::material::a_shared_secret_is_as_long_as_the_hash"),
        &[
            "CVE-2019-20933",
            "CVE-2020-28637",
            "CVE-2025-45768",
            "CVE-2026-44351",
            "CVE-2026-45363",
            "CVE-2026-49852",
            "CVE-2026-107720",
        ],
    ),
    (Test("it::keys::fixed::a_shared_secret_as_a_jwk_needs_its_algorithm"), &["CVE-2026-102266"]),
    (
        Test("it::keys::fixed::a_private_jwk_signs_what_its_public_part_verifies"),
        &["CVE-2026-102275"],
    ),
    (Test("it::keys::material::a_point_that_is_not_on_its_curve_is_refused"), &["CVE-2016-9121"]),
    (
        Never("a key is given as its bytes, and never as the path of a file to read"),
        &["CVE-2021-41106"],
    ),
    // The signature.
    (
        Test("attacks::signature"),
        &[
            "CVE-2015-10004",
            "CVE-2020-15240",
            "CVE-2020-28042",
            "CVE-2022-21449",
            "CVE-2025-1293",
            "CVE-2026-33895",
            "CVE-2026-38651",
        ],
    ),
    (
        Never(
            "HMACs are compared by `ring::hmac::verify`, in constant time, and nothing else is \
             compared with a secret",
        ),
        &["CVE-2013-0263", "CVE-2016-7036"],
    ),
    // The text.
    (Test("attacks::base64"), &["CVE-2022-25898"]),
    (
        Test("attacks::structure"),
        &[
            "CVE-2016-9122",
            "CVE-2020-26521",
            "CVE-2022-39227",
            "CVE-2024-21664",
            "CVE-2026-102946",
            "GHSA-jc38-x7x8-2xc8",
        ],
    ),
    (Test("attacks::length"), &["CVE-2025-27144", "CVE-2025-30204"]),
    (
        Test("attacks::crit"),
        &["CVE-2025-59420", "CVE-2026-32597", "CVE-2026-35042", "CVE-2026-48525"],
    ),
    // Encryption, of which there is none: nothing is decrypted, inflated or derived from a password.
    (
        Test("attacks::jwe"),
        &[
            "CVE-2016-6298",
            "CVE-2018-1000539",
            "CVE-2023-49290",
            "CVE-2023-50658",
            "CVE-2023-51774",
            "CVE-2023-6681",
            "CVE-2024-28122",
            "CVE-2024-28180",
            "CVE-2025-63811",
            "CVE-2026-29000",
            "CVE-2026-33204",
            "CVE-2026-34986",
            "CVE-2026-39324",
            "GHSA-3prj-6hqw-cm82",
            "GHSA-5739-39v2-5754",
            "GHSA-6vvh-pxr4-25r7",
        ],
    ),
    // The claims.
    (Test("attacks::time_claims"), &["CVE-2020-26892", "CVE-2026-25537"]),
    (
        Test("attacks::context_claims"),
        &["CVE-2020-26160", "CVE-2024-5037", "CVE-2024-53861", "CVE-2026-19194"],
    ),
    (Test("attacks::json"), &["CVE-2026-107723"]),
    (
        Never("a verdict is a `Session` or an error, and no session is made beside an error"),
        &["CVE-2024-51744"],
    ),
    (
        Never("there is no regular expression here"),
        &["CVE-2026-35040", "CVE-2026-35041", "GHSA-vj5m-rch8-5r2p"],
    ),
    // What is kept of tokens and keys.
    (Test("it::token::cache::every_byte_counts"), &["CVE-2026-35039"]),
    (Test("it::token::cache::no_time_passes_unseen"), &["CVE-2026-107719"]),
    (
        Test("it::keyring::issuer::refresh::a_withdrawn_key_is_gone_with_the_next_answer"),
        &["CVE-2025-22149"],
    ),
    (
        Test("it::keyring::issuer::refresh::replaced_key_of_same_id_is_used_and_logged"),
        &["CVE-2026-50202"],
    ),
    (
        Test("it::keyring::issuer::documents::bad_key_is_reported_and_hurts_no_other"),
        &["CVE-2026-102274"],
    ),
    // The service around it.
    (
        Test("it::transport::credentials::two_authorization_headers_are_ambiguous_in_either_order"),
        &["CVE-2025-64527"],
    ),
    (
        Test("it::transport::credentials::what_a_proxy_may_say_of_user_and_path_is_nothing"),
        &["CVE-2023-27487"],
    ),
    (
        Test(
            "it::transport::credentials::the_cookie_is_found_by_its_exact_name_and_nothing_like_it",
        ),
        &["CVE-2020-8184"],
    ),
    (
        Test("it::revocation::ending::what_another_replica_renewed_before_it_heard_is_refused_too"),
        &["CVE-2025-46336"],
    ),
    (
        Never("a token is exchanged for none but a renewed one, which needs it to be valid"),
        &["CVE-2026-9097"],
    ),
    (
        Test("it::revocation::ending::all_sessions_of_a_subject_are_ended_and_no_others"),
        &["CVE-2026-78357"],
    ),
];

/// Flaws that the file does not list.
const UNLISTED: &[(Answer, &[&str])] = &[(
    Test("it::keyring::issuer::claims::time_that_is_not_finite_or_negative_is_refused"),
    &["CVE-2026-44459"],
)];

#[derive(Deserialize)]
struct Flaw {
    id: String,
}

/// Each test that is named is there.
fn answers() -> Vec<Trial> {
    let trial = |(answer, flaws): &'static (Answer, &[&str])| match answer {
        Test(test) => Some(Trial::test(format!("{}: {test}", flaws.join(", ")), move || {
            if is_test(test) { Ok(()) } else { Err("there is no such test".into()) }
        })),
        Never(_) => None,
    };
    let all = || ANSWERS.iter().chain(UNLISTED);
    count(all().map(|(_, flaws)| flaws.len()).sum());
    all().filter_map(trial).collect()
}

fn complete(flaws: Vec<Flaw>) -> Vec<Trial> {
    let run = move || {
        let answered: Vec<_> = ANSWERS.iter().flat_map(|(_, flaws)| *flaws).copied().collect();
        let once: BTreeSet<_> = answered.iter().copied().collect();
        let known: BTreeSet<_> = flaws.iter().map(|flaw| &*flaw.id).collect();
        if UNLISTED.iter().any(|(_, flaws)| flaws.iter().any(|flaw| known.contains(flaw))) {
            return Err(Failed::from("a flaw is listed now: move it among the others"));
        }
        if once.len() < answered.len() {
            return Err(Failed::from("a flaw is answered twice"));
        }
        let differ: Vec<_> = known.symmetric_difference(&once).collect();
        if differ.is_empty() { Ok(()) } else { Err(format!("not in both: {differ:?}").into()) }
    };
    vec![Trial::test("every flaw is answered", run)]
}

fn main() -> ExitCode {
    let trials = [answers(), published("jwt_cves.json", complete)];
    report(trials.into_iter().flatten().collect(), "published flaws are answered")
}
