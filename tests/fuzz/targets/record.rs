//! Any bytes in a store: a ring opens with what is good, or says why not, and never takes a key
//! that the bytes do not hold.
#![no_main]

use std::sync::LazyLock;

use fuzz::NOW;
use libfuzzer_sys::fuzz_target;
use tower_jwt_session::store::{Entry, EntryName, MemoryStore, Store as _};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{BuildError, KeyRing, KeyStatus, Login, SealingKey, Sessions, Timestamp};

/// A ring: the entries of its birth and its first keys, and those keys.
struct Ring {
    entries: Vec<Entry>,
    keys: Vec<KeyStatus>,
}

impl Ring {
    fn new(sealed: bool) -> Self {
        runtime().block_on(async {
            let store = MemoryStore::new();
            let keys = open(&store, sealed).await.expect("an empty store").status().keys;
            Self { entries: store.load("app").await.expect("memory").entries, keys }
        })
    }
}

static UNSEALED: LazyLock<Ring> = LazyLock::new(|| Ring::new(false));
static SEALED: LazyLock<Ring> = LazyLock::new(|| Ring::new(true));

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

async fn open(store: &MemoryStore, sealed: bool) -> Result<KeyRing, BuildError> {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(NOW));
    let ring = KeyRing::builder("app").store(store.clone()).clock(clock);
    let secret: [u8; 32] = std::array::from_fn(|place| place as u8 * 7 + 1);
    let sealing_key = SealingKey::new(secret).expect("32 bytes");
    if sealed { ring.seal_with([sealing_key]) } else { ring }.open().await
}

fuzz_target!(|input: &[u8]| {
    let [place, kind, at, rest @ ..] = input else { return };
    let sealed = kind & 0x80 != 0;
    let good: &Ring = if sealed { &SEALED } else { &UNSEALED };
    let mut entries: Vec<_> = good.entries.clone();
    let place = usize::from(*place) % entries.len();
    let entry = &mut entries[place];
    match (kind & 0x7f) % 3 {
        // Another value.
        0 => entry.value = rest.to_vec().into(),
        // A value with something else from some byte on.
        1 => {
            let at = usize::from(*at) * 4 % entry.value.len();
            let end = (at + rest.len()).min(entry.value.len());
            let mut value = entry.value.to_vec();
            value[at..end].copy_from_slice(&rest[..end - at]);
            entry.value = value.into();
        }
        // A further entry, by the name before a line feed.
        _ => {
            let mut lines = rest.splitn(2, |byte| *byte == b'\n');
            let name = lines.next().and_then(|name| std::str::from_utf8(name).ok());
            let Some(name) = name.and_then(EntryName::parse) else { return };
            entries.push(Entry::new(name, lines.next().unwrap_or_default().to_vec()));
        }
    }
    runtime().block_on(async {
        let store = MemoryStore::new();
        for entry in &entries {
            store.insert("app", entry).await.expect("memory");
        }
        let Ok(ring) = open(&store, sealed).await else { return };
        let sessions = Sessions::<()>::builder(ring.clone(), "https://issuer.test", "app").build();
        let sessions = sessions.expect("good settings");
        // What it signs, it verifies.
        if let Ok(token) = sessions.issue(&Login::new("alice", ())) {
            assert!(sessions.validate(token.as_str()).is_ok());
        }
        // A key that was good before is still good, or its loss is reported.
        let status = ring.status();
        let reported = !status.skipped.is_empty() || ring.ready().is_err();
        assert!(reported || status.keys.len() >= good.keys.len(), "{status:?}");
        // What is sealed has not changed.
        for key in status.keys.iter().filter(|_| sealed) {
            let known = good.keys.iter().find(|known| known.key_id == key.key_id);
            assert!(known.is_none_or(|known| known.times == key.times), "{status:?}");
        }
    });
});
