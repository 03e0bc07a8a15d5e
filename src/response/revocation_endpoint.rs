//! The token revocation endpoint of RFC 7009: a client logs out by one of its tokens.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::error::operation::OperationErrorKind;
use crate::response::respond;
use crate::response::token_endpoint::{BadForm, UNAVAILABLE, failure, parameters};
use crate::sessions::failure_log::Entrance;
use crate::sessions::handle::Sessions;

impl<C> Sessions<C> {
    /// Answers a request to the token revocation endpoint (RFC 7009), in any framework: a form with the
    /// `token`, a refresh token or an access token. It is for `POST` alone. This is the logout of a client
    /// whose access token has expired.
    ///
    /// | | |
    /// |---|---|
    /// | 200 | the token's session is [revoked](Self::revoke_token), or the token is not valid, whatever is wrong with it (RFC 7009, section 2.2) |
    /// | 400 | `invalid_request`: not such a form; `unsupported_token_type`: the sessions have no revocations |
    /// | 503 | `temporarily_unavailable`: the revocation was not recorded, and the tokens are still valid; try again |
    ///
    /// `token_type_hint` is ignored. Clients are not authenticated.
    pub async fn revocation_response(&self, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
        let token = match parameters(headers, body, ["token"]) {
            Ok([Some(token)]) => token,
            Ok([None]) => return BadForm::Parameter("token", "none").into_response(),
            Err(not_good) => return not_good.into_response(),
        };
        let Err(error) = self.revoke_token(&token).await else { return done() };
        if let Some(rejection) = error.rejection() {
            let now = self.now();
            self.0.failure_log.log(rejection, Entrance::RevocationEndpoint, now);
            self.count_rejected(rejection);
            let mut answer = done();
            answer.extensions_mut().insert(rejection.clone());
            return answer;
        }
        if error.kind() == OperationErrorKind::NotConfigured {
            tracing::error!(%error, "a token cannot be revoked");
            let description = "no token can be revoked: they expire";
            return failure(StatusCode::BAD_REQUEST, "unsupported_token_type", description);
        }
        tracing::error!(%error, "a token was not revoked");
        let description = "the token is still valid; try again later";
        let mut answer = failure(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, description);
        respond::try_again(&mut answer);
        answer
    }
}

fn done() -> Response<Bytes> {
    Response::new(Bytes::new())
}
