//! Changes of a running service, as the guide's page "changing" lists them: replicas of two versions side by
//! side, and no wrong 401. Each is also made without its intermediate step, where 401s do appear.

mod claims;
mod fleet;
mod keys;
mod names;
