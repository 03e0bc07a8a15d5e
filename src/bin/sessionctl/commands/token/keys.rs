//! Where the keys come from with which a token is explained: a store, a JWKS, or nowhere.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use tower_jwt_session::http_client::{ClientBody, ClientFuture, HttpClient};
use tower_jwt_session::{
    Clock, IssuerRingBuilder, Key, KeyRing, Revocations, RotationPolicy, SystemClock, Timestamp,
};

use crate::commands::token::explain::Settings;
use crate::failure::Failure;
use crate::options::{RingOptions, SealingOptions};
use crate::store::opened::{Access, Opened};
use crate::store::options::StoreOptions;
use crate::store::read_only::ReadOnly;
use crate::terminal::Terminal;

/// Where the keys are.
#[derive(Args)]
pub(crate) struct KeyOptions {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    ring: RingOptions,
    #[command(flatten)]
    sealing: SealingOptions,
    /// The name of the revocations in the store, if it is not the ring's.
    #[arg(long, value_name = "NAME")]
    revocations: Option<String>,
    /// The URL of the service's JWKS, also as --url.
    #[arg(long, alias = "url", value_name = "URL", conflicts_with_all = ["store", "store_file"])]
    jwks_url: Option<String>,
    /// A file with the JWKS.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["store", "store_file", "jwks_url"])]
    jwks_file: Option<PathBuf>,
    /// Asks the discovery document of --issuer where its JWKS is.
    #[arg(long)]
    #[arg(conflicts_with_all = ["store", "store_file", "jwks_url", "jwks_file"])]
    issuer_discovery: bool,
    /// Uses no keys, also if SESSIONCTL_STORE is set.
    #[arg(long, conflicts_with_all = ["store", "store_file", "jwks_url", "jwks_file", "issuer_discovery"])]
    offline: bool,
}

/// The keys and revocations that were found, and where.
pub(crate) struct Found {
    pub(crate) ring: KeyRing,
    pub(crate) has_keys: bool,
    /// Whether the ring is one of a store, as the service opens it.
    pub(crate) is_stored: bool,
    pub(crate) revocations: Option<Revocations>,
    pub(crate) place: String,
    /// What an operator should know of them.
    pub(crate) notes: Vec<String>,
}

