//! Bodies of answers: problem details (RFC 9457), gRPC statuses, those of token endpoints (RFC 6749, RFC 7009), health documents.

pub(crate) mod grpc;
#[cfg(feature = "axum")]
pub(crate) mod health;
pub(crate) mod jwks;
pub(crate) mod login_redirect;
pub(crate) mod resource_metadata;
pub(crate) mod respond;
pub(crate) mod revocation_endpoint;
pub(crate) mod token_endpoint;
