//! That no feature of tower-jwt-session changes what an application's other crates do: cargo turns a
//! shared dependency's features on for all who depend on it.
//!
//! `.ci/features` compares all features that are turned on with a list.

use std::sync::Arc;

use tower_jwt_session::KeyRing;
use tower_jwt_session::http_client::JwksClient;

#[test]
fn a_client_of_the_application_without_tls_is_built() {
    // With rustls turned on and no provider it panics: "No rustls crypto provider is configured".
    let client = reqwest::Client::builder().build();
    assert!(client.is_ok(), "{client:?}");
}

#[tokio::test]
async fn no_provider_is_chosen_for_the_application_and_its_lack_is_a_build_error() {
    let error = JwksClient::new().unwrap_err().to_string();
    assert!(error.contains("install_default()") && error.contains("with_provider"), "{error}");
    let opened = KeyRing::discover("https://login.example").open().await;
    assert_eq!(opened.unwrap_err().to_string(), error);
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[test]
fn numbers_of_the_application_are_read_as_before() {
    // By default serde_json reads some as their neighbor.
    let text = "240.95940143555438";
    let (read, nearest): (f64, f64) = (serde_json::from_str(text).unwrap(), text.parse().unwrap());
    assert_eq!(read.to_bits().abs_diff(nearest.to_bits()), 1);
}

/// Has a constant of its own only where `T` does not have that of the trait.
struct Probe<T>(std::marker::PhantomData<T>);

#[allow(
    dead_code,
    reason = "unused if the whole workspace is built and a test's dependency turns `rc` on"
)]
trait Otherwise {
    const SERIALIZES: bool = false;
}

impl<T> Otherwise for Probe<T> {}

impl<T: serde::Serialize> Probe<T> {
    const SERIALIZES: bool = true;
}

#[test]
fn shared_values_of_the_application_are_serialized_only_if_it_asks_for_it() {
    let serialized = [Probe::<String>::SERIALIZES, Probe::<Arc<str>>::SERIALIZES];
    assert_eq!(serialized, [true, false], "serde's feature `rc` is turned on");
}
