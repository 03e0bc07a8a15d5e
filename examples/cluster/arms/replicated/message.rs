//! The messages between replicas: JSON in frames of limited size. A peer that sends one that cannot be read
//! loses the connection.

use std::io;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::arms::app::User;

/// How long a frame may be, and how many changes it has at most.
const LARGEST_FRAME: usize = 1 << 20;
pub(crate) const CHANGES_PER_FRAME: usize = 500;
/// How long an identifier or a name may be, and how many roles a user may have.
const LONGEST_TEXT: usize = 128;
const MOST_ROLES: usize = 16;

/// A process of a replica. Another process of the same name is another node.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// `replica-1`, …
    pub(crate) name: String,
    /// A random number of this process.
    pub(crate) life: u64,
}

/// Who speaks, and where it takes connections. The content of an announcement, too.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// The cluster; others are none of our business.
    pub(crate) run: String,
    /// The speaker.
    pub(crate) node: Node,
    /// Its TCP port on 127.0.0.1.
    pub(crate) port: u16,
    /// Its UDP port, on which it hears announcements.
    pub(crate) discovery: u16,
}

/// The user of a session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// The user name.
    pub(crate) subject: String,
    /// The user.
    pub(crate) user: User,
}

/// A session as it is now.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The identifier.
    pub(crate) id: String,
    /// How often it was changed.
    pub(crate) version: u64,
    /// Who changed it last.
    pub(crate) owner: Node,
    /// How long this is kept from now on, in milliseconds; no clocks are compared.
    pub(crate) left_ms: u64,
    /// Whose it is; none if it has ended.
    pub(crate) known: Option<Known>,
}

/// What one replica sends another.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Message {
    /// First: who speaks.
    Hello(Hello),
    /// Sessions that have changed, or that a newcomer does not know yet.
    Changes(Vec<Change>),
    /// The newcomer now has all sessions that this replica is responsible for.
    Complete,
}

impl Message {
    /// Its frame: the length in four bytes, and the JSON.
    pub(crate) fn frame(&self) -> Bytes {
        let json = serde_json::to_vec(self).expect("these types have a form in JSON");
        let length = u32::try_from(json.len()).expect("the number of changes is limited");
        [&length.to_be_bytes()[..], &json].concat().into()
    }

    /// Reads one frame, and returns how long it was, too.
    ///
    /// # Errors
    /// If the connection ends, or what comes is no valid message.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(Self, u64)> {
        let length = from.read_u32().await?;
        if length as usize > LARGEST_FRAME {
            return Err(invalid(format!(
                "a frame of {length} bytes, expected {LARGEST_FRAME} at most"
            )));
        }
        let mut json = Vec::new();
        if from.take(u64::from(length)).read_to_end(&mut json).await? < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let message: Self = serde_json::from_slice(&json).map_err(|it| invalid(it.to_string()))?;
        message.check().map_err(invalid)?;
        Ok((message, 4 + u64::from(length)))
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Hello(hello) => hello.check(),
            Self::Changes(changes) if changes.len() > CHANGES_PER_FRAME => {
                Err(format!("{} changes, expected {CHANGES_PER_FRAME} at most", changes.len()))
            }
            Self::Changes(changes) => changes.iter().try_for_each(Change::check),
            Self::Complete => Ok(()),
        }
    }
}

impl Hello {
    /// Whether its texts have a reasonable length.
    ///
    /// # Errors
    /// The text that has not.
    pub(crate) fn check(&self) -> Result<(), String> {
        short("the cluster", &self.run)?;
        short("the name of a replica", &self.node.name)
    }
}

impl Change {
    fn check(&self) -> Result<(), String> {
        short("an identifier", &self.id)?;
        short("the name of a replica", &self.owner.name)?;
        let Some(Known { subject, user }) = &self.known else { return Ok(()) };
        if user.roles.len() > MOST_ROLES {
            return Err(format!("{} roles, expected {MOST_ROLES} at most", user.roles.len()));
        }
        short("a user name", subject)?;
        short("a name", &user.name)?;
        user.roles.iter().try_for_each(|role| short("a role", role))
    }
}

fn short(what: &str, text: &str) -> Result<(), String> {
    match text.len() {
        1..=LONGEST_TEXT => Ok(()),
        length => Err(format!("{what} has {length} bytes, expected 1 to {LONGEST_TEXT}")),
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str) -> Change {
        let owner = Node { name: "replica-1".to_owned(), life: 7 };
        let user = User { name: "Bob".to_owned(), roles: vec!["user".to_owned()] };
        let known = Some(Known { subject: "bob".to_owned(), user });
        Change { id: id.to_owned(), version: 3, owner, left_ms: 12_000, known }
    }

    async fn read(mut bytes: &[u8]) -> Result<(Message, u64), String> {
        Message::read(&mut bytes).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_message_is_read_as_it_was_written() {
        let message = Message::Changes(vec![change("a"), Change { known: None, ..change("b") }]);
        let frame = message.frame();
        assert_eq!(read(&frame).await, Ok((message, frame.len() as u64)));
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        let framed =
            |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        let many = Message::Changes(vec![change("a"); CHANGES_PER_FRAME + 1]);
        let long = Message::Changes(vec![change(&"a".repeat(LONGEST_TEXT + 1))]);
        for (bytes, problem) in [
            (u32::MAX.to_be_bytes().to_vec(), "expected 1048576 at most"),
            (framed("Complete"), "expected value"),
            (framed(r#"{"Changes":[{"id":"a"}]}"#), "missing field"),
            (framed(r#"{"Changes":[],"Complete":null}"#), "expected"),
            (framed("\"Complete\"")[..9].to_vec(), "unexpected end of file"),
            (Vec::new(), "unexpected end of file"),
            (many.frame().to_vec(), "501 changes, expected 500 at most"),
            (long.frame().to_vec(), "an identifier has 129 bytes, expected 1 to 128"),
            (Message::Changes(vec![change("")]).frame().to_vec(), "an identifier has 0 bytes"),
        ] {
            let error = read(&bytes).await.expect_err(problem);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[tokio::test]
    async fn the_largest_message_fits_into_a_frame() {
        let text = "a".repeat(LONGEST_TEXT);
        let roles = vec!["a".repeat(LONGEST_TEXT); 4];
        let known = Known { subject: text.clone(), user: User { name: text.clone(), roles } };
        let largest = Change { known: Some(known), ..change(&text) };
        let message = Message::Changes(vec![largest; CHANGES_PER_FRAME]);
        assert!(read(&message.frame()).await.is_ok());
    }
}
