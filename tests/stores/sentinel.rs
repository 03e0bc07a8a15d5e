//! The store in Redis behind Sentinels.

fn main() {
    stores::sentinel::run();
}
