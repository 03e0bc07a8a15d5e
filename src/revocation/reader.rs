//! The follower of a feed: reads what is new, finds what the store has lost, and restores it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::event::AuditKind;
use crate::clock::Timestamp;
use crate::replica::founding::{Content, Founding, Wait};
use crate::revocation::board::{self, Board};
use crate::revocation::known::Known;
use crate::revocation::loss::{self, Loss};
use crate::revocation::place::{LEAST_KEPT, Place};
use crate::revocation::rules;
use crate::revocation::writing::News;
use crate::store::contract::{Insertion, Skipped, StoreError};
use crate::store::feed::{Advance, Cursor, FeedPage, FeedRead, Register, RegisterId};

/// How far one replica has read, and what it has to write.
pub(crate) struct Reader {
    /// Where the next read begins; `None` for the whole.
    cursor: Option<Cursor>,
    /// Whether the store had no record since it was last read as a whole.
    is_empty: bool,
    board: Board,
    /// This replica's part in the founding of a place that other processes reach, too.
    pub(crate) founding: Option<Founding>,
    /// Why it waits before it relies on what it has read.
    pub(crate) wait: Option<Wait>,
    /// The highest format that only a newer version of this crate understands.
    pub(crate) newer_format: Option<u64>,
    skipped: Vec<Skipped>,
    /// When what was skipped has expired: it is of no more concern.
    skipped_until: Timestamp,
    /// While the whole is read: how many revocations were new.
    new_of_whole: Option<usize>,
    /// What the store has lost, while it is restored.
    loss: Option<Loss>,
    /// How long all that is held was to be kept when it was recorded.
    kept: Duration,
    /// The latest time that the clock has shown.
    latest: Timestamp,
}

impl Reader {
    pub(crate) fn new(founding: Option<Founding>) -> Self {
        Self {
            cursor: None,
            is_empty: true,
            board: Board::default(),
            founding,
            wait: None,
            newer_format: None,
            skipped: Vec::new(),
            skipped_until: Timestamp::from_unix_millis(i64::MIN),
            new_of_whole: Some(0),
            loss: None,
            kept: LEAST_KEPT,
            latest: Timestamp::from_unix_millis(i64::MIN),
        }
    }

    /// Reads what is new.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be read in time. What was read until then is in.
    pub(crate) async fn read(&mut self, place: &Place, known: &Known) -> Result<(), StoreError> {
        let (began, mut has_gap) = (Instant::now(), false);
        self.heed_clock(place, known);
        let notes = loop {
            // Before the records: who finds the marker then reads all that was written before it.
            let (board, notes) = Board::read(place.load().await?);
            place.keep_for(board.needed);
            self.board = board;
            self.keep_longer(place, known).await;
            let was_whole = self.cursor.is_none();
            if self.read_on(place, known).await? {
                // Between the two the store may have been emptied. Then the second time finds it.
                if was_whole && self.founding.is_some() {
                    continue;
                }
                break notes;
            }
            if has_gap {
                let context = "could not read revocations as a whole: the store lost them again";
                return Err(StoreError::new(context));
            }
            has_gap = true;
            tracing::warn!(ring = &*place.name, "the store lost revocations; reading all");
            self.begin_whole(known);
        };
        let (is_marked, is_empty) = (self.is_marked(), self.is_empty);
        if let Some(founding) = &mut self.founding {
            let content = match (is_marked, is_empty && !founding.is_settled()) {
                (true, _) => Content::Whole,
                (false, true) => Content::Empty,
                (false, false) => Content::Part,
            };
            self.wait = founding.observe(began, content, notes, place.clock.now());
        }
        Ok(())
    }

    /// Reads all that is new; `false` if the store cannot say what that is.
    async fn read_on(&mut self, place: &Place, known: &Known) -> Result<bool, StoreError> {
        loop {
            let FeedRead::Page(page) = place.read(self.cursor.as_ref()).await? else {
                return Ok(false);
            };
            let has_more = page.has_more;
            if has_more && self.cursor.as_ref() == Some(&page.cursor) {
                let context = "the store returned a page that ends where it begins, and has more";
                return Err(StoreError::new(context));
            }
            self.take(page, place, known).await;
            if !has_more {
                if let Some(new) = self.new_of_whole.take().filter(|new| *new > 0) {
                    place.note_count(AuditKind::RevocationsRead, new);
                }
                return Ok(true);
            }
        }
    }

