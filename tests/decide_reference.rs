//! The reference model of the decision loop: a plain list of created incidents,
//! scanned for every row. Slow and obviously right; the engine must equal it.

#![allow(clippy::unwrap_used)]

use catchment::ingest::decide::{
    Action, Attach, BatchInput, DecideSpec, Decided, Decider, Fingerprinter, Link, LinkTo, Mode, Notes, Origin, RuleInput, Scope, Verdict, WhereSource,
};

/// One row of a generated stream.
#[derive(Debug, Clone)]
pub struct Row {
    pub origin: Origin,
    pub time: i64,
    /// Per rule: `when`.
    pub holds: Vec<bool>,
    /// Per rule: the match key, 0 = NULL.
    pub keys: Vec<u8>,
    /// What `where` compares: new >= existing.
    pub value: u8,
}

struct Created {
    row: Row,
    closed: bool,
}

/// One shard's memory: everything that was ever created.
#[derive(Default)]
struct Memory {
    clock: Option<i64>,
    created: Vec<Created>,
}

/// Decides all rows in one go.
pub fn decide(spec: &DecideSpec, rows: &[Row]) -> Decided {
    let mut shards: Vec<Memory> = Vec::new();
    let mut out = Decided { shadow: vec![0; spec.rules.len()], ..Decided::default() };
    for (number, row) in rows.iter().enumerate() {
        let at = if spec.scope == Scope::Process { 0 } else { row.origin.partition as usize };
        while shards.len() <= at {
            shards.push(Memory::default());
        }
        let memory = &mut shards[at];
        memory.clock = Some(memory.clock.map_or(row.time, |clock| clock.max(row.time)));
        let verdict = decide_row(spec, memory, number as u32, row, &mut out);
        if let Verdict::Create { close, .. } = verdict {
            memory.created.push(Created { row: row.clone(), closed: close.is_some() });
        }
        out.verdicts.push(verdict);
    }
    out
}

/// Whether `existing` may be a target of `row` under a rule.
pub fn matches(spec: &DecideSpec, rule: usize, clock: i64, row: &Row, existing: &Row) -> bool {
    let given = &spec.rules[rule];
    row.keys[rule] != 0
        && row.keys[rule] == existing.keys[rule]
        && existing.time >= clock - given.within_ms - spec.late_max_ms
        && (row.time - existing.time).abs() <= given.within_ms
        && (!given.has_where || row.value >= existing.value)
}

fn decide_row(spec: &DecideSpec, memory: &Memory, number: u32, row: &Row, out: &mut Decided) -> Verdict {
    let clock = memory.clock.unwrap();
    let mut applying: Vec<(u16, Action, Option<Origin>)> = Vec::new();
    let mut late = false;
    for (at, rule) in spec.rules.iter().enumerate() {
        if !row.holds[at] {
            continue;
        }
        let mut target = None;
        if rule.matches {
            if row.keys[at] == 0 {
                continue;
            }
            if row.time < clock - rule.within_ms - spec.late_max_ms {
                late = true;
                continue;
            }
            let mut found = memory.created.iter().filter(|c| matches(spec, at, clock, row, &c.row) && !(rule.open_only && c.closed));
            let found = match rule.link_to {
                LinkTo::Oldest => found.next(),
                LinkTo::Newest => found.next_back(),
            };
            let Some(found) = found else { continue };
            target = Some(found.row.origin);
        } else if !matches!(rule.action, Action::Drop | Action::Close) {
            continue;
        }
        if rule.shadow {
            out.shadow[at] += 1;
            continue;
        }
        applying.push((at as u16, rule.action, target));
        if spec.mode == Mode::First {
            break;
        }
    }
    out.late += u64::from(late);
    let first = |action: Action| applying.iter().find(|a| a.1 == action).map(|a| a.0);
    if let Some(rule) = first(Action::Drop) {
        return Verdict::Drop { rule };
    }
    if let Some(rule) = first(Action::DropAndUpdate) {
        for (rule, action, target) in applying {
            if let (Action::DropAndUpdate, Some(target)) = (action, target) {
                out.attaches.push(Attach { row: number, rule, target });
            }
        }
        return Verdict::Attach { rule };
    }
    let close = first(Action::Close).or(first(Action::LinkAndClose));
    let mut linked = false;
    for (rule, action, target) in applying {
        if let (Action::Link | Action::LinkAndClose, Some(target)) = (action, target) {
            out.links.push(Link { row: number, rule, target });
            linked = true;
        }
    }
    Verdict::Create { close, linked }
}

struct Values<'a>(&'a [Row]);

impl WhereSource for Values<'_> {
    fn capture(&mut self, row: usize) -> Box<[u8]> {
        vec![self.0[row].value; 1 + row % 3].into()
    }

    fn holds(&mut self, _rule: usize, row: usize, existing: &[u8]) -> bool {
        self.0[row].value >= existing[0]
    }
}

/// Decides the rows with the engine, cut into batches of the given sizes (repeated).
pub fn engine(spec: &DecideSpec, rows: &[Row], cuts: &[usize]) -> (Decided, Decider) {
    let mut decider = Decider::new(spec.clone());
    let mut whole = Decided { shadow: vec![0; spec.rules.len()], ..Decided::default() };
    let mut out = Decided::default();
    let (mut from, mut cut) = (0, 0);
    while from < rows.len() {
        let to = rows.len().min(from + cuts[cut % cuts.len()].max(1));
        cut += 1;
        batch(&mut decider, &rows[from..to], &mut out, None);
        append(&mut whole, &out, from as u32);
        from = to;
    }
    (whole, decider)
}

/// Decides one batch; with a number and notes, so that it can be undone.
pub fn batch(decider: &mut Decider, part: &[Row], out: &mut Decided, noted: Option<(u64, &mut Notes)>) {
    let mut printer = Fingerprinter::new(*b"a key for a test");
    let mut inputs = Vec::new();
    for (at, rule) in decider.spec().rules.iter().enumerate() {
        let mut print = |row: &Row| match row.keys[at] {
            0 => 0,
            key => printer.fingerprint(rule.rule_key, [Some(&[key][..])]),
        };
        let always = part.iter().all(|row| row.holds[at]);
        inputs.push(RuleInput {
            holds: (!always).then(|| part.iter().map(|row| row.holds[at]).collect()),
            fingerprints: rule.matches.then(|| part.iter().map(&mut print).collect()),
        });
    }
    let origins: Vec<Origin> = part.iter().map(|row| row.origin).collect();
    let times_ms: Vec<i64> = part.iter().map(|row| row.time).collect();
    let mut values = Values(part);
    let mut input = BatchInput { origins: &origins, times_ms: &times_ms, rules: &inputs, values: &mut values };
    match noted {
        None => decider.decide(&mut input, out),
        Some((seq, notes)) => decider.decide_noted(seq, &mut input, out, notes),
    }
}

/// Appends the decisions of a batch whose first row has this number.
pub fn append(whole: &mut Decided, out: &Decided, from: u32) {
    whole.verdicts.extend(&out.verdicts);
    whole.attaches.extend(out.attaches.iter().map(|a| Attach { row: a.row + from, ..*a }));
    whole.links.extend(out.links.iter().map(|l| Link { row: l.row + from, ..*l }));
    whole.late += out.late;
    whole.where_unknown += out.where_unknown;
    for (sum, add) in whole.shadow.iter_mut().zip(&out.shadow) {
        *sum += add;
    }
}
