//! The guides, one page per question. Code in them is compiled with the tests.
//!
//! | question | page |
//! |---|---|
//! | How do I log users in, read their session and log them out? | [`first_service`] |
//! | How does a site of pages log users in, with a login page and CSRF protection? | [`browsers`] |
//! | How does a single-page application on another origin log in? Callbacks, frames, sub-domains? | [`cross_origin`] |
//! | How do I answer with error pages of my own? | [`error_pages`] |
//! | How do users stay logged in for weeks ("remember me")? | [`remember_me`] |
//! | How do clients that keep their tokens themselves stay logged in: apps, single-page applications, other services? | [`bearer`] |
//! | How do I validate tokens that another service issues? | [`other_issuers`] |
//! | Which algorithm, which key source, and how do keys rotate? | [`keys`] |
//! | How do I end a session before it expires, or take a role away? | [`ending_sessions`] |
//! | Which store, and what does it need? | [`stores`] |
//! | How do I make a store of another engine? | [`write_a_store`] |
//! | How do I deploy it, and what has to hold before users come? | [`production`] |
//! | What do I watch and alert on in production? | [`operations`] |
//! | Who did what, when? What does OWASP ASVS 16 ask for? | [`audit`] |
//! | An alert fires, or a key leaked: what now? | [`runbook`] |
//! | How do I rotate or revoke keys, and check a store, from a shell? | [`sessionctl`] |
//! | What happens when a store, a replica, a clock or the network fails? | [`faults`] |
//! | How do I put HAProxy, nginx or another proxy in front? | [`proxies`] |
//! | Why are users logged out at random? | [`random_logouts`] |
//! | How do I use it with tonic (gRPC), hyper, or another framework? | [`other_frameworks`] |
//! | How do I move from tower-sessions and axum-login? | [`from_axum_login`] |
//! | How do users of axum-login stay logged in while I move? | [`adopting_sessions`] |
//! | How do I move from axum-jwt-auth, jwt-authorizer or hand-written jsonwebtoken? | [`from_jsonwebtoken`] |
//! | How do I rename the issuer or change the keys without logging users out? | [`changing`] |
//! | How do I test an application that uses this crate? | [`testing`] |
//! | What is promised against which attacker? | [`security`] |
//! | What does it cost per request? | [`costs`] |
//! | How do I try all of it on my machine? | [`cluster`] |
//! | How does it work inside? | [`walks`] |
//!
//! # Words of other frameworks
//!
//! | there | here |
//! |---|---|
//! | authentication ticket, principal, current user | [`Session`](crate::Session) |
//! | authentication scheme, filter chain, middleware | [`Sessions::layer`](crate::Sessions::layer), [`validate_layer`](crate::Sessions::validate_layer) |
//! | sliding expiration, expiry on inactivity after `d` | [`idle_lifetime(2 * d)`](crate::SessionsBuilder::idle_lifetime): a user is logged out after `d` to `2 * d` without a request |
//! | remember-me, `IsPersistent` | [`remember_me`] |
//! | `LoginPath`, `ReturnUrl`, request cache, `login_required!` | [`login_page`](crate::SessionsBuilder::login_page), [`ReturnTo`](crate::ReturnTo) |
//! | policy, authority, `permission_required!` | [`authorize`](crate::layer::ValidateLayer::authorize), [`require_role`](crate::layer::ValidateLayer::require_role) |
//! | session fixation, `cycle_id` | every [`Login`](crate::Login) begins a session with a new ID |
//! | security stamp, `session_auth_hash` | [`Logout::others`](crate::Logout::others), [`revoke_subject`](crate::Sessions::revoke_subject) |
//! | `OnValidatePrincipal`, `UserDetailsService` | [`on_renewal`](crate::SessionsBuilder::on_renewal), [`reload_claims`](crate::Sessions::reload_claims) |
//! | denylist of tokens | [`Revocations`](crate::Revocations) |
//! | data protection, key rotation | [`keys`] |
//! | anti-forgery token, CSRF filter | [`browsers`]: no token in forms is needed |
//! | server-side session data, flash messages | not here: keep them beside, for example in `tower-sessions`: [`from_axum_login`] |

/// Gives each page a module, whose documentation is a Markdown file beside this one: the question, the shortest
/// answer, then why, then limits.
macro_rules! pages {
    ($($name:ident $file:literal)*) => {$(
        #[cfg_attr(all(feature = "axum", feature = "cookie"), doc = include_str!($file))]
        #[cfg_attr(not(all(feature = "axum", feature = "cookie")), doc = $file)]
        pub mod $name {}
    )*};
}

pages! {
    first_service "first_service.md"
    browsers "browsers.md"
    cross_origin "cross_origin.md"
    error_pages "error_pages.md"
    remember_me "remember_me.md"
    bearer "bearer.md"
    other_issuers "other_issuers.md"
    keys "keys.md"
    ending_sessions "ending_sessions.md"
    stores "stores.md"
    write_a_store "write_a_store.md"
    production "production.md"
    operations "operations.md"
    audit "audit.md"
    runbook "runbook.md"
    sessionctl "sessionctl.md"
    faults "faults.md"
    proxies "proxies.md"
    random_logouts "random_logouts.md"
    other_frameworks "other_frameworks.md"
    from_axum_login "from_axum_login.md"
    adopting_sessions "adopting_sessions.md"
    from_jsonwebtoken "from_jsonwebtoken.md"
    changing "changing.md"
    testing "testing.md"
    security "security.md"
    costs "costs.md"
    cluster "cluster.md"
    walks "walks.md"
}
