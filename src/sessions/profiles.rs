//! [`IssuerProfile`]: named sets of the settings that the tokens of a provider need.

use crate::sessions::builder::SessionsBuilder;
use crate::transport::transport::Transport;

/// The settings that the tokens of a provider need, by its name: given to
/// [`SessionsBuilder::profile`](crate::SessionsBuilder::profile). Each stands for the settings that it lists,
/// and for nothing else; a setting after it overrides it, or adds to it.
///
/// Of providers whose tokens need one or two settings the guide has a
/// [table](crate::guide::other_issuers#settings-by-provider).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerProfile(&'static [Setting]);

/// A setting of [`SessionsBuilder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    TokenType(&'static str),
    WithoutTokenType,
    WithoutTokenId,
    WithoutKeyId,
    AlsoIssuer(&'static str),
    AudienceClaim(&'static str),
    Claim(&'static str, &'static str),
    ClaimPresent(&'static str),
    Roles(&'static str),
    Header(&'static str),
}

impl IssuerProfile {
    /// Access tokens of Keycloak. An ID token has `typ: ID` among its claims, and is refused.
    ///
    /// ```text
    /// .accept_token_type("JWT")
    /// .require_claim("typ", "Bearer")
    /// .roles_claim("/realm_access/roles")
    /// ```
    ///
    /// Tokens of clients without the scope `basic` have no `sub`, and those without an audience mapper no `aud`:
    /// add `.subject_claim("azp")`, `.audience_claim("azp")`.
    ///
    /// Keycloak signs with a new key at once. Tokens of it are a 401 until the next fetch, at most
    /// [`unknown_key_cooldown`](crate::IssuerRingBuilder::unknown_key_cooldown) later: set this on the ring.
    pub const KEYCLOAK: Self = Self(&[
        Setting::TokenType("JWT"),
        Setting::Claim("typ", "Bearer"),
        Setting::Roles("/realm_access/roles"),
    ]);

    /// Access tokens of Microsoft Entra ID, version 2.0. An ID token has no `azp`, and is refused.
    ///
    /// ```text
    /// .accept_token_type("JWT")
    /// .accept_without_token_id()
    /// .require_claim_present("azp")
    /// .roles_claim("roles")
    /// ```
    ///
    /// For several tenants see [`SessionsBuilder::tenants`].
    #[doc(alias = "azure")]
    pub const ENTRA_ID: Self = Self(&[
        Setting::TokenType("JWT"),
        Setting::WithoutTokenId,
        Setting::ClaimPresent("azp"),
        Setting::Roles("roles"),
    ]);

    /// ID tokens of Google, for a service whose clients send them: Google's access tokens are no JWTs.
    ///
    /// ```text
    /// .accept_token_type("JWT")
    /// .accept_without_token_id()
    /// .also_accept_issuer("accounts.google.com")
    /// ```
    ///
    /// The issuer is `https://accounts.google.com`, the audiences are the client IDs.
    pub const GOOGLE: Self = Self(&[
        Setting::TokenType("JWT"),
        Setting::WithoutTokenId,
        Setting::AlsoIssuer("accounts.google.com"),
    ]);

    /// Access tokens of Amazon Cognito. An ID token has `token_use: id`, and is refused. The audiences are the
    /// client IDs.
    ///
    /// ```text
    /// .accept_without_token_type()
    /// .audience_claim("client_id")
    /// .require_claim("token_use", "access")
    /// .roles_claim("cognito:groups")
    /// ```
    pub const COGNITO: Self = Self(&[
        Setting::WithoutTokenType,
        Setting::AudienceClaim("client_id"),
        Setting::Claim("token_use", "access"),
        Setting::Roles("cognito:groups"),
    ]);

    /// Access tokens of Duende IdentityServer and IdentityServer4, and of any issuer that follows RFC 9068.
    /// An ID token has another type.
    ///
    /// ```text
    /// .accept_token_type("at+jwt")
    /// ```
    ///
    /// Tokens of client credentials have no `sub`: add `.subject_claim("client_id")`.
    #[doc(alias = "duende")]
    pub const IDENTITY_SERVER: Self = Self(&[Setting::TokenType("at+jwt")]);

    /// Access tokens of Spring Authorization Server. An ID token has no `nbf`, and is refused: its audience may
    /// be that of the access tokens.
    ///
    /// ```text
    /// .accept_without_token_type()
    /// .require_claim_present("nbf")
    /// ```
    ///
    /// Its keys have no `alg`: set [`rsa_algorithm`](crate::IssuerRingBuilder::rsa_algorithm) where its metadata
    /// is not read.
    pub const SPRING: Self = Self(&[Setting::WithoutTokenType, Setting::ClaimPresent("nbf")]);

    /// Access tokens of Supabase that are signed with the project's shared secret (HS256), for a ring of
    /// [`Key::verify_only`](crate::Key::verify_only). The audience is `authenticated`.
    ///
    /// ```text
    /// .accept_token_type("JWT")
    /// .accept_without_token_id()
    /// .accept_without_key_id()
    /// .roles_claim("role")
    /// ```
    ///
    /// A project with asymmetric keys has a JWKS: follow it, with the same profile.
    pub const SUPABASE_SECRET: Self = Self(&[
        Setting::TokenType("JWT"),
        Setting::WithoutTokenId,
        Setting::WithoutKeyId,
        Setting::Roles("role"),
    ]);

    /// The assertions that Cloudflare Access adds to requests of applications behind it. The issuer is
    /// `https://<team>.cloudflareaccess.com`, the audience is the application's AUD tag, and the keys are at
    /// `/cdn-cgi/access/certs` of the issuer ([`KeyRing::jwks_url`](crate::KeyRing::jwks_url)).
    ///
    /// ```text
    /// .accept_without_token_type()
    /// .accept_token_type("JWT")
    /// .accept_without_token_id()
    /// .require_claim("type", "app")
    /// .transports([Transport::header("Cf-Access-Jwt-Assertion")])
    /// ```
    pub const CLOUDFLARE_ACCESS: Self = Self(&[
        Setting::WithoutTokenType,
        Setting::TokenType("JWT"),
        Setting::WithoutTokenId,
        Setting::Claim("type", "app"),
        Setting::Header("Cf-Access-Jwt-Assertion"),
    ]);
}

impl<C> SessionsBuilder<C> {
    /// Sets what the tokens of a provider need: the settings that the [profile](IssuerProfile) lists.
    ///
    /// ```no_run
    /// # #[cfg(feature = "jwks-client")]
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_jwt_session::{IssuerProfile, KeyRing, Sessions, Transport};
    ///
    /// let realm = "https://sso.example/realms/shop";
    /// let keys = KeyRing::discover(realm).open().await?;
    /// let sessions = Sessions::<()>::builder(keys, realm, "orders")
    ///     .profile(IssuerProfile::KEYCLOAK)
    ///     .transports([Transport::bearer()])
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn profile(self, profile: IssuerProfile) -> Self {
        profile.0.iter().fold(self, |sessions, setting| match *setting {
            Setting::TokenType(name) => sessions.accept_token_type(name),
            Setting::WithoutTokenType => sessions.accept_without_token_type(),
            Setting::WithoutTokenId => sessions.accept_without_token_id(),
            Setting::WithoutKeyId => sessions.accept_without_key_id(),
            Setting::AlsoIssuer(name) => sessions.also_accept_issuer(name),
            Setting::AudienceClaim(claim) => sessions.audience_claim(claim),
            Setting::Claim(claim, value) => sessions.require_claim(claim, value),
            Setting::ClaimPresent(claim) => sessions.require_claim_present(claim),
            Setting::Roles(claim) => sessions.roles_claim(claim),
            Setting::Header(name) => sessions.transports([Transport::header(name)]),
        })
    }
}
