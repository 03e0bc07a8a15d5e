//! The list of promises, from which a macro makes tests.

/// Makes one test per promise of a [`RevocationStore`](crate::store::RevocationStore); the
/// [module](crate::testing::store_contract) says how.
#[doc(hidden)]
#[macro_export]
macro_rules! __revocation_store_tests {
    (@ [$($harness:tt)+] $empty_store:path) => {
        $($harness)+! { revocation_store, $empty_store:
            an_unknown_feed_is_empty
            every_replica_reads_what_one_appends
            appends_of_any_length_are_read_whole
            feeds_and_rings_do_not_see_each_other
            a_record_is_kept_for_its_longest_time
            a_cursor_is_good_as_bytes_in_every_replica
            an_unknown_cursor_is_a_gap
            readers_that_follow_many_writers_miss_nothing
            a_register_rises_with_every_advance
            of_many_advances_each_gets_a_higher_version
            an_advance_out_of_bounds_changes_nothing
            registers_are_read_in_the_order_of_their_ids
            a_registers_latest_value_is_read_after_any_earlier_cursor
            a_restored_register_is_as_it_was_or_rises_above_both
            restoring_twice_changes_nothing
            of_many_restores_the_outcome_is_one
            a_store_that_notifies_reports_each_kind_of_change
            a_reader_that_reads_after_each_hint_and_once_more_misses_nothing
        }
    };
    ($empty_store:path, $harness:ident!) => {
        $crate::__revocation_store_tests! { @ [$harness] $empty_store }
    };
    ($empty_store:path) => {
        $crate::__revocation_store_tests! { @ [$crate::__store_contract_tests] $empty_store }
    };
}
