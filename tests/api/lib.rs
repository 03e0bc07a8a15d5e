//! The list of the crate's public items, in `public-api.txt`. See `public_api.rs`.
