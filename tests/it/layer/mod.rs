//! The layers, over HTTP.

mod extractors;
mod grpc;
mod issue;
mod login_age;
mod login_page;
mod odd_wiring;
mod own_pages;
mod protected_resource;
mod readiness;
mod respond;
mod validate;
mod wiring_mistakes;
