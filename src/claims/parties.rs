//! Who issues tokens, and for whom: what all tokens of the same sessions say alike.

use crate::claims::names::BEGINNING;

/// An issuer and its audience, and how their claims are written around a token's subject.
#[derive(Clone, Debug)]
pub(crate) struct Parties {
    pub(crate) issuer: Box<str>,
    pub(crate) audience: Box<str>,
    /// From the payload's beginning to the subject's text.
    pub(crate) before_subject: Box<[u8]>,
    /// From the end of the subject's text to the time of issuing.
    pub(crate) after_subject: Box<[u8]>,
}

impl Parties {
    pub(crate) fn new(issuer: String, audience: String) -> Self {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        Self {
            before_subject: format!(r#"{BEGINNING}:{},"sub":""#, text(&issuer)).into_bytes().into(),
            after_subject: format!(r#"","aud":{},"iat":"#, text(&audience)).into_bytes().into(),
            issuer: issuer.into(),
            audience: audience.into(),
        }
    }
}
