//! Sessions: how they are renewed, changed and ended.

#[cfg(all(feature = "axum", feature = "cookie"))]
mod changing;
mod ended;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod issuers_in_layers;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod on_renewal;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod persistent;
mod refresh_tokens;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod reissue;
#[cfg(all(feature = "axum", feature = "cookie"))]
mod renewal;
mod return_to;
mod several_issuers;