    /// SECURITY: a clock that was ahead has dropped what is not over. Once it is set back, all is read again.
    fn heed_clock(&mut self, place: &Place, known: &Known) {
        let now = place.clock.now();
        if now + SET_BACK < self.latest {
            let ring = &*place.name;
            tracing::warn!(ring, "the clock was set back; reading all revocations");
            self.latest = now;
            self.begin_whole(known);
        }
        self.latest = self.latest.max(now);
    }

    fn begin_whole(&mut self, known: &Known) {
        (self.cursor, self.is_empty, self.newer_format) = (None, true, None);
        self.new_of_whole = Some(0);
        self.skipped.clear();
        self.loss = (!known.is_empty()).then(|| Loss::new(false));
    }

    /// Takes a page in, a part at a time, and lets others run between.
    async fn take(&mut self, mut page: FeedPage, place: &Place, known: &Known) {
        let now = place.clock.now();
        self.is_empty &= page.is_empty();
        if self.skipped_until <= now {
            (self.newer_format, self.skipped) = (None, Vec::new());
        }
        self.newer_format = self.newer_format.max(page.newer_format);
        let implausible = page.registers.extract_if(.., |(_, it)| !it.is_plausible(now));
        page.skipped.extend(implausible.map(|(_, register)| implausible_register(register)));
        if page.newer_format.is_some() || !page.skipped.is_empty() {
            self.skipped_until = place.until(now, now);
        }
        let room = MOST_SKIPPED.saturating_sub(self.skipped.len());
        self.skipped.extend(page.skipped.drain(..).take(room));
        for sessions in page.sessions.chunks(CHUNK) {
            let alive = sessions.iter().filter(|session| session.until > now);
            let news = alive.map(|session| News::Session(session.digest));
            let news = place.writing.news(news, |news| known.is_news(news));
            known.insert(sessions, now);
            self.learn(news, place);
            tokio::task::yield_now().await;
        }
        for (id, register) in &page.registers {
            let alive = Some(News::Register(*id, *register)).filter(|_| register.until > now);
            let news = place.writing.news(alive.into_iter(), |news| known.is_news(news));
            known.mirror(*id, *register, now);
            self.learn(news, place);
        }
        if let Some(loss) = &mut self.loss {
            loss.take(&page).await;
        }
        self.cursor = Some(page.cursor);
    }

    /// Writes what is new into the audit trail; of a whole read only how much that is.
    fn learn(&mut self, news: Vec<News>, place: &Place) {
        match &mut self.new_of_whole {
            Some(new) => *new += news.len(),
            None => place.note_learned(news),
        }
    }

    /// Records everything for longer, if someone needs it longer than it was recorded for.
    async fn keep_longer(&mut self, place: &Place, known: &Known) {
        let kept = place.kept();
        if kept > self.kept && !known.is_empty() {
            known.extend(kept - self.kept).await;
            let is_extension = self.loss.as_ref().is_none_or(|loss| loss.is_extension);
            self.loss = Some(Loss::new(is_extension));
        }
        self.kept = kept;
    }

    /// Restores what the store has lost, and writes what else is due.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be written in time. The rest is done at another refresh.
    pub(crate) async fn write(
        &mut self,
        place: &Place,
        known: &Known,
        claims: &mut BTreeMap<RegisterId, u64>,
    ) -> Result<(), StoreError> {
        let (now, limit) = (place.clock.now(), place.polling.insert_timeout);
        if let Some(founding) = &mut self.founding {
            place.failure_noted(founding.announce((&*place.store, limit), now, true).await)?;
            place.failure_noted(founding.clean((&*place.store, limit), now).await)?;
            if self.wait.is_some() {
                return Ok(());
            }
        }
        if self.kept > LEAST_KEPT && self.kept > self.board.needed {
            place.insert(&board::needed(self.kept)).await?;
        }
        for behind in known.behind().chunks(loss::BATCH) {
            for (id, restored) in place.restore_and_read(behind).await? {
                known.mirror(id, restored, now);
            }
        }
        while let Some((&id, &version)) = claims.first_key_value() {
            // It was not lost: this read has found it.
            if known.version(id) == version {
                claims.remove(&id);
                continue;
            }
            let at = rules::lost_cutoff(known.register(id).as_ref(), version, now);
            let advance = Advance::new(id, version, at, place.until(at, now), now);
            let advanced = place.advance(&advance).await?;
            known.mirror(id, advanced, now);
            claims.remove(&id);
        }
        if !self.restore_lost(place, known).await? {
            return Ok(());
        }
        // What only a newer version understands may be the marker.
        if self.founding.is_some() && !self.is_marked() && self.newer_format().is_none() {
            self.mark(place, known).await?;
        }
        place.probe().await
    }

