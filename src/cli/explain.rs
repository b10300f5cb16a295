//! `catchment explain`: why an event ends as it does: filters, classification, every
//! field with its source and expression, every rule's verdict. `--sql`: the pipeline
//! up to the rules as one DataFusion query.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Answer;
use super::explain_rows;
use super::explain_sql::query;
use super::load::require;
use super::output::{Style, style};
use crate::error::Error;
use crate::expr::reference::{Row, evaluate};
use crate::expr::typed::{Source, Typed};
use crate::expr::value::{Type, Value};
use crate::ingest::batch::{Message, Partitions};
use crate::ingest::clock::{self, Decoded};
use crate::ingest::columns::Arena;
use crate::ingest::computed::Runner;
use crate::ingest::decide::Action;
use crate::ingest::decode::{DecodeLimits, Decoder, Rows};
use crate::ingest::emit::UNKNOWN_TENANT;
use crate::ingest::plan::build::{Arrival, Options};
use crate::ingest::plan::{Layout, Plan, SourcePlan};
use crate::ingest::scene::{NO_TIME, Scene, SceneRow};
use crate::ingest::trial::{End, Trial};

/// How often the columns of packs are computed.
const ROUNDS: usize = 5;

/// `explain`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The event file holds one JSON event, a message with several, or one event a line; - reads it from standard input.\n\nExamples:\n  catchment explain pipelines/soc event.json\n  tail -1 events.ndjson | catchment explain pipelines/soc - --json | jq .fields\n  catchment explain pipelines/soc --sql\n\nExit codes: 0 explained; 2 could not be done."
)]
pub struct ExplainArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// The event: a JSON file, or - for standard input; not needed with --sql
    #[arg(required_unless_present = "sql")]
    pub event: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The pipeline up to the rules as one DataFusion query over a table `events`
    #[arg(long, conflicts_with = "json")]
    pub sql: bool,
    /// The source that the event comes from [default: the first]
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// Runs the command.
pub fn run(args: &ExplainArgs) -> Result<Answer, Error> {
    let (_, plan) = require(&args.pipeline, &Options { arrival: Some(Arrival::Occurred) })?;
    let plan = Arc::new(plan);
    let number = match &args.source {
        None => 0,
        Some(name) => plan.sources.iter().position(|s| *s.name == **name).ok_or_else(|| {
            let names: Vec<&str> = plan.sources.iter().map(|s| &*s.name).collect();
            Error::user(format!("the pipeline has no source `{name}`")).hint(format!("its sources: {}", names.join(", ")))
        })?,
    };
    let source = plan.sources.get(number).ok_or_else(|| Error::bug("a pipeline without a source"))?;
    if args.sql {
        println!("{}", query(&plan, source));
        return Ok(Answer::Yes);
    }
    let mut message = Vec::new();
    match args.event.as_deref() {
        Some(path) if path.as_os_str() != "-" => {
            message = std::fs::read(path).map_err(|error| Error::user(format!("cannot read {}: {error}", path.display())))?;
        }
        _ => {
            std::io::stdin().lock().take(64 << 20).read_to_end(&mut message)?;
        }
    }
    let explained = explain_all(&plan, number as u16, &message)?;
    if args.json {
        let text = serde_json::to_string_pretty(&explained).map_err(|error| Error::bug(error.to_string()))?;
        println!("{text}");
    } else {
        for event in &explained {
            print(event);
        }
        explain_rows::print(source, &explain_rows::fallbacks(source));
    }
    Ok(Answer::Yes)
}

/// Messages of an NDJSON file that are explained; whoever wants to know of more asks for a line.
const LINES_MAX: usize = 100;

/// Explains a message; or, where a file is no JSON as a whole but its lines are, each of the first lines.
fn explain_all(plan: &Arc<Plan>, number: u16, message: &[u8]) -> Result<Vec<Json>, Error> {
    let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    let lines: Vec<&[u8]> = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect();
    if lines.len() < 2 || is_json(message) || !lines.iter().take(2).all(|line| is_json(line)) {
        return explain(plan, number, message);
    }
    if lines.len() > LINES_MAX {
        eprintln!("the first {LINES_MAX} of {} lines", lines.len());
    }
    let mut explained = Vec::new();
    for line in lines.iter().take(LINES_MAX) {
        explained.extend(explain(plan, number, line)?);
    }
    Ok(explained)
}

