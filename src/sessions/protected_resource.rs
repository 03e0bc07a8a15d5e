//! [`ProtectedResource`]: how this service describes itself to OAuth clients (RFC 9728).

use http::Uri;
use serde::Serialize;

use crate::error::build::BuildError;
use crate::keyring::issuer::fetch::is_loopback;

/// The description of a service as an OAuth 2.0 protected resource (RFC 9728), such as an MCP server: given
/// to [`SessionsBuilder::protected_resource`](crate::SessionsBuilder::protected_resource).
///
/// ```
/// use tower_jwt_session::ProtectedResource;
///
/// let resource = ProtectedResource::new("https://api.example/mcp")
///     .scopes(["notes:read", "notes:write"])
///     .name("Notes")
///     .documentation("https://api.example/docs");
/// ```
#[derive(Clone, Debug)]
#[must_use]
#[doc(alias = "mcp")]
pub struct ProtectedResource {
    authorization_servers: Option<Vec<String>>,
    metadata: Metadata,
}

/// The metadata document (RFC 9728, section 2).
#[derive(Clone, Debug, Default, Serialize)]
struct Metadata {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    bearer_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<String>,
}

/// A description that was checked.
pub(crate) struct Described {
    /// The metadata document.
    pub(crate) document: Vec<u8>,
    /// The path of the document.
    pub(crate) path: String,
    /// The URL of the document.
    pub(crate) url: String,
}

impl ProtectedResource {
    /// Describes the service at this URL: https (http on a loopback address, for tests), without query and
    /// fragment. Clients name it as the `resource` of a token request (RFC 8707), and the authorization
    /// server writes it as the token's audience, which is compared exactly: a trailing slash makes another
    /// URL.
    pub fn new(resource: impl Into<String>) -> Self {
        let metadata = Metadata { resource: resource.into(), ..Metadata::default() };
        Self { authorization_servers: None, metadata }
    }

    /// Sets the issuers at which clients get tokens for this service. Default: those issuers of the
    /// sessions whose tokens are not issued here.
    pub fn authorization_servers(
        mut self,
        issuers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.authorization_servers = Some(issuers.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the scopes that clients may ask for: `scopes_supported`. Default: not said.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.metadata.scopes_supported = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the name that is shown to users: `resource_name`. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.metadata.resource_name = Some(name.into());
        self
    }

    /// Sets the URL of the documentation for developers: `resource_documentation`. Default: none.
    pub fn documentation(mut self, url: impl Into<String>) -> Self {
        self.metadata.resource_documentation = Some(url.into());
        self
    }

    /// Sets the URL of this service's own public keys, where it issues tokens: `jwks_uri`. Default: none.
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.metadata.jwks_uri = Some(url.into());
        self
    }

    /// The URL of the service.
    pub(crate) fn resource(&self) -> &str {
        &self.metadata.resource
    }

    /// Checks the description. `issuers` are those at which clients may get tokens, unless it names some.
    pub(crate) fn build(
        self,
        issuers: Vec<String>,
        has_bearer: bool,
    ) -> Result<Described, BuildError> {
        let Self { authorization_servers, mut metadata } = self;
        let resource = &metadata.resource;
        let uri = check_url("protected_resource", resource)?;
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=@/%".contains(&byte);
        if uri.query().is_some() || !uri.path().bytes().all(is_plain) {
            let help = "give a URL without a query, whose path has no `{`, `}`, `:`, `*` or quotes";
            let value = format_args!("{resource:?}");
            return Err(BuildError::invalid("protected_resource", value, help));
        }
        for issuer in authorization_servers.iter().flatten() {
            check_url("authorization_servers", issuer)?;
        }
        if let Some(url) = &metadata.jwks_uri {
            check_url("jwks_uri", url)?;
        }
        if let Some(url) = &metadata.resource_documentation {
            check_url("documentation", url)?;
        }
        if let Some(scope) = metadata.scopes_supported.iter().find(|scope| !is_scope(scope)) {
            let help = "give each scope by itself, without spaces, quotes and backslashes";
            return Err(BuildError::invalid("scopes", format_args!("{scope:?}"), help));
        }
        metadata.authorization_servers = authorization_servers.unwrap_or(issuers);
        metadata.bearer_methods_supported = if has_bearer { vec!["header"] } else { Vec::new() };
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        let origin =
            [scheme.unwrap_or_default(), authority.map_or("", |it| it.as_str())].join("://");
        // Section 3.1: between host and path, without a slash that stands for no path.
        let path = if uri.path() == "/" { "" } else { uri.path() };
        let path = format!("{WELL_KNOWN}{path}");
        // Texts always serialize.
        let document = serde_json::to_vec(&metadata).unwrap_or_default();
        Ok(Described { document, url: format!("{origin}{path}"), path })
    }
}

/// Whether it is a URL that a client can be sent to.
pub(crate) fn is_url(url: &str) -> bool {
    check_url("", url).is_ok()
}

fn check_url(setting: &'static str, url: &str) -> Result<Uri, BuildError> {
    let invalid = |help| BuildError::invalid(setting, format_args!("{url:?}"), help);
    if url.contains(['#', '@', '{']) {
        return Err(invalid("give a URL without a fragment, a user name and placeholders"));
    }
    let uri: Uri = url.parse().map_err(|_| invalid("give an absolute https URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (_, None | Some("")) => Err(invalid("give an absolute https URL")),
        (Some("https"), Some(_)) => Ok(uri),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(uri),
        _ => Err(invalid("give an https URL; only a loopback address may have http")),
    }
}

/// Whether it is a scope's grammar (RFC 6749, section 3.3), and can be quoted in a header.
pub(crate) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
