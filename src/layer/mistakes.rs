//! [`Mistakes`]: the application's mistakes that a layer sees, each logged once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sessions::login_page::LoginPage;

/// Which were logged.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    page_requires_session: AtomicBool,
    page_not_found: AtomicBool,
    logout_by_get: AtomicBool,
    cookie_is_dropped: AtomicBool,
}

impl Mistakes {
    #[cold]
    pub(crate) fn page_requires_session(&self, page: &LoginPage, is_optional: bool) {
        if is_first(&self.page_requires_session) {
            let mistake = match is_optional {
                true => "its handler takes `Session`: take `Option<Session>`",
                false => {
                    "`validate_layer` is around it: put the layer around the other routes only"
                }
            };
            tracing::error!(login_page = %page, mistake, "the login page requires a session");
        }
    }

    #[cold]
    pub(crate) fn page_not_found(&self, page: &LoginPage) {
        if is_first(&self.page_not_found) {
            let fix = "add a route for it, or give `login_page` the path of the one that is there";
            tracing::error!(login_page = %page, fix, "the login page is not found");
        }
    }

    #[cold]
    pub(crate) fn logout_by_get(&self) {
        if is_first(&self.logout_by_get) {
            let fix = "make its route a POST: with a GET, any link to it logs users out";
            tracing::warn!(fix, "a GET logged a user out");
        }
    }

    #[cold]
    pub(crate) fn cookie_is_dropped(&self) {
        if is_first(&self.cookie_is_dropped) {
            let fix = "open the page by https, or by http on `localhost`";
            tracing::warn!(fix, "a login came from a page by plain http; browsers drop its cookie");
        }
    }
}

fn is_first(logged: &AtomicBool) -> bool {
    !logged.swap(true, Ordering::Relaxed)
}
