//! The session cookie (RFC 6265): its settings, and the guard that comes with it.

use std::borrow::Cow;

use http::Request;
use http::header::{AUTHORIZATION, COOKIE};

use super::cross_site::{CrossSiteCheck, is_plain_page, is_subresource, may_change};
use super::origin;
use crate::error::build::BuildError;
use crate::error::rejection::RejectionKind;
use crate::transport::cookie_use::{CookieUse, Sets};
use crate::transport::grammar::{is_token, is_token_byte};
use crate::transport::{local_path, navigation};

/// The cookie that carries a session, and the guard that comes with it.
///
/// 1. It is named `__Host-` and the ring's name, and is `Secure; HttpOnly; SameSite=Lax; Path=/`: no script reads it, no
///    other host sets it, no plain connection carries it. Services of different rings on one host,
///    also on different ports, do not overwrite each other's cookie.
/// 2. It has no `Max-Age`: it ends with the browser's session, or when its token expires. The cookie of
///    a [persistent login](crate::Login::persistent) has one, and stays until its token expires.
/// 3. Requests that change something, come from another site and carry a cookie or other credentials are
///    answered 403 (tower-http's CSRF guard), and so are upgrades that carry the cookie, since browsers let
///    any site open a WebSocket. What counts is `Sec-Fetch-Site`. Only of browsers that do not send it,
///    `Origin` is compared with `Host`, without case and default ports; the scheme counts where it is known,
///    which is where the request carries the `Secure` cookie. A proxy in front has to pass all
///    three on unchanged. What was found is in the debug log.
/// 4. A request from another site without any cookie and `Authorization` reaches the handler, so that a
///    client elsewhere gets a [bearer token](crate::Login::bearer) from it. Its response sets no cookie: a
///    login by cookie and a logout are answered 403.
/// 5. Name and token have 4,096 bytes: a name, issuer or audience that leaves no room for any token
///    is refused when the sessions are built.
///
/// ```
/// use tower_jwt_session::CookieTransport;
///
/// let cookie = CookieTransport::new()
///     .name("__Host-app")
///     .same_site_strict()
///     .trusted_origin("https://admin.example");
/// ```
#[derive(Clone, Debug, Default)]
#[doc(alias = "csrf")]
#[doc(alias = "SameSite")]
#[doc(alias = "cors")]
pub struct CookieTransport {
    /// `None` for the ring's, until the sessions are built.
    name: Option<Cow<'static, str>>,
    pub(super) is_strict: bool,
    /// For http on this machine.
    pub(super) is_local: bool,
    /// Other sites' frames have it.
    pub(super) is_framed: bool,
    /// The domain whose hosts share it.
    pub(super) domain: Option<String>,
    trusted_origins: Vec<String>,
    callback_paths: Vec<String>,
    /// Those of former settings.
    pub(super) old: Vec<CookieTransport>,
    /// Made when the sessions are built.
    cross_site: Option<CrossSiteCheck>,
}

impl CookieTransport {
    /// Browsers keep at least this much of name and value (RFC 6265, section 6.1), and no more.
    pub(crate) const MOST_BYTES: usize = 4096;

    /// The defaults, to be changed by the methods below.
    pub fn new() -> Self {
        Self::default()
    }

    /// A cookie for plain http on a developer's machine, where Safari and older browsers drop `Secure`
    /// cookies and the prefix `__Host-` without a message. It has neither; its default name is the ring's
    /// name and `-development`.
    ///
    /// It works on `localhost`, `*.localhost`, 127.0.0.0/8 and `[::1]`, on any port. A login for any other
    /// host, by `Host` or by a page's `Origin`, is a 500, and the log names this setting. The sessions log a
    /// warning when they are built.
    #[must_use]
    pub fn for_local_development() -> Self {
        Self { is_local: true, ..Self::default() }
    }

    /// The cookie's name, which has to begin with `__Host-`. Default: `__Host-` and the name of the
    /// ring, in which `-` replaces characters that a cookie's name cannot hold.
    ///
    /// Services that share a host and a ring's name need different names: [fixed](crate::KeyRing::fixed)
    /// rings are all named `fixed`. [`also_read_cookie`](Self::also_read_cookie) changes the name without
    /// logging users out.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Also reads the cookie with these other settings, where the own cookie is absent. The response
    /// replaces it: it sets the own cookie with the same token, or a renewed one, and clears the old one. An
    /// invalid old cookie counts as an invalid cookie. If both are present, the own one counts, and the old
    /// one is cleared.
    ///
    /// `old` needs its name and what it had of
    /// [`dangerous_share_with_subdomains`](Self::dangerous_share_with_subdomains): browsers clear a cookie
    /// only by the attributes that set it. Remove this setting when the longest session has ended.
    ///
    /// ```
    /// use tower_jwt_session::CookieTransport;
    ///
    /// let old = CookieTransport::new().name("__Host-app");
    /// let cookie = CookieTransport::new().name("__Host-shop").also_read_cookie(old);
    /// ```
    #[doc(alias = "rename")]
    #[must_use]
    pub fn also_read_cookie(mut self, old: CookieTransport) -> Self {
        self.old.push(old);
        self
    }

