//! Owns the checks that span sections: names that must mean the same thing everywhere.

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::model::{MapSection, Outcome, Pipeline, Topic};
use super::source_map::Spanned;
use super::suggest;

/// Reports everything that is wrong between the sections of a pipeline.
pub fn check(pipeline: &Pipeline, out: &mut Diagnostics) {
    types(pipeline, out);
    fields(pipeline, out);
    tests(pipeline, out);
    topics(pipeline, out);
}

/// What a pipeline writes must be neither what it reads nor two things at once.
fn topics(pipeline: &Pipeline, out: &mut Diagnostics) {
    let own = ["incident-state", "index", "dead-letters"].map(|suffix| format!("{}.{suffix}", pipeline.name.value));
    let facts = pipeline.sink.topic.clone().unwrap_or_else(|| format!("{}.incidents", pipeline.name.value));
    if own.contains(&facts) {
        let message = format!("`sink.topic` is `{facts}`, where the pipeline keeps something else");
        out.push(Diagnostic::error("bad-value", message).hint("leave it out: facts go to <pipeline>.incidents"));
    }
    for topic in pipeline.sources.iter().flat_map(|source| &source.topics) {
        if let Topic::Name(name) = &topic.value
            && (*name == facts || own.contains(name))
        {
            let message = format!("the pipeline writes to `{name}` and would read what it wrote");
            out.push(Diagnostic::error("bad-value", message).at(topic.span).hint("read another topic, or give `sink.topic` another name"));
        }
    }
}

fn sections(pipeline: &Pipeline) -> impl Iterator<Item = &MapSection> {
    pipeline.map.iter().chain(pipeline.sources.iter().flat_map(|source| &source.map))
}

fn types(pipeline: &Pipeline, out: &mut Diagnostics) {
    let produced = pipeline.classify.produced();
    let declared: Vec<&str> = pipeline.schema.types.iter().map(|spec| spec.name.as_str()).collect();
    if declared.is_empty() {
        differ_in_case(&produced, out);
    } else {
        let known = |name: &str| pipeline.schema.type_spec(name).is_some();
        // What a classifier of a pack yields is the pack's affair.
        let imported = |name: &Spanned<String>| {
            pipeline.classify.xsoar.iter().flat_map(|found| found.produced()).chain(&pipeline.classify.of_sources).any(|other| other.value == name.value)
        };
        for name in produced.iter().filter(|name| !known(&name.value) && !imported(name)) {
            out.push(
                Diagnostic::error("unknown-type", format!("the type `{}` is not declared in types.yaml", name.value))
                    .at(name.span)
                    .hint(did_you_mean(&name.value, &declared).unwrap_or_else(|| "add it there".to_owned())),
            );
        }
    }
    if produced.is_empty() && out.has_errors() {
        // `classify` could not be read: nothing can be said about its types.
        return;
    }
    let produced: Vec<&str> = produced.iter().map(|name| name.value.as_str()).collect();
    let targets = sections(pipeline).map(|section| (&section.target, "this section is for"));
    let playbooks = pipeline.playbooks.iter().map(|playbook| (&playbook.type_name, "this playbook is for"));
    for (name, what) in targets.chain(playbooks) {
        if name.value == "*" || produced.contains(&name.value.as_str()) {
            continue;
        }
        let message = format!("no event is classified as `{}`", name.value);
        // A declared type that nothing yields yet is a plan, not a typing mistake.
        let diagnostic =
            if declared.contains(&name.value.as_str()) { Diagnostic::warning("unused-type", message) } else { Diagnostic::error("unknown-type", message) };
        let hint = did_you_mean(&name.value, &produced).unwrap_or_else(|| "name it under `classify`, or remove it here".to_owned());
        out.push(diagnostic.at(name.span).label(format!("{what} a type that never occurs")).hint(hint));
    }
}