impl KeyOptions {
    /// Opens what the options name. `issuer` is the name that the tokens have.
    ///
    /// # Errors
    ///
    /// If it cannot be read. Nothing is written.
    pub(crate) async fn open(
        &self,
        given: Option<&String>,
        issuer: &str,
        settings: &Settings,
        terminal: &Terminal,
    ) -> Result<Found, Failure> {
        if self.issuer_discovery {
            let issuer = given.ok_or_else(|| {
                Failure::usage(
                    "--issuer-discovery needs the issuer: give `--issuer ISS` or set SESSIONCTL_ISSUER",
                )
            })?;
            let (ring, place) = (KeyRing::discover(issuer), format!("the JWKS of {issuer}"));
            return fetched(ring, place, Some(issuer), settings, terminal).await;
        }
        if let Some(url) = &self.jwks_url {
            let (ring, place) = (KeyRing::jwks_url(issuer, url), format!("the JWKS at {url}"));
            return fetched(ring, place, Some(url), settings, terminal).await;
        }
        if let Some(path) = &self.jwks_file {
            let place = format!("the JWKS in {}", path.display());
            let jwks = std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!(
                    "--jwks-file {}: could not read it: {error}",
                    path.display()
                ))
            })?;
            let ring = KeyRing::jwks_url(issuer, "https://file.invalid/").client(Document(jwks));
            return fetched(ring, place, None, settings, terminal).await;
        }
        match self.store.given()? {
            Some(_) if !self.offline => self.stored(settings, terminal).await,
            _ => Found::offline(settings),
        }
    }

    async fn stored(&self, settings: &Settings, terminal: &Terminal) -> Result<Found, Failure> {
        let (name, address) = (self.ring.name()?, self.store.address()?);
        let store = ReadOnly(Opened::open(&address, Access::Read, terminal).await?);
        let policy = RotationPolicy::new()
            .clock_skew(settings.clock_skew)
            .max_token_lifetime(settings.max_token_lifetime);
        let ring = KeyRing::builder(&name).store(store.clone()).never_found().rotation(policy);
        let ring = match self.sealing.keys()? {
            // Reading an unsealed ring makes it no less safe.
            keys if keys.is_empty() => ring.dangerous_unsealed(),
            keys => ring.seal_with(keys),
        };
        let opening = ring.clock(At(settings.at)).open();
        let ring = terminal.progress("reading the ring", opening).await.map_err(|error| {
            let options = "--sealing-key-file FILE, once for each sealing key in use, or --jwks-url, or --offline";
            match error.is_unreadable() {
                true => Failure::failed(format!("{error}; options of this command: {options}")),
                false => error.into(),
            }
        })?;
        let status = ring.status();
        let mut notes: Vec<_> =
            status.skipped.iter().map(|skipped| format!("not used: {skipped}")).collect();
        let feed = self.revocations.as_deref().unwrap_or(&name);
        // Whatever the time that is explained, it is asked whether the session is revoked now.
        let clock = NowThenAt { at: settings.at, is_read: Arc::default() };
        let revocations = Revocations::builder(feed).store(store).clock(clock.clone());
        let revocations = revocations.never_found().max_staleness(YEARS).open();
        let revocations = match terminal.progress("reading the revocations", revocations).await {
            Ok(revocations) => {
                clock.is_read.store(true, Ordering::Relaxed);
                Some(revocations)
            }
            Err(error) if error.is_no_revocations() && self.revocations.is_none() => {
                notes.push(format!(
                    "the store holds no revocations of the name {feed}: whether the session is revoked \
                     was not checked; if the service has them under another name, give --revocations"
                ));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let place = format!(
            "ring {name} in {address}, {} keys, fingerprint {}",
            status.keys.len(),
            status.fingerprint
        );
        Ok(Found { ring, has_keys: true, is_stored: true, revocations, place, notes })
    }
}

/// Fetches a JWKS. An operator who gives an http URL means it: what it answers decides nothing but this
/// explanation.
async fn fetched(
    ring: IssuerRingBuilder,
    place: String,
    url: Option<&str>,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<Found, Failure> {
    let mut ring = ring
        .clock(At(settings.at))
        .clock_skew(settings.clock_skew)
        .max_token_lifetime(settings.max_token_lifetime)
        .allow_http_on_loopback();
    let mut notes = Vec::new();
    let uri = url.and_then(|url| url.parse::<http::Uri>().ok());
    let plain = uri.filter(|uri| uri.scheme_str() == Some("http"));
    if let Some(host) = plain.as_ref().and_then(http::Uri::host) {
        ring = ring.dangerous_allow_http(host);
        notes.push(
            "the keys came over plain http: they are as trustworthy as the network".to_owned(),
        );
    }
    let ring = terminal.progress(&format!("reading {place}"), ring.open()).await?;
    let status = ring.status();
    notes.extend(status.skipped.iter().map(|skipped| format!("not used: {skipped}")));
    let place = format!("{place}, {} keys", status.keys.len());
    Ok(Found { ring, has_keys: true, is_stored: false, revocations: None, place, notes })
}

impl Found {
    /// No keys.
    pub(crate) fn offline(settings: &Settings) -> Result<Self, Failure> {
        let policy = RotationPolicy::new()
            .clock_skew(settings.clock_skew)
            .max_token_lifetime(settings.max_token_lifetime);
        // A ring cannot be without a key: this one, of RFC 8037, verifies nothing here.
        let jwk =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let ring = KeyRing::fixed([Key::from_jwk(jwk)?]).rotation(policy);
        let ring = ring.clock(At(settings.at)).build()?;
        Ok(Self {
            ring,
            has_keys: false,
            is_stored: false,
            revocations: None,
            place: "none: give --store, --jwks-url, --jwks-file or --issuer-discovery".to_owned(),
            notes: Vec::new(),
        })
    }
}

/// A clock that shows the time for which a token is explained.
#[derive(Debug)]
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Shows the time now until the revocations are read, then the time that is explained, as the keys do.
#[derive(Clone, Debug)]
struct NowThenAt {
    at: Timestamp,
    is_read: Arc<AtomicBool>,
}

impl Clock for NowThenAt {
    fn now(&self) -> Timestamp {
        if self.is_read.load(Ordering::Relaxed) { self.at } else { SystemClock.now() }
    }
}

/// Answers with the document of a file.
struct Document(String);

impl HttpClient for Document {
    fn send(&self, _: http::Request<()>) -> ClientFuture<'_> {
        Box::pin(async { Ok(http::Response::new(ClientBody::new(self.0.clone()))) })
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Document(..)")
    }
}

/// No read of this command is too old.
const YEARS: std::time::Duration = std::time::Duration::from_secs(9 * 365 * 24 * 3600);
