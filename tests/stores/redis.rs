//! The store in Redis or Valkey.

fn main() {
    stores::run::<stores::redis::Redis>();
}
