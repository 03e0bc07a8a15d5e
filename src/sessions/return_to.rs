//! [`ReturnTo`]: the page to which a user returns after the login.

use std::borrow::Cow;
use std::fmt;

use http::header::REFERER;
use http::request::Parts;
use http::{Method, Uri};
use serde::{Deserialize, Deserializer};

use crate::transport::{local_path, navigation};

/// The page to which a user returns after the login: a path on this site, with its query, from the
/// parameter `next` that a redirect to the [login page](crate::SessionsBuilder::login_page) has.
///
/// Anyone can send a user a link to the login page with any `next`. So only a path of at most 2,048 bytes
/// that begins with exactly one `/` is taken; everything else becomes `/`: schemes, `//host`,
/// backslashes, control characters, dot segments, and their percent-encoded forms.
///
/// It is read from the query (as an axum extractor, or by [`from_query`](Self::from_query)) or from a
/// form's field (by serde), and is a response: `303 See Other`.
///
/// ```
/// use axum::{Form, response::Html};
/// use serde::Deserialize;
/// use tower_jwt_session::{Login, ReturnTo};
///
/// #[derive(Deserialize)]
/// struct Credentials {
///     name: String,
///     #[serde(default)]
///     next: ReturnTo,
/// }
///
/// async fn page(next: ReturnTo) -> Html<String> {
///     // `&` is escaped; quotes and angle brackets are already percent-encoded.
///     let next = next.as_str().replace('&', "&amp;");
///     Html(format!(r#"<form method="post"><input type="hidden" name="next" value="{next}">"#))
/// }
///
/// async fn log_in(Form(form): Form<Credentials>) -> (Login<()>, ReturnTo) {
///     (Login::new(form.name, ()), form.next)
/// }
///
/// assert_eq!(ReturnTo::from_query(Some("next=%2Fcart%3Fitem%3D7")).as_str(), "/cart?item=7");
/// assert_eq!(ReturnTo::from_query(Some("next=https://else.example")).as_str(), "/");
/// assert_eq!(ReturnTo::new("//else.example"), None);
/// assert_eq!(ReturnTo::new("/cart?item=7").unwrap().to_query(), "next=%2Fcart%3Fitem%3D7");
/// ```
#[doc(alias = "next")]
#[doc(alias = "redirect")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(Cow<'static, str>);

impl ReturnTo {
    /// The name of the query's parameter and of the form's field.
    pub const PARAMETER: &'static str = "next";

    /// Checks a path with its query and fragment, already decoded once as the value of a parameter.
    /// `None` if it may lead to another site, or is too long.
    pub fn new(next: &str) -> Option<Self> {
        local_path::parse(next).map(|path| Self(path.into_owned().into()))
    }

    /// Reads the parameter `next` of a URL's query, as in [`http::Uri::query`]. `/` if it is missing,
    /// comes more than once, or is refused.
    pub fn from_query(query: Option<&str>) -> Self {
        let parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let mut found = parameters.filter(|(name, _)| name == Self::PARAMETER);
        match (found.next(), found.next()) {
            (Some((_, next)), None) => Self::new(&next).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// The page from which a request comes: the target of a `GET`, also inside a nested router of axum; of another
    /// method, as of a form, the path of `Referer`. `/` if it is not known or refused.
    pub fn of(request: &Parts) -> Self {
        let page = match request.method {
            Method::GET | Method::HEAD => navigation::target(&request.uri, &request.extensions),
            // The path alone, and so a page of this site.
            _ => request.headers.get(REFERER).and_then(|page| {
                let page = page.to_str().ok()?.parse::<Uri>().ok()?;
                Some(page.path_and_query()?.as_str().to_owned())
            }),
        };
        page.and_then(|page| Self::new(&page)).unwrap_or_default()
    }

    /// Returns the parameter `next` for a URL's query, such as `next=%2Fcart%3Fitem%3D7`: after a wrong
    /// password, `format!("/login?{}", next.to_query())` leads back to the form.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(Self::PARAMETER, &self.0).finish()
    }

    /// Returns the path with its query, for `Location`: visible ASCII without quotes and angle brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The root of the site: `/`.
impl Default for ReturnTo {
    fn default() -> Self {
        Self(Cow::Borrowed("/"))
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// From text: `/` for what is refused.
impl<'de> Deserialize<'de> for ReturnTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let next = Cow::<str>::deserialize(deserializer)?;
        Ok(Self::new(&next).unwrap_or_default())
    }
}
