//! The files of `examples/deploy` at work: HAProxy and nginx before replicas of the example cluster.
//!
//! Each claim of the guide "Behind a proxy or an edge" has a test here. Where the programs are missing the
//! tests say so and check nothing; with the environment variable `REQUIRE_BALANCERS=1` they fail.

/// The example as a program.
#[path = "../support/example.rs"]
mod example;
mod files;
mod haproxy_jwt;
mod host;
mod nginx_auth_request;
/// Children that never outlive this program.
#[path = "../../examples/cluster/store/server/place.rs"]
#[allow(dead_code)]
mod place;
mod proxy;
mod replicas;
