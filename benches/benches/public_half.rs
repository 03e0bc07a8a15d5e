//! Ed25519 where only the public half is held, as by a ring that follows an issuer: `ring`, `aws-lc-rs`,
//! `ed25519-dalek`, and `curve25519-dalek` with a table of the key's multiples, made once. The last two are
//! measured, and not used.

use std::hint::black_box;

use benches::Fixture;
use criterion::{Criterion, criterion_group, criterion_main};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, VartimeEdwardsPrecomputation};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimePrecomputedMultiscalarMul as _;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha512};
use tower_jwt_session::Algorithm;

fn verify(criterion: &mut Criterion) {
    let fixture = Fixture::new(Algorithm::EdDSA);
    let (signed, signature) = fixture.signed();
    let public: [u8; 32] = fixture.public_bytes().try_into().expect("32 bytes");
    let dalek = VerifyingKey::from_bytes(&public).expect("a good key");
    let tables = Tables::new(public);
    let signature: [u8; 64] = signature.try_into().expect("64 bytes");
    let mut changed = signature;
    changed[0] ^= 1;
    assert!(tables.verifies(signed, &signature) && !tables.verifies(signed, &changed));

    let mut group = criterion.benchmark_group("public-half");
    let mut measure = |name: &str, verifies: &dyn Fn(&[u8], &[u8; 64]) -> bool| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(verifies(black_box(signed), &signature)));
        });
    };
    measure("ring", &|signed, signature| fixture.raw.verifies(signed, signature));
    measure("aws-lc-rs", &|signed, signature| fixture.raw_aws_lc.verifies(signed, signature));
    measure("ed25519-dalek", &|signed, signature| {
        dalek.verify(signed, &Signature::from_bytes(signature)).is_ok()
    });
    measure("tables", &|signed, signature| tables.verifies(signed, signature));
}

/// Multiples of the base point and of one negated public key.
struct Tables {
    public: [u8; 32],
    tables: VartimeEdwardsPrecomputation,
}

impl Tables {
    fn new(public: [u8; 32]) -> Self {
        let point = CompressedEdwardsY(public).decompress().expect("a good key");
        let tables = VartimeEdwardsPrecomputation::new([ED25519_BASEPOINT_POINT, -point]);
        Self { public, tables }
    }

    /// RFC 8032, section 5.1.7, without the cofactor.
    fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let (r, s) = signature.split_at(32);
        let s = Scalar::from_canonical_bytes(s.try_into().expect("32 bytes")).into_option();
        let Some(s) = s else { return false };
        let hash = Sha512::new().chain_update(r).chain_update(self.public).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        self.tables.vartime_multiscalar_mul([s, k]).compress().as_bytes() == r
    }
}

criterion_group!(benches, verify);
criterion_main!(benches);
