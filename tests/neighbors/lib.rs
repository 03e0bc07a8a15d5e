//! Only the test `neighbors` is here.
