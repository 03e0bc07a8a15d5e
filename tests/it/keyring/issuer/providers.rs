//! Providers: what each profile stands for, and the rows of the guide's table, each with documents and tokens
//! of the provider's shape.

use super::*;
use tower_jwt_session::{IssuerProfile, Key, RejectionKind, SessionsBuilder, Transport};

type Settings = fn(SessionsBuilder<Value>) -> SessionsBuilder<Value>;

#[test]
fn profile_equals_the_settings_that_it_lists() {
    let keys = testing::fixed_ring(ManualClock::default());
    let profiles: [(IssuerProfile, Settings); 8] = [
        (IssuerProfile::KEYCLOAK, |it| {
            let it = it.accept_token_type("JWT").require_claim("typ", "Bearer");
            it.roles_claim("/realm_access/roles")
        }),
        (IssuerProfile::ENTRA_ID, |it| {
            let it = it.accept_token_type("JWT").accept_without_token_id();
            it.require_claim_present("azp").roles_claim("roles")
        }),
        (IssuerProfile::GOOGLE, |it| {
            let it = it.accept_token_type("JWT").accept_without_token_id();
            it.also_accept_issuer("accounts.google.com")
        }),
        (IssuerProfile::COGNITO, |it| {
            let it = it.accept_without_token_type().audience_claim("client_id");
            it.require_claim("token_use", "access").roles_claim("cognito:groups")
        }),
        (IssuerProfile::IDENTITY_SERVER, |it| it.accept_token_type("at+jwt")),
        (IssuerProfile::SPRING, |it| it.accept_without_token_type().require_claim_present("nbf")),
        (IssuerProfile::SUPABASE_SECRET, |it| {
            let it = it.accept_token_type("JWT").accept_without_token_id();
            it.accept_without_key_id().roles_claim("role")
        }),
        (IssuerProfile::CLOUDFLARE_ACCESS, |it| {
            let it = it.accept_without_token_type().accept_token_type("JWT");
            let it = it.accept_without_token_id().require_claim("type", "app");
            it.transports([Transport::header("Cf-Access-Jwt-Assertion")])
        }),
    ];
    let builder = || Sessions::<Value>::builder(keys.clone(), ISSUER, "orders");
    let bare = format!("{:?}", builder());
    for (profile, settings) in profiles {
        let [by_profile, by_settings] = [builder().profile(profile), settings(builder())];
        assert_eq!(format!("{by_profile:?}"), format!("{by_settings:?}"));
        assert_ne!(format!("{by_settings:?}"), bare);
    }
    // A later setting overrides.
    let later = builder().profile(IssuerProfile::KEYCLOAK).accept_token_type("at+jwt");
    assert!(format!("{later:?}").contains("at+jwt"));
}

/// A provider as the table has it: the shape of its tokens, and of one that must be refused.
struct Row {
    name: &'static str,
    issuer: &'static str,
    audience: &'static str,
    /// The header without `alg` and `kid`.
    header: Value,
    claims: Value,
    /// Claims that make another kind of token of it, such as an ID token.
    other_kind: Option<Value>,
    settings: Settings,
}