/// Without a schema a type is whatever is written; two spellings are two types.
fn differ_in_case(produced: &[&Spanned<String>], out: &mut Diagnostics) {
    let mut seen: HashMap<String, &Spanned<String>> = HashMap::new();
    for name in produced {
        let folded = name.value.to_lowercase();
        match seen.get(&folded) {
            Some(first) => out.push(
                Diagnostic::warning("unknown-type", format!("`{}` and `{}` are two types", name.value, first.value))
                    .at(name.span)
                    .label("written so here")
                    .also(first.span, "and so here")
                    .hint("write both alike if they are meant to be one"),
            ),
            None => {
                seen.insert(folded, name);
            }
        }
    }
}

fn fields(pipeline: &Pipeline, out: &mut Diagnostics) {
    let schema = &pipeline.schema;
    if schema.fields.is_empty() {
        return;
    }
    let declared: Vec<&str> = schema.fields.iter().chain(&schema.imported_fields).map(|field| field.name.as_str()).collect();
    let mut told: Vec<&str> = Vec::new();
    for (field, _) in sections(pipeline).flat_map(|section| &section.fields) {
        let name = field.value.as_str();
        if matches!(name, "severity" | "occurred") || declared.contains(&name) || told.contains(&name) {
            continue;
        }
        told.push(name);
        out.push(
            Diagnostic::warning("undeclared-field", format!("`{name}` is not declared in fields.yaml"))
                .at(field.span)
                .hint(did_you_mean(name, &declared).unwrap_or_else(|| format!("add it there: {name}: {{ type: text }}"))),
        );
    }
    for field in schema.fields.iter().filter(|field| field.required) {
        let imported = pipeline.xsoar_map.iter().chain(pipeline.sources.iter().filter_map(|source| source.xsoar_map.as_ref()));
        let by_pack = imported.flat_map(|map| &map.sections).flat_map(|section| &section.fields).any(|entry| entry.field == field.name);
        let mapped = by_pack || sections(pipeline).flat_map(|section| &section.fields).any(|(name, _)| name.value == field.name);
        if !mapped {
            out.push(
                Diagnostic::error("required-field", format!("`{}` is required, but no section of `map` yields it", field.name))
                    .at(field.span)
                    .label("every event would become a dead letter")
                    .hint("map it, or remove required: true"),
            );
        }
    }
}

fn tests(pipeline: &Pipeline, out: &mut Diagnostics) {
    let produced: Vec<&str> = pipeline.classify.produced().iter().map(|name| name.value.as_str()).collect();
    let sources: Vec<&str> = pipeline.sources.iter().map(|source| source.name.value.as_str()).collect();
    let filters: Vec<&str> = pipeline.filters.iter().map(|filter| filter.name.value.as_str()).collect();
    let rules: Vec<&str> = pipeline.preprocess.rules.iter().map(|rule| rule.name.value.as_str()).collect();
    for test in &pipeline.tests {
        if let Some(source) = &test.source
            && !sources.contains(&source.value.as_str())
        {
            unknown("source", source, &sources, out);
        }
        for (field, value) in &test.expect.fields {
            if field.value == "type"
                && let Some(name) = value.as_str()
                && !produced.contains(&name)
            {
                out.push(
                    Diagnostic::error("unknown-type", format!("no event is classified as `{name}`")).at(field.span).maybe_hint(did_you_mean(name, &produced)),
                );
            }
        }
        let Some(rule) = &test.expect.rule else { continue };
        let name = rule.value.as_str();
        let outcome = test.expect.outcome.as_ref().map(|outcome| outcome.value);
        let candidates = match outcome {
            Some(Outcome::Filtered) => filters.clone(),
            Some(Outcome::Dropped | Outcome::Attached | Outcome::Incident) => rules.clone(),
            _ => filters.iter().chain(&rules).copied().collect(),
        };
        if !candidates.contains(&name) {
            unknown("filter or rule", rule, &candidates, out);
        }
    }
}

fn unknown(what: &str, name: &Spanned<String>, candidates: &[&str], out: &mut Diagnostics) {
    out.push(
        Diagnostic::error("unknown-name", format!("there is no {what} named `{}`", name.value))
            .at(name.span)
            .maybe_hint(suggest::hint(&name.value, candidates)),
    );
}

fn did_you_mean(name: &str, candidates: &[&str]) -> Option<String> {
    suggest::nearest(name, candidates.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}
