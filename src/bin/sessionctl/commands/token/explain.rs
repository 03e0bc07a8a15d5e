//! `token explain`: reads the token, and has the library explain it with the keys that are at hand.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;
use tower_jwt_session::{Explanation, IssuerProfile, Sessions, Timestamp, Transport};

use crate::commands::token::keys::{Found, KeyOptions};
use crate::commands::token::report::{Assumed, Report};
use crate::credential;
use crate::failure::Failure;
use crate::options::{audiences, issuers};
use crate::terminal::Terminal;
use crate::time;

/// The options of `token explain`.
#[derive(Args)]
pub(crate) struct Explain {
    /// Refused: others could read it in the list of processes. Without it, the parser's error would print the token.
    #[arg(hide = true, num_args = 0.., trailing_var_arg = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    keys: KeyOptions,
    /// The issuer that the service expects. May be repeated for the names of one issuer: a service with several issuers
    /// is asked about once for each. Otherwise SESSIONCTL_ISSUER, with a space between two names; without both the
    /// token's own is assumed.
    #[arg(long, value_name = "ISS")]
    issuer: Vec<String>,
    /// The audience that the service expects. May be repeated. Otherwise SESSIONCTL_AUDIENCE, with a space between
    /// two names; without both the token's own is assumed.
    #[arg(long, value_name = "AUD")]
    audience: Vec<String>,
    /// Explains the token for this time, such as 2027-01-15T08:00:00Z, -15m or +2h.
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = time::time)]
    #[arg(allow_hyphen_values = true)]
    at: Timestamp,
    /// The service's clock_skew.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = time::duration)]
    clock_skew: Duration,
    /// The longest lifetime of a token, where its key does not say it.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = time::duration)]
    max_token_lifetime: Duration,
    /// The type of another issuer's tokens that the service accepts, such as at+jwt. Not with --store.
    #[arg(long, value_name = "TYP")]
    token_type: Option<String>,
    /// Accepts another issuer's tokens without `jti`. Not with --store.
    #[arg(long)]
    without_token_id: bool,
    /// The `IssuerProfile` that the service gives to `profile`. Not with --store.
    #[arg(long, value_name = "NAME", conflicts_with = "token_type")]
    profile: Option<Profile>,
}

/// A profile of the library, by its name there.
#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    Keycloak,
    EntraId,
    Google,
    Cognito,
    IdentityServer,
    Spring,
    SupabaseSecret,
    CloudflareAccess,
}

impl Profile {
    fn settings(self) -> IssuerProfile {
        match self {
            Self::Keycloak => IssuerProfile::KEYCLOAK,
            Self::EntraId => IssuerProfile::ENTRA_ID,
            Self::Google => IssuerProfile::GOOGLE,
            Self::Cognito => IssuerProfile::COGNITO,
            Self::IdentityServer => IssuerProfile::IDENTITY_SERVER,
            Self::Spring => IssuerProfile::SPRING,
            Self::SupabaseSecret => IssuerProfile::SUPABASE_SECRET,
            Self::CloudflareAccess => IssuerProfile::CLOUDFLARE_ACCESS,
        }
    }
}

/// What decides beside the token and the time.
pub(crate) struct Settings {
    pub(crate) at: Timestamp,
    pub(crate) clock_skew: Duration,
    pub(crate) max_token_lifetime: Duration,
}

impl Explain {
    pub(crate) async fn run(mut self, terminal: &Terminal) -> Result<(), Failure> {
        if !self.arguments.is_empty() {
            return Err(Failure::usage(
                "found an argument that is no option: expected the token on standard input, where no list of \
                 processes shows it: `sessionctl token explain < token.txt`",
            ));
        }
        self.issuer = issuers(self.issuer)?;
        self.audience = audiences(self.audience)?;
        let credential = credential::read(terminal)?;
        let settings = Settings {
            at: self.at,
            clock_skew: self.clock_skew,
            max_token_lifetime: self.max_token_lifetime,
        };
        let token = &*credential.token;
        // Of a token that cannot be read, no check of a name is reached.
        let offline = Found::offline(&settings)?;
        let (issuer, audience) = (vec![NO_NAME.to_owned()], vec![NO_NAME.to_owned()]);
        let claims = self.sessions(&offline, &issuer, &audience)?;
        let claims = claims.explain_without_key(token).claims.unwrap_or_default();
        let own = |name: &str| match &claims[name] {
            Value::Array(values) => values.first().and_then(Value::as_str),
            value => value.as_str(),
        };
        let given_or = |given: &[String], name| match (given, own(name)) {
            ([], Some(own)) if !own.is_empty() => vec![own.to_owned()],
            ([], _) => vec![NO_NAME.to_owned()],
            (given, _) => given.to_vec(),
        };
        let (issuer, audience) = (given_or(&self.issuer, "iss"), given_or(&self.audience, "aud"));
        let assumed_issuer = self.issuer.is_empty();
        let assumed = Assumed {
            issuer: assumed_issuer,
            audience: self.audience.is_empty(),
            settings: self.profile.is_none(),
        };

        let found = self.keys.open(self.issuer.first(), &issuer[0], &settings, terminal).await?;
        let sessions = self.sessions(&found, &issuer, &audience)?;
        let without_key = sessions.explain_without_key(token);
        let (explanation, also) = match found.has_keys {
            false => (without_key, None),
            true => {
                let explanation = sessions.explain(token);
                let also = is_about_key(&explanation).then_some(without_key);
                let is_other = |also: &Explanation| {
                    also.rejection.is_some() && also.rejection != explanation.rejection
                };
                let also = also.filter(is_other);
                (explanation, also)
            }
        };
        let mut report = Report::new(explanation, also, &found, assumed, &credential, &settings);
        if self.token_type.is_none() && self.profile.is_none() && !found.is_stored {
            report.name_the_option_of_a_type();
        }
        // The check of the issuer may come after the one that failed.
        if let Some(other) =
            own("iss").filter(|own| !assumed_issuer && !issuer.iter().any(|it| it == own))
        {
            report.note_issuer(other);
        }
        terminal.show(&report)
    }

    fn sessions(
        &self,
        found: &Found,
        issuers: &[String],
        audiences: &[String],
    ) -> Result<Sessions<Value>, Failure> {
        let mut builder = Sessions::builder(found.ring.clone(), &*issuers[0], &*audiences[0])
            .audiences(&audiences[1..])
            // The names are of no cookie.
            .transports([Transport::bearer()])
            .token_cache_bytes(0);
        for issuer in &issuers[1..] {
            builder = builder.also_accept_issuer(issuer);
        }
        match (&self.token_type, self.profile) {
            (Some(token_type), _) => builder = builder.accept_token_type(token_type),
            (None, Some(profile)) => builder = builder.profile(profile.settings()),
            // Public keys do not say whose they are: such tokens are of this crate.
            (None, None) if !found.is_stored => builder = builder.trust_revocation_version(),
            (None, None) => {}
        }
        if self.without_token_id {
            builder = builder.accept_without_token_id();
        }
        if let Some(revocations) = &found.revocations {
            builder = builder.revocations(revocations.clone());
        }
        Ok(builder.build()?)
    }
}

/// Whether the check that failed needs a key, so that no later one was reached.
fn is_about_key(explanation: &Explanation) -> bool {
    let failed = explanation.failed();
    failed.is_some_and(|check| ["key", "key times", "signature"].contains(&check.name))
}

/// In the place of a name that the token does not have.
const NO_NAME: &str = "none-given";
