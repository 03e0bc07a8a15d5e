//! Prints how often a validation and an issue allocate and how much, and what the cache takes; fails
//! where that is more than it must be.

use std::process::ExitCode;

use allocation_counter::{AllocationInfo, measure};
use benches::{ALGORITHMS, Fixture, ISSUING, SUBJECT, User, ring_of_ten_keys, with_cache};
use tower_jwt_session::Algorithm;

fn main() -> ExitCode {
    println!("| path | allocations | bytes | most bytes at once |\n|---|--:|--:|--:|");
    let own = serde_json::to_string(&User::reference()).expect("JSON");
    let own = row("the application's own claims", || {
        serde_json::from_str::<User>(&own).is_ok_and(|user| user.roles.len() == 2)
    });
    let mut holds = true;
    for algorithm in ALGORITHMS {
        let fixture = Fixture::new(algorithm);
        let (name, token) = (fixture.name, &*fixture.token);
        let ours = row(&format!("validate/{name}/ours"), || fixture.validates(token));
        let unit =
            row(&format!("validate/{name}/ours-unit-claims"), || fixture.validates_unit(token));
        row(&format!("validate/{name}/jsonwebtoken"), || fixture.jwt.validates(token));
        let (signed, signature) = fixture.signed();
        let raw = row(&format!("validate/{name}/raw"), || fixture.raw.verifies(signed, &signature));
        holds &= ours.count_total <= raw.count_total + own.count_total + 2;
        holds &= unit.count_total <= raw.count_total + 2;
        for _ in 0..2 {
            assert!(benches::accepts(&fixture.cached, token));
        }
        let cached =
            row(&format!("cached/{name}/ours"), || benches::accepts(&fixture.cached, token));
        holds &= cached.count_total == 0;
    }
    for algorithm in ISSUING {
        let fixture = Fixture::new(algorithm);
        let (name, length) = (fixture.name, fixture.token.len());
        row(&format!("issue/{name}/ours"), || fixture.issues());
        row(&format!("issue/{name}/jsonwebtoken"), || fixture.jwt.issue().len() == length);
    }
    println!("\n| cache of | sessions seen | held | it takes |\n|--:|--:|--:|--:|");
    for mebibytes in [1, 8, 64] {
        holds &= cache(mebibytes * 1024 * 1024);
    }
    println!("\n| ring of ten keys | it takes |\n|---|--:|");
    for algorithm in ALGORITHMS {
        let mut ring = None;
        let bytes = measure(|| ring = Some(ring_of_ten_keys(algorithm))).bytes_current;
        println!("| {algorithm:?} | {bytes} |");
        holds &= bytes < 64 * 1024;
    }
    if !holds {
        println!("\nmore than it must be");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Measures what a path allocates.
fn row(name: &str, path: impl Fn() -> bool) -> AllocationInfo {
    // One-time allocations are made here.
    assert!(path());
    let mut good = false;
    let info = measure(|| good = path());
    assert!(good);
    let AllocationInfo { count_total, bytes_total, bytes_max, .. } = info;
    println!("| {name} | {count_total} | {bytes_total} | {bytes_max} |");
    info
}

/// Fills a cache of so many bytes with 50,000 sessions, as far as they go in; whether it takes no
/// more, and holds the latest but for a few, whose place another one has taken.
fn cache(bytes: usize) -> bool {
    let fixture = Fixture::new(Algorithm::HS256);
    let tokens = fixture.tokens(50_000);
    let mut filled = None;
    let taken = measure(|| {
        let sessions = with_cache::<User>(fixture.sessions.keys(), bytes);
        for token in tokens.iter().flat_map(|token| [token, token]) {
            assert!(benches::accepts(&sessions, token));
        }
        filled = Some(sessions);
    });
    let sessions = filled.expect("filled");
    // A cached claim has the same address again.
    let is_held = |token: &&String| {
        let [one, other] = [(); 2].map(|()| sessions.validate(token).expect("a good token"));
        assert_eq!(one.subject(), SUBJECT);
        std::ptr::eq(one.claims(), other.claims())
    };
    let held = tokens.iter().rev().take(100).filter(is_held).count();
    let current = taken.bytes_current;
    println!("| {bytes} | {} | {held} of the latest 100 | {current} |", tokens.len());
    held >= 90 && current <= bytes as i64
}
