//! The guides, one page per question. Code in them is compiled with the tests.
//!
//! | question | page |
//! |---|---|
//! | How do I log users in, read their session and log them out? | [`first_service`] |
//! | What does the cookie protect against, and what must a browser application do? | [`browsers`] |
//! | What about pages on another origin, apps, callbacks, frames and sub-domains? | [`cross_origin`] |
//! | How do users stay logged in for weeks ("remember me")? | [`remember_me`] |
//! | How do mobile apps, command-line tools and other services stay logged in? | [`bearer`] |
//! | How do I validate tokens that another service issues? | [`other_issuers`] |
//! | Which algorithm, which key source, and how do keys rotate? | [`keys`] |
//! | How do I end a session before it expires? | [`ending_sessions`] |
//! | Which store, and what does it need? | [`stores`] |
//! | How do I make a store of another engine? | [`write_a_store`] |
//! | What has to hold before users come? | [`production`] |
//! | What do I watch and alert on in production? | [`operations`] |
//! | How do I put HAProxy, nginx or another proxy in front? | [`proxies`] |
//! | Why are users logged out at random? | [`random_logouts`] |
//! | How do I use it with tonic (gRPC), hyper, or another framework? | [`other_frameworks`] |
//! | How do I rename the issuer or change the keys without logging users out? | [`changing`] |
//! | How do I test an application that uses this crate? | [`testing`] |
//! | What is promised against which attacker? | [`security`] |
//! | What does it cost per request? | [`costs`] |
//! | How do I try all of it on my machine? | [`cluster`] |
//! | How does it work inside? | [`walks`] |

/// Gives each page a module, whose documentation is a Markdown file beside this one.
macro_rules! pages {
    ($($name:ident $file:literal $summary:literal)*) => {$(
        #[doc = $summary]
        ///
        #[cfg_attr(all(feature = "axum", feature = "cookie"), doc = include_str!($file))]
        pub mod $name {}
    )*};
}

pages! {
    first_service "first_service.md" "Log in, read the session, log out: a whole axum service."
    browsers "browsers.md" "Cookies, renewal and the guard against cross-site requests (CSRF)."
    cross_origin "cross_origin.md" "Pages on other origins, apps, callbacks, frames and sub-domains."
    remember_me "remember_me.md" "Persistent logins: a lifetime of their own, and a cookie that stays."
    bearer "bearer.md" "Bearer tokens and refresh tokens, for clients that are not browsers."
    other_issuers "other_issuers.md" "Validate the tokens of another service."
    keys "keys.md" "Algorithms, key sources, and how keys rotate."
    ending_sessions "ending_sessions.md" "Log users out on every replica."
    stores "stores.md" "Where replicas meet: a directory, Redis, PostgreSQL, or no store."
    write_a_store "write_a_store.md" "Make a store of the engine that a service already has."
    production "production.md" "The checklist before users come, and how to see each line of it."
    operations "operations.md" "Readiness, metrics, alerts and emergencies."
    proxies "proxies.md" "Behind a proxy or an edge: HAProxy, nginx, and what they can decide."
    random_logouts "random_logouts.md" "Random logouts: symptom, what to look at, cause, fix."
    other_frameworks "other_frameworks.md" "gRPC (tonic), hyper, and any other Tower service."
    changing "changing.md" "Renames and upgrades without logging anyone out."
    testing "testing.md" "Test an application that uses this crate."
    security "security.md" "The security model in one page."
    costs "costs.md" "What a request costs."
    cluster "cluster.md" "The cluster example: what it shows, and how to run it."
    walks "walks.md" "Five walks through the source, for its readers."
}
