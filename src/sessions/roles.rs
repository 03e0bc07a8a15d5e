//! Where the roles of a session are: a claim's name, or a path to it.

use crate::claims::names::REGISTERED;
use crate::error::build::BuildError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::Sessions;
use crate::sessions::session::Session;

/// The names of the members that lead to the roles, one in the other; none if no roles are read.
pub(crate) fn path(claim: Option<&str>) -> Result<Box<[Box<str>]>, BuildError> {
    let Some(claim) = claim else { return Ok(Box::default()) };
    let invalid = |help: &str| BuildError::invalid("roles_claim", format_args!("{claim:?}"), help);
    let path: Box<[Box<str>]> = match claim.strip_prefix('/') {
        None => [claim.into()].into(),
        Some(rest) => rest.split('/').map(unescaped).collect::<Option<_>>().ok_or_else(|| {
            invalid("a JSON Pointer writes `~` as `~0` and `/` as `~1` (RFC 6901, section 3)")
        })?,
    };
    match path.first() {
        Some(first) if first.is_empty() => Err(invalid("give the name of a claim")),
        Some(first) if REGISTERED.contains(&&**first) => {
            Err(invalid("that is a registered claim: give the claim that holds the roles"))
        }
        _ => Ok(path),
    }
}

impl<C> Sessions<C> {
    /// Whether sessions have roles.
    pub(crate) fn reads_roles(&self) -> bool {
        !self.0.policy.roles.is_empty()
    }

    /// Why a session of this issuer is refused that lacks a role: which claim was read.
    #[cold]
    pub(crate) fn lacks_role(&self, session: &Session<C>, required: &str) -> Rejection {
        let path = &self.0.policy.roles;
        let claim = written(path);
        let found = match &session.verified().roles {
            _ if path.is_empty() => {
                format!("no roles_claim is set for {:?}", self.0.policy.issuers.first)
            }
            Some(roles) => format!("{roles:?} in {claim:?}"),
            None => format!("no claim {claim:?}{}", if_nested(path)),
        };
        let expected = match path.is_empty() {
            true => required.to_owned(),
            false => format!("{required} in {claim:?} (roles_claim)"),
        };
        RejectionKind::Forbidden.about("roles", found, expected)
    }
}

/// The path as the setting writes it.
fn written(path: &[Box<str>]) -> String {
    match path {
        [name] => name.to_string(),
        path => {
            let names = path.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
            names.map(|name| format!("/{name}")).collect()
        }
    }
}

/// How a claim is named inside of another, if a name with dots may mean that. A name that is a URL does not.
fn if_nested(path: &[Box<str>]) -> String {
    match path {
        [name] if name.contains('.') && !name.contains(['/', ':']) => {
            format!(" (if it is nested, write \"/{}\")", name.replace('.', "/"))
        }
        _ => String::new(),
    }
}

/// A reference token of a JSON Pointer (RFC 6901, section 4).
fn unescaped(token: &str) -> Option<Box<str>> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        match part.as_bytes().first()? {
            b'0' => text.push('~'),
            b'1' => text.push('/'),
            _ => return None,
        }
        text.push_str(&part[1..]);
    }
    Some(text.into())
}
