//! Owns running one run inside of this process, for real: calls go out, times are waited for,
//! people are asked. Nothing is kept when the process ends; [`super::schedule`] and the `runs`
//! topic are for that.

use std::sync::Arc;
use std::time::Duration;

use super::clock::now_us;
use super::outside::Outside;
use super::run::{Answer, Ask, Effect, Failure, Key, Output, REMINDER, Run, RunState, Transition, step};
use super::world::World;

/// Calls of one run that are under way at once (count): a run does not take all workers.
pub const CALLS_MAX: usize = 16;

/// What a run says to whoever watches it.
pub trait Watcher {
    /// Something happened.
    fn effect(&mut self, run: &Run, effect: &Effect);
    /// A person is asked; `None`: nobody answers here.
    fn ask(&mut self, ask: &Ask) -> Option<Answer>;
}

/// Runs until the end, or until all that is left waits for people who do not answer.
pub async fn run(run: &mut Run, world: &World, outside: &Arc<Outside>, watcher: &mut dyn Watcher) {
    let mut calls: tokio::task::JoinSet<(Key, Result<Output, Failure>)> = tokio::task::JoinSet::new();
    let mut waiting = std::collections::VecDeque::new();
    let mut ahead = std::collections::VecDeque::from([Transition::Begin]);
    loop {
        while let Some(transition) = ahead.pop_front() {
            for effect in step(run, world, now_us(), transition) {
                watcher.effect(run, &effect);
                match effect {
                    Effect::Call(call) => waiting.push_back(call),
                    Effect::Ask(ask) if ask.kind != REMINDER => ahead.extend(watcher.ask(&ask).map(Transition::Answer)),
                    Effect::More => ahead.push_back(Transition::More),
                    _ => {}
                }
            }
        }
        while calls.len() < CALLS_MAX
            && let Some(call) = waiting.pop_front()
        {
            let outside = Arc::clone(outside);
            calls.spawn(async move { (call.key, outside.call(&call).await) });
        }
        if run.state.is_over() {
            return;
        }
        // Nobody sits here until a person is late.
        let wake = run.sleeps_until().map(|at| Duration::from_micros(u64::try_from(at - now_us()).unwrap_or(0))).filter(|_| run.state != RunState::Failed);
        match (calls.is_empty(), wake) {
            (true, None) => return,
            (true, Some(wait)) => {
                tokio::time::sleep(wait).await;
                ahead.push_back(Transition::Due);
            }
            (false, wait) => {
                let ended = tokio::time::timeout(wait.unwrap_or(Duration::from_secs(3_600)), calls.join_next()).await;
                match ended {
                    Ok(Some(Ok((key, result)))) => ahead.push_back(Transition::Result { key, result }),
                    // A call that panicked has no result; it cannot be told whose it was.
                    Ok(Some(Err(_))) => {
                        tracing::error!("a call of a playbook panicked: this is a bug");
                        if calls.is_empty() {
                            return;
                        }
                    }
                    Ok(None) => {}
                    Err(_) => ahead.push_back(Transition::Due),
                }
            }
        }
    }
}
