//~ error[E0277]: `User` cannot be the claims of a session: derive `serde::Serialize` and `serde::Deserialize`
//~ these claims cannot be read from a token
//~ a service that only validates needs no `Serialize`

use tower_jwt_session::{BuildError, KeyRing, Sessions};

pub struct User {
    pub name: String,
}

pub fn sessions(keys: KeyRing) -> Result<Sessions<User>, BuildError> {
    Sessions::<User>::builder(keys, "https://app.example", "app").build()
}
