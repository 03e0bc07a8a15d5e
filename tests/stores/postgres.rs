//! The store in PostgreSQL.

fn main() {
    stores::run::<stores::postgres::Postgres>();
}
