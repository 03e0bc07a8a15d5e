//! Appending, reading and cursors.

use std::sync::Arc;
use std::time::Duration;

use super::super::handles::{handles, name};
use super::reader::{Reader, advance, append, digest, now, page, registers, request, sessions};
use crate::store::contract::Entry;
use crate::store::feed::{Advance, Cursor, FeedRead, RegisterId, RevocationStore, RevokedSession};

/// A feed that nobody wrote has no records, and reads after its cursor see what comes.
pub async fn an_unknown_feed_is_empty<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let mut follows = Reader::new(one, "feed");
    follows.assert_reads(&[], 0).await;
    follows.assert_reads(&[], 0).await;
    let unknown = registers(&**one, "feed", &[RegisterId::All]).await;
    assert_eq!(unknown, [None], "the feed has a register that was never advanced");
    let revoked = sessions(0, 3);
    append(&**two, "feed", &revoked).await;
    follows.assert_reads(&revoked, 0).await;
}

/// Each replica reads a session that one appended, after any earlier cursor and in the whole.
pub async fn every_replica_reads_what_one_appends<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    let mut all = Vec::new();
    let mut cursors = Vec::new();
    for (round, writer) in replicas.iter().cycle().take(8).enumerate() {
        let mut reader = Reader::new(&replicas[(round + 1) % 4], "feed");
        reader.assert_reads(&all, 0).await;
        cursors.push((all.len(), reader.cursor.clone()));
        let revoked = sessions(all.len() as u64, 1 + round as u64 % 3);
        append(&**writer, "feed", &revoked).await;
        all.extend(revoked);
        for replica in &replicas {
            Reader::new(replica, "feed").assert_reads(&all, 0).await;
            for (before, cursor) in &cursors {
                let mut reader = Reader::after(replica, "feed", cursor.clone());
                reader.assert_reads(&all[*before..], 0).await;
            }
        }
    }
}

/// An append may have no record, or as many as fill several pages.
pub async fn appends_of_any_length_are_read_whole<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [one, two, three, ..] = &handles(&open).await;
    let mut follows = Reader::new(two, "feed");
    let mut all = Vec::new();
    for count in [0, 1, 2_000, 25_000, 0, 1] {
        follows.read().await;
        let mut after = Reader::after(three, "feed", follows.cursor.clone());
        let revoked = sessions(all.len() as u64, count);
        append(&**one, "feed", &revoked).await;
        all.extend(revoked.iter().copied());
        after.assert_reads(&revoked, 0).await;
    }
    follows.assert_reads(&all, 0).await;
    Reader::new(three, "feed").assert_reads(&all, 0).await;
}

/// Feeds with similar names are independent of each other, and of the rings of the same names.
pub async fn feeds_and_rings_do_not_see_each_other<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let long = "f".repeat(64);
    let feeds = ["a", "a.b", "a-b", "a_b", "ab", "b", &long];
    let entry = Entry::new(name("x"), b"1".to_vec());
    let mut written = Vec::new();
    for (feed, number) in feeds.into_iter().zip(0..) {
        let (revoked, id) = (sessions(number, 1), RegisterId::Subject(digest(number)));
        append(&**one, feed, &revoked).await;
        let advanced = advance(&**one, feed, &request(id, 0, now())).await;
        let inserted = one.insert(feed, &entry).await;
        inserted.unwrap_or_else(|error| panic!("`insert` into the ring {feed} failed: {error}"));
        written.push((feed, revoked, id, advanced));
    }
    for (feed, revoked, id, advanced) in &written {
        let mut reader = Reader::new(two, feed);
        reader.assert_reads(revoked, 1).await;
        assert_eq!(reader.registers.get(id), Some(advanced), "{feed} has another register");
        let ids: Vec<_> = written.iter().map(|(.., id, _)| *id).collect();
        let found = registers(&**two, feed, &ids).await;
        let expected: Vec<_> = ids.iter().map(|of| (of == id).then_some(*advanced)).collect();
        assert_eq!(found, expected, "{feed} has a register of another feed, or lost its own");
        let loaded = two.load(feed).await;
        let loaded = loaded.unwrap_or_else(|error| panic!("`load` of {feed} failed: {error}"));
        assert_eq!(loaded.skipped, [], "`load` of {feed} skipped records of the feed");
        assert!(loaded.entries == [entry.clone()], "`load` of {feed} has other entries");
    }
    // Nor does the end of a ring's entry end the feed.
    let removed = one.remove("a", &name("x")).await;
    removed.unwrap_or_else(|error| panic!("`remove` from the ring a failed: {error}"));
    Reader::new(two, "a").assert_reads(&written[0].1, 1).await;
}

