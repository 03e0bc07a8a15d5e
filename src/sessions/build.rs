//! Checks the settings of [`Sessions`] together, and makes them.

use std::sync::Arc;

use crate::error::build::BuildError;
use crate::sessions::builder::SessionsBuilder;
use crate::sessions::cause;
use crate::sessions::clocks;
use crate::sessions::counters::Counters;
use crate::sessions::failure_log::FailureLog;
use crate::sessions::handle::{Inner, Sessions, SessionsId};
use crate::sessions::issuers;
use crate::sessions::login_page::LoginPage;
use crate::sessions::protected_resource::{self, ProtectedResource};
use crate::sessions::refresh_tokens::Refreshing;
use crate::sessions::roles;
use crate::sessions::room;
use crate::token::cache::TokenCache;
use crate::token::names::{Issuers, Names};
#[cfg(feature = "cookie")]
use crate::transport::cookie::CookieTransport;
use crate::transport::transport::Transport;
use crate::transport::transports::Transports;

impl<C> SessionsBuilder<C> {
    /// Checks the settings and makes the sessions.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting, its value and how to fix it.
    pub fn build(mut self) -> Result<Sessions<C>, BuildError> {
        self.check_names()?;
        if let Some(resource) = self.resource.as_ref().map(ProtectedResource::resource)
            && self.audience != resource
            && !self.other_audiences.iter().any(|audience| audience == resource)
        {
            self.other_audiences.push(resource.to_owned());
        }
        let own = Issuers::new(&self.issuer, &self.other_issuers);
        issuers::check(&self.others, &own)?;
        clocks::check(&self.keys, self.revocations.as_ref(), &self.others)?;
        let external = &self.external;
        let policy = external.policy(
            &self.keys,
            own,
            Names::new(&self.audience, &self.other_audiences),
            roles::path(self.roles_claim.as_deref())?,
            self.max_token_bytes,
            self.revocations.is_some(),
        )?;
        if self.on_renewal.is_some() && !self.keys.issues() {
            let help = "these sessions are issued by another service, which renews them: remove it";
            return Err(BuildError::invalid("on_renewal", "set", help));
        }
        let (level, per_minute) = self.failure_log;
        if per_minute == 0 {
            let help = "set it to 1 line a minute or more";
            return Err(BuildError::invalid("log_failures", per_minute, help));
        }
        let issues = self.keys.followed_issuer().is_none();
        self.lifetimes.check(issues, policy.max_lifetime)?;
        if !(512..=65_536).contains(&self.max_token_bytes) {
            let help = "set it to 512 to 65,536 bytes";
            return Err(BuildError::invalid("max_token_bytes", self.max_token_bytes, help));
        }
        let cache_bytes = TokenCache::<C>::LEAST_BYTES..=TokenCache::<C>::MOST_BYTES;
        if self.token_cache_bytes != 0 && !cache_bytes.contains(&self.token_cache_bytes) {
            let help = "set it to 65,536 to 1,073,741,824 bytes, or to 0 for no cache";
            return Err(BuildError::invalid("token_cache_bytes", self.token_cache_bytes, help));
        }
        let transports = self.transports.unwrap_or_else(|| {
            vec![
                #[cfg(feature = "cookie")]
                Transport::cookie(CookieTransport::new()),
                Transport::bearer(),
            ]
        });
        let transports = Transports::build(transports, self.keys.name())?;
        let login_page = self.login_page.as_deref().map(LoginPage::parse).transpose()?;
        let has_revocations = self.revocations.is_some();
        let has_refresh_tokens = self.refresh_tokens.is_some();
        let cookie = transports.cookie.as_ref();
        let has_persistent = self.lifetimes.persistent.is_some();
        let keys = &self.keys;
        room::check(keys, &policy, cookie, has_revocations, has_refresh_tokens, has_persistent)?;
        if let Some(revocations) = &self.revocations {
            external.check_revocations(&self.keys, &policy.header.token_type)?;
            revocations.keep_for(self.keys.longest_token_lifetime(), policy.leeway);
        }
        let resource = self.resource.map(|resource| {
            let others = self.others.iter().map(|Sessions(other)| (&other.keys, &other.policy));
            let issuers = [(&self.keys, &policy)].into_iter().chain(others);
            let followed = issuers.filter(|(keys, _)| !keys.issues());
            let names = followed.map(|(_, policy)| policy.issuers.first.to_string());
            let names = names.filter(|name| protected_resource::is_url(name)).collect();
            resource.build(names, transports.bearer)
        });
        let resource = resource.transpose()?;
        let refreshing = self.refresh_tokens.map(|tokens| {
            let revocations = self.revocations.as_ref();
            Refreshing::new(tokens, &self.keys, &policy, transports.bearer, revocations)
        });
        let ring = self.keys.name().clone();
        self.audit.show_zeros(&ring, &cause::KINDS);
        Ok(Sessions(Arc::new(Inner {
            id: SessionsId::new(),
            policy,
            counters: Counters::new(self.keys.name().clone()),
            keys: self.keys,
            lifetimes: self.lifetimes,
            transports,
            login_page,
            cache: (self.token_cache_bytes != 0).then(|| TokenCache::new(self.token_cache_bytes)),
            refreshing: refreshing.transpose()?,
            revocations: self.revocations,
            on_renewal: self.on_renewal,
            revokes_by_issued_at: external.revokes_by_issued_at,
            #[cfg(feature = "axum")]
            ready_without_keys: external.ready_without_keys,
            others: self.others.into(),
            resource,
            audit: self.audit,
            failure_log: FailureLog::new(ring, level, per_minute),
        })))
    }

    /// Checks the names that are issued and those that are accepted.
    fn check_names(&self) -> Result<(), BuildError> {
        let names = [("issuer", &self.issuer), ("audience", &self.audience)].into_iter();
        let issuers = self.other_issuers.iter().map(|name| ("also_accept_issuer", name));
        let audiences = self.other_audiences.iter().map(|name| ("audiences", name));
        let mut names = names.chain(issuers.clone()).chain(audiences);
        if let Some((field, _)) = names.find(|(_, name)| name.is_empty()) {
            let help = match field {
                "issuer" | "audience" => "set it to the name of this service",
                _ => "give a name, or remove it",
            };
            return Err(BuildError::invalid(field, "empty", help));
        }
        let mut known = vec![&self.issuer];
        for (field, name) in issuers {
            if known.contains(&name) {
                let help = "it is accepted already: remove it";
                return Err(BuildError::invalid(field, format_args!("{name:?}"), help));
            }
            known.push(name);
        }
        Ok(())
    }
}
