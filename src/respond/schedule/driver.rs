//! Owns the loop around a coordinator: results in, turns, one commit for all, calls out. Calls run
//! on Tokio, at most so many at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::coordinator::{Begin, Coordinator};
use super::journal::{Journal, JournalError, RunRef};
use crate::respond::clock::now_us;
use crate::respond::outside::Outside;
use crate::respond::run::{Answer, Call, Failure, FailureKind, Key, Output, Run};

/// Longest pause between two looks at what is to be done.
const IDLE: Duration = Duration::from_millis(50);
/// Pause before a commit that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages that wait for the loop (count).
const INBOX: usize = 4_096;
/// Messages that one commit takes (count).
const BATCH: usize = 512;

/// Does calls.
pub trait Caller: Send + Sync + 'static {
    /// Does one.
    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Result<Output, Failure>> + Send>>;
}

impl Caller for Outside {
    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Result<Output, Failure>> + Send>> {
        Box::pin(async move { Outside::call(&self, &call).await })
    }
}

/// What a driver is told.
pub enum Message {
    /// A new run.
    Accept(Box<Run>),
    /// A call ended.
    Result(RunRef, Key, Result<Output, Failure>),
    /// A person answers.
    Answer(RunRef, Answer),
    /// A person ends a run.
    Cancel(RunRef, String),
    /// Runs of a type, or all, stand still.
    Pause(Option<String>),
    /// They go on.
    Resume(Option<String>),
    /// Other surroundings.
    World(Arc<crate::respond::world::World>),
    /// When nothing is left to do, end.
    Drain,
    /// End now.
    Stop,
}

/// A way to tell a driver.
pub fn inbox() -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
    mpsc::channel(INBOX)
}

/// Runs until told to stop, or drained; gives the coordinator back.
///
/// # Errors
/// A lost lease: what is in memory no longer counts.
pub async fn drive<J: Journal>(
    mut coordinator: Coordinator<J>,
    caller: Arc<dyn Caller>,
    tell: mpsc::Sender<Message>,
    mut inbox: mpsc::Receiver<Message>,
) -> (Coordinator<J>, Result<(), JournalError>) {
    let mut draining = false;
    let mut under_way = 0_usize;
    loop {
        let now = now_us();
        let wait = coordinator.next_us().map_or(IDLE, |at| Duration::from_micros(u64::try_from(at - now).unwrap_or(0)).min(IDLE));
        // A full coordinator reads no more runs, but results always.
        let first = tokio::time::timeout(wait, inbox.recv()).await.ok().flatten();
        let mut taken = 0;
        let mut message = first;
        while let Some(one) = message {
            let now = now_us();
            match one {
                Message::Accept(run) => {
                    // The sender looks at `is_full`; what slips through in between is let in.
                    let _ = coordinator.accept(&run, 0, now);
                }
                Message::Result(run, key, result) => {
                    under_way = under_way.saturating_sub(1);
                    coordinator.result(run, key, result, now);
                }
                Message::Answer(run, answer) => coordinator.answer(run, answer, now),
                Message::Cancel(run, actor) => coordinator.cancel(run, &actor, now),
                Message::Pause(name) => coordinator.pause(name.as_deref()),
                Message::Resume(name) => coordinator.resume(name.as_deref()),
                Message::World(world) => coordinator.set_world(world),
                Message::Drain => draining = true,
                Message::Stop => return (coordinator, Ok(())),
            }
            taken += 1;
            message = if taken < BATCH { inbox.try_recv().ok() } else { None };
        }
        coordinator.pump(now_us());
        let begins = match coordinator.commit() {
            Ok(begins) => begins,
            Err(JournalError::Passing(why)) => {
                tracing::warn!(%why, "what playbooks did is not committed yet; nothing of it begins");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return (coordinator, Err(error)),
        };
        for begin in begins {
            if !coordinator.may_begin() {
                return (coordinator, Err(JournalError::Fenced));
            }
            under_way += 1;
            begin_call(&caller, &tell, begin);
        }
        let (queued, active) = coordinator.load();
        if draining && queued == 0 && active == 0 && under_way == 0 && !coordinator.is_dirty() && coordinator.next_us().is_none() {
            return (coordinator, Ok(()));
        }
    }
}

fn begin_call(caller: &Arc<dyn Caller>, tell: &mpsc::Sender<Message>, begin: Begin) {
    let (caller, tell) = (Arc::clone(caller), tell.clone());
    tokio::spawn(async move {
        let key = begin.call.key;
        // A call that panics has an end, too.
        let work = tokio::spawn(async move { caller.call(begin.call).await });
        let result = work.await.unwrap_or_else(|_| Err(Failure::new(FailureKind::InDoubt, "the call broke off: this is a bug")));
        // Nobody listens any more: the journal knows that the call was begun.
        let _ = tell.send(Message::Result(begin.run, key, result)).await;
    });
}
