//! Bodies of answers: problem details (RFC 9457) and those of a token endpoint (RFC 6749).

pub(crate) mod jwks;
pub(crate) mod respond;
pub(crate) mod token_endpoint;