/// Explains every event of a message, as JSON objects.
pub fn explain(plan: &Arc<Plan>, number: u16, message: &[u8]) -> Result<Vec<Json>, Error> {
    let mut trial = Trial::new(plan.clone(), Some(Arrival::Occurred));
    let (ends, output) = trial.show(number, [message]).map_err(|error| Error::bug(error.to_string()))?;
    let source = &plan.sources[number as usize];
    let mut bytes = message.to_vec();
    bytes.extend_from_slice(&[0; crate::ingest::batch::ARENA_PADDING]);
    let mut rows = Rows::new(&source.shape);
    let decoded = Decoder::new(source.shape.clone(), DecodeLimits::default()).decode(&bytes, 0..message.len(), 0, &mut rows);
    if decoded.is_err() || ends.is_empty() {
        let letter: Json = output.dead.split(|b| *b == b'\n').next().and_then(|line| serde_json::from_slice(line).ok()).unwrap_or(Json::Null);
        let outcome = ends.first().map_or("no event in this message", |end| end.outcome());
        return Ok(vec![json!({ "outcome": outcome, "by": letter["reason"], "detail": letter["detail"] })]);
    }
    let messages =
        [Message { start: 0, len: message.len() as u32, partition: 0, offset: 0, timestamp_us: NO_TIME, key: (0, 0), headers: (0, 0), element: None }];
    let mut partitions = Partitions::default();
    partitions.append("explain");
    // More than once, so that costs are not those of a first time.
    let mut runner = Runner::default();
    for _ in 0..ROUNDS {
        let batch = Decoded { arena: &mut bytes, messages: &messages, headers: &[], partitions: &partitions, rows: &mut rows };
        clock::fill(&mut runner, source, Some(&Arrival::Occurred), batch);
    }
    let fallbacks = explain_rows::fallbacks(source);
    let arena = Arena::new(bytes);
    let mut explained = Vec::new();
    for (row, end) in ends.iter().enumerate().take(rows.len()) {
        let mut scene = Scene::new(source, &arena, &messages, &[], &partitions, &rows);
        let selected = [row as u32];
        scene.occurred = scene.evaluate(&source.occurred, &selected, &mut Vec::new()).pop();
        if let Some(column) = scene.occurred.clone()
            && let Value::Time(time) = crate::expr::reference::array_value(&column, 0, Type::Time)
        {
            scene.arrivals[row] = time;
        }
        let mut event = one(plan, source, &scene, row as u32, end);
        if let Some(members) = event.as_object_mut().filter(|_| !source.computed.is_empty()) {
            members.insert("row_by_row".to_owned(), json!(fallbacks));
        }
        explained.push(event);
    }
    Ok(explained)
}

