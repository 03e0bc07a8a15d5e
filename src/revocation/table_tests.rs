//! The table against a map, its growth, and its figures.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::revocation::piece::{Digest, LEAST_SLOTS};
use crate::revocation::table::Table;

type Sessions = Table<NonZeroU32>;

#[test]
fn table_random_changes_holds_what_a_map_holds() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let (table, mut map) = (Sessions::with_pieces(5), HashMap::new());
        for _ in 0..600 {
            match random.below(8) {
                0 => {
                    let (start, len) = (random.below(5), random.below(6));
                    let limit = value(1 + random.below(50));
                    let pieces = start..start + len;
                    let before = table.len();
                    let swept: Vec<_> = table.entries(pieces.clone()).collect();
                    let removed = table.sweep(pieces, |value| *value > limit);
                    for (digest, _) in swept.iter().filter(|(_, value)| *value <= limit) {
                        map.remove(digest).unwrap();
                    }
                    assert_eq!(before - removed, map.len());
                }
                1 => {
                    let count = random.below(40);
                    let page: Vec<_> = (0..count).map(|_| random.entry()).collect();
                    table.insert_all(page.iter().copied(), later);
                    for (digest, value) in page {
                        insert(&mut map, digest, value);
                    }
                }
                2 => block_on(table.grow_filter()),
                _ => {
                    let (digest, value) = random.entry();
                    table.insert(digest, value, later);
                    insert(&mut map, digest, value);
                }
            }
            let (digest, _) = random.entry();
            assert_eq!(table.get(&digest), map.get(&digest).copied());
            assert_eq!(table.len(), map.len());
        }
        assert_eq!(table.entries(0..5).collect::<HashMap<_, _>>(), map);
        assert_eq!(table.entries(0..5).count(), map.len());
    }
}

#[test]
fn merge_takes_the_old_value_first_and_in_the_order_of_a_page() {
    let table = Sessions::with_pieces(1);
    let subtract = |old: NonZeroU32, new: NonZeroU32| value((old.get() - new.get()) as usize);
    table.insert_all([(digest(1), value(100)), (digest(1), value(30))], subtract);
    table.insert(digest(1), value(7), subtract);
    assert_eq!(table.get(&digest(1)), Some(value(63)));
}

#[test]
fn digests_ground_to_share_half_their_bytes_fill_no_piece() {
    let halves: [fn(u64) -> Digest; 2] =
        [|number| u128::from(number).to_be_bytes(), |number| u128::from(number).to_le_bytes()];
    for half in halves {
        let table = Sessions::with_pieces(64);
        table.insert_all((0..64 * 64).map(|number| (half(number), value(1))), later);
        let most = (0..64).map(|piece| table.entries(piece..piece + 1).count()).max();
        assert!(most < Some(64 * 2), "{most:?} of 64 on average");
    }
}

#[test]
fn growth_and_shrinking_keep_every_entry() {
    let table = Sessions::with_pieces(3);
    let mut most = 0;
    for number in 0..3000 {
        table.insert(digest(number), value(number as usize + 1), later);
        most = most.max(table.bytes());
    }
    for limit in (0..3000).step_by(150) {
        let removed: usize =
            (0..4).map(|piece| table.sweep(piece..piece + 1, |kept| kept.get() > limit)).sum();
        assert_eq!(removed, if limit == 0 { 0 } else { 150 });
        for number in 0..3000 {
            let kept = (number >= u64::from(limit)).then(|| value(number as usize + 1));
            assert_eq!(table.get(&digest(number)), kept, "{number} after {limit}");
        }
        let slots = table.len() * 2 + 3 * LEAST_SLOTS;
        assert!(table.bytes() <= Sessions::with_pieces(3).bytes() + 3 * 40 + slots * 20);
    }
    assert_eq!(table.sweep(0..3, |_| false), 150);
    assert_eq!(table.bytes(), Sessions::with_pieces(3).bytes());
    assert!(table.is_empty());
}

/// With as many entries a piece as a table of 16,384 pieces has with 500,000 to 10,000,000.
#[test]
fn memory_an_entry_stays_within_48_bytes() {
    let (pieces, table) = (32, Sessions::with_pieces(32));
    let mut most = 0.0_f64;
    for number in 0..pieces as u64 * 600 {
        table.insert(digest(number), value(1), later);
        if table.len() >= pieces * 30 {
            most = most.max(table.bytes() as f64 / table.len() as f64);
        }
    }
    assert!(most <= 48.0, "{most} bytes an entry");
}

