//! Verification by signing again: it accepts nothing that ordinary verification refuses, and of compliant
//! signers everything that ordinary verification accepts.

use std::env;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Sha512, SigningKey, VerifyingKey};
use tower_jwt_session::store::{MemoryStore, Store};
use tower_jwt_session::testing::primitives::{ring_key, sign, verify};
use tower_jwt_session::testing::{fixed_key, mint};
use tower_jwt_session::{Algorithm, CryptoBackend, Key, KeyRing, RejectionKind, Sessions};

const BACKENDS: [CryptoBackend; 2] = [CryptoBackend::Ring, CryptoBackend::AwsLcRs];

/// RFC 8032, section 7.1: secret key, message, signature.
const RFC_8032: [[&str; 3]; 4] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
         d25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
         387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659\
         4a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
         454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030\
         3dca179c138ac17ad9bef1177331a704",
    ],
];

/// One private key in every way that verifies.
struct Hands {
    seed: [u8; 32],
    by_signing: [Key; 2],
    ordinary: Key,
}

impl Hands {
    fn new(seed: [u8; 32]) -> Self {
        let document = pkcs8(&seed);
        let by_signing = BACKENDS
            .map(|backend| ring_key(Algorithm::EdDSA, &document, backend).expect("a good key"));
        let ordinary = Key::from_pkcs8_der(Algorithm::EdDSA, &document).expect("a good key");
        Self { seed, by_signing, ordinary }
    }

    /// Whether signing again accepts it; it then has to be accepted by ordinary verification, too.
    #[track_caller]
    fn accept(&self, message: &[u8], signature: &[u8]) -> bool {
        let [ring, aws_lc_rs] =
            [0, 1].map(|backend| verify(&self.by_signing[backend], message, signature));
        assert_eq!(ring, aws_lc_rs);
        if ring {
            assert!(verify(&self.ordinary, message, signature), "{:x?} {message:x?}", self.seed);
        }
        ring
    }

    /// A signature of the same key by a signer that adds randomness.
    fn hedged(&self, message: &[u8], randomness: [u8; 32]) -> [u8; 64] {
        let signing = SigningKey::from_bytes(&self.seed);
        let mut expanded = ExpandedSecretKey::from(&self.seed);
        expanded.hash_prefix = randomness;
        raw_sign::<Sha512>(&expanded, message, &VerifyingKey::from(&signing)).to_bytes()
    }
}

/// An Ed25519 seed as a PKCS#8 document (RFC 8410, section 7).
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    [&hex("302e020100300506032b657004220420"), seed.as_slice()].concat()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("hex")).collect()
}

fn vectors() -> impl Iterator<Item = (Hands, Vec<u8>, Vec<u8>)> {
    RFC_8032.into_iter().map(|[seed, message, signature]| {
        let seed = hex(seed).try_into().expect("32 bytes");
        (Hands::new(seed), hex(message), hex(signature))
    })
}

#[test]
fn rfc_8032_signatures_are_accepted() {
    for (hands, message, signature) in vectors() {
        assert_eq!(sign(&hands.ordinary, &message), signature);
        assert!(hands.accept(&message, &signature));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (hands, message, signature) in vectors() {
        for bit in 0..8 * signature.len() {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!hands.accept(&message, &changed), "bit {bit} of the signature");
        }
        for bit in 0..8 * message.len() {
            let mut changed = message.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!hands.accept(&changed, &signature), "bit {bit} of the message");
        }
        let longer = [&*signature, &[0]].concat();
        for changed in
            [&[], &signature[..63], &longer, &[signature.clone(), signature.clone()].concat()]
        {
            assert!(!hands.accept(&message, changed), "{} bytes", changed.len());
        }
    }
}

