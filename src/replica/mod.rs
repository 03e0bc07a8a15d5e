//! The part of one replica in a place of a store, whatever it keeps there: founding it, and how its writes go.

pub(crate) mod founding;
pub(crate) mod note;
pub(crate) mod writes;
