//! Opening a ring that follows an issuer: its settings, its first keys, and the task that fetches
//! them again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::claims::issuer::IssuerName;
use crate::clock::{Clock, SystemClock};
use crate::cooldown::Cooldown;
use crate::crypto::algorithm::Algorithm;
use crate::crypto::backend::CryptoBackend;
use crate::crypto::der::KeyType;
use crate::crypto::material::key_type;
use crate::error::build::BuildError;
use crate::keyring::core::RingCore;
use crate::keyring::error::RingError;
use crate::keyring::issuer::discovery::Places;
use crate::keyring::issuer::fetch::{Endpoint, PlainHttp};
use crate::keyring::issuer::http_client::HttpClient;
use crate::keyring::issuer::source::{IssuerSource, Limits, Origin};
use crate::keyring::ring::KeyRing;
use crate::keys::key_set::KeySet;
use crate::keys::rotation_policy::RotationPolicy;
use crate::store::polling::Jitter;

/// Builds a [`KeyRing`] that follows another service's public keys: begun by
/// [`KeyRing::discover`] or [`KeyRing::jwks_url`].
#[derive(Debug)]
#[must_use]
pub struct IssuerRingBuilder {
    issuer: String,
    /// Where the keys are; `None` to ask the issuer.
    url: Option<String>,
    client: Option<Arc<dyn HttpClient>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    policy: RotationPolicy,
    starts_without_keys: bool,
    discovery_tenant: Option<String>,
}

/// For services that only validate: the keys of an issuer that is another service.
///
/// Such a ring holds public keys that verify only the tokens of this issuer. It fetches them again
/// before they expire, and when a token names an unknown key. It issues nothing. It sees a
/// revocation of the issuer only if the issuer withdraws a key.
///
/// ```
/// # #[cfg(feature = "jwks-client")]
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_jwt_session::{KeyRing, Sessions, Transport};
///
/// let keys = KeyRing::discover("https://login.example").open().await?;
/// let sessions = Sessions::<()>::builder(keys, "https://login.example", "orders")
///     .accept_token_type("at+jwt")
///     .transports([Transport::bearer()])
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// It accepts keys for EdDSA (Ed25519), ES256, ES384, RS and PS. A key that is not taken is skipped, affects no
/// other key, and is listed with the reason in [`status`](KeyRing::status); a public key for encryption (`use: enc`)
/// is no fault, and is not listed. Several keys may have one `kid` if their `alg` differs
/// (RFC 7517, section 4.5); of different keys with the same `kid` and `alg` none is taken.
impl KeyRing {
    /// Begins a ring that follows the JWKS (RFC 7517) at `url`. `issuer` is the `iss` of its
    /// tokens; with `{tenantid}` in it that of a multi-tenant issuer, one for each tenant: see
    /// [`SessionsBuilder::tenants`](crate::SessionsBuilder::tenants).
    pub fn jwks_url(issuer: impl Into<String>, url: impl Into<String>) -> IssuerRingBuilder {
        IssuerRingBuilder::new(issuer.into(), Some(url.into()))
    }

    /// Begins a ring that follows the JWKS of `issuer`'s discovery document, which must name exactly
    /// this issuer. The JWKS may be on another host. The document is read again for every fetch.
    ///
    /// Of these places the first that does not answer 404 is taken:
    ///
    /// 1. `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, section 4),
    /// 2. `/.well-known/oauth-authorization-server` between the issuer's host and its path (RFC 8414,
    ///    section 3.1),
    /// 3. `/.well-known/openid-configuration` between them (RFC 8414, section 5).
    pub fn discover(issuer: impl Into<String>) -> IssuerRingBuilder {
        IssuerRingBuilder::new(issuer.into(), None)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            document_bytes: 256 * 1024,
            least_refresh: MINUTE,
            most_refresh: 60 * MINUTE,
            default_max_age: 10 * MINUTE,
            cooldown: Duration::from_secs(30),
            max_staleness: DAY,
            rsa_algorithm: None,
            backend: CryptoBackend::default(),
            plain_http: PlainHttp::default(),
        }
    }
}

