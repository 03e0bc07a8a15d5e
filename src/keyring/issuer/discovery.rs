//! Discovery: where an issuer describes itself, and which part of its description is used.
//!
//! SECURITY: a description must name exactly the issuer that was asked for (OpenID Connect Discovery
//! 1.0, section 4.3; RFC 8414, section 3.3). Without that, the keys of one issuer could be taken for
//! another's.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::crypto::algorithm::Algorithm;
use crate::crypto::der::KeyType;
use crate::crypto::material::key_type;
use crate::keyring::issuer::fetch::{Cause, Endpoint, FetchError, PlainHttp};
use crate::keyring::issuer::found::{Answer, Expected, cut};
use crate::keyring::issuer::http_client::HttpClient;

/// Where an issuer may describe itself, in the order in which it is asked. There is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) first: Endpoint,
    others: Vec<Endpoint>,
}

/// The members of a description that are used (OpenID Connect Discovery 1.0, section 3; RFC 8414,
/// section 2).
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: Value,
}

/// The place of an issuer's keys, and what its description says of them.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) keys: Endpoint,
    /// The only RSA algorithm in `id_token_signing_alg_values_supported`.
    pub(crate) rsa_algorithm: Option<Algorithm>,
}

impl Places {
    /// The places of an issuer: `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0, section 4); then, between host and path, `/.well-known/oauth-authorization-server` (RFC
    /// 8414, section 3.1) and `/.well-known/openid-configuration` (section 5).
    ///
    /// # Errors
    ///
    /// With the fix, if the issuer is no such URL.
    pub(crate) fn of(issuer: &str, plain_http: &PlainHttp) -> Result<Self, &'static str> {
        if issuer.contains('?') {
            return Err("give an issuer without a query");
        }
        Endpoint::parse(issuer, plain_http)?;
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let behind_scheme = base.find("://").map_or(0, |scheme| scheme + 3);
        let path = base[behind_scheme..].find('/').map_or(base.len(), |path| behind_scheme + path);
        let (origin, path) = base.split_at(path);
        let first = Endpoint::parse(&format!("{base}/.well-known/{OPENID}"), plain_http)?;
        let mut others = vec![format!("{origin}/.well-known/{OAUTH}{path}")];
        if !path.is_empty() {
            others.push(format!("{origin}/.well-known/{OPENID}{path}"));
        }
        let others = others.iter().map(|url| Endpoint::parse(url, plain_http));
        Ok(Self { first, others: others.collect::<Result<_, _>>()? })
    }

    /// Asks the issuer's description where the keys are. Only where a place answers 404 Not Found is
    /// the next one asked.
    pub(crate) async fn find_keys(
        &self,
        issuer: &str,
        client: &dyn HttpClient,
        limit: usize,
        plain_http: &PlainHttp,
    ) -> Result<Described, FetchError> {
        let mut first_head = None;
        for place in std::iter::once(&self.first).chain(&self.others) {
            match place.get(client, limit).await {
                Ok(answer) => return described(place, &answer, issuer, plain_http),
                Err(Cause::Status { status: StatusCode::NOT_FOUND, head }) => {
                    first_head.get_or_insert(head);
                }
                Err(cause) => return Err(place.error(cause)),
            }
        }
        let others: Vec<_> = self.others.iter().map(ToString::to_string).collect();
        let (head, others) = (first_head.unwrap_or_default(), others.join(" or "));
        Err(self.first.error(Cause::NoDescription { head, others }))
    }
}

fn described(
    place: &Endpoint,
    answer: &Answer,
    issuer: &str,
    plain_http: &PlainHttp,
) -> Result<Described, FetchError> {
    let document = |reason| place.error(Cause::Document(reason));
    let description: Description = serde_json::from_slice(&answer.body)
        .map_err(|_| document(answer.is_not(Expected::Description)))?;
    if description.issuer != issuer {
        let (found, expected) = (cut(&description.issuer), cut(issuer));
        let reason = format!(
            "it describes another issuer: found `issuer` {found}; expected {expected}; give the one \
                     found, or, if it is reached by another address, `KeyRing::jwks_url` with both"
        );
        return Err(document(reason));
    }
    let keys = Endpoint::parse(&description.jwks_uri, plain_http).map_err(|_| {
        let url = cut(&description.jwks_uri);
        document(format!("found `jwks_uri` {url}; expected an https URL"))
    })?;
    let listed = description.id_token_signing_alg_values_supported;
    Ok(Described { keys, rsa_algorithm: only_rsa_algorithm(&listed) })
}

/// The RSA algorithm of a list of algorithms, if there is one of them.
fn only_rsa_algorithm(listed: &Value) -> Option<Algorithm> {
    let names = listed.as_array()?.iter().filter_map(Value::as_str);
    let mut rsa = names
        .filter_map(|name| name.parse().ok())
        .filter(|algorithm| key_type(*algorithm) == Some(KeyType::Rsa));
    rsa.next().filter(|only| rsa.all(|other| other == *only))
}

const OPENID: &str = "openid-configuration";
const OAUTH: &str = "oauth-authorization-server";
