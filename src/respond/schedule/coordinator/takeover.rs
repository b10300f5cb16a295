//! Owns how runs come from another member, or from this one's past, and how they go.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::{Active, Coordinator, Taken};
use crate::respond::run::{RunState, Transition, resume};
use crate::respond::schedule::journal::{About, Journal, RunRef};

impl<J: Journal> Coordinator<J> {
    /// Takes over runs that were committed by whoever had them before. Calls whose results nobody
    /// knows are repeated, asked about, or failed, as their commands say.
    pub fn take_over(&mut self, runs: impl IntoIterator<Item = Taken>, now_us: i64) {
        for Taken { run: at, hint } in runs {
            match hint {
                Some(hint) if hint.state == RunState::New => {
                    self.queue(hint.class, hint.type_name, at, now_us);
                    continue;
                }
                Some(hint) if hint.state == RunState::Waiting || hint.state.is_over() => {
                    hint.wakes_us.into_iter().for_each(|wakes| self.wake_at(at, wakes));
                    continue;
                }
                _ => {}
            }
            let Some(mut run) = self.journal.load(at).filter(|run| !run.is_done()) else { continue };
            let about = About::of(&run);
            if run.state == RunState::New {
                self.queue(about.class, about.type_name, at, now_us);
                continue;
            }
            // This process may have begun them itself, before it had to look at everything anew.
            let under_way = &self.under_way;
            let effects = resume(&mut run, &self.world, now_us, &|key| under_way.contains_key(&(at, key)));
            for key in &run.held {
                let command = run.pending_command(*key).unwrap_or_default();
                self.waits.add(about.class, about.type_name.clone(), at, (&command, *key), 0);
            }
            let mut active = Active { run, at, class: about.class, type_name: about.type_name, calls: 0, ahead: VecDeque::new() };
            for ((_, key), result) in self.under_way.extract_if(|(run, _), result| *run == at && result.is_some()) {
                if let Some(result) = result {
                    active.ahead.push_back(Transition::Result { key, result: result.clone() });
                    self.applied.push(((at, key), result));
                }
            }
            active.calls = self.under_way.keys().filter(|(run, _)| *run == at).count();
            if !effects.is_empty() {
                self.stage(&mut active, effects, Vec::new(), now_us);
            }
            let late = !active.ahead.is_empty();
            self.park(active, late);
            if late {
                self.advance(at.id, now_us);
            }
        }
    }

    /// The runs of a partition are not ours any more, or will be read anew. Calls that are under
    /// way come to their end; who comes `back` wants their results.
    pub fn forget(&mut self, partition: i32, back: bool) {
        let stays = |at: &RunRef| at.partition != partition;
        self.fair.retain(|queued| stays(&queued.run));
        self.aside.retain(|(_, _, queued)| stays(&queued.run));
        self.waits.retain(stays);
        self.wakes.retain(|Reverse((_, at))| stays(at));
        let wakes: std::collections::HashSet<u128> = self.wakes.iter().map(|Reverse((_, at))| at.id).collect();
        self.wake_of.retain(|id, _| wakes.contains(id));
        self.staged.retain(stays);
        self.intents.retain(|begin| stays(&begin.run));
        self.asks.retain(|(at, _)| stays(at));
        self.active.retain(|_, active| stays(&active.at));
        // What was not committed did not happen; that a call ended is known all the same.
        for (place, result) in self.applied.extract_if(.., |((at, _), _)| !stays(at)) {
            self.under_way.insert(place, Some(result));
        }
        if !back {
            self.under_way.retain(|(at, _), _| stays(at));
        }
    }
}
