//! How long a logout waits for others, so that they share a write.

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::*;
use crate::support::stores::{Operation, TestStore};

const LONGEST: Duration = Duration::from_millis(200);

/// How long a logout takes that begins after a while.
async fn log_out_after(one: &Replica, pause: Duration) -> Duration {
    sleep(pause).await;
    let start = Instant::now();
    one.logout(&one.login("alice")).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn fifteen_logouts_a_second_take_a_write_for_four() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let logouts = (0..300).map(|number| log_out_after(&one, seconds(1) * number / 15));
    let times = join_all(logouts).await;
    assert!(times.iter().all(|time| *time <= LONGEST), "{:?}", times.iter().max());
    let writes = store.calls(Operation::Append).len();
    assert!((60..=85).contains(&writes), "{writes} writes");
}

#[tokio::test(start_paused = true)]
async fn logouts_after_a_rest_wait_for_nobody() {
    let one = Replica::open(TestStore::new()).await;
    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(log_out_after(&one, Duration::ZERO).await, Duration::ZERO);
        }
        assert_eq!(log_out_after(&one, Duration::ZERO).await, LONGEST);
        sleep(seconds(3)).await;
    }
}
