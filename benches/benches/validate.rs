//! Validating a token: whole, without an application's claims, beside the bare primitive and
//! `jsonwebtoken`; and refusing one.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use benches::{ALGORITHMS, Fixture};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tower_jwt_session::Algorithm;
use tower_jwt_session::RejectionKind;

fn accepted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    for algorithm in ALGORITHMS {
        let fixture = Fixture::new(algorithm);
        let (name, token) = (fixture.name, &*fixture.token);
        group.bench_function(BenchmarkId::new(name, "ours"), |bencher| {
            bencher.iter(|| assert!(fixture.validates(black_box(token))));
        });
        group.bench_function(BenchmarkId::new(name, "ours-unit-claims"), |bencher| {
            bencher.iter(|| assert!(fixture.validates_unit(black_box(token))));
        });
        let (signed, signature) = fixture.signed();
        group.bench_function(BenchmarkId::new(name, "raw"), |bencher| {
            bencher.iter(|| assert!(fixture.raw.verifies(black_box(signed), &signature)));
        });
        group.bench_function(BenchmarkId::new(name, "jsonwebtoken"), |bencher| {
            bencher.iter(|| assert!(fixture.jwt.validates(black_box(token))));
        });
    }
}

/// The work that an attacker can cause.
fn refused(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    for algorithm in [Algorithm::HS256, Algorithm::EdDSA] {
        let fixture = Fixture::new(algorithm);
        let (signed, signature) = fixture.token.rsplit_once('.').expect("a compact token");
        let (_, payload) = signed.split_once('.').expect("a compact token");
        // Another first character, so that the encoding stays canonical.
        let other = if signature.starts_with('A') { "B" } else { "A" };
        let unknown = r#"{"alg":"{name}","typ":"session+jwt","kid":"k2"}"#;
        let unknown = URL_SAFE_NO_PAD.encode(unknown.replace("{name}", fixture.name));
        let refused = [
            (
                "forged-signature",
                format!("{signed}.{other}{}", &signature[1..]),
                RejectionKind::BadSignature,
            ),
            (
                "unknown-key-id",
                format!("{unknown}.{payload}.{signature}"),
                RejectionKind::UnknownKey,
            ),
            ("garbage", "~".repeat(fixture.token.len()), RejectionKind::Malformed),
        ];
        for (variant, token, kind) in refused {
            group.bench_function(BenchmarkId::new(fixture.name, variant), |bencher| {
                bencher.iter(|| {
                    let refused = fixture.sessions.validate(black_box(&token));
                    assert!(refused.is_err_and(|rejection| rejection.kind() == kind));
                });
            });
        }
    }
}

criterion_group!(benches, accepted, refused);
criterion_main!(benches);
