//! Every time can be shown and serialized.

use tower_jwt_session::Timestamp;

#[test]
fn time_outside_of_rfc_3339_shows_as_its_first_or_last() {
    const FIRST: i64 = -62_167_219_200_000;
    const LAST: i64 = 253_402_300_799_999;
    let times = [i64::MIN, i64::MIN + 1, FIRST - 1, FIRST, -1, 0, LAST, LAST + 1, i64::MAX];
    for millis in times {
        let time = Timestamp::from_unix_millis(millis);
        let expected = Timestamp::from_unix_millis(millis.clamp(FIRST, LAST));
        let text = time.to_string();
        assert_eq!(text, expected.to_string());
        assert!(!format!("{time:?}").is_empty());
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), expected);
    }
    assert_eq!(Timestamp::from_unix_millis(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
    assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    assert_eq!(Timestamp::from_unix_seconds(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
}
