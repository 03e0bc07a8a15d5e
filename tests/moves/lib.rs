//! Services before and after a move to `tower-jwt-session`. The guides about moving count their lines.

/// From `axum-jwt-auth`, and tokens that a service makes with `jsonwebtoken`.
pub mod axum_jwt_auth {
    pub mod after;
    pub mod before;
    pub mod moving;
}

/// From `axum-login`; `tower-sessions` and `axum-messages` stay for what is not about the login.
pub mod axum_login {
    pub mod after;
    pub mod before;
    pub mod moving;
    /// The pages of all three.
    pub mod pages;
}

/// The accounts of the services. A real service keeps them in its database, and hashes of the passwords.
pub mod accounts;
