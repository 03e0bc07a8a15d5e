//! Sessions: how they are renewed, changed and ended.

mod ended;
mod refresh_tokens;
mod reissue;
mod renewal;
