//! A random history of one subject's register, step by step.

use std::time::Duration;

use super::world::{
    Broken, DURATIONS, MINUTE, Outcome, REPLICAS, Random, Replica, STEPS, StoreClock, Token, Value,
    World,
};
use crate::clock::Timestamp;
use crate::revocation::rules::{Issued, Mirrored, hits, kept_until, lost_cutoff, mirror};
use crate::store::feed::{Advance, Register, RegisterId};

/// A history, as far as it has come.
pub(super) struct History {
    world: World,
    random: Random,
    time: Timestamp,
    store: Value,
    /// What it had before the last advance.
    before: Option<Register>,
    store_ahead: Duration,
    store_is_down: bool,
    copies: Vec<Value>,
    replicas: [Replica; REPLICAS],
    tokens: Vec<Token>,
    cutoffs: Vec<Timestamp>,
    is_told: bool,
    story: Vec<String>,
}

impl History {
    pub(super) fn new(seed: u64, world: World) -> Self {
        let mut random = Random(seed);
        let mut ahead = || random.up_to(world.skew);
        let store_ahead = ahead();
        let replicas = [(); REPLICAS].map(|()| Replica { ahead: ahead(), ..Replica::default() });
        Self {
            world,
            random,
            time: Timestamp::from_unix_seconds(1_800_000_000),
            store: Value::default(),
            before: None,
            store_ahead,
            store_is_down: false,
            copies: vec![Value::default()],
            replicas,
            tokens: Vec::new(),
            cutoffs: Vec::new(),
            is_told: false,
            story: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> (Outcome, Vec<String>) {
        // All within the clocks' difference, or with pauses in which tokens and registers expire.
        let is_dense = self.random.percent(60);
        for _ in 0..STEPS {
            let pause = match is_dense {
                true => Duration::from_secs(10),
                false if self.random.percent(25) => 40 * MINUTE,
                false => 2 * MINUTE,
            };
            self.time = self.time + self.random.up_to(pause);
            self.step();
        }
        let outcome = self.end();
        (outcome, self.story)
    }

    /// A history that writes down what happens.
    pub(super) fn with_story(seed: u64, world: World) -> Self {
        Self { is_told: true, ..Self::new(seed, world) }
    }

    fn step(&mut self) {
        let replica = self.random.below(REPLICAS);
        let losses = if self.world.losses { 12 } else { 0 };
        let restarts = if self.world.restarts { 8 } else { 0 };
        match self.random.below(80 + losses + restarts) {
            0..20 => self.log_in(replica),
            20..38 => self.cut_off(replica),
            38..52 => self.renew(replica),
            52..73 => self.read(replica),
            73..80 => {
                self.store_is_down = !self.store_is_down;
                self.tell(|it| format!("the store is out of reach: {}", it.store_is_down));
            }
            step if step < 80 + losses => self.lose(),
            _ => self.restart(replica),
        }
    }

    fn restart(&mut self, replica: usize) {
        let ahead = self.replicas[replica].ahead;
        self.replicas[replica] = Replica { ahead, ..Replica::default() };
        self.tell(|_| format!("{replica} restarts"));
        self.read(replica);
    }

    fn now(&self, replica: usize) -> Timestamp {
        self.time + self.replicas[replica].ahead
    }

    /// The clock of an advance.
    fn store_now(&self, writer: Timestamp) -> Timestamp {
        match self.world.store_clock {
            StoreClock::None => writer,
            _ => self.time + self.store_ahead,
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.world.broken == Some(broken)
    }

    /// What the store has, less what has expired.
    fn stored(&mut self, reader: Timestamp) -> Value {
        let now = self.store_now(reader);
        if self.store.register.is_some_and(|stored| stored.until <= now) {
            self.store = Value { register: None, ..self.store };
        }
        self.store
    }

    fn put(&mut self, value: Value) {
        self.store = value;
        if self.random.percent(30) {
            self.copies.push(value);
        }
    }

    fn log_in(&mut self, replica: usize) {
        let now = self.now(replica);
        let at = self.replicas[replica];
        let reads = !self.store_is_down && !self.is(Broken::LoginWithoutRead);
        if !reads && at.read_began.is_none() {
            return;
        }
        let known = match reads {
            true => self.stored(now).register,
            // A version that no store has made is none.
            false => at.lost.or(at.held.register),
        };
        let token = Token {
            version: known.map_or(0, |known| known.version),
            login: now,
            issued: now,
            expires: now + DURATIONS.max_token_lifetime,
            cut_off: 0,
            blind: self.store_is_down,
            after: self.cutoffs.len(),
        };
        self.tokens.push(token);
        self.tell(|_| format!("{replica} logs in: {token:?}"));
    }

    /// Logs out everywhere, or an administrator revokes, who holds no session.
    fn cut_off(&mut self, replica: usize) {
        let now = self.now(replica);
        let held = self.replicas[replica].held;
        if self.store_is_down || self.replicas[replica].read_began.is_none() {
            return;
        }
        let token = (!self.tokens.is_empty() && self.random.percent(50))
            .then(|| self.tokens[self.random.below(self.tokens.len())])
            .filter(|token| self.accepts(replica, token));
        let above = held.register.map_or(0, |held| held.version);
        let at = token.map_or(now, |token| now.max(token.login));
        let until = match self.is(Broken::KeptForOneLifetime) {
            true => at + DURATIONS.max_token_lifetime + 4 * DURATIONS.clock_skew,
            false => kept_until(at, now, DURATIONS.keeping()),
        };
        let above = token.map_or(above, |token| above.max(token.version));
        let asked = Advance::new(RegisterId::All, above, at, until, now);
        self.advance(replica, &asked);
    }

    fn advance(&mut self, replica: usize, asked: &Advance) {
        let cutoff = 1 << self.cutoffs.len();
        let mut stored = self.stored(asked.now);
        if self.is(Broken::AdvancedInTwoSteps) && self.random.percent(50) {
            stored.register = self.before;
        }
        let is_counted = self.is(Broken::Counted) || self.is(Broken::AdvancedInTwoSteps);
        // Without the time, if it is only counted.
        let clock = self.store_now(asked.now);
        let advanced = match is_counted {
            true => Register::new(
                stored.register.map_or(0, |stored| stored.version).max(asked.above) + 1,
                stored.register.map_or(asked.at, |stored| stored.at.max(asked.at)),
                stored.register.map_or(asked.until, |stored| stored.until.max(asked.until)),
            ),
            false => Register::advanced(stored.register, asked, clock).expect("within bounds"),
        };
        self.before = self.store.register;
        self.put(Value { register: Some(advanced), cutoffs: stored.cutoffs | cutoff });
        self.cutoffs.push(asked.at);
        self.tokens.iter_mut().for_each(|token| token.cut_off |= cutoff);
        self.tell(|_| format!("{replica} cuts off: {asked:?}: {advanced:?}"));
        self.take(replica, self.store, asked.now);
    }

    /// Whether a replica accepts a token now.
    fn accepts(&self, replica: usize, token: &Token) -> bool {
        let at = &self.replicas[replica];
        let now = self.now(replica);
        let is_stale = at.read_began.is_none_or(|began| now - began > DURATIONS.stale_limit);
        token.expires > now && !is_stale && !self.refuses(replica, token)
    }

    fn refuses(&self, replica: usize, token: &Token) -> bool {
        let at = &self.replicas[replica];
        let slack = match self.is(Broken::ShortSlack) {
            true => DURATIONS.clock_skew,
            false => DURATIONS.slack(),
        };
        let version = if self.is_lost(replica, token) { 0 } else { token.version };
        at.held.register.is_some_and(|held| hits(&held, version, Some(token.login), slack))
    }

    fn is_lost(&self, replica: usize, token: &Token) -> bool {
        let Replica { held, read_began, .. } = self.replicas[replica];
        let issued = Issued { at: token.issued, version: token.version };
        !self.is(Broken::LossIgnored)
            && DURATIONS.is_lost(held.register.as_ref(), &issued, read_began, self.now(replica))
    }

    fn renew(&mut self, replica: usize) {
        if self.tokens.is_empty() {
            return;
        }
        let token = self.tokens[self.random.below(self.tokens.len())];
        if !self.accepts(replica, &token) {
            return;
        }
        let now = self.now(replica);
        let mut renewed =
            Token { issued: now, expires: now + DURATIONS.max_token_lifetime, ..token };
        if self.is(Broken::RenewedWithNewVersion) {
            // The cutoff comes while the handler runs, after the check.
            self.read(replica);
            let held = self.replicas[replica].held.register;
            renewed.version = held.map_or(0, |held| held.version).max(token.version);
        }
        self.tokens.push(renewed);
        self.tell(|_| format!("{replica} renews: {renewed:?}"));
    }

    /// A complete read, and the restoration of what the store has lost, unless it is out of reach by then.
    fn read(&mut self, replica: usize) {
        if self.store_is_down {
            return;
        }
        let now = self.now(replica);
        let stored = self.stored(now);
        self.replicas[replica].read_began = Some(now);
        let is_lost = self.take(replica, stored, now);
        self.tell(|it| format!("{replica} reads: {:?}", it.replicas[replica]));
        if is_lost && self.random.percent(60) {
            self.restore(replica);
        }
    }

    /// Compares with what was read; whether the store has lost something.
    fn take(&mut self, replica: usize, seen: Value, now: Timestamp) -> bool {
        let is_merged = self.is(Broken::MergedByMaxima);
        let at = &mut self.replicas[replica];
        // What expires is dropped on both sides.
        at.held.register = at.held.register.filter(|held| held.until > now);
        let cutoffs = at.held.cutoffs | seen.cutoffs;
        match mirror(at.held.register.as_ref(), seen.register.as_ref(), now) {
            None => false,
            Some(Mirrored::Taken(register)) => {
                at.held = Value { register: Some(register), cutoffs };
                at.lost = None;
                false
            }
            Some(Mirrored::Lost { enforced }) => {
                let both = at.held.register.zip(seen.register).filter(|_| is_merged);
                let enforced = both.map_or(enforced, |(held, seen)| maxima(&held, &seen));
                at.lost = at.lost.or(at.held.register);
                at.held = Value { register: Some(enforced), cutoffs };
                true
            }
        }
    }

    fn restore(&mut self, replica: usize) {
        let now = self.now(replica);
        let held = self.replicas[replica].held;
        let Some(register) = held.register else { return };
        let stored = self.stored(now);
        let restored = match stored.register.filter(|_| self.is(Broken::MergedByMaxima)) {
            Some(found) => Some(maxima(&found, &register)),
            None => Register::restored(stored.register, &register, self.store_now(now)),
        };
        if let Some(restored) = restored {
            let cutoffs = stored.cutoffs | held.cutoffs;
            self.put(Value { register: Some(restored), cutoffs });
        }
        let stored = self.store;
        self.take(replica, stored, now);
        self.tell(|_| format!("{replica} restores {register:?}: {stored:?}"));
    }

    /// Purges the store, or brings an older copy of it.
    fn lose(&mut self) {
        let copy = self.random.below(self.copies.len());
        self.store = if self.random.percent(50) { Value::default() } else { self.copies[copy] };
        if self.world.store_clock == StoreClock::OfEachServer {
            self.store_ahead = self.random.up_to(self.world.skew);
        }
        self.tell(|it| format!("the store loses records, and has {:?}", it.store));
        if self.world.restarts && self.random.percent(50) {
            (0..REPLICAS).for_each(|replica| self.restart(replica));
        }
    }

    /// All replicas hear everything, and restore what is lost.
    fn end(&mut self) -> Outcome {
        // What nobody knows any more can't come back.
        let known = self.replicas.iter().fold(self.store.cutoffs, |all, it| all | it.held.cutoffs);
        let is_over = |at: &Timestamp| self.time >= *at + DURATIONS.keeping();
        // Nor what was lost, and then not restored as long as it is kept: no replica that knows it reads.
        let over =
            self.cutoffs.iter().enumerate().filter(|(_, at)| self.world.losses && is_over(at));
        let known = over.fold(known, |known, (number, _)| known & !(1 << number));
        self.store_is_down = false;
        self.time = self.time + 2 * self.world.skew + MINUTE;
        for _ in 0..3 {
            (0..REPLICAS).for_each(|replica| self.hear(replica));
        }
        for (number, token) in self.tokens.clone().into_iter().enumerate() {
            for replica in 0..REPLICAS {
                if !self.has_expired(&token) && self.is_lost(replica, &token) {
                    let now = self.now(replica);
                    let held = self.replicas[replica].held.register;
                    let at = lost_cutoff(held.as_ref(), token.version, now);
                    let until = kept_until(at, now, DURATIONS.keeping());
                    let asked = Advance::new(RegisterId::All, token.version, at, until, now);
                    let stored = self.stored(now);
                    let clock = self.store_now(now);
                    let advanced = Register::advanced(stored.register, &asked, clock);
                    let register = Some(advanced.expect("within bounds"));
                    self.put(Value { register, ..stored });
                    self.tell(|_| format!("the register of token {number} was lost: {register:?}"));
                    (0..REPLICAS).for_each(|replica| self.hear(replica));
                }
            }
        }
        let mut outcome = Outcome::default();
        for token in self.tokens.clone() {
            if self.has_expired(&token) {
                continue;
            }
            let refused = (0..REPLICAS).filter(|at| self.refuses(*at, &token)).count();
            if token.cut_off & known != 0 {
                outcome.revoked += 1;
                outcome.revoked_but_good += usize::from(refused < REPLICAS);
            } else if token.cut_off == 0 {
                // A login that could not know a cutoff is spared by its time alone.
                let spared = DURATIONS.slack() + 2 * self.world.skew;
                let before = &self.cutoffs[..token.after];
                let excused = token.blind && before.iter().any(|at| token.login <= *at + spared);
                outcome.good += 1;
                outcome.good_but_refused += usize::from(refused > 0 && !excused);
            }
        }
        outcome
    }

    fn hear(&mut self, replica: usize) {
        self.read(replica);
        if self.replicas[replica].lost.is_some() {
            self.restore(replica);
        }
    }

    fn has_expired(&self, token: &Token) -> bool {
        (0..REPLICAS).any(|replica| token.expires <= self.now(replica))
    }

    fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.is_told {
            let line = format!("{}: {}", self.time, what(self));
            self.story.push(line);
        }
    }
}

fn maxima(one: &Register, other: &Register) -> Register {
    Register::new(one.version.max(other.version), one.at.max(other.at), one.until.max(other.until))
}
