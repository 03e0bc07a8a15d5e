//! Keys: their material and IDs, and the schedule by which they sign.

mod entrances;
mod fixed;
mod material;
mod rotation_policy;
mod secrets;
mod signer;
mod times;
