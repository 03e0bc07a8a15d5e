//! The store in a Redis Cluster.

fn main() {
    stores::cluster::run();
}
