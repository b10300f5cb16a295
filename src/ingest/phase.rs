//! Expressions that are evaluated together over one selection of rows.
//!
//! Everything is planned when the pipeline is compiled. Parts that several
//! expressions share are computed once, as columns of their own. An expression that
//! fails (a bug, since ours are total) is bisected down to the rows at fault.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use crate::expr::compile::{column_name, physical};
use crate::expr::library::arrow_type;
use crate::expr::sql::sql;
use crate::expr::typed::{Op, Source, Typed};
use crate::expr::value::Type;

/// A column that a phase needs, and the type in which it reads it.
pub type Input = (Source, Type);

/// All inputs of a source's phases, numbered, so that nothing is looked up by name per batch.
#[derive(Debug, Default)]
pub struct Inputs {
    /// What each is; for event paths with the path's number.
    pub list: Vec<(Input, Option<usize>)>,
}

impl Inputs {
    /// Numbers the inputs of a phase.
    pub fn bind(&mut self, phase: &mut Phase, path_number: &mut dyn FnMut(&crate::expr::path::Path) -> usize) {
        phase.numbers.clear();
        for input in &phase.inputs {
            let known = self.list.iter().position(|(known, _)| known == input);
            phase.numbers.push(known.unwrap_or_else(|| {
                let path = match &input.0 {
                    Source::Event(path) => Some(path_number(path)),
                    _ => None,
                };
                self.list.push((input.clone(), path));
                self.list.len() - 1
            }));
        }
    }
}

/// What an expression has cost so far, in all workers.
#[derive(Debug)]
pub struct Cost {
    /// The expression, as SQL.
    pub text: String,
    nanos: AtomicU64,
}

impl Cost {
    /// Longest text that is kept (characters): it is for people.
    const TEXT_MAX: usize = 120;

    fn of(typed: &Typed) -> Cost {
        let text = sql(typed, &|field| field.to_owned());
        let text = if text.chars().count() > Cost::TEXT_MAX { text.chars().take(Cost::TEXT_MAX - 1).chain(['…']).collect() } else { text };
        Cost { text, nanos: AtomicU64::new(0) }
    }

    /// Nanoseconds of processor time, about.
    pub fn nanos(&self) -> u64 {
        self.nanos.load(Ordering::Relaxed)
    }
}

/// Planned expressions.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Columns to be built before [`Phase::evaluate`], in this order.
    pub inputs: Vec<Input>,
    /// Their numbers among all inputs of the source, see [`Inputs`].
    pub numbers: Vec<usize>,
    /// `schemas[n]`: the inputs and the first n shared parts.
    schemas: Vec<SchemaRef>,
    steps: Vec<Arc<dyn PhysicalExpr>>,
    shared: usize,
    types: Vec<Type>,
    /// For each output that is just an input: its number (no evaluation at all).
    direct: Vec<Option<usize>>,
    /// Per step.
    costs: Arc<[Cost]>,
}

impl Phase {
    /// Plans `outputs`; each becomes one column of the result.
    pub fn new(outputs: &[Typed], session: &SessionContext) -> Result<Phase, DataFusionError> {
        let whole = outputs;
        let (shared, outputs) = share(outputs);
        let costs = shared.iter().chain(whole).map(Cost::of).collect();
        let mut inputs: Vec<Input> = Vec::new();
        for typed in shared.iter().chain(&outputs) {
            for input in typed.inputs() {
                if !matches!(input.0, Source::Shared(_)) && !inputs.contains(&input) {
                    inputs.push(input);
                }
            }
        }
        let mut fields: Vec<Field> = inputs.iter().map(|(source, ty)| Field::new(column_name(source, *ty), arrow_type(*ty), true)).collect();
        for (number, typed) in shared.iter().enumerate() {
            let name = column_name(&Source::Shared(number as u32), typed.ty);
            fields.push(Field::new(name, arrow_type(typed.ty), true));
        }
        let schema = Arc::new(Schema::new(fields));
        let df_schema = DFSchema::try_from(schema.clone())?;
        let schemas = (0..=shared.len()).map(|n| schema.project(&(0..inputs.len() + n).collect::<Vec<_>>()).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let steps = shared.iter().chain(&outputs).map(|typed| physical(typed, &df_schema, session)).collect::<Result<Vec<_>, _>>()?;
        let direct = outputs
            .iter()
            .map(|typed| match &typed.op {
                Op::Input(source) => inputs.iter().position(|(s, ty)| s == source && *ty == typed.ty),
                _ => None,
            })
            .collect();
        let types = shared.iter().chain(&outputs).map(|typed| typed.ty).collect();
        Ok(Phase { inputs, numbers: Vec::new(), schemas, steps, shared: shared.len(), types, direct, costs })
    }

    /// What its expressions have cost so far.
    pub fn costs(&self) -> &[Cost] {
        &self.costs
    }

    /// How many columns it yields.
    pub fn outputs(&self) -> usize {
        self.direct.len()
    }

    /// True when there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Evaluates all outputs over `rows` rows of the given inputs. Rows (numbers within
    /// the selection) on which an expression failed are added to `poison` and NULL.
    pub fn evaluate(&self, inputs: Vec<ArrayRef>, rows: usize, poison: &mut Vec<u32>) -> Vec<ArrayRef> {
        let mut columns = inputs;
        for number in 0..self.shared {
            let column = self.step(number, self.batch(number, &columns, rows).as_ref(), rows, poison);
            columns.push(column);
        }
        let batch = self.batch(self.shared, &columns, rows);
        let outputs = self.direct.iter().enumerate().map(|(output, direct)| match direct.and_then(|input| columns.get(input)) {
            Some(column) => column.clone(),
            None => self.step(self.shared + output, batch.as_ref(), rows, poison),
        });
        outputs.collect()
    }

    fn batch(&self, shared: usize, columns: &[ArrayRef], rows: usize) -> Option<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schemas.get(shared)?.clone(), columns.to_vec(), &options).ok()
    }

    fn step(&self, number: usize, batch: Option<&RecordBatch>, rows: usize, poison: &mut Vec<u32>) -> ArrayRef {
        let ty = self.types[number];
        let null = || new_null_array(&arrow_type(ty), rows);
        let Some(batch) = batch else {
            // Columns that do not fit the plan: no row of this batch can be trusted.
            poison.extend(0..rows as u32);
            return null();
        };
        let mut parts = Vec::new();
        let began = Instant::now();
        bisect(&self.steps[number], batch, 0, ty, poison, &mut parts);
        if let Some(cost) = self.costs.get(number) {
            // Two looks at the clock a batch: a fraction of what any expression takes.
            cost.nanos.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        match parts.len() {
            1 => parts.pop().unwrap_or_else(null),
            _ => {
                let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
                concat(&parts).unwrap_or_else(|_| null())
            }
        }
    }
}

