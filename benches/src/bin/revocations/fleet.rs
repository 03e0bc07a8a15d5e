//! Replicas in one process, each with connections of its own to one store.

use std::sync::Arc;
use std::time::Duration;

use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, KeyRing, Login, Revocations, Sessions};

use crate::counted::{Counted, Counts};
use crate::engine::{Door, NAME};

/// Replicas of one service.
pub(crate) struct Fleet {
    pub(crate) replicas: Vec<Sessions<()>>,
    /// What all of them did with the store.
    pub(crate) counts: Arc<Counts>,
}

impl Fleet {
    /// Opens so many. They poll at that interval.
    pub(crate) async fn open(door: &Door, count: usize, interval: Duration) -> Self {
        let counts = Arc::<Counts>::default();
        let open = |_| {
            let (door, counts) = (door.clone(), counts.clone());
            tokio::spawn(async move {
                let store = Counted { store: door.store().await, counts };
                let builder = Revocations::builder(NAME).store(store).refresh_interval(interval);
                sessions(builder.found_now().open().await.expect("opens"))
            })
        };
        let mut replicas = Vec::new();
        for opening in (0..count).map(open).collect::<Vec<_>>() {
            replicas.push(opening.await.expect("does not panic"));
        }
        Self { replicas, counts }
    }

    /// So many tokens, each of a session of its own.
    pub(crate) fn tokens(&self, count: usize) -> Vec<String> {
        let issue = |_| issue(&self.replicas[0]);
        (0..count).map(issue).collect()
    }

    /// The longest time until a replica sees a revocation.
    pub(crate) fn bound(&self) -> Duration {
        revocations(&self.replicas[0]).refresh_bound()
    }

    /// How many of the replicas still accept that token.
    pub(crate) fn accepting(&self, token: &str) -> usize {
        self.replicas.iter().filter(|replica| replica.validate(token).is_ok()).count()
    }
}

/// Sessions of a key that all replicas have.
pub(crate) fn sessions(revocations: Revocations) -> Sessions<()> {
    let ring = KeyRing::fixed([fixed_key(Algorithm::HS256)]).build().expect("one good key");
    let builder = Sessions::builder(ring, "https://id.test", "shop").revocations(revocations);
    builder.build().expect("good settings")
}

pub(crate) fn revocations(sessions: &Sessions<()>) -> &Revocations {
    sessions.revocations().expect("are set")
}

pub(crate) fn issue(sessions: &Sessions<()>) -> String {
    let token = sessions.issue(&Login::new(benches::SUBJECT, ()));
    token.expect("a private key").as_str().to_owned()
}
