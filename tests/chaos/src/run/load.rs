//! The users: sessions from before the fault at every replica in turn, new logins, logouts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Problem;
use crate::faults::Refused;
use crate::run::ask::{Answer, login, logout, me};
use crate::run::copies::Copies;
use crate::run::tally::Tally;
use crate::run::timeline::Timeline;
use crate::setup::cluster::client;
use crate::setup::replica::Peer;

/// Sessions that are asked all the time.
const SESSIONS: u64 = 12;
/// Sessions that wait for their logout, so that there are some while logins fail.
const SPARE: u64 = 40;
/// Users give up after this time.
const TIMEOUT: Duration = Duration::from_secs(8);
const ASK_EVERY: Duration = Duration::from_millis(15);
const LOG_IN_EVERY: Duration = Duration::from_millis(300);
const LOG_OUT_EVERY: Duration = Duration::from_millis(400);

/// A session.
struct Token {
    text: String,
    /// The number of the replica where it began.
    by: usize,
    /// Whether that was during the fault.
    during: bool,
}

/// Everything that users share.
pub(crate) struct Load {
    pub(crate) peers: Vec<Arc<Peer>>,
    pub(crate) tally: Tally,
    pub(crate) timeline: Timeline,
    pub(crate) copies: Copies,
    client: Client,
    sessions: Vec<Token>,
    spare: Mutex<VecDeque<Token>>,
    refused: Refused,
    users: AtomicU64,
    stopped: AtomicBool,
}

impl Load {
    /// Logs in, while all is well.
    ///
    /// # Errors
    /// If a login fails.
    pub(crate) async fn new(
        peers: Vec<Arc<Peer>>,
        copies: Copies,
        refused: Refused,
    ) -> Result<Self, Problem> {
        let mut load = Self {
            peers,
            tally: Tally::default(),
            timeline: Timeline::default(),
            copies,
            client: client(TIMEOUT),
            sessions: Vec::new(),
            spare: Mutex::default(),
            refused,
            users: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        for number in 0..SESSIONS + SPARE {
            let peer = &load.peers[number as usize % load.peers.len()];
            let (answer, token) = login(&load.client, &peer.url, load.next_user()).await;
            let text = token.ok_or_else(|| format!("before the fault: {}", answer.words()))?;
            let token = Token { text, by: peer.index, during: false };
            match number < SESSIONS {
                true => load.sessions.push(token),
                false => load.spare().push_back(token),
            }
        }
        Ok(load)
    }

    /// Starts the users; they end when the set is dropped, or after [`Load::stop`].
    pub(crate) fn start(self: &Arc<Self>) -> JoinSet<()> {
        let mut users = JoinSet::new();
        users.spawn(Arc::clone(self).ask());
        users.spawn(Arc::clone(self).log_in());
        users.spawn(Arc::clone(self).log_out());
        for index in 0..self.peers.len() {
            users.spawn(Arc::clone(self).try_copies(index));
        }
        users
    }

    /// Lets the users finish what they do.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn next_user(&self) -> u64 {
        self.users.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, VecDeque<Token>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next replica that a balancer would choose.
    fn choose(&self, turn: &mut usize) -> Option<Arc<Peer>> {
        for _ in 0..self.peers.len() {
            *turn += 1;
            let peer = &self.peers[*turn % self.peers.len()];
            if peer.in_rotation() {
                return Some(Arc::clone(peer));
            }
        }
        None
    }

    /// Whether the fault's promise says that this replica may refuse the session now.
    fn may_refuse(&self, peer: &Peer, token: &Token) -> bool {
        let last = self.peers.len() - 1;
        match self.refused {
            Refused::Nobody => false,
            // What began there during the fault is in the future of the others, and of all after it.
            Refused::Others(_) => token.by == last && token.during,
            // Only what began there during the fault is not in its future.
            Refused::Last(_) => peer.index == last && !(token.by == last && token.during),
        }
    }

    fn problem(&self, what: &'static str, peer: &Peer, token: Option<&Token>, answer: &Answer) {
        if let (Some(token), Answer::Status(400..=499, _)) = (token, answer) {
            let mut counts = self.tally.counts();
            if self.may_refuse(peer, token) {
                counts.refused_as_stated += 1;
                return;
            }
            counts.refused += 1;
        }
        let (phase, at) = (self.timeline.phase(), peer.index + 1);
        let began = token.map(|token| format!(", begun at replica-{}", token.by + 1));
        let began = began.unwrap_or_default();
        self.tally.problem(what, format!("{phase}, at replica-{at}{began}: {}", answer.words()));
    }

    async fn ask(self: Arc<Self>) {
        let mut turn = 0;
        let mut number = 0;
        while !self.is_stopped() {
            if let Some(peer) = self.choose(&mut turn) {
                let token = &self.sessions[number % self.sessions.len()];
                // Each session gets to each replica.
                number += usize::from(turn.is_multiple_of(self.peers.len())) + 1;
                let answer = me(&self.client, &peer.url, &token.text).await;
                if !self.tally.counts().sessions.count(&answer) {
                    self.problem("a session", &peer, Some(token), &answer);
                }
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn log_in(self: Arc<Self>) {
        let mut turn = 0;
        while !self.is_stopped() {
            if let Some(peer) = self.choose(&mut turn) {
                let (answer, text) = login(&self.client, &peer.url, self.next_user()).await;
                if !self.tally.counts().logins.count(&answer) {
                    self.problem("a login", &peer, None, &answer);
                }
                if let Some(text) = text {
                    let token = Token { text, by: peer.index, during: self.timeline.is_broken() };
                    self.use_at_once(&token).await;
                    self.spare().push_back(token);
                }
            }
            sleep(LOG_IN_EVERY).await;
        }
    }

    /// Any request can land on any replica, from the first on.
    async fn use_at_once(&self, token: &Token) {
        for peer in self.peers.iter().filter(|peer| peer.in_rotation()) {
            let answer = me(&self.client, &peer.url, &token.text).await;
            if !self.tally.counts().first.count(&answer) {
                self.problem("a new session", peer, Some(token), &answer);
            }
        }
    }

    async fn log_out(self: Arc<Self>) {
        let mut turn = 0;
        while !self.is_stopped() {
            if let Some(peer) = self.choose(&mut turn) {
                let Some(token) = self.spare().pop_front() else {
                    sleep(LOG_OUT_EVERY).await;
                    continue;
                };
                let answer = logout(&self.client, &peer.url, &token.text).await;
                let good = self.tally.counts().logouts.count(&answer);
                match good {
                    true => self.copies.ended(token.text, peer.index),
                    false => self.problem("a logout", &peer, Some(&token), &answer),
                }
            }
            sleep(LOG_OUT_EVERY).await;
        }
    }
}