/// The figures of a large table are printed by a release build:
/// `REVOCATION_TABLE_ENTRIES=10000000 cargo test --release --lib --features test-util table_figures -- --nocapture`
#[test]
fn table_figures_each_lookup_answers_what_was_inserted() {
    let entries = env::var("REVOCATION_TABLE_ENTRIES").ok();
    let is_measured = entries.is_some();
    let entries = entries.map_or(5_000, |entries| entries.parse().unwrap());
    let resident = resident_bytes();
    let table = Sessions::new();
    let start = Instant::now();
    for page in 0..entries / PAGE {
        let page = page * PAGE..(page + 1) * PAGE;
        table.insert_all(page.map(|number| (digest(number), value(1))), later);
    }
    let filling = start.elapsed();
    let start = Instant::now();
    block_on(table.grow_filter());
    let growth = start.elapsed();
    let grown = resident_bytes().saturating_sub(resident);
    let lookups = |numbers: Range<u64>, is_there: bool| {
        let mut random = Random(entries);
        let width = (numbers.end - numbers.start) as usize;
        let count = if is_measured { 2_000_000 } else { 5_000 };
        let start = Instant::now();
        for _ in 0..count {
            let number = numbers.start + random.below(width) as u64;
            assert_eq!(table.get(&digest(number)).is_some(), is_there);
        }
        start.elapsed() / count
    };
    let [present, absent] =
        [(0, true), (entries, false)].map(|(from, is)| lookups(from..from + entries, is));
    let mut inserts: Vec<_> = (entries..entries + if is_measured { 200_000 } else { 100 })
        .map(|number| {
            let digest = digest(number);
            let start = Instant::now();
            table.insert(digest, value(2), later);
            start.elapsed()
        })
        .collect();
    inserts.sort_unstable();
    let count = inserts.len();
    let mean = inserts.iter().sum::<Duration>() / count as u32;
    let mut sweeps: Vec<_> = (0..table.pieces())
        .step_by(SLICE)
        .map(|piece| {
            let start = Instant::now();
            table.sweep(piece..piece + SLICE, |value| value.get() == 2);
            start.elapsed()
        })
        .collect();
    sweeps.sort_unstable();
    assert_eq!(table.len(), count);
    if is_measured {
        println!(
            "{entries} entries, filled by pages of {PAGE} in {filling:?}, filter in {growth:?}"
        );
        println!("resident: {} bytes an entry", grown as f64 / entries as f64);
        println!("lookup: {present:?} if there, {absent:?} if not");
        let rare = inserts[count - 1 - count / 10_000];
        println!("one more: mean {mean:?}, p99.99 {rare:?}, most {:?}", inserts[count - 1]);
        let whole: Duration = sweeps.iter().sum();
        println!("sweep: {whole:?}, slices of {SLICE} pieces: most {:?}", sweeps[sweeps.len() - 1]);
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

const PAGE: u64 = 1_000;

/// The pieces of one sweep.
const SLICE: usize = 64;

/// The process's memory; 0 where the system does not say.
fn resident_bytes() -> usize {
    let pages = |statm: String| statm.split(' ').nth(1)?.parse::<usize>().ok();
    fs::read_to_string("/proc/self/statm").ok().and_then(pages).unwrap_or(0) * 4096
}

fn later(old: NonZeroU32, new: NonZeroU32) -> NonZeroU32 {
    old.max(new)
}

fn value(number: usize) -> NonZeroU32 {
    NonZeroU32::new(number as u32).unwrap()
}

fn digest(number: u64) -> Digest {
    let mut random = Random(number.wrapping_mul(0xD134_2543_DE82_EF95));
    let halves = [random.next(), random.next()].map(u64::to_le_bytes);
    halves.concat().try_into().unwrap()
}

/// Does to a map what the table is to do.
fn insert(map: &mut HashMap<Digest, NonZeroU32>, digest: Digest, value: NonZeroU32) {
    map.entry(digest).and_modify(|held| *held = later(*held, value)).or_insert(value);
}

/// Numbers that are the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// An entry of few digests, so that many come again.
    fn entry(&mut self) -> (Digest, NonZeroU32) {
        (digest(self.below(500) as u64), value(1 + self.below(50)))
    }
}
