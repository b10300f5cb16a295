//! Owns generated answers: values for declared outputs, for the incident, and for people, drawn
//! from a seed and from what the playbook compares them with.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Responder;
use super::hints::Hints;
use crate::expr::xsoar::prepared::Prepared;
use crate::load::rng::{Draw, StoryRng};
use crate::respond::run::{Answer, Ask, Call, Failure, FailureKind, Output, Run};
use crate::respond::world::World;

/// Answers from a seed.
pub struct Generator<'w> {
    world: &'w World,
    rng: StoryRng,
    hints: Hints,
    /// Labels that scripts of conditions may say, by script.
    labels: BTreeMap<String, Vec<String>>,
    /// Paths that tasks read and nothing declares: what stands in yields them.
    stand_in: BTreeSet<String>,
    /// Tasks fail in this share of calls where the playbook says what then.
    pub errors: f64,
    calls: u32,
}

impl<'w> Generator<'w> {
    /// Answers for runs of a playbook.
    pub fn new(world: &'w World, playbook: &str, seed: u64) -> Generator<'w> {
        let mut hints = Hints::default();
        let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // The playbook, and those below it.
        let mut ahead = vec![playbook.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(name) = ahead.pop() {
            let Some(program) = world.library.find(&name).filter(|_| seen.insert(name.clone())) else { continue };
            let found = Hints::of(program);
            hints.reads.extend(found.reads);
            for (path, values) in found.constants {
                hints.constants.entry(path).or_default().extend(values);
            }
            for task in &program.tasks {
                match &task.kind {
                    crate::respond::program::Kind::Playbook(name) => ahead.push(name.clone()),
                    crate::respond::program::Kind::Automation { name, labels: true, .. } => {
                        let said = task.edges.iter().map(|(label, _)| label.clone()).filter(|label| !label.starts_with('#'));
                        labels.entry(name.to_lowercase()).or_default().extend(said);
                    }
                    _ => {}
                }
            }
        }
        let declared: BTreeSet<&str> = world.externals.values().flat_map(|external| external.outputs.iter().map(String::as_str)).collect();
        let virtual_roots = ["incident", "inputs", "lists", "modules", "lastCompletedTaskEntries", "currentPlaybookID"];
        let own = |path: &&String| !virtual_roots.contains(&path.split('.').next().unwrap_or_default()) && !declared.contains(path.as_str());
        let stand_in = hints.reads.iter().filter(own).cloned().collect();
        Generator { world, rng: StoryRng::new(seed, 0x0070_6c61_7962), hints, labels, stand_in, errors: 0.15, calls: 0 }
    }

    /// An incident with values for what the playbook reads.
    pub fn incident(&mut self) -> Value {
        let mut incident = json!({ "id": "1001", "name": "generated incident", "type": "Generated", "severity": 2, "status": 1, "occurred": "2026-03-01T10:00:00Z", "owner": "", "labels": {} });
        let paths: Vec<String> = self.hints.reads.iter().filter_map(|path| path.strip_prefix("incident.").map(str::to_owned)).collect();
        for path in paths {
            if let Some(value) = self.value(&format!("incident.{path}"))
                && path != "id"
            {
                put(&mut incident, &path, value);
            }
        }
        incident
    }

    /// Inputs in the place of what the playbook says, now and then.
    pub fn inputs(&mut self, playbook: &str) -> Map<String, Value> {
        let mut found = Map::new();
        let Some(program) = self.world.library.find(playbook).cloned() else { return found };
        for input in program.inputs.iter().filter(|input| !input.key.is_empty()) {
            let path = format!("inputs.{}", input.key);
            let compared = self.hints.constants.contains_key(&path);
            let said = matches!(&input.value, Prepared::Constant(value) if !crate::expr::xsoar::value::is_empty(value));
            // Most runs get values: an empty input ends most playbooks at once. What the playbook says itself fits best.
            if !self.rng.chance(if compared {
                0.8
            } else if said {
                0.0
            } else {
                0.7
            }) {
                continue;
            }
            // What is read below it makes it an object.
            let prefix = format!("{path}.");
            let below: Vec<String> = self.hints.reads.iter().filter_map(|read| read.strip_prefix(&prefix).map(str::to_owned)).collect();
            let value = match below.is_empty() {
                true => self.value(&path),
                false => {
                    let mut object = json!({});
                    for part in &below {
                        if let Some(value) = self.value(&format!("{path}.{part}")) {
                            put(&mut object, part, value);
                        }
                    }
                    Some(object)
                }
            };
            found.extend(value.map(|value| (input.key.clone(), value)));
        }
        found
    }

    /// What stood in the context before: what defaults of inputs and tasks read and nobody yields.
    pub fn context(&mut self) -> Value {
        let mut context = json!({});
        let paths: Vec<String> = self.stand_in.iter().cloned().collect();
        for path in paths {
            if self.rng.chance(0.5)
                && let Some(value) = self.value(&path)
            {
                put(&mut context, &path, value);
            }
        }
        context
    }

    /// Lists that tasks read.
    pub fn lists(&mut self) -> BTreeMap<String, String> {
        let names: BTreeSet<String> = self.hints.reads.iter().filter_map(|path| Some(path.strip_prefix("lists.")?.split('.').next()?.to_owned())).collect();
        let addresses = |name: &str| ["ip", "range", "net"].iter().any(|part| name.to_lowercase().contains(part));
        names
            .into_iter()
            .map(|name| (name.clone(), if addresses(&name) { "10.0.0.0/8,198.51.100.0/25".to_owned() } else { "host1.example,alpha,yes".to_owned() }))
            .collect()
    }

    /// A value for a path; `None`: there is none this time.
    fn value(&mut self, path: &str) -> Option<Value> {
        if self.rng.chance(0.15) {
            return None;
        }
        let constants = self.hints.constants.get(path).cloned().unwrap_or_default();
        if !constants.is_empty() && self.rng.chance(0.7) {
            let at = usize::try_from(self.rng.below(constants.len() as u64)).unwrap_or(0);
            let chosen = constants.get(at).cloned().unwrap_or(Value::Null);
            // Around a bound both sides matter.
            if let Some(number) = chosen.as_str().and_then(|text| text.trim().parse::<i64>().ok()) {
                return Some(Value::from(number + i64::try_from(self.rng.below(3)).unwrap_or(1) - 1));
            }
            return Some(chosen);
        }
        let word = path.rsplit('.').next().unwrap_or_default().to_lowercase();
        Some(by_name(&word, &mut self.rng))
    }

    /// Entry context for declared paths: values that stand side by side are one object.
    fn outputs(&mut self, paths: &[String]) -> Map<String, Value> {
        let mut found: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for path in paths.iter().filter(|path| !path.trim().is_empty()) {
            let path = path.split('(').next().unwrap_or_default().trim().replace(['[', ']'], "");
            // Something else is below it.
            if paths.iter().any(|other| other.starts_with(&path) && other.get(path.len()..).is_some_and(|rest| rest.starts_with('.'))) {
                continue;
            }
            if let Some(value) = self.value(&path) {
                let (place, name) = path.rsplit_once('.').unwrap_or(("", &path));
                found.entry(place.to_owned()).or_default().insert(name.to_owned(), value);
            }
        }
        let mut context = Map::new();
        for (place, members) in found {
            match place.is_empty() {
                true => context.extend(members),
                false => {
                    context.insert(place, Value::Object(members));
                }
            }
        }
        context
    }
}

/// What a name suggests.
fn by_name(word: &str, rng: &mut StoryRng) -> Value {
    let hex = |rng: &mut StoryRng, digits: usize| (0..digits).map(|_| char::from_digit(rng.below(16) as u32, 16).unwrap_or('0')).collect::<String>();
    let has = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
    if has(&["sha256"]) {
        return Value::from(hex(rng, 64));
    }
    if has(&["sha1"]) {
        return Value::from(hex(rng, 40));
    }
    if has(&["md5", "hash"]) {
        return Value::from(hex(rng, 32));
    }
    if has(&["email", "mail", "sender", "from"]) {
        return Value::from(format!("user{}@corp.example", rng.below(20)));
    }
    if word == "ip" || has(&["address", "ips", "ipaddress"]) {
        return Value::from(format!("198.51.100.{}", rng.below(256)));
    }
    if has(&["url", "link", "data"]) {
        return Value::from(format!("http://host{}.example/p", rng.below(20)));
    }
    if has(&["domain", "host", "name"]) {
        return Value::from(format!("host{}.example", rng.below(20)));
    }
    if has(&[
        "score", "count", "size", "severity", "number", "total", "port", "level", "num", "interval", "timeout", "minutes", "hours", "days", "seconds", "limit",
        "max", "retries",
    ]) {
        return Value::from(rng.below(5));
    }
    if has(&["date", "time", "created", "occurred"]) {
        return Value::from("2026-03-01T10:00:00Z");
    }
    if word.starts_with("is") || has(&["enabled", "found", "malicious", "exists"]) {
        return Value::from(rng.chance(0.5));
    }
    if word.ends_with("id") {
        return Value::from((1000 + rng.below(1000)).to_string());
    }
    let words = ["yes", "no", "true", "done", "completed", "success", "malicious", "high", "alpha", "beta"];
    Value::from(words.get(rng.below(words.len() as u64) as usize).copied().unwrap_or("yes"))
}

/// Puts a value at a dotted path; objects become what they need to be.
fn put(root: &mut Value, path: &str, value: Value) {
    crate::expr::xsoar::context::overwrite(root, path, value);
}

impl Responder for Generator<'_> {
    fn call(&mut self, run: &Run, call: &Call) -> Result<Output, Failure> {
        self.calls += 1;
        let name = call.command.to_lowercase();
        // Where the playbook says what an error means, one comes now and then.
        let handled = run
            .pinned
            .get(run.frames.get(&call.key.frame).map_or("", |frame| frame.playbook.as_str()))
            .and_then(|version| self.world.library.version(version))
            .and_then(|program| program.tasks.get(call.key.task as usize))
            .is_some_and(|node| node.on_error != crate::content::playbook::task::OnError::Stop);
        if handled && self.rng.chance(self.errors) {
            return Err(Failure::new(FailureKind::Said, "generated error"));
        }
        if let Some(labels) = self.labels.get(&name).filter(|labels| !labels.is_empty()) {
            let label = labels.get(self.rng.below(labels.len() as u64) as usize).cloned().unwrap_or_default();
            return Ok(Output { contents: Value::from(label), ..Output::default() });
        }
        let declared = self.world.externals.get(&name).map(|external| external.outputs.clone()).unwrap_or_default();
        let mut paths = declared;
        if paths.is_empty() {
            // Nothing is declared: what is read and nobody yields may come from here.
            paths = self.stand_in.iter().filter(|_| true).cloned().collect();
            let share = 4.0 / (paths.len().max(1) as f64);
            let mut rng = self.rng;
            paths.retain(|_| rng.chance(share.max(0.3)));
            self.rng = rng;
        }
        let context = self.outputs(&paths);
        let contents = Value::Object(context.clone());
        Ok(Output { context, contents, readable: format!("generated answer of `{}`", call.command), poll: None })
    }

    fn ask(&mut self, _: &Run, ask: &Ask) -> Option<Answer> {
        let mut answer = Answer { task: ask.task.clone(), frame: Some(ask.key.frame), actor: "generated".to_owned(), ..Answer::default() };
        if !ask.replies.is_empty() {
            answer.label = ask.replies.get(self.rng.below(ask.replies.len() as u64) as usize).cloned().unwrap_or_default();
        }
        for (id, _, _, options) in &ask.questions {
            let value = if options.is_empty() {
                Value::from("answered")
            } else {
                Value::from(options.get(self.rng.below(options.len() as u64) as usize).cloned().unwrap_or_default())
            };
            answer.answers.insert(id.clone(), value);
        }
        Some(answer)
    }
}
