//~ error[E0277]: `User` cannot be the claims of a session: derive `serde::Serialize` and `serde::Deserialize`
//~ let _ = sessions.layer();
//~ let _ = sessions.issue_layer();
//~ let _ = sessions.validate_layer();
//~ let _ = sessions.issue(&Login::new("alice", user));
//~ these claims cannot be issued
//~ a service that only validates needs no `Serialize`: use `validate_only_layer()`, and in tests `TestSession::from_json`

use serde::Deserialize;
use tower_jwt_session::{BuildError, KeyRing, Login, Sessions};

#[derive(Deserialize)]
pub struct User {
    pub name: String,
}

pub fn layers(keys: KeyRing) -> Result<(), BuildError> {
    let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build()?;
    let _ = sessions.layer();
    let _ = sessions.issue_layer();
    let _ = sessions.validate_layer();
    Ok(())
}

pub fn issue(sessions: &Sessions<User>, user: User) {
    let _ = sessions.issue(&Login::new("alice", user));
}
