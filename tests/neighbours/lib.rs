//! Only the test `neighbours` is here.
