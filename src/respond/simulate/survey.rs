//! Owns the survey: every playbook run in simulation over some seeds; how runs ended, which tasks
//! were reached, and why some failed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::generate::Generator;
use super::simulate;
use crate::load::rng::{Draw as _, StoryRng};
use crate::respond::run::{Happened, Run, RunState, Status};
use crate::respond::world::World;

/// The start of simulated time: 2026-03-01.
const START_US: i64 = 1_772_323_200_000_000;

/// The share of integrations that have an instance.
const INSTANCES: f64 = 0.8;

/// What the runs of one playbook came to.
#[derive(Debug, Default, Clone)]
pub struct Row {
    /// The playbook.
    pub playbook: String,
    /// Its tasks.
    pub tasks: usize,
    /// Those that were reached in some run.
    pub reached: BTreeSet<String>,
    /// Runs by how they ended.
    pub ended: BTreeMap<&'static str, usize>,
    /// Failed runs by reason.
    pub reasons: BTreeMap<String, usize>,
}

/// What all runs came to.
#[derive(Debug, Default, Clone)]
pub struct Survey {
    /// One row a playbook.
    pub rows: Vec<Row>,
}

impl Survey {
    /// Runs every playbook of a world once for each seed. `each` is told after each playbook.
    pub fn run(world: &World, seeds: u64, mut each: impl FnMut(&Row)) -> Survey {
        let mut survey = Survey::default();
        let worlds: Vec<World> = (0..seeds).map(|seed| some_instances(world, seed)).collect();
        for program in world.library.all() {
            let mut row = Row { playbook: program.name.clone(), tasks: program.tasks.len(), ..Row::default() };
            for (seed, world) in (0..seeds).zip(&worlds) {
                one(world, &program.id, &program.name, seed, &mut row);
            }
            each(&row);
            survey.rows.push(row);
        }
        survey
    }

    /// Runs that ended in one of these ways.
    pub fn count(&self, ways: &[&str]) -> usize {
        self.rows.iter().flat_map(|row| &row.ended).filter(|(way, _)| ways.contains(way)).map(|(_, count)| count).sum()
    }

    /// All runs.
    pub fn runs(&self) -> usize {
        self.rows.iter().flat_map(|row| row.ended.values()).sum()
    }

    /// Tasks that were reached, and all tasks.
    pub fn reached(&self) -> (usize, usize) {
        (self.rows.iter().map(|row| row.reached.len()).sum(), self.rows.iter().map(|row| row.tasks).sum())
    }

    /// Reasons of failed runs, most frequent first.
    pub fn reasons(&self) -> Vec<(String, usize)> {
        let mut all: BTreeMap<&str, usize> = BTreeMap::new();
        for (reason, count) in self.rows.iter().flat_map(|row| &row.reasons) {
            *all.entry(reason).or_default() += count;
        }
        let mut all: Vec<(String, usize)> = all.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let (reached, tasks) = self.reached();
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| json!({ "playbook": row.playbook, "tasks": row.tasks, "reached": row.reached.len(), "ended": row.ended, "reasons": row.reasons }))
            .collect();
        json!({ "playbooks": rows, "runs": self.runs(), "done_or_waiting": self.count(&["completed", "waiting"]), "tasks": tasks, "reached": reached, "reasons": self.reasons().into_iter().map(|(reason, count)| json!({ "reason": reason, "count": count })).collect::<Vec<_>>() })
    }
}

/// The world in which some of the integrations have no instance.
fn some_instances(world: &World, seed: u64) -> World {
    let mut world = world.clone();
    let mut rng = StoryRng::new(seed, 0x006d_6f64);
    world.modules.retain(|_| rng.chance(INSTANCES));
    world
}

fn one(world: &World, id: &str, name: &str, seed: u64, row: &mut Row) {
    let mut generator = Generator::new(world, id, seed);
    let incident = generator.incident();
    let mut run = Run::new("1001", id, &seed.to_string(), incident);
    run.given = generator.inputs(id);
    run.contexts.insert(0, generator.context());
    run.lists = generator.lists();
    let trace = simulate(&mut run, world, &mut generator, START_US);
    let own = |line: &&super::Line| line.playbook == name && line.what == Happened::Started;
    row.reached.extend(trace.lines.iter().filter(own).map(|line| line.task.clone()));
    let waits = run.frames.values().flat_map(|frame| &frame.tasks).any(|task| matches!(task.status, Status::Person | Status::Approval));
    let way = match run.state {
        _ if trace.endless => "endless",
        RunState::Waiting if !waits => "stuck",
        state => state.name(),
    };
    *row.ended.entry(way).or_default() += 1;
    if run.state == RunState::Failed {
        // Without the way there: what differs from playbook to playbook is counted together.
        let kind = trace.lines.iter().rev().find_map(|line| match &line.what {
            Happened::Failed(kind) => Some(kind.name()),
            _ => None,
        });
        let reason = run.reason.rsplit_once(": ").map_or(run.reason.as_str(), |(_, last)| last);
        // Numbers that a run made up are no reasons of their own.
        let reason = if reason.chars().any(char::is_alphabetic) { reason } else { "with a value of the run" };
        *row.reasons.entry(format!("{}: {reason}", kind.unwrap_or("run"))).or_default() += 1;
    }
}
