//! The promises of a [`RevocationStore`](crate::store::RevocationStore).

mod feeds;
mod following;
mod hints;
mod promises;
mod reader;
mod registers;
mod restoring;

pub use self::feeds::{
    a_cursor_is_good_as_bytes_in_every_replica, a_cursor_of_another_store_is_a_gap,
    a_record_is_kept_for_its_longest_time, an_unknown_cursor_is_a_gap, an_unknown_feed_is_empty,
    appends_of_any_length_are_read_whole, every_replica_reads_what_one_appends,
    feeds_and_rings_do_not_see_each_other,
};
pub use self::following::readers_that_follow_many_writers_miss_nothing;
pub use self::hints::{
    a_reader_that_reads_after_each_hint_and_once_more_misses_nothing,
    a_store_that_notifies_reports_each_kind_of_change, hints_are_at_most_about_two_a_second,
};
pub use self::registers::{
    a_register_rises_with_every_advance, a_registers_latest_value_is_read_after_any_earlier_cursor,
    an_advance_out_of_bounds_changes_nothing, of_many_advances_each_gets_a_higher_version,
    registers_are_read_in_the_order_of_their_ids,
};
pub use self::restoring::{
    a_restored_register_is_as_it_was_or_rises_above_both, of_many_restores_the_outcome_is_one,
    restoring_twice_changes_nothing,
};
