//! The registers of revocations in PostgreSQL: concurrency, and bounds.

use std::collections::BTreeSet;

use tower_jwt_session::store::{Advance, PostgresStore, Register, RegisterId, RevocationStore};
use tower_jwt_session::{Clock, SystemClock, Timestamp};

use crate::postgres::Postgres;
use crate::postgres_feed::{HOUR, advance, digest};
use crate::{Backend, Test};

pub(crate) fn all() -> Vec<Test<Postgres>> {
    feed_tests! {
        writers_on_one_register_each_get_a_higher_version
        restores_in_opposite_orders_all_succeed
        registers_rise_as_those_in_memory_do
    }
}

async fn writers_on_one_register_each_get_a_higher_version(server: &Postgres) {
    let database = server.database().await;
    server.open(&database).await;
    let writers = [(); 2].map(|()| {
        let store = PostgresStore::new(server.pool(&database));
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..100 {
                versions.push(advance(&store, RegisterId::All).await.version);
            }
            versions
        })
    });
    let mut versions = Vec::new();
    for writer in writers {
        let own = writer.await.expect("writes");
        assert!(own.is_sorted_by(|before, after| before < after), "{own:?}");
        versions.extend(own);
    }
    assert_eq!(versions.iter().collect::<BTreeSet<_>>().len(), 200, "no two alike");
}

async fn restores_in_opposite_orders_all_succeed(server: &Postgres) {
    let database = server.database().await;
    let store = server.open(&database).await;
    let now = SystemClock.now();
    let held = |version| {
        let register = Register::new(version, now, now + HOUR);
        (0..300).map(move |number| (RegisterId::Subject(digest(number)), register))
    };
    let forwards = |version| held(version).collect::<Vec<_>>();
    let backwards = |version| held(version).rev().collect::<Vec<_>>();
    let restore = async |held: Vec<_>| {
        store.restore("feed", &held, now).await.expect("restores");
    };
    for round in (0..100).step_by(10) {
        // Twice in one call, too.
        let both = [forwards(round + 3), backwards(round + 4)].concat();
        tokio::join!(restore(forwards(round + 1)), restore(backwards(round + 2)), restore(both));
    }
    let ids: Vec<_> = held(1).map(|(id, _)| id).collect();
    let found = store.registers("feed", &ids).await.expect("reads");
    assert!(found.iter().all(|found| found.is_some_and(|found| found.version >= 94)), "{found:?}");
}

/// Bounds included: both arithmetics are compared over all pairs of numbers near them.
async fn registers_rise_as_those_in_memory_do(server: &Postgres) {
    let database = server.database().await;
    let (store, pool) = (server.open(&database).await, server.pool(&database));
    let id = RegisterId::Stale(digest(9));
    let name: Vec<u8> = [4].into_iter().chain(digest(9)).collect();
    let put = async |stored: Option<(i64, i64, i64)>| {
        let clear = sqlx::query("DELETE FROM tower_jwt_session_registers").execute(&pool).await;
        clear.expect("deletes");
        let Some((version, at, until)) = stored else { return };
        let put = "INSERT INTO tower_jwt_session_registers VALUES ('feed', $1, $2, $3, $4)";
        let put = sqlx::query(put).bind(&name).bind(version).bind(at).bind(until);
        put.execute(&pool).await.expect("puts");
    };
    let found = async || {
        let query = "SELECT version, at_millis, until_millis FROM tower_jwt_session_registers";
        let row = sqlx::query_as::<_, (i64, i64, i64)>(query).fetch_optional(&pool).await;
        row.expect("reads")
    };
    let (minute, day) = (60_000, 86_400_000);
    // Offsets from the clock, more than a minute away from each bound, and numbers.
    let versions = [Ok(0), Ok(1), Ok(1 << 53), Err(minute), Err(day - minute), Err(day + minute)];
    let times = [-day, day - minute, day + minute];
    let mut cases = Vec::new();
    for (place, version) in versions.into_iter().enumerate() {
        cases.extend(times.map(|at| (version, at, minute * (1 + place as i64 % 3))));
    }
    let stored = cases.iter().copied().map(Some).chain([None, Some((Ok(-1), 0, 0))]);
    for (stored, requested) in
        stored.flat_map(|stored| cases.iter().map(move |case| (stored, *case)))
    {
        let now = SystemClock.now();
        let millis = now.as_unix_millis();
        let by_clock = |(version, at, until): (Result<i64, i64>, i64, i64)| {
            (version.unwrap_or_else(|ahead| millis + ahead), millis + at, millis + until)
        };
        let register = |(version, at, until): (i64, i64, i64)| {
            let [at, until] = [at, until].map(Timestamp::from_unix_millis);
            Some(Register::new(version.try_into().ok()?, at, until))
        };
        let numbers = |register: Register| {
            let Register { version, at, until, .. } = register;
            (version as i64, at.as_unix_millis(), until.as_unix_millis())
        };
        let (stored, requested) = (stored.map(by_clock), by_clock(requested));
        let case = format!("{stored:?} {requested:?} at {millis}");
        let (known, requested) = (stored.and_then(register), register(requested));
        let requested = requested.expect("is not negative");
        put(stored).await;
        let request = Advance::new(id, requested.version, requested.at, requested.until, now);
        let expected = Register::advanced(known, &request, now);
        match (store.advance("feed", &request).await, expected) {
            (Ok(advanced), Ok(mut expected)) => {
                assert_eq!(found().await, Some(numbers(advanced)), "{case}");
                let until_now = millis..=SystemClock.now().as_unix_millis();
                if expected.version == millis as u64
                    && until_now.contains(&(advanced.version as i64))
                {
                    expected.version = advanced.version;
                }
                assert_eq!(advanced, expected, "{case}");
            }
            (Err(error), Err(_)) => {
                assert!(error.to_string().contains("correct the clock"), "{error}");
                assert_eq!(found().await, stored, "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
        put(stored).await;
        store.restore("feed", &[(id, requested)], now).await.expect("restores");
        let restored = Register::restored(known, &requested, now).map(numbers);
        assert_eq!(found().await, restored.or(stored), "{case}");
    }
}
