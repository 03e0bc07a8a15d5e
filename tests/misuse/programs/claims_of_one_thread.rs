//~ error[E0277]: `Cart` cannot be the claims of a session
//~ claims are owned, `Send`, `Sync` and `'static`

use std::cell::Cell;

use serde::{Deserialize, Serialize};
use tower_jwt_session::{BuildError, KeyRing, Sessions};

#[derive(Serialize, Deserialize)]
pub struct Cart {
    pub items: Cell<u32>,
}

pub fn sessions(keys: KeyRing) -> Result<Sessions<Cart>, BuildError> {
    Sessions::<Cart>::builder(keys, "https://app.example", "app").build()
}