    /// Sends the cookie with no request that another site began, links included
    /// (`SameSite=Strict`).
    #[must_use]
    pub fn same_site_strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Lets requests of another origin pass the guard: `https://host` or `https://host:port`, such as
    /// `http://localhost:5173` of a development server. Also that of an app or a browser extension:
    /// `capacitor://localhost`, `ionic://localhost`, `tauri://localhost`, `app://name`,
    /// `chrome-extension://id`, `moz-extension://id`, `safari-web-extension://id`.
    ///
    /// Case and a default port do not matter. What no browser sends as its `Origin` is refused when the
    /// sessions are built: another scheme, a wildcard, a path, a host that is not in Punycode.
    #[must_use]
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted_origins.push(origin.into());
        self
    }

    /// Lets other sites send requests to this path, such as `/login/apple/callback` with
    /// `response_mode=form_post`, SAML's `POST` binding, or the return of a payment. Such a request acts
    /// without a session: its cookie is ignored. A login that it ends in sets the cookie.
    ///
    /// The path is compared exactly, as browsers see it. Requests of the own site have their session.
    ///
    /// # Security
    ///
    /// Another site can make a user's browser send such a request with values of its choice, and so log the
    /// user in as someone else. The handler has to check that this browser began the login, by `state` or a
    /// nonce (RFC 6749, section 10.12). A cookie that holds it arrives only with `SameSite=None; Secure`.
    #[doc(alias = "form_post")]
    #[doc(alias = "saml")]
    #[must_use]
    pub fn callback_path(mut self, path: impl Into<String>) -> Self {
        self.callback_paths.push(path.into());
        self
    }

    /// Sends the cookie in frames of other sites' pages, too: `SameSite=None; Secure; Partitioned`. Each site
    /// that has a frame has a cookie, and so a login, of its own.
    ///
    /// # Security
    ///
    /// `SameSite` no longer keeps the cookie from other sites' requests; the guard alone refuses those that
    /// change something and WebSockets, and ignores the cookie of what other sites' pages load or fetch.
    /// What remains: any site can show a page of the user's session in a frame and have the user click in
    /// it, so send `Content-Security-Policy: frame-ancestors` with the sites that may. Browsers that know
    /// neither `Partitioned` nor `Sec-Fetch-Site` send the cookie with every `GET` of any site.
    #[doc(alias = "iframe")]
    #[doc(alias = "SameSite=None")]
    #[must_use]
    pub fn dangerous_in_frames(mut self) -> Self {
        self.is_framed = true;
        self
    }

    /// Shares the cookie among all hosts of a domain, such as `example.com`, and is named `__Secure-` in
    /// place of `__Host-`. Each service of the domain needs this setting, and the same keys.
    ///
    /// # Security
    ///
    /// Every host of the domain gets the cookie, and can set and replace it, also one that an attacker has
    /// taken over: it can log a user in as someone else, and use the sessions that it sees. The guard still
    /// refuses requests of other hosts, unless each is a [`trusted_origin`](Self::trusted_origin).
    #[doc(alias = "Domain")]
    #[doc(alias = "sso")]
    #[must_use]
    pub fn dangerous_share_with_subdomains(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Checks the settings. `ring` names the cookie unless it has a name.
    pub(crate) fn build(mut self, ring: &str) -> Result<Self, BuildError> {
        self.check_kind()?;
        let prefix = self.prefix();
        let name = self.name.take().unwrap_or_else(|| {
            let end = if self.is_local { "-development" } else { "" };
            format!("{prefix}{}{end}", fitting(ring)).into()
        });
        let help = if !is_token(&name) {
            "use letters, digits and - _ .".into()
        } else if self.is_local && is_prefixed(&name) {
            "give it another name: browsers refuse this prefix without `Secure`".into()
        } else if !name.starts_with(prefix) {
            let why = match prefix {
                "__Host-" => "which makes browsers refuse it from other hosts",
                _ => "which makes browsers refuse it from plain http",
            };
            format!("begin it with `{prefix}`, {why}")
        } else {
            self.name = Some(name);
            self.cross_site = Some(CrossSiteCheck::new(&self.trusted_origins)?);
            self.check_callback_paths()?;
            if self.is_local {
                let name = self.own_name();
                tracing::warn!(name, "the session cookie is for local development");
            }
            return self.build_old(ring);
        };
        Err(BuildError::invalid("cookie name", format_args!("{name:?}"), help))
    }

    fn prefix(&self) -> &'static str {
        match (self.is_local, &self.domain) {
            (true, _) => "",
            (false, Some(_)) => "__Secure-",
            (false, None) => "__Host-",
        }
    }

    /// Refuses what contradicts itself.
    fn check_kind(&self) -> Result<(), BuildError> {
        let contradiction = [
            (self.is_local && self.is_framed, "for_local_development", "dangerous_in_frames"),
            (
                self.is_local && self.domain.is_some(),
                "for_local_development",
                "dangerous_share_with_subdomains",
            ),
            (self.is_strict && self.is_framed, "same_site_strict", "dangerous_in_frames"),
        ];
        if let Some((_, one, other)) = contradiction.into_iter().find(|(is_found, ..)| *is_found) {
            let found = format_args!("set beside `{other}`");
            return Err(BuildError::invalid(one, found, "remove one of the two"));
        }
        match &self.domain {
            Some(domain) => origin::check_domain(domain).map_err(|help| {
                let setting = "dangerous_share_with_subdomains";
                BuildError::invalid(setting, format_args!("{domain:?}"), help)
            }),
            None => Ok(()),
        }
    }

    fn check_callback_paths(&self) -> Result<(), BuildError> {
        for path in &self.callback_paths {
            if local_path::parse(path).is_none() || path.contains(['?', '#']) {
                let help = "give a path that begins with one `/`, without query, fragment and dot segments";
                return Err(BuildError::invalid("callback_path", format_args!("{path:?}"), help));
            }
        }
        Ok(())
    }

    fn build_old(mut self, ring: &str) -> Result<Self, BuildError> {
        for old in std::mem::take(&mut self.old) {
            let invalid = |value: &str, help: &str| {
                BuildError::invalid("also_read_cookie", format_args!("{value:?}"), help)
            };
            if !old.old.is_empty() {
                let name = old.name.as_deref().unwrap_or_default();
                return Err(invalid(
                    name,
                    "list each old cookie beside this one, not inside of it",
                ));
            }
            let old = old.build(ring).map_err(|error| {
                let value = error.value().unwrap_or_default();
                BuildError::invalid("also_read_cookie", value, error.help().unwrap_or_default())
            })?;
            let name = old.own_name();
            if name == self.own_name() || self.old.iter().any(|other| other.own_name() == name) {
                return Err(invalid(
                    name,
                    "give the old name, which differs from the own one; each once",
                ));
            }
            self.old.push(old);
        }
        Ok(self)
    }

    /// What the request may do with the cookie; `has_cookie` says that it has one, or may have.
    ///
    /// # Errors
    ///
    /// Fails if it comes from another site, as far as that matters.
    pub(crate) fn admit<B>(
        &self,
        request: &Request<B>,
        has_cookie: bool,
    ) -> Result<CookieUse, RejectionKind> {
        let changes = may_change(request);
        if (changes || (self.is_framed && is_subresource(request)))
            && let Some(check) = &self.cross_site
            && !check.passes(request, has_cookie, !self.is_local)
        {
            return self.admit_from_another_site(request, changes);
        }
        let cookie_use = self.unguarded(request);
        let is_dropped = changes && !self.is_local && is_plain_page(request);
        Ok(if is_dropped { CookieUse { sets: Sets::Dropped, ..cookie_use } } else { cookie_use })
    }

    /// What a request of the own site, or with another credential, may do with the cookie.
    pub(crate) fn unguarded<B>(&self, request: &Request<B>) -> CookieUse {
        match self.is_local {
            true => CookieUse { reads: true, sets: local(request, true) },
            false => CookieUse::FULL,
        }
    }

    #[cold]
    fn admit_from_another_site<B>(
        &self,
        request: &Request<B>,
        changes: bool,
    ) -> Result<CookieUse, RejectionKind> {
        let target = navigation::target(request.uri(), request.extensions());
        let path = target.as_deref().and_then(|target| target.split('?').next());
        let headers = request.headers();
        if self.callback_paths.iter().any(|callback| Some(&**callback) == path) {
            // The page that sends it is elsewhere.
            let sets = if self.is_local { local(request, false) } else { Sets::Allowed };
            return Ok(CookieUse { reads: false, sets });
        }
        // Any cookie, and what a browser adds to `Authorization` by itself, may act for its user.
        let has_any = headers.contains_key(COOKIE) || headers.contains_key(AUTHORIZATION);
        if changes && has_any { Err(RejectionKind::CrossSite) } else { Ok(CookieUse::NONE) }
    }

    pub(crate) fn own_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

fn local<B>(request: &Request<B>, has_own_origin: bool) -> Sets {
    if origin::is_local(request, has_own_origin) { Sets::Allowed } else { Sets::NotLocal }
}

/// A ring's name as a part of a cookie's name.
fn fitting(ring: &str) -> String {
    ring.bytes().map(|byte| if is_token_byte(byte) { byte.into() } else { '-' }).collect()
}

/// Whether browsers put conditions to a cookie of this name (RFC 6265bis, section 4.1.3).
fn is_prefixed(name: &str) -> bool {
    let begins = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    begins("__Host-") || begins("__Secure-")
}
