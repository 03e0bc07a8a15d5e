//! [`LoginPage`]: where browsers that navigate to a page without a session are sent.

use std::fmt;
use std::sync::Arc;

use crate::error::build::BuildError;
use crate::sessions::return_to::ReturnTo;
use crate::transport::local_path;

/// The path of the login page, checked.
#[derive(Clone, Debug)]
pub(crate) struct LoginPage(Arc<str>);

impl LoginPage {
    pub(crate) fn parse(path: &str) -> Result<Self, BuildError> {
        match local_path::parse(path).filter(|_| !path.contains('#')) {
            Some(path) => Ok(Self(path.into())),
            None => {
                let help = "give a path of this site that begins with one `/`, such as `/login`, without \
                            dot segments, backslashes and a fragment";
                Err(BuildError::invalid("login_page", format_args!("{path:?}"), help))
            }
        }
    }

    /// Whether `target`, a path with its query, is the login page itself.
    pub(crate) fn is_at(&self, target: &str) -> bool {
        target.split('?').next() == self.0.split('?').next()
    }

    /// The location to which a request for `target` is redirected: a path with its query, or `None` if it
    /// is unknown. `max_age` is the greatest age of a login in seconds, where the user has to log in again.
    pub(crate) fn location(&self, target: Option<&str>, max_age: Option<u64>) -> String {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        if let Some(next) = target.and_then(local_path::parse) {
            parameters.append_pair(ReturnTo::PARAMETER, &next);
        }
        if let Some(max_age) = max_age {
            parameters.append_pair("max_age", &max_age.to_string());
        }
        let parameters = parameters.finish();
        let separator = match (parameters.is_empty(), self.0.contains('?')) {
            (true, _) => "",
            (_, true) => "&",
            (_, false) => "?",
        };
        format!("{}{separator}{parameters}", self.0)
    }
}

impl fmt::Display for LoginPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
