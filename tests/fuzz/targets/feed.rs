//! Any bytes as records of a feed of revocations: each byte is part of a record that is read, or is reported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_jwt_session::store::{Cursor, FeedPage, Register, RevokedSession};

fuzz_target!(|bytes: &[u8]| {
    let mut page = FeedPage::new(Cursor::new([]));
    page.decode("here", bytes);
    for (_, register) in &page.registers {
        assert!((1..=Register::MAX_VERSION).contains(&register.version), "{register:?}");
    }
    let used = 26 * page.sessions.len() + 42 * page.registers.len();
    assert!(used < bytes.len().max(1), "{used} bytes of records in {}", bytes.len());
    if page.skipped.is_empty() {
        assert_eq!(page.newer_format, None);
        assert_eq!(used + 1, bytes.len(), "bytes were dropped without a report");
    }
    // Written again and read again, the records are the same.
    let mut again = FeedPage::new(Cursor::new([]));
    again.decode("here", &RevokedSession::encode(&page.sessions));
    for (id, register) in &page.registers {
        again.decode("here", &register.encode(*id));
    }
    assert_eq!((&again.sessions, &again.registers), (&page.sessions, &page.registers));
    assert_eq!(again.skipped, []);
});
