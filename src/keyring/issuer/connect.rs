//! The bundled client's connections: straight to the server, or through a proxy's tunnel.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection before TLS to the server begins. The connection to a proxy may use TLS itself.
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes connections.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    direct: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Arc<Matcher>,
}

impl Connect {
    pub(crate) fn new(proxies: Matcher, tls: ClientConfig) -> Self {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let to_proxy = to_proxy.enable_http1().wrap_connector(direct.clone());
        Self { direct, to_proxy, proxies: Arc::new(proxies) }
    }
}

impl Service<Uri> for Connect {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // Plain http goes to this machine, or to a host that the application has named.
        let is_https = to.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = self.proxies.intercept(&to).filter(|_| is_https) else {
            let connecting = self.direct.call(to);
            return Box::pin(async { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        if !matches!(proxy.uri().scheme_str(), Some("http" | "https")) {
            // Without its address, which may have a password.
            return Box::pin(async { Err("the proxy's scheme is neither http nor https".into()) });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let connecting = tunnel.call(to);
        Box::pin(async { Ok(connecting.await?) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls_platform_verifier::BuilderVerifierExt;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn through(proxies: Matcher) -> Connect {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider);
        let tls = tls.with_safe_default_protocol_versions().unwrap();
        Connect::new(proxies, tls.with_platform_verifier().unwrap().with_no_client_auth())
    }

    /// Accepts one connection, and answers it: what was asked.
    async fn answer(listener: TcpListener, answer: &'static str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 1024];
        let length = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_proxy_of_the_environment_is_asked_for_a_tunnel_and_takes_no_plain_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://user:word@{}", listener.local_addr().unwrap());
        let matcher = || Matcher::builder().all(proxy.clone()).no("direct.invalid").build();
        let asked = tokio::spawn(answer(listener, "HTTP/1.1 200 OK\r\n\r\n"));
        through(matcher()).call(Uri::from_static("https://login.example/keys")).await.unwrap();
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("CONNECT login.example:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nProxy-Authorization: Basic dXNlcjp3b3Jk\r\n"), "{asked}");

        // Nothing listens there any more: these did not ask it.
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = format!("http://{}/keys", server.local_addr().unwrap()).parse().unwrap();
        assert!(through(matcher()).call(local).await.is_ok());
        let direct = Uri::from_static("https://direct.invalid/keys");
        let error = through(matcher()).call(direct).await.unwrap_err();
        assert!(error.to_string().contains("dns error"), "{error}");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_or_speaks_socks_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let refuses = Matcher::builder().all(proxy).build();
        tokio::spawn(answer(listener, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
        for (proxies, reason) in [
            (refuses, "proxy authorization required"),
            (Matcher::builder().all("socks5://127.0.0.1:1").build(), "neither http nor https"),
        ] {
            let to = Uri::from_static("https://login.example/keys");
            let error = through(proxies).call(to).await.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