fn one(plan: &Plan, source: &SourcePlan, scene: &Scene<'_>, row: u32, end: &End) -> Json {
    let event = SceneRow { scene, row, place: 0 };
    let truth = |typed: &Typed| to_json(&evaluate(typed, &event, &mut false));
    let filters: Vec<Json> = plan
        .filters
        .iter()
        .zip(&plan.written.filters)
        .map(|(filter, written)| json!({ "name": &*filter.name, "shadow": filter.shadow, "drop": &*written.text, "holds": truth(&written.typed) }))
        .collect();
    let hit = plan.written.classify.iter().position(|written| evaluate(&written.typed, &event, &mut false) == Value::Boolean(true));
    let key = plan.written.key.as_ref().map(|key| (key, evaluate(&key.typed, &event, &mut false)));
    let table = key.as_ref().and_then(|(_, value)| source.table.get(value.as_text()?)).and_then(|code| plan.types.get(*code as usize));
    let imported = source.imported_written.as_ref().map(|key| (key, evaluate(&key.typed, &event, &mut false)));
    let imported = imported.filter(|(_, value)| value.as_text().is_some_and(|value| source.imported_table.contains_key(value)));
    let because = match (hit, table, &end.type_name) {
        _ if end.outcome() == "filtered" => "a filter that holds: nothing classifies what it drops".to_owned(),
        (Some(number), ..) => format!("rule {} of classify: {}", number + 1, plan.written.classify[number].text),
        (None, Some(_), _) => {
            format!("the table: {} is {}", key.as_ref().map_or("the key", |(key, _)| &key.text), key.as_ref().map_or(Json::Null, |(_, v)| to_json(v)))
        }
        (None, None, Some(_)) => match imported {
            Some((key, value)) => format!("the classifier {} is {}", key.text, to_json(&value)),
            None if source.imported_default.is_some() => "the default of the classifier".to_owned(),
            None => "the default".to_owned(),
        },
        (None, None, None) => "no rule and no entry of the table names it".to_owned(),
    };
    let code = end.type_name.as_ref().and_then(|name| plan.types.iter().position(|t| t == name));
    let layout = code.and_then(|code| source.layouts.get(code));
    let fields: Vec<Json> = layout
        .into_iter()
        .flat_map(Layout::all)
        .map(|field| {
            let mut failed = false;
            let value = to_json(&evaluate(&field.typed, &event, &mut failed));
            let value = end.incident.as_ref().and_then(|incident| incident.get(&*field.name)).cloned().unwrap_or(value);
            let mut paths: Vec<String> = field.typed.inputs().iter().map(|(source, ty)| crate::expr::compile::column_name(source, *ty)).collect();
            paths.dedup();
            json!({ "name": &*field.name, "value": value, "expression": &*field.text, "section": &*field.section, "reads": paths, "unreadable": failed && (value.is_null() || falls_back(&field.name)) })
        })
        .collect();
    let incident = RuleRow { event: &event, layout, plan, code };
    let rules: Vec<Json> = plan
        .rules
        .iter()
        .zip(&plan.decide.rules)
        .zip(&plan.written.whens)
        .map(|((rule, spec), when)| {
            let holds = when.as_ref().map(|when| to_json(&evaluate(&when.typed, &incident, &mut false)));
            let matches: serde_json::Map<String, Json> = rule.fields.iter().map(|name| (name.to_string(), incident.field(name))).collect();
            let null = matches.values().any(Json::is_null);
            let verdict = match (&holds, spec.matches) {
                (Some(held), _) if *held != Json::Bool(true) => "does not apply: `when` is not true",
                (_, true) if null && rule.nulls == crate::config::model::Nulls::Skip => "does not apply: a match field is empty",
                (_, true) => "applies if an earlier incident has the same match fields",
                _ => "applies",
            };
            json!({
                "name": &*rule.name,
                "action": action_word(spec.action),
                "shadow": spec.shadow,
                "when": when.as_ref().map(|when| when.text.to_string()),
                "holds": holds,
                "match": matches,
                "within_ms": spec.within_ms,
                "verdict": verdict,
            })
        })
        .collect();
    json!({
        "outcome": end.outcome(),
        "by": end.by(plan).map(|by| by.to_string()),
        "source": &*source.name,
        "filters": filters,
        "type": end.type_name.as_ref().map(|name| name.to_string()),
        "because": because,
        "fields": fields,
        "rules": rules,
        "incident": end.incident,
    })
}

/// What the incident has a value for even where its expression yields none.
fn falls_back(field: &str) -> bool {
    matches!(field, "occurred" | "severity")
}

/// The incident that a row would become, as rules see it.
struct RuleRow<'a> {
    event: &'a SceneRow<'a>,
    layout: Option<&'a Layout>,
    plan: &'a Plan,
    code: Option<usize>,
}

impl RuleRow<'_> {
    fn field(&self, name: &str) -> Json {
        match name {
            "type" => return self.code.and_then(|code| self.plan.types.get(code)).map_or(Json::Null, |name| json!(&**name)),
            "tenant" => return json!(self.tenant()),
            _ => {}
        }
        self.layout
            .into_iter()
            .flat_map(Layout::all)
            .find(|field| *field.name == *name)
            .map_or(Json::Null, |field| to_json(&evaluate(&field.typed, self.event, &mut false)))
    }
}

impl RuleRow<'_> {
    fn tenant(&self) -> String {
        let found = |typed: &Typed| evaluate(typed, self.event, &mut false).as_text().map(str::to_owned);
        match &self.plan.tenant {
            Some(word) => word.to_string(),
            None => self.plan.written.tenant.as_ref().and_then(found).unwrap_or_else(|| UNKNOWN_TENANT.to_owned()),
        }
    }
}

impl Row for RuleRow<'_> {
    fn get(&self, source: &Source, ty: Type) -> Value<'_> {
        let Source::Field(name) = source else { return self.event.get(source, ty) };
        let field = self.layout.into_iter().flat_map(Layout::all).find(|field| *field.name == **name);
        let value = match (name.as_str(), field) {
            ("type", _) => self.code.and_then(|code| self.plan.types.get(code)).map_or(Value::Null, |name| Value::Text((&**name).into())),
            ("tenant", _) => Value::Text(self.tenant().into()),
            ("created", _) => self.event.get(&Source::Record(crate::expr::typed::Record::Timestamp), Type::Time),
            (_, Some(field)) => evaluate(&field.typed, self.event, &mut false),
            _ => Value::Null,
        };
        match (name.as_str(), ty, value) {
            ("severity", _, Value::Null) => Value::Number(0.0),
            (_, Type::Text, value) => value.to_text().map_or(Value::Null, |text| Value::Text(text.into_owned().into())),
            (_, _, value) => value,
        }
    }
}

