use benches::Fixture;
fn main() {
    let f = Fixture::new(jsonwebtoken::Algorithm::HS256);
    let what = std::env::args().nth(1).unwrap();
    for _ in 0..3_000_000u32 {
        match &*what { "v" => assert!(f.validates(std::hint::black_box(&f.token))), "u" => assert!(f.validates_unit(&f.token)), _ => assert!(f.issues()) }
    }
}