fn rows() -> Vec<Row> {
    let jwt = || json!({ "typ": "JWT" });
    vec![
        Row {
            name: "Auth0",
            issuer: "https://shop.eu.auth0.example/",
            audience: "https://api.shop.example",
            header: jwt(),
            claims: json!({
                "aud": ["https://api.shop.example", "https://shop.eu.auth0.example/userinfo"],
                "azp": "client", "scope": "openid read:orders", "jti": null,
            }),
            other_kind: Some(json!({ "aud": "client" })),
            settings: |it| it.accept_token_type("JWT").accept_without_token_id(),
        },
        Row {
            name: "Auth0, RFC 9068 profile",
            issuer: "https://shop.eu.auth0.example/",
            audience: "https://api.shop.example",
            header: json!({ "typ": "at+jwt" }),
            claims: json!({ "client_id": "client", "scope": "read:orders" }),
            other_kind: None,
            settings: |it| it.accept_token_type("at+jwt"),
        },
        Row {
            name: "Okta",
            issuer: "https://shop.okta.example/oauth2/default",
            audience: "api://default",
            header: json!({}),
            claims: json!({ "ver": 1, "jti": "AT.x", "cid": "client", "uid": "u", "scp": ["orders"] }),
            other_kind: Some(json!({ "aud": "client", "scp": null, "cid": null })),
            settings: |it| it.accept_without_token_type().require_claim_present("cid"),
        },
        Row {
            name: "Firebase",
            issuer: "https://securetoken.google.example/shop",
            audience: "shop",
            header: jwt(),
            claims: json!({ "user_id": "alice", "jti": null, "firebase": { "identities": {} } }),
            other_kind: None,
            settings: |it| it.accept_token_type("JWT").accept_without_token_id(),
        },
        Row {
            name: "Kubernetes",
            issuer: "https://kubernetes.default.svc.cluster.local",
            audience: "orders",
            header: json!({}),
            claims: json!({
                "aud": ["orders"], "sub": "system:serviceaccount:shop:web", "jti": null,
                "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "web" } },
            }),
            other_kind: Some(json!({ "aud": ["https://kubernetes.default.svc"] })),
            settings: |it| it.accept_without_token_type().accept_without_token_id(),
        },
        Row {
            name: "GitHub Actions",
            issuer: "https://token.actions.githubusercontent.example",
            audience: "orders",
            header: json!({ "typ": "JWT", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE" }),
            claims: json!({
                "sub": "repo:shop/web:ref:refs/heads/main", "repository": "shop/web",
                "repository_owner_id": "1",
            }),
            other_kind: Some(json!({ "repository": "evil/web" })),
            settings: |it| it.accept_token_type("JWT").require_claim("repository", "shop/web"),
        },
        Row {
            name: "Apple",
            issuer: "https://appleid.apple.example",
            audience: "com.shop.app",
            header: json!({}),
            claims: json!({ "jti": null, "email_verified": true, "nonce_supported": true }),
            other_kind: Some(json!({ "aud": "com.evil.app" })),
            settings: |it| it.accept_without_token_type().accept_without_token_id(),
        },
        Row {
            name: "UAA",
            issuer: "https://uaa.example/oauth/token",
            audience: "orders",
            header: json!({ "typ": "JWT", "jku": "https://uaa.example/token_keys" }),
            claims: json!({
                "aud": ["orders", "web"], "cid": "web", "azp": "web", "scope": ["orders.read"],
                "grant_type": "client_credentials",
            }),
            other_kind: Some(json!({ "cid": null })),
            settings: |it| {
                let it = it.accept_token_type("JWT").ignore_embedded_keys();
                it.require_claim_present("cid")
            },
        },
        Row {
            name: "Azure AD B2C",
            issuer: "https://shop.b2clogin.example/1111/v2.0/",
            audience: "api",
            header: jwt(),
            claims: json!({ "jti": null, "scp": "orders.read", "azp": "web", "ver": "1.0" }),
            other_kind: Some(json!({ "scp": null, "azp": null })),
            settings: |it| {
                let it = it.accept_token_type("JWT").accept_without_token_id();
                it.require_claim_present("azp")
            },
        },
        Row {
            name: "PingOne",
            issuer: "https://auth.pingone.example/1111/as",
            audience: "orders",
            header: json!({}),
            claims: json!({ "client_id": "web", "scope": "orders", "jti": null, "aud": ["orders"] }),
            other_kind: Some(json!({ "aud": "web", "client_id": null })),
            settings: |it| {
                let it = it.accept_without_token_type().accept_without_token_id();
                it.require_claim_present("client_id")
            },
        },
        Row {
            name: "GitLab CI",
            issuer: "https://gitlab.example",
            audience: "orders",
            header: jwt(),
            claims: json!({ "project_path": "shop/web", "sub": "project_path:shop/web" }),
            other_kind: Some(json!({ "project_path": "evil/web" })),
            settings: |it| it.accept_token_type("JWT").require_claim("project_path", "shop/web"),
        },
        Row {
            name: "AWS Cognito, ID tokens",
            issuer: "https://cognito-idp.example/eu_1",
            audience: "client",
            header: json!({}),
            claims: json!({ "token_use": "id" }),
            other_kind: Some(json!({ "token_use": "access" })),
            settings: |it| it.accept_without_token_type().require_claim("token_use", "id"),
        },
    ]
}

impl Row {
    /// A ring that has discovered the provider, whose RSA key has no `alg`.
    async fn ring(&self, clock: &ManualClock) -> KeyRing {
        let mut key = jwk(Algorithm::RS256, "k1");
        key.as_object_mut().unwrap().remove("alg");
        let client = FakeClient::new(set([key]));
        let document = json!({
            "issuer": self.issuer, "jwks_uri": URL,
            "id_token_signing_alg_values_supported": ["RS256"],
        });
        let base = self.issuer.strip_suffix('/').unwrap_or(self.issuer);
        let place = format!("{base}/.well-known/openid-configuration");
        client.answers(&place, Answer::Says(200, "", document.to_string()));
        KeyRing::discover(self.issuer).client(client).clock(clock.clone()).open().await.unwrap()
    }

    fn token(&self, clock: &ManualClock, changes: &Value) -> String {
        let now = clock.now().as_unix_seconds();
        let mut header = json!({ "alg": "RS256", "kid": "k1" });
        header.as_object_mut().unwrap().extend(self.header.as_object().unwrap().clone());
        let mut claims = json!({
            "iss": self.issuer, "sub": "alice", "aud": self.audience, "iat": now, "exp": now + 3600,
            "jti": "j1",
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(self.claims.as_object().unwrap().clone());
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        let key: Key = testing::fixed_key(Algorithm::RS256);
        testing::mint(&key, header.to_string(), claims.to_string())
    }
}

#[tokio::test]
async fn token_of_each_provider_is_accepted_with_its_row_and_no_other_kind() {
    let clock = ManualClock::default();
    for row in rows() {
        let keys = row.ring(&clock).await;
        let builder = || Sessions::builder(keys.clone(), row.issuer, row.audience);
        let sessions = (row.settings)(builder()).build().unwrap();
        let token = row.token(&clock, &json!({}));
        let judged = sessions.validate(&token);
        assert!(judged.is_ok(), "{}: {}", row.name, sessions.explain(&token));
        // The settings are needed.
        assert!(builder().build().unwrap().validate(&token).is_err(), "{}", row.name);
        if let Some(other_kind) = &row.other_kind {
            let refused = sessions.validate(&row.token(&clock, other_kind)).unwrap_err();
            let expected = [RejectionKind::WrongAudience, RejectionKind::WrongClaim];
            assert!(expected.contains(&refused.kind()), "{}: {refused:?}", row.name);
        }
    }
}

#[tokio::test]
async fn each_provider_of_the_guides_table_is_tested() {
    let guide = include_str!("../../../../src/guide/other_issuers.md");
    for row in rows() {
        assert!(guide.contains(&format!("| {} |", row.name)), "{} is not in the table", row.name);
    }
    let table = guide.split("# Settings by provider").nth(1).unwrap();
    let table = table.split("\n# ").next().unwrap();
    let count = table.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(count, rows().len() + 1, "a row that is not tested");
}

#[tokio::test]
async fn assertion_of_cloudflare_access_is_read_from_its_header() {
    let clock = ManualClock::default();
    let row = Row {
        name: "Cloudflare Access",
        issuer: "https://shop.cloudflareaccess.example",
        audience: "tag",
        header: json!({}),
        claims: json!({ "aud": ["tag"], "type": "app", "jti": null, "email": "a@example.com" }),
        other_kind: None,
        settings: |it| it.profile(IssuerProfile::CLOUDFLARE_ACCESS),
    };
    let keys = row.ring(&clock).await;
    let builder = Sessions::<Value>::builder(keys, row.issuer, row.audience);
    let sessions = (row.settings)(builder).subject_claim("common_name").build().unwrap();
    let user = sessions.validate(&row.token(&clock, &json!({}))).unwrap();
    assert_eq!(user.subject(), "alice");
    let service = row.token(&clock, &json!({ "sub": "", "common_name": "robot.access" }));
    assert_eq!(sessions.validate(&service).unwrap().subject(), "robot.access");
}
