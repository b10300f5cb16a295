//! A list of conditions over one batch: guarded ones are evaluated for the rows that
//! may meet them, the others together for all rows.

use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use super::guard::Guards;
use super::phase::{Inputs, Phase};
use super::scene::{OfTypes, Scene, truths};
use crate::expr::path::Path;
use crate::expr::typed::Typed;

/// Conditions in their order, planned.
#[derive(Debug)]
pub struct Conditions {
    guards: Guards,
    /// Per condition: its own phase, if it is guarded.
    own: Vec<Option<Phase>>,
    /// All others in one phase, so that they share their parts.
    together: Phase,
    /// Per condition: its output in `together`.
    outputs: Vec<Option<usize>>,
}

/// Where the conditions of a batch hold.
pub struct Held {
    candidates: Vec<Vec<u32>>,
    together: Vec<Option<Vec<bool>>>,
}

impl Conditions {
    /// Plans conditions.
    pub fn new(conditions: &[Typed], session: &SessionContext) -> Result<Conditions, DataFusionError> {
        let guards = Guards::new(conditions);
        let mut own = Vec::new();
        let mut outputs = Vec::new();
        let mut rest = Vec::new();
        for (number, condition) in conditions.iter().enumerate() {
            if guards.has(number) {
                own.push(Some(Phase::new(std::slice::from_ref(condition), session)?));
                outputs.push(None);
            } else {
                own.push(None);
                outputs.push(Some(rest.len()));
                rest.push(condition.clone());
            }
        }
        Ok(Conditions { guards, own, together: Phase::new(&rest, session)?, outputs })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// How many are guarded.
    pub fn guarded(&self) -> usize {
        self.own.iter().flatten().count()
    }

    /// All phases, for their inputs.
    pub fn phases(&self) -> impl Iterator<Item = &Phase> {
        self.own.iter().flatten().chain([&self.together])
    }

    /// Numbers the inputs of all phases and the paths of all guards.
    pub fn bind(&mut self, inputs: &mut Inputs, path_number: &mut dyn FnMut(&Path) -> usize) {
        for phase in self.own.iter_mut().flatten().chain([&mut self.together]) {
            inputs.bind(phase, path_number);
        }
        self.guards.bind(path_number);
    }

    /// Prepares a batch: finds candidates, evaluates what has no guard. Places of `rows`
    /// on which an expression failed are added to `poison`.
    pub fn prepare(&self, scene: &mut Scene<'_>, rows: &[u32], poison: &mut Vec<u32>) -> Held {
        let columns = scene.evaluate(&self.together, rows, poison);
        let together = columns.iter().map(truths).collect();
        Held { candidates: self.guards.candidates(scene.arena.bytes(), rows, scene.rows), together }
    }

    /// The places among `rows` at which condition `number` holds and `open` is true, ascending.
    pub fn hits(&self, number: usize, held: &Held, scene: &Scene<'_>, rows: &[u32], open: &dyn Fn(u32) -> bool, poison: &mut Vec<u32>) -> Vec<u32> {
        let Some(Some(phase)) = self.own.get(number) else {
            let truths = self.outputs.get(number).copied().flatten().and_then(|output| held.together.get(output)?.as_ref());
            return truths.into_iter().flatten().enumerate().filter(|(place, hit)| **hit && open(*place as u32)).map(|(place, _)| place as u32).collect();
        };
        let places: Vec<u32> = held.candidates.get(number).into_iter().flatten().copied().filter(|place| open(*place)).collect();
        if places.is_empty() {
            return places;
        }
        let selected: Vec<u32> = places.iter().map(|place| rows[*place as usize]).collect();
        let mut failed = Vec::new();
        let columns = scene.evaluate_some(phase, &selected, &OfTypes::new(&places, &[]), &mut failed);
        poison.extend(failed.iter().map(|n| places[*n as usize]));
        let Some(truths) = columns.first().and_then(truths) else { return Vec::new() };
        places.into_iter().zip(truths).filter(|(_, hit)| *hit).map(|(place, _)| place).collect()
    }
}