impl IssuerRingBuilder {
    fn new(issuer: String, url: Option<String>) -> Self {
        // The issuer publishes its keys itself.
        let policy = RotationPolicy { jwks_max_age: Duration::ZERO, ..RotationPolicy::default() };
        let (clock, limits) = (Arc::new(SystemClock), Limits::default());
        Self {
            issuer,
            url,
            client: None,
            clock,
            limits,
            policy,
            starts_without_keys: false,
            discovery_tenant: None,
        }
    }

    /// Sets the HTTP client. Default: the bundled `JwksClient` with feature `jwks-client`; required
    /// without that.
    pub fn client(mut self, client: impl HttpClient) -> Self {
        self.client = Some(Arc::new(client));
        self
    }

    /// Sets how long a fetch may take, including all documents up to the last byte. 10 milliseconds
    /// to 1 minute. Default: 5 seconds.
    pub fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// Sets the largest accepted document, in bytes: 1 KiB to 16 MiB. Default: 256 KiB.
    pub fn max_document_bytes(mut self, bytes: usize) -> Self {
        self.limits.document_bytes = bytes;
        self
    }

    /// Sets the shortest and the longest time between two scheduled fetches, whatever the
    /// `Cache-Control` of an answer. At least 1 second, at most 24 hours. Default: 1 minute and 1
    /// hour.
    ///
    /// While fetches succeed, a withdrawn key verifies for at most the longer one.
    pub fn refresh_interval_bounds(mut self, least: Duration, most: Duration) -> Self {
        (self.limits.least_refresh, self.limits.most_refresh) = (least, most);
        self
    }

    /// Sets how long an answer without `Cache-Control: max-age` is fresh, within the
    /// [bounds](Self::refresh_interval_bounds). Default: 10 minutes.
    pub fn default_max_age(mut self, age: Duration) -> Self {
        self.limits.default_max_age = age;
        self
    }

    /// Sets the shortest time from any fetch to a fetch for an unknown key ID, so that forged
    /// tokens cannot cause many fetches. Also the first wait after a failure. At least `refresh_timeout`.
    /// Default: 30 seconds.
    ///
    /// Until the fetch succeeds, tokens of a new key are answered 401. An issuer that publishes a key before it
    /// signs with it loses none; for one that signs at once, make this shorter.
    pub fn unknown_key_cooldown(mut self, cooldown: Duration) -> Self {
        self.limits.cooldown = cooldown;
        self
    }

    /// Sets how long keys verify after their fetch while no other fetch succeeds. After that none
    /// verifies, and the ring is not [ready](KeyRing::ready). Must exceed the longest time between
    /// two fetches. Default: 24 hours.
    ///
    /// An attacker who keeps this service from the issuer can keep a withdrawn key valid for this
    /// long.
    pub fn max_staleness(mut self, limit: Duration) -> Self {
        self.limits.max_staleness = limit;
        self
    }

