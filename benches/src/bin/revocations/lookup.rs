//! What revocations cost a check: of a token that was not seen before, with few and with many revoked
//! sessions; and of one that is in the cache, with and without revocations.
//!
//! The two variants take turns over the same blocks of tokens, in both orders. Each block's tokens are
//! copied before, as the text of a request is: it has just arrived. The medians of the ratios and of the
//! differences within a turn count.

use std::time::Instant;

use benches::measure::median;
use benches::{User, accepts};
use tokio::runtime::Builder;
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, KeyRing, Login, Revocations, Sessions};

use crate::fed::Fed;
use crate::figures::{Figure, Figures};
use crate::settings::Settings;

const PART: &str = "lookup";
/// How many tokens a variant checks in a turn.
const BLOCK: usize = 64;
const FEW: usize = 1_000;
const ISSUER: &str = "https://id.test";
const AUDIENCE: &str = "shop";

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ring = KeyRing::fixed([fixed_key(Algorithm::HS256)]).build().expect("one good key");
    let few = runtime.block_on(holding(FEW));
    let many = runtime.block_on(holding(settings.most_revoked));
    // No task runs while checks are measured: what is held must not seem old.
    let refresh = || {
        for revocations in [&few, &many] {
            runtime.block_on(revocations.refresh()).expect("reads");
        }
    };
    let sessions = |revocations: Option<&Revocations>, cache| {
        let builder = Sessions::<User>::builder(ring.clone(), ISSUER, AUDIENCE);
        let builder = builder.token_cache_bytes(cache);
        let builder = match revocations {
            Some(revocations) => builder.revocations(revocations.clone()),
            None => builder,
        };
        builder.build().expect("good settings")
    };
    let cold = [sessions(Some(&few), 0), sessions(Some(&many), 0)];
    let tokens = tokens(&cold[0], if settings.is_quick { 20_000 } else { 200_000 });
    let most = settings.most_revoked;
    refresh();
    let turns = turns([&cold[0], &cold[1]], &tokens);
    let ratio = median(turns.iter().map(|[few, many]| many / few));
    let what = format!("cold HS256 check with {most} revoked sessions, of one with {FEW}");
    figures.add(Figure::new(PART, what, ratio, "").limit(1.1));
    for (place, count) in [FEW, most].into_iter().enumerate() {
        let what = format!("cold HS256 check with {count} revoked sessions");
        figures.add(Figure::new(PART, what, median(turns.iter().map(|turn| turn[place])), "ns"));
    }
    for (what, tokens, rounds) in
        [("one token", &tokens[..1], 2_000), ("10,000 tokens", &tokens[..10_000], 8)]
    {
        let cached = [None, Some(&few), Some(&many)].map(|it| sessions(it, 64 << 20));
        for (revoked, with) in [(FEW, &cached[1]), (most, &cached[2])] {
            let variants = [&cached[0], with];
            refresh();
            // Into the caches.
            for _ in 0..2 {
                self::turns(variants, tokens);
            }
            let turns: Vec<_> = (0..rounds).flat_map(|_| self::turns(variants, tokens)).collect();
            let more = median(turns.iter().map(|[without, with]| with - without));
            let what =
                format!("a cached hit among {what}: more with {revoked} revoked than without");
            figures.add(Figure::new(PART, what, more, "ns").limit(100.0));
        }
    }
}

/// A replica that holds so many revoked sessions.
async fn holding(count: usize) -> Revocations {
    let fed = Fed::default();
    fed.add(count);
    // One read of so many takes longer than that of a store.
    let opened = Revocations::builder("bench").store(fed).open().await.expect("opens");
    assert_eq!(opened.status().sessions, count);
    opened
}

/// So many tokens, each of a session of its own.
fn tokens(sessions: &Sessions<User>, count: usize) -> Vec<String> {
    let login = Login::new(benches::SUBJECT, User::reference());
    let issue = |_| sessions.issue(&login).expect("a private key").as_str().to_owned();
    (0..count).map(issue).collect()
}

/// The nanoseconds of a check by each variant, in turns of a block of tokens.
fn turns(variants: [&Sessions<User>; 2], tokens: &[String]) -> Vec<[f64; 2]> {
    let turn = |(number, block): (usize, &[String])| {
        let block: Vec<_> = block.iter().cycle().take(BLOCK).cloned().collect();
        let time = |sessions: &Sessions<User>| {
            let start = Instant::now();
            for token in &block {
                assert!(accepts(sessions, token));
            }
            start.elapsed().as_secs_f64() * 1e9 / block.len() as f64
        };
        let [one, other] = variants;
        if number % 2 == 0 {
            [time(one), time(other)]
        } else {
            let other = time(other);
            [time(one), other]
        }
    };
    tokens.chunks(BLOCK).enumerate().map(turn).collect()
}