fn to_json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(truth) => json!(truth),
        Value::Number(number) | Value::Duration(number) => {
            if number.fract() == 0.0 && number.abs() < 9e15 {
                json!(*number as i64)
            } else {
                json!(number)
            }
        }
        other => other.to_text().map_or(Json::Null, |text| json!(text)),
    }
}

/// An action as pipelines write it.
fn action_word(action: Action) -> &'static str {
    match action {
        Action::Drop => "drop",
        Action::DropAndUpdate => "drop_and_update",
        Action::Link => "link",
        Action::LinkAndClose => "link_and_close",
        Action::Close => "close",
    }
}

/// Longest value shown (characters).
const VALUE_SHOWN: usize = 60;

fn shown(value: &Json) -> String {
    let text = match value {
        Json::Null => return "–".into(),
        // Quotes belong to an expression and do no harm; control characters would.
        Json::String(text) => text.chars().flat_map(|c| if matches!(c, '\'' | '"') { vec![c] } else { c.escape_debug().collect() }).collect(),
        other => other.to_string(),
    };
    if text.chars().count() > VALUE_SHOWN { format!("{}…", text.chars().take(VALUE_SHOWN).collect::<String>()) } else { text }
}

fn print(event: &Json) {
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let outcome = text("outcome");
    let tone = match outcome.as_str() {
        "incident" => Style::Good,
        "dead_letter" => Style::Bad,
        _ => Style::Warn,
    };
    let by = if event["by"].is_string() { format!(" by {}", text("by")) } else { String::new() };
    println!("{} {}{by}", style("ends as", Style::Head), style(&outcome, tone));
    if event["detail"].is_string() {
        println!("  {}", text("detail"));
    }
    let held: Vec<&Json> = event["filters"].as_array().into_iter().flatten().filter(|f| f["holds"] == Json::Bool(true)).collect();
    if let Some(filters) = event["filters"].as_array() {
        println!("{} {} tried, {} hold", style("filters", Style::Head), filters.len(), held.len());
        for filter in held {
            println!(
                "  {}{}: {}",
                filter["name"].as_str().unwrap_or_default(),
                if filter["shadow"] == Json::Bool(true) { " (shadow)" } else { "" },
                filter["drop"].as_str().unwrap_or_default()
            );
        }
    }
    if event.get("because").is_some() {
        let name = if event["type"].is_string() { text("type") } else { "none".into() };
        println!("{} {}", style("type", Style::Head), style(&name, Style::Good));
        println!("  because of {}", text("because"));
    }
    if let Some(fields) = event["fields"].as_array().filter(|f| !f.is_empty()) {
        println!("{}", style("fields", Style::Head));
        let mut rows = super::output::table(&["  field", "value", "expression", "from"], &[]);
        for field in fields {
            let mark = if field["unreadable"] == Json::Bool(true) { " (unreadable)" } else { "" };
            rows.add_row([
                format!("  {}", field["name"].as_str().unwrap_or_default()),
                format!("{}{mark}", shown(&field["value"])),
                shown(&field["expression"]),
                field["section"].as_str().unwrap_or_default().to_owned(),
            ]);
        }
        println!("{rows}");
    }
    if let Some(rules) = event["rules"].as_array().filter(|r| !r.is_empty() && event["type"].is_string()) {
        println!("{}", style("rules", Style::Head));
        let mut rows = super::output::table(&["  rule", "action", "verdict", "match"], &[]);
        for rule in rules {
            let fields: Vec<String> = rule["match"].as_object().into_iter().flatten().map(|(name, value)| format!("{name}={}", shown(value))).collect();
            let shadow = if rule["shadow"] == Json::Bool(true) { " (shadow)" } else { "" };
            rows.add_row([
                format!("  {}", rule["name"].as_str().unwrap_or_default()),
                format!("{}{shadow}", rule["action"].as_str().unwrap_or_default()),
                rule["verdict"].as_str().unwrap_or_default().to_owned(),
                fields.join(", "),
            ]);
        }
        println!("{rows}");
    }
    println!();
}