    /// Whether the feed that was read is marked as founded.
    fn is_marked(&self) -> bool {
        let cursor = self.cursor.as_ref();
        cursor.is_some_and(|cursor| self.board.is_marked(cursor.incarnation()))
    }

    /// Marks the feed as founded: after all else, so that a newcomer which finds the marker has all.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be read or written.
    async fn mark(&mut self, place: &Place, known: &Known) -> Result<(), StoreError> {
        // From now on a feed without records has its incarnation, too.
        place.append(&[]).await?;
        // If it was lost meanwhile, the next refresh finds that.
        let (true, Some(cursor)) = (self.read_on(place, known).await?, &self.cursor) else {
            return Ok(());
        };
        let marker = board::founded(cursor.incarnation());
        if let Insertion::Exists(value) = place.insert(&marker).await?
            && value != marker.value
        {
            // The feed that it names is lost.
            place.remove(&marker.name).await?;
            place.insert(&marker).await?;
        }
        if let Some(founding) = self.founding.as_mut().filter(|founding| !founding.is_settled()) {
            founding.look_again_now();
        }
        Ok(())
    }

    /// Restores parts that no other replica restores, until the time of a write has passed. The rest is
    /// done at another refresh. Returns whether nothing is left.
    ///
    /// # Errors
    ///
    /// Fails if the store can't be read or written.
    async fn restore_lost(&mut self, place: &Place, known: &Known) -> Result<bool, StoreError> {
        let limit = Instant::now() + place.polling.insert_timeout;
        let Some(loss) = &mut self.loss else { return Ok(true) };
        let parts = loss.missing_parts(known, place.clock.now()).await;
        for part in parts {
            let Some(claim) = loss::claim(part, place, &self.board).await? else { continue };
            // Another replica may have restored this part since the last read.
            let restored = match (self.read_on(place, known).await, &mut self.loss) {
                (Ok(true), Some(loss)) => loss.restore_part(part, place, known, limit).await,
                // The next refresh finds that the store lost them again.
                (read, _) => read.map(|_| false),
            };
            place.remove(&claim).await?;
            if !restored? {
                return Ok(false);
            }
        }
        let is_restored = self.loss.as_ref().is_none_or(|loss| loss.is_restored(place));
        if is_restored {
            self.loss = None;
        }
        Ok(is_restored)
    }

    /// When the next read begins, if earlier than it is polled.
    pub(crate) fn sooner(&self, began: Instant) -> Option<Instant> {
        let founding = self.founding.as_ref().and_then(Founding::look_again);
        let restoring = self.loss.as_ref().map(|_| began + RESTORING_EVERY);
        founding.into_iter().chain(restoring).min()
    }

    /// The records and entries that were skipped.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        self.board.skipped.iter().chain(&self.skipped).take(MOST_SKIPPED).cloned().collect()
    }

    /// The highest format that only a newer version of this crate understands.
    pub(crate) fn newer_format(&self) -> Option<u64> {
        self.newer_format.max(self.board.newer_format)
    }
}

/// Whether the place holds revocations that were founded. Writes nothing.
///
/// # Errors
///
/// Fails if the store can't be read in time.
pub(crate) async fn is_founded(place: &Place) -> Result<bool, StoreError> {
    let (board, _) = Board::read(place.load().await?);
    match place.read(None).await? {
        FeedRead::Page(page) => Ok(board.is_marked(page.cursor.incarnation())),
        FeedRead::Gap => Ok(false),
    }
}

fn implausible_register(Register { version, at, .. }: Register) -> Skipped {
    let reason = format!("version {version} or cutoff {at} is 0 or too far ahead of the clock");
    Skipped::new("register", reason)
}

/// How many sessions are taken in without a pause.
const CHUNK: usize = 256;
/// How many unreadable records are reported.
const MOST_SKIPPED: usize = 100;
/// How far a clock may be set back while nothing has to be read again: less than any margin of expiry.
const SET_BACK: Duration = Duration::from_secs(1);
/// How often a replica reads while others restore.
const RESTORING_EVERY: Duration = Duration::from_secs(1);
