//! The accounts of the services of this package.

use std::fmt;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub struct Account {
    pub id: String,
    pub name: String,
    /// A real service has a hash of it.
    pub password: String,
    pub roles: Vec<String>,
}

impl Account {
    pub fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|it| it == role)
    }
}

/// Without the password: `axum-login` logs users.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A table of a database.
#[derive(Clone, Debug)]
pub struct Users(Arc<Mutex<Vec<Account>>>);

impl Default for Users {
    fn default() -> Self {
        let account = |id: &str, name: &str, roles: &[&str]| Account {
            id: id.into(),
            name: name.into(),
            password: format!("{name}'s password"),
            roles: roles.iter().map(|role| (*role).into()).collect(),
        };
        let accounts = vec![account("17", "ada", &["admin"]), account("18", "bob", &[])];
        Self(Arc::new(Mutex::new(accounts)))
    }
}

impl Users {
    /// The account with this name, if the password is its own.
    pub async fn authenticate(&self, name: &str, password: &str) -> Option<Account> {
        self.find(|it| it.name == name && it.password == password)
    }

    pub async fn get(&self, id: &str) -> Option<Account> {
        self.find(|it| it.id == id)
    }

    pub async fn set_password(&self, id: &str, password: &str) -> Option<Account> {
        self.change(|it| it.id == id, |it| it.password = password.into())
    }

    pub async fn make_admin(&self, name: &str) -> Option<Account> {
        self.change(|it| it.name == name, |it| it.roles.push("admin".into()))
    }

    fn find(&self, is_it: impl Fn(&Account) -> bool) -> Option<Account> {
        self.change(is_it, |_| {})
    }

    fn change(
        &self,
        is_it: impl Fn(&Account) -> bool,
        change: impl FnOnce(&mut Account),
    ) -> Option<Account> {
        let mut accounts = self.0.lock().expect("no panic");
        let account = accounts.iter_mut().find(|account| is_it(account))?;
        change(account);
        Some(account.clone())
    }
}