/// 10^5 cases; the variable asks for more.
#[test]
fn what_signing_accepts_verification_accepts() {
    let cases =
        env::var("BY_SIGNING_CASES").map_or(100_000, |cases| cases.parse().expect("a number"));
    let mut random = fastrand::Rng::with_seed(8032);
    let mut accepted = 0;
    let mut hands = Hands::new([7; 32]);
    for case in 0..cases {
        if case % 100 == 0 {
            hands = Hands::new(std::array::from_fn(|_| random.u8(..)));
        }
        let message: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
        let mut signature = sign(&hands.by_signing[0], &message);
        match random.u8(..8) {
            0 | 1 => {}
            2 => signature[random.usize(..64)] ^= 1 << random.u8(..8),
            3 => add_order(&mut signature),
            4 => signature[..32].fill(random.u8(..)),
            5 => signature[32..].fill(0),
            6 => signature = hands.hedged(&message, std::array::from_fn(|_| random.u8(..))).into(),
            _ => signature = (0..64).map(|_| random.u8(..)).collect(),
        }
        accepted += u32::from(hands.accept(&message, &signature));
    }
    // Those of the compliant signer, a quarter.
    assert!((cases / 5..cases / 3).contains(&accepted), "{accepted} of {cases}");
    println!("checked: {cases} random cases of verification by signing");
}

/// S + L, which a careless verifier takes for S.
fn add_order(signature: &mut [u8]) {
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    for (digit, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*digit) + u16::from(more) + carry;
        (*digit, carry) = (sum as u8, sum >> 8);
    }
}

#[test]
fn hedged_signature_is_valid_and_refused() {
    for (hands, message, _) in vectors() {
        let hedged = hands.hedged(&message, [9; 32]);
        assert!(verify(&hands.ordinary, &message, &hedged));
        assert!(!hands.accept(&message, &hedged));
    }
}

/// The same for tokens: only the setting makes the difference.
#[tokio::test]
async fn token_with_hedged_signature_is_refused_unless_set_otherwise() {
    let store = MemoryStore::new();
    let ring = async |on: bool| {
        let builder = KeyRing::builder("app").store(store.clone()).verify_by_signing(on);
        builder.open().await.expect("opens")
    };
    let [on, off] = [ring(true).await, ring(false).await].map(|keys| {
        Sessions::<()>::builder(keys, "https://issuer.test", "app").build().expect("good settings")
    });
    let issued = on.issue(&tower_jwt_session::Login::new("alice", ())).expect("a signer");
    let (signed, _) = issued.as_str().rsplit_once('.').expect("a compact token");
    assert!(on.validate(issued.as_str()).is_ok() && off.validate(issued.as_str()).is_ok());

    let key_id = on.keys().status().signing_key_id.expect("a signer");
    let hands = Hands::new(seed_of(&store, &key_id).await);
    let hedged = hands.hedged(signed.as_bytes(), [9; 32]);
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hedged));
    assert!(off.validate(&token).is_ok());
    assert_eq!(on.validate(&token).unwrap_err().kind(), RejectionKind::BadSignature);
}

/// The private key, as the ring has put it into its store unsealed.
async fn seed_of(store: &MemoryStore, key_id: &str) -> [u8; 32] {
    let loaded = store.load("app").await.expect("loads");
    let texts =
        loaded.entries.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
    let record = texts.into_iter().find(|text| text.contains(key_id)).expect("the key's entry");
    let json: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let document = json["material"]["unsealed"].as_str().expect("unsealed");
    let document = URL_SAFE_NO_PAD.decode(document).expect("base64url");
    // Behind the prefix that `pkcs8` writes, too.
    document[16..48].try_into().expect("32 bytes")
}

/// A key that only verifies, or belongs to another signer, is verified as usual.
#[test]
fn other_keys_verify_as_usual() {
    for backend in BACKENDS {
        for algorithm in [Algorithm::HS256, Algorithm::ES256] {
            let key = fixed_key(algorithm);
            let ring = KeyRing::fixed([key.clone()]).crypto_backend(backend).build();
            let ring = ring.expect("a good key");
            let header = format!(r#"{{"alg":"{algorithm}","kid":"{}"}}"#, key.key_id());
            let token = mint(&key, header, "payload");
            assert!(tower_jwt_session::testing::primitives::open(&ring, &token).is_ok());
        }
    }
}
