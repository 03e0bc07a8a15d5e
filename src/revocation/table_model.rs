//! The table under thousands of schedules: whatever writers do meanwhile, a reader finds each entry that
//! was inserted before and is not swept, and no value falls.
#![allow(clippy::unwrap_used, reason = "a model is a test")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use shuttle::thread;

use crate::revocation::piece::Digest;
use crate::revocation::table::Table;
use crate::sync::explore;

#[test]
fn an_entry_is_found_while_others_are_inserted_and_swept() {
    explore(1000, readers_while_entries_come_and_are_swept);
}

/// The first entry of an empty table, beside one that is swept: the readers' look at the count.
#[test]
fn the_first_entry_is_found_while_the_only_other_one_is_swept() {
    explore(1000, || {
        let table = Arc::new(Table::with_pieces(2));
        table.insert(digest(0), OLD, later);
        let sweeper = thread::spawn({
            let table = table.clone();
            move || sweep(&table)
        });
        table.insert(digest(1), NEW, later);
        assert_eq!(table.get(&digest(1)), Some(NEW));
        sweeper.join().unwrap();
        assert_eq!(table.get(&digest(1)), Some(NEW));
        assert_eq!((table.get(&digest(0)), table.len()), (None, 1));
    });
}

/// Two pieces, which grow and shrink. Even numbers are swept, odd ones are kept.
fn readers_while_entries_come_and_are_swept() {
    let table = Arc::new(Table::with_pieces(2));
    table.insert_all((0..8).map(|number| (digest(number), of(number))), later);
    // More than the smallest filter has room for, until they are swept.
    table.insert_all((100..140).step_by(2).map(|number| (digest(number), OLD)), later);
    // All below it are inserted.
    let inserted = Arc::new(AtomicU64::new(8));
    let mut threads: Vec<_> = [1, 3]
        .map(|start| {
            let (table, inserted) = (table.clone(), inserted.clone());
            thread::spawn(move || {
                for step in 0..6 {
                    let end = inserted.load(SeqCst);
                    let number = ((start + step * 4) % end) | 1;
                    if number < end {
                        assert!(table.get(&digest(number)) >= Some(NEW), "{number} is missing");
                    }
                    let raised = table.get(&digest(1));
                    assert!(table.get(&digest(1)) >= raised);
                }
            })
        })
        .into();
    threads.push(thread::spawn({
        let (table, inserted) = (table.clone(), inserted.clone());
        move || {
            for number in 8..12 {
                table.insert(digest(number), of(number), later);
                inserted.store(number + 1, SeqCst);
            }
            table.insert(digest(1), NEW.saturating_add(1), later);
            table.insert_all((10..16).map(|number| (digest(number), of(number))), later);
            inserted.store(16, SeqCst);
        }
    }));
    threads.push(thread::spawn({
        let table = table.clone();
        move || {
            sweep(&table);
            sweep(&table);
        }
    }));
    threads.push(thread::spawn({
        let table = table.clone();
        move || shuttle::future::block_on(table.grow_filter())
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    sweep(&table);
    let mut left: Vec<_> = table.entries(0..2).map(|(digest, _)| digest).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 3, 5, 7, 9, 11, 13, 15].map(digest));
    assert_eq!(table.len(), left.len());
}

fn sweep(table: &Table<NonZeroU32>) {
    for piece in 0..table.pieces() {
        table.sweep(piece..piece + 1, |value| *value >= NEW);
    }
}

const OLD: NonZeroU32 = NonZeroU32::MIN;
const NEW: NonZeroU32 = OLD.saturating_add(1);

fn of(number: u64) -> NonZeroU32 {
    if number.is_multiple_of(2) { OLD } else { NEW }
}

fn later(old: NonZeroU32, new: NonZeroU32) -> NonZeroU32 {
    old.max(new)
}

fn digest(number: u64) -> Digest {
    u128::from(number).to_be_bytes()
}
