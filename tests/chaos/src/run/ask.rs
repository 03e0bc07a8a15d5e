//! Requests of users: log in, ask, log out.

use reqwest::{Client, RequestBuilder};

/// What came back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status, and the body.
    Status(u16, String),
    /// Nothing.
    Unreachable(String),
}

impl Answer {
    /// In few words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Status(status, body) => {
                let body: String = body.chars().take(120).collect();
                format!("{status} {body}")
            }
            Self::Unreachable(reason) => reason.clone(),
        }
    }

    /// Whether a request was answered with a session.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Status(200..=299, _))
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let unreachable = |error: reqwest::Error| {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            words += &format!(": {error}");
            cause = error.source();
        }
        Answer::Unreachable(words)
    };
    match request.send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            match answer.text().await {
                Ok(body) => Answer::Status(status, body),
                Err(error) => unreachable(error),
            }
        }
        Err(error) => unreachable(error),
    }
}

/// Asks who the user is.
pub(crate) async fn me(client: &Client, url: &str, token: &str) -> Answer {
    answer(client.get(format!("{url}/me")).bearer_auth(token)).await
}

/// Logs the session out.
pub(crate) async fn logout(client: &Client, url: &str, token: &str) -> Answer {
    answer(client.post(format!("{url}/logout")).bearer_auth(token)).await
}

/// Logs a user of the crowd in; the token, if there is one.
pub(crate) async fn login(client: &Client, url: &str, user: u64) -> (Answer, Option<String>) {
    let form = format!(r#"{{"username":"user-{user}","password":"one of many"}}"#);
    let request = client.post(format!("{url}/login?transport=bearer"));
    let answer = answer(request.header("content-type", "application/json").body(form)).await;
    let token = match &answer {
        Answer::Status(200, body) => serde_json::from_str::<serde_json::Value>(body).ok(),
        _ => None,
    };
    let token = token.and_then(|body| Some(body["access_token"].as_str()?.to_owned()));
    (answer, token)
}

/// Reads a page of an operator.
pub(crate) async fn page(client: &Client, url: &str, path: &str) -> Answer {
    answer(client.get(format!("{url}{path}"))).await
}