fn bisect(step: &Arc<dyn PhysicalExpr>, batch: &RecordBatch, from: u32, ty: Type, poison: &mut Vec<u32>, parts: &mut Vec<ArrayRef>) {
    let rows = batch.num_rows();
    let result = catch_unwind(AssertUnwindSafe(|| step.evaluate(batch).and_then(|value| value.into_array(rows))));
    match result {
        Ok(Ok(column)) if column.len() == rows => parts.push(column),
        _ if rows <= 1 => {
            poison.extend((0..rows as u32).map(|row| from + row));
            parts.push(new_null_array(&arrow_type(ty), rows));
        }
        _ => {
            let half = rows / 2;
            bisect(step, &batch.slice(0, half), from, ty, poison, parts);
            bisect(step, &batch.slice(half, rows - half), from + half as u32, ty, poison, parts);
        }
    }
}

/// Finds parts that occur more than once and turns them into steps of their own,
/// smaller ones first. Returns the shared parts and the outputs that use them.
// A regular expression keeps caches inside; it is equal, and hashed, by its text alone.
#[allow(clippy::mutable_key_type)]
fn share(outputs: &[Typed]) -> (Vec<Typed>, Vec<Typed>) {
    let mut counts: HashMap<&Typed, usize> = HashMap::new();
    for output in outputs {
        count(output, &mut counts);
    }
    let mut numbers: HashMap<Typed, u32> = HashMap::new();
    let mut shared = Vec::new();
    let outputs = outputs.iter().map(|output| replace(output, &counts, &mut numbers, &mut shared)).collect();
    (shared, outputs)
}

fn worth_sharing(typed: &Typed) -> bool {
    !matches!(typed.op, Op::Input(_) | Op::Constant(_) | Op::Not(_) | Op::IsNull(..))
}

#[allow(clippy::mutable_key_type)]
fn count<'a>(typed: &'a Typed, counts: &mut HashMap<&'a Typed, usize>) {
    let seen = counts.entry(typed).or_insert(0);
    *seen += 1;
    // What is inside a part that was seen before is computed with it.
    if *seen == 1 {
        typed.parts().into_iter().for_each(|part| count(part, counts));
    }
}

#[allow(clippy::mutable_key_type)]
fn replace(typed: &Typed, counts: &HashMap<&Typed, usize>, numbers: &mut HashMap<Typed, u32>, shared: &mut Vec<Typed>) -> Typed {
    let repeated = worth_sharing(typed) && counts.get(typed).is_some_and(|n| *n > 1);
    if repeated && let Some(number) = numbers.get(typed) {
        return Typed::input(Source::Shared(*number), typed.ty);
    }
    let rebuilt = typed.rebuild(&mut |part| replace(part, counts, numbers, shared));
    if !repeated {
        return rebuilt;
    }
    let number = shared.len() as u32;
    shared.push(rebuilt);
    numbers.insert(typed.clone(), number);
    Typed::input(Source::Shared(number), typed.ty)
}
