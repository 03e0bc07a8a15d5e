//! The objects of an application: sessions, logins, logouts, refresh tokens.

// The page of `Sessions` lists its methods in the order of these modules.
pub(crate) mod builder;

mod build;

pub(crate) mod handle;

mod ending;

pub(crate) mod refresh;

pub(crate) mod reload;

pub(crate) mod revoke_token;

pub(crate) mod ended;

pub(crate) mod explain;

pub(crate) mod audited;
pub(crate) mod cause;
mod clocks;
pub(crate) mod counters;
pub(crate) mod explanation;
pub(crate) mod external_settings;
pub(crate) mod external_tokens;
pub(crate) mod failure_log;
pub(crate) mod fix;
pub(crate) mod hook;
pub(crate) mod issued;
pub(crate) mod issuers;
pub(crate) mod lifetimes;
pub(crate) mod login;
pub(crate) mod login_page;
pub(crate) mod logout;
pub(crate) mod others;
pub(crate) mod pending;
pub(crate) mod profiles;
pub(crate) mod protected_resource;
pub(crate) mod refresh_tokens;
pub(crate) mod renewal;
pub(crate) mod return_to;
pub(crate) mod revoking;
pub(crate) mod roles;
pub(crate) mod room;
pub(crate) mod session;
pub(crate) mod sign;