    /// Sets the algorithm of RSA keys without `alg`, which six algorithms could use. Default: for keys with
    /// `use: sig`, the only RSA algorithm that the issuer's metadata lists in
    /// `id_token_signing_alg_values_supported` (OpenID Connect Discovery 1.0, section 3); others are skipped.
    /// A token never decides it.
    pub fn rsa_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.limits.rsa_algorithm = Some(algorithm);
        self
    }

    /// Sets the longest lifetime of the issuer's tokens; tokens with a longer one are refused. At
    /// least 1 second. Default: 24 hours.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.policy.max_token_lifetime = lifetime;
        self
    }

    /// Sets the largest difference between the issuer's clock and this one: the leeway for a
    /// token's times. At most 10 minutes. Default: 60 seconds.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.policy.clock_skew = skew;
        self
    }

    /// Sets the library that verifies with the keys. Default: `ring`.
    pub fn crypto_backend(mut self, backend: CryptoBackend) -> Self {
        self.limits.backend = backend;
        self
    }

    /// Sets the clock. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Accepts `http` URLs of a loopback address or `localhost`: for tests, or a local proxy that
    /// speaks https to the issuer. For an issuer inside a cluster see
    /// [`dangerous_allow_http`](Self::dangerous_allow_http).
    pub fn allow_http_on_loopback(mut self) -> Self {
        self.limits.plain_http.on_loopback = true;
        self
    }

    /// Accepts `http` URLs of exactly this host, such as `keycloak.auth.svc.cluster.local`, for an
    /// issuer inside a cluster that speaks no TLS; call it once for each host. The port is free.
    /// Sub-domains, other hosts and redirects are refused as before.
    ///
    /// # Security
    ///
    /// An attacker on the network between this service and that host can replace the keys, and then
    /// sign tokens of any user that this service accepts. Use it only where the network authenticates
    /// both ends, as a service mesh does.
    pub fn dangerous_allow_http(mut self, host: impl Into<String>) -> Self {
        self.limits.plain_http.hosts.push(host.into());
        self
    }

    /// Opens the ring also while the issuer cannot be reached. Until the first fetch succeeds, the ring
    /// is not [ready](KeyRing::ready) ([`NoKeysYet`](crate::NotReadyKind::NoKeysYet)), and tokens that
    /// need its keys are answered 503 with `Retry-After`, not 401: they may be valid. Fetches are tried
    /// again after the [cooldown](Self::unknown_key_cooldown), and after twice as long each further time, up to
    /// 1 minute, or the cooldown if that is longer. Default: `open` fails.
    ///
    /// A replica whose sessions [accept](crate::SessionsBuilder::also_accept_sessions) this issuer's waits for
    /// its keys, too, unless [`ready_without_keys`](crate::SessionsBuilder::ready_without_keys) is set.
    ///
    /// Only what may pass by itself is waited for: no answer, status 408, 429 or 5xx, and a JWKS without any
    /// key, as of an issuer that has not made its first one yet. No answer may also be a certificate that is not
    /// trusted: a proxy in front of an issuer that starts may show its own; the log and the status name the cause. Any other answer, such as a redirect, status 404 or a document of another issuer, is the mark of a wrong setting,
    /// and `open` fails as before.
    pub fn start_without_keys(mut self) -> Self {
        self.starts_without_keys = true;
        self
    }

    /// Sets the tenant at whose URL a multi-tenant issuer is discovered, such as `common` or `organizations`
    /// of Entra ID: for an issuer with `{tenantid}`. The document there has to name that issuer, with
    /// `{tenantid}`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "jwks-client")]
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_jwt_session::KeyRing;
    ///
    /// let issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
    /// let keys = KeyRing::discover(issuer).discovery_tenant("common").open().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn discovery_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.discovery_tenant = Some(tenant.into());
        self
    }

    /// Fetches the first keys and starts the background task, which ends when the last clone of the
    /// ring is dropped. Requires a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If a setting is invalid, there is no client, or the keys cannot be fetched. The error names
    /// the URL and the cause. See [`start_without_keys`](Self::start_without_keys).
    pub async fn open(self) -> Result<KeyRing, BuildError> {
        let origin = self.origin()?;
        self.check()?;
        let client = match self.client {
            Some(client) => client,
            None => default_client()?,
        };
        let keys = KeySet::unfetched(self.limits.following());
        let source = IssuerSource {
            origin,
            client,
            cooldown: Cooldown::new(self.limits.cooldown),
            limits: self.limits,
            starts_without_keys: self.starts_without_keys,
            pace: Mutex::default(),
        };
        let core = RingCore::new(self.issuer.into(), self.clock, self.policy, keys);
        let report = match source.update(&core).await {
            Err(RingError::Fetch(error)) if self.starts_without_keys && error.is_outage() => {
                Err(RingError::Fetch(error).into())
            }
            updated => Ok(updated.map_err(|error| error.at_start(&core.name))?),
        };
        Ok(KeyRing::opened(core, source, report, Jitter::Random, Instant::now(), None))
    }

    fn origin(&self) -> Result<Origin, BuildError> {
        let plain_http = &self.limits.plain_http;
        if let Err(host) = plain_http.check() {
            let fix = "give a host alone, without a scheme, a port, a path or a wildcard";
            let value = format_args!("{host:?}");
            return Err(BuildError::invalid("dangerous_allow_http", value, fix));
        }
        if self.issuer.is_empty() {
            let fix = "give the `iss` of the tokens to be validated";
            return Err(BuildError::invalid("issuer", "empty", fix));
        }
        let (setting, value, origin) = match &self.url {
            Some(url) => ("url", url, Endpoint::parse(url, plain_http).map(Origin::Jwks)),
            None => {
                let places = Places::of(&self.discovered()?, plain_http);
                ("issuer", &self.issuer, places.map(Origin::Described))
            }
        };
        origin.map_err(|fix| BuildError::invalid(setting, format_args!("{value:?}"), fix))
    }

    /// The URL of the issuer that is discovered: of a multi-tenant issuer that of a tenant.
    fn discovered(&self) -> Result<String, BuildError> {
        let issuer = IssuerName::new(&self.issuer);
        match &self.discovery_tenant {
            None if issuer.is_template() => {
                let fix = "it stands for many tenants: set `discovery_tenant`, such as \"common\", or give \
                           the URL of the keys with `KeyRing::jwks_url`";
                Err(BuildError::invalid("issuer", format_args!("{:?}", self.issuer), fix))
            }
            Some(tenant) if !issuer.is_template() => {
                let fix = "it applies only to an issuer with `{tenantid}`: remove it";
                Err(BuildError::invalid("discovery_tenant", format_args!("{tenant:?}"), fix))
            }
            Some(tenant) if issuer.tenant(&issuer.of_tenant(tenant)) != Some(tenant) => {
                let fix = "give one segment of a path, such as \"common\"";
                Err(BuildError::invalid("discovery_tenant", format_args!("{tenant:?}"), fix))
            }
            Some(tenant) => Ok(issuer.of_tenant(tenant)),
            None => Ok(self.issuer.clone()),
        }
    }

    fn check(&self) -> Result<(), BuildError> {
        let Limits { least_refresh, most_refresh, timeout, cooldown, max_staleness, .. } =
            self.limits;
        let RotationPolicy { max_token_lifetime, clock_skew, .. } = self.policy;
        let is_sensible = (Duration::from_millis(10)..=MINUTE).contains(&timeout);
        require(is_sensible, "refresh_timeout", timeout, "make it 10ms to 1 minute")?;
        let is_ordered = SECOND <= least_refresh && least_refresh <= most_refresh;
        let fix =
            format_args!("make it at least 1s, and at most the longer bound ({most_refresh:?})");
        require(is_ordered, "refresh_interval_bounds", least_refresh, fix)?;
        let fix = "make the longer bound at most 24 hours";
        require(most_refresh <= DAY, "refresh_interval_bounds", most_refresh, fix)?;
        let fix = format_args!("make it at least refresh_timeout ({timeout:?})");
        require(cooldown >= timeout, "unknown_key_cooldown", cooldown, fix)?;
        // The wait for the next fetch, its jitter, and the fetch itself.
        let least = most_refresh + most_refresh / 8 + timeout;
        let fix = format_args!(
            "make it more than {least:?}, the time of the next fetch, or keys would expire \
             between two"
        );
        require(max_staleness > least, "max_staleness", max_staleness, fix)?;
        let is_long = max_token_lifetime >= SECOND;
        require(is_long, "max_token_lifetime", max_token_lifetime, "make it at least 1s")?;
        let fix = "make it at most 10 minutes: it extends the life of every token";
        require(clock_skew <= 10 * MINUTE, "clock_skew", clock_skew, fix)?;
        let bytes = self.limits.document_bytes;
        if !(1024..=16 * 1024 * 1024).contains(&bytes) {
            let fix = "make it 1 KiB to 16 MiB";
            return Err(BuildError::invalid("max_document_bytes", bytes, fix));
        }
        if let Some(algorithm) = self.limits.rsa_algorithm
            && key_type(algorithm) != Some(KeyType::Rsa)
        {
            let help = "name one of RS256, RS384, RS512, PS256, PS384, PS512";
            return Err(BuildError::invalid("rsa_algorithm", algorithm, help));
        }
        Ok(())
    }
}

fn require(
    holds: bool,
    setting: &'static str,
    value: Duration,
    fix: impl Display,
) -> Result<(), BuildError> {
    if holds { Ok(()) } else { Err(BuildError::invalid(setting, format_args!("{value:?}"), fix)) }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(feature = "jwks-client")]
fn default_client() -> Result<Arc<dyn HttpClient>, BuildError> {
    Ok(Arc::new(crate::keyring::issuer::bundled_client::JwksClient::new()?))
}

#[cfg(not(feature = "jwks-client"))]
fn default_client() -> Result<Arc<dyn HttpClient>, BuildError> {
    let fix = "enable feature `jwks-client`, or give a client";
    Err(BuildError::invalid("client", "missing", fix))
}
