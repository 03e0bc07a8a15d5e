//! The page's own session: one more user in each lane, and a thief on the way.
//!
//! All lanes are behind one origin, and several of their cookies have the same name. On the way to the
//! browser each cookie's name gets the arm's at its end; on the way back only those of the arm pass.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use hyper_util::client::legacy::{Client, connect::HttpConnector};

use crate::{
    balancer::{headers::strip_hop_by_hop, proxy},
    page::watch::lanes::Lane,
};

/// The way to one lane.
pub(crate) struct Way {
    http: Client<HttpConnector, Body>,
    /// The cookies of the last request to log out, as a thief has seen them.
    stolen: Mutex<Option<HeaderValue>>,
}

impl Way {
    /// A way on which nothing was stolen yet.
    pub(crate) fn new() -> Self {
        Self { http: proxy::keep_alive_client(), stolen: Mutex::default() }
    }

    /// Sends a request to the lane's balancer, at `path`. `Host`, `Origin` and the Fetch metadata pass
    /// unchanged: the lane compares them.
    pub(crate) async fn forward(&self, lane: &Lane, path: &str, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        let Ok(uri) = format!("{}{path}", lane.url).parse::<Uri>() else {
            return StatusCode::NOT_FOUND.into_response();
        };
        head.uri = uri;
        strip_hop_by_hop(&mut head.headers);
        let arm = lane.arm.to_string();
        let cookies = to_lane(&head.headers, &arm);
        head.headers.remove(header::COOKIE);
        if let Some(cookies) = cookies {
            if path == "/logout" {
                *self.stolen() = Some(cookies.clone());
            }
            head.headers.insert(header::COOKIE, cookies);
        }
        match self.http.request(Request::from_parts(head, body)).await {
            Ok(mut response) => {
                strip_hop_by_hop(response.headers_mut());
                to_browser(response.headers_mut(), &arm);
                response.map(Body::new).into_response()
            }
            Err(error) => (StatusCode::BAD_GATEWAY, proxy::with_causes(&error)).into_response(),
        }
    }

    /// Shows the stolen copy to every replica, past the balancer; says who accepts it.
    ///
    /// # Errors
    /// If nothing was stolen yet.
    pub(crate) async fn replay(&self, lane: &Lane) -> Result<String, String> {
        let stolen = self.stolen().clone().ok_or("nothing was stolen: log in, and then log out")?;
        let replicas = lane.running();
        let accepted = AtomicUsize::new(0);
        join_all(replicas.iter().map(async |replica| {
            let request = Request::get(format!("{}/me", replica.url));
            let request = request.header(header::COOKIE, stolen.clone()).body(Body::empty());
            let Ok(request) = request else { return };
            let answer = self.http.request(request).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }))
        .await;
        let accepted = accepted.into_inner();
        lane.add_accepted(accepted as u64);
        let count = replicas.len();
        Ok(format!("Your copied cookie: {accepted} of {count} replicas accept it."))
    }

    /// A panic under this lock cannot leave anything half changed, so poison says nothing.
    fn stolen(&self) -> std::sync::MutexGuard<'_, Option<HeaderValue>> {
        self.stolen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cookies of one arm, under their own names.
fn to_lane(headers: &HeaderMap, arm: &str) -> Option<HeaderValue> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let own = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let name = name.strip_suffix(arm)?.strip_suffix('.')?;
        Some(format!("{name}={value}"))
    });
    let own: Vec<_> = own.collect();
    HeaderValue::from_str(&own.join("; ")).ok().filter(|_| !own.is_empty())
}

/// Adds the arm to the name of each cookie that an answer sets.
fn to_browser(headers: &mut HeaderMap, arm: &str) {
    let header::Entry::Occupied(mut set) = headers.entry(header::SET_COOKIE) else { return };
    for cookie in set.iter_mut() {
        let Some((name, rest)) = cookie.to_str().ok().and_then(|text| text.split_once('=')) else {
            continue;
        };
        if let Ok(renamed) = HeaderValue::from_str(&format!("{name}.{arm}={rest}")) {
            *cookie = renamed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_sees_its_own_cookies() {
        let mut headers = HeaderMap::new();
        headers
            .append(header::SET_COOKIE, HeaderValue::from_static("__Host-a=x=1; Path=/; Secure"));
        headers.append(header::SET_COOKIE, HeaderValue::from_static("balancer=b; Path=/"));
        to_browser(&mut headers, "sticky");
        let set: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(set, ["__Host-a.sticky=x=1; Path=/; Secure", "balancer.sticky=b; Path=/"]);

        let mut headers = HeaderMap::new();
        let line = "__Host-a.sticky=x=1; __Host-a.memory=y; balancer.sticky=b; sticky=c; a=d";
        headers.append(header::COOKIE, HeaderValue::from_static(line));
        let own = |arm| to_lane(&headers, arm);
        assert_eq!(own("sticky").expect("two"), "__Host-a=x=1; balancer=b");
        assert_eq!(own("memory").expect("one"), "__Host-a=y");
        assert_eq!(own("stateless"), None);
    }
}
