//! The metadata document of a protected resource (RFC 9728, section 3).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::response::respond::problem_because;
use crate::sessions::handle::Sessions;
use crate::sessions::protected_resource::WELL_KNOWN;

impl<C> Sessions<C> {
    /// Returns the path of the metadata document: `/.well-known/oauth-protected-resource`, and the path of
    /// the [`protected_resource`](crate::SessionsBuilder::protected_resource) behind it (RFC 9728, section
    /// 3.1).
    pub fn resource_metadata_path(&self) -> &str {
        self.0.resource.as_ref().map_or(WELL_KNOWN, |resource| &resource.path)
    }

    /// Answers a `GET` for the metadata document: for services without axum's
    /// `Sessions::resource_metadata_router`. Caches may keep it for 10 minutes. 500 if the sessions have no
    /// [`protected_resource`](crate::SessionsBuilder::protected_resource).
    pub fn resource_metadata_response(&self) -> Response<Bytes> {
        let Some(resource) = &self.0.resource else {
            let detail = "The metadata of a protected resource needs `protected_resource`: add it to the \
                          builder of the sessions.";
            tracing::error!(mistake = detail, "no protected resource is described");
            return problem_because(StatusCode::INTERNAL_SERVER_ERROR, detail);
        };
        let mut answer = Response::new(Bytes::copy_from_slice(&resource.document));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
        answer
    }
}