/// A record is kept for the longest time that was asked for. Others that expire earlier, or are of the
/// same session or register and ask for less, shorten nothing.
pub async fn a_record_is_kept_for_its_longest_time<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let mut follows = Reader::new(two, "feed");
    follows.read().await;
    let brief = now() + Duration::from_millis(1);
    let kept = sessions(0, 10);
    let id = RegisterId::Subject(digest(0));
    let held = advance(&**one, "feed", &request(id, 0, now())).await;
    append(&**one, "feed", &kept).await;
    let again: Vec<_> = kept.iter().map(|it| RevokedSession::new(it.digest, brief)).collect();
    append(&**one, "feed", &again).await;
    let advanced = advance(&**one, "feed", &Advance::new(id, 0, held.at, brief, now())).await;
    let until = advanced.until;
    assert!(until >= held.until, "a register was kept until {}, now until {until}", held.until);
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Stores drop what has expired when others come.
    for number in 0..20 {
        let expired = (100..200).map(|it| RevokedSession::new(digest(number * 100 + it), brief));
        append(&**two, "feed", &expired.collect::<Vec<_>>()).await;
    }
    let mut whole = Reader::new(two, "feed");
    for reader in [&mut whole, &mut follows] {
        reader.read().await;
        reader.sessions.retain(|_, until| *until > brief);
        reader.assert_reads(&kept, 1).await;
        assert_eq!(reader.registers.get(&id), Some(&advanced), "the register was read as another");
    }
    assert_eq!(registers(&**two, "feed", &[id]).await, [Some(advanced)], "a register was lost");
}

/// A cursor is good in each replica, also if it was copied as bytes.
pub async fn a_cursor_is_good_as_bytes_in_every_replica<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let replicas = handles(&open).await;
    append(&*replicas[0], "feed", &sessions(0, 100)).await;
    let cursor = page(&*replicas[0], "feed", None).await.cursor;
    let revoked = sessions(100, 10);
    append(&*replicas[1], "feed", &revoked).await;
    for replica in &replicas {
        let copied = Cursor::new(cursor.incarnation(), cursor.position());
        assert_eq!(copied, cursor, "a copied cursor is another");
        let mut reader = Reader::after(replica, "feed", Some(copied));
        reader.assert_reads(&revoked, 0).await;
        let after = reader.cursor.expect("it has read");
        assert_eq!(after.incarnation(), cursor.incarnation(), "nothing was lost");
    }
    let late = Arc::new(open().await);
    Reader::after(&late, "feed", Some(cursor)).assert_reads(&revoked, 0).await;
}

/// A read after a cursor that is none of this store's is a [gap](FeedRead::Gap), and no error. It
/// changes nothing for others.
pub async fn an_unknown_cursor_is_a_gap<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let revoked = sessions(0, 100);
    append(&**one, "feed", &revoked).await;
    let cursor = page(&**one, "feed", None).await.cursor;
    let long = [cursor.position(), &[b'0'; 100_000]].concat();
    let garbage: [&[u8]; 11] = [
        b"",
        b"0",
        b"\0",
        b"-",
        b"garbage",
        b"\xff\xfe\0:1",
        &[0; 15],
        &[0xff; 16],
        &[0xff; 64],
        b"\0'; DROP TABLE x; --",
        &long,
    ];
    for feed in ["feed", "unknown"] {
        for bytes in garbage {
            // No position may be that of a feed which is empty.
            let own = (!bytes.is_empty()).then(|| Cursor::new(cursor.incarnation(), bytes));
            let others = [Cursor::new(bytes, bytes), Cursor::new(bytes, cursor.position())];
            for unknown in own.into_iter().chain(others) {
                let read = two.read_feed(feed, Some(&unknown)).await;
                let is_gap = matches!(read, Ok(FeedRead::Gap));
                assert!(is_gap, "{feed} was read after {unknown:?}: {read:?}");
            }
        }
    }
    // A changed cursor may be that of another place: any answer but an error.
    let (incarnation, position) = (cursor.incarnation(), cursor.position());
    let incarnations = changed(incarnation).map(|changed| Cursor::new(changed, position));
    let positions = changed(position).map(|changed| Cursor::new(incarnation, changed));
    for changed in incarnations.chain(positions) {
        let read = two.read_feed("feed", Some(&changed)).await;
        assert!(read.is_ok(), "a read after {changed:?} failed: {read:?}");
    }
    Reader::new(two, "feed").assert_reads(&revoked, 0).await;
    Reader::after(two, "feed", Some(cursor)).assert_reads(&[], 0).await;
}

/// The bytes with some bit changed, or cut.
fn changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flipped = (0..bytes.len()).flat_map(|at| [1, 0x10, 0x80].map(|bit| (at, bit)));
    let flipped = flipped.map(|(at, bit)| {
        let mut changed = bytes.to_vec();
        changed[at] ^= bit;
        changed
    });
    flipped.chain((0..bytes.len()).map(|length| bytes[..length].to_vec()))
}

/// A cursor of another store of the same kind is a gap. The macro makes no test of this promise, since
/// it needs two stores that are empty.
pub async fn a_cursor_of_another_store_is_a_gap<S: RevocationStore>(
    open: impl AsyncFn() -> S,
    open_other: impl AsyncFn() -> S,
) {
    let stores = [open().await, open_other().await];
    for store in &stores {
        append(store, "feed", &sessions(0, 10)).await;
    }
    let [one, other] = &stores;
    let cursor = page(other, "feed", None).await.cursor;
    let read = one.read_feed("feed", Some(&cursor)).await;
    assert!(
        matches!(read, Ok(FeedRead::Gap)),
        "a cursor of another store was read after: {read:?}"
    );
}
