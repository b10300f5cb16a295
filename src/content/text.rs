//! Owns how expressions and playbooks are shown to people.
//!
//! A path stays a path; a chain reads from left to right: `files[verdict = 'bad'].sha256 | uniq`.

use crate::expr::xsoar::model::{Argument, Complex, Operand, Place, Test, Tests, Transformer};

use super::playbook::Playbook;
use super::playbook::task::{Action, Automation, Command, OnError, Task, Until};

/// An expression on one line.
pub fn argument(argument: &Argument, place: Place) -> String {
    match argument {
        Argument::Unset => "(not set)".to_owned(),
        Argument::Simple(text) if text.is_empty() => "(empty)".to_owned(),
        Argument::Simple(text) => match place {
            Place::Event | Place::Context => one_line(text),
            Place::Text if text.starts_with("${") && text.ends_with('}') && text.matches("${").count() == 1 => one_line(text),
            Place::Text => format!("'{}'", one_line(text)),
        },
        Argument::Complex(parts) => complex(parts),
    }
}

fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

fn complex(parts: &Complex) -> String {
    let Complex { root, accessor, filters, transformers } = parts;
    let mut text = one_line(root);
    if !filters.is_empty() {
        text.push_str(&format!("[{}]", tests(filters, Some(root))));
    }
    if !accessor.is_empty() {
        // A DT expression that was cut at its first dot is put together again; otherwise a step.
        text.push('.');
        text.push_str(&one_line(accessor));
    }
    for transformer in transformers {
        text.push_str(&format!(" | {}", step(transformer)));
    }
    text
}

fn step(transformer: &Transformer) -> String {
    if transformer.args.is_empty() {
        return transformer.operator.clone();
    }
    let args: Vec<String> = transformer.args.iter().map(|(name, value)| format!("{name}: {}", operand(value, None))).collect();
    format!("{}({})", transformer.operator, args.join(", "))
}

/// Tests on one line. Left paths lose the root that they repeat.
pub fn tests(tests: &Tests, root: Option<&str>) -> String {
    let group = |alternatives: &Vec<Test>| {
        let texts: Vec<String> = alternatives.iter().map(|alternative| test(alternative, root)).collect();
        match texts.as_slice() {
            [] => "true".to_owned(),
            [one] => one.clone(),
            _ if tests.len() > 1 => format!("({})", texts.join(" or ")),
            _ => texts.join(" or "),
        }
    };
    if tests.is_empty() { "true".to_owned() } else { tests.iter().map(group).collect::<Vec<_>>().join(" and ") }
}

fn test(test: &Test, root: Option<&str>) -> String {
    let left = operand(&test.left, root);
    let sign = match test.operator.rsplit('.').next().unwrap_or_default() {
        "isEqualString" | "isEqualNumber" | "isEqual" => "=",
        "isNotEqualString" | "isNotEqualNumber" | "isNotEqual" => "!=",
        "greaterThan" => ">",
        "greaterThanOrEqual" => ">=",
        "lessThan" => "<",
        "lessThanOrEqual" => "<=",
        _ => test.operator.as_str(),
    };
    let case = if test.ignore_case { " (any case)" } else { "" };
    match &test.right {
        Some(right) => format!("{left} {sign} {}{case}", operand(right, None)),
        None => format!("{left} {sign}{case}"),
    }
}

fn operand(operand: &Operand, root: Option<&str>) -> String {
    let place = if operand.from_context { Place::Context } else { Place::Text };
    let text = argument(&operand.value, place);
    let Some(root) = root.filter(|root| !root.is_empty()) else { return text };
    match text.strip_prefix(root) {
        Some("") => "it".to_owned(),
        Some(rest) => rest.strip_prefix('.').map_or(text.clone(), str::to_owned),
        None => text,
    }
}

/// A playbook as text: inputs, outputs, tasks in the order in which they can run.
pub fn playbook(playbook: &Playbook) -> String {
    let mut text = String::new();
    if !playbook.inputs.is_empty() {
        text.push_str("inputs\n");
        for input in &playbook.inputs {
            let value = match &input.query {
                Some(query) => format!("{} query: {}", if query.incidents { "incidents" } else { "indicators" }, one_line(&query.text)),
                None => argument(&input.value.argument, Place::Text),
            };
            let required = if input.required { " (required)" } else { "" };
            text.push_str(&format!("  {}{required} = {value}\n", input.key.value));
        }
    }
    if !playbook.outputs.is_empty() {
        text.push_str("outputs\n");
        for output in &playbook.outputs {
            text.push_str(&format!("  {}\n", output.path.value));
        }
    }
    text.push_str("tasks\n");
    for task in ordered(playbook) {
        describe(task, &mut text);
    }
    text
}

/// Tasks so that each stands behind all that lead to it; those in circles at the end.
fn ordered(playbook: &Playbook) -> Vec<&Task> {
    let mut before: std::collections::HashMap<&str, usize> = playbook.tasks.iter().map(|task| (task.id.as_str(), 0)).collect();
    let targets = |task: &'_ Task| task.next.iter().flat_map(|(_, targets)| targets.iter().map(|target| target.value.clone())).collect::<Vec<_>>();
    for target in playbook.tasks.iter().flat_map(targets) {
        if let Some(count) = before.get_mut(target.as_str()) {
            *count += 1;
        }
    }
    let mut order: Vec<&Task> = Vec::new();
    let mut ready: std::collections::VecDeque<&Task> = playbook.tasks.iter().filter(|task| before.get(task.id.as_str()) == Some(&0)).collect();
    while let Some(task) = ready.pop_front() {
        order.push(task);
        for target in targets(task) {
            if let Some(count) = before.get_mut(target.as_str()) {
                *count -= 1;
                if *count == 0 {
                    ready.extend(playbook.task(&target));
                }
            }
        }
    }
    let circles: Vec<&Task> = playbook.tasks.iter().filter(|task| before.get(task.id.as_str()).is_some_and(|count| *count > 0)).collect();
    order.extend(circles);
    order
}

fn describe(task: &Task, text: &mut String) {
    let name = if task.name.is_empty() { String::new() } else { format!(" “{}”", one_line(&task.name)) };
    text.push_str(&format!("  {}{name}: {}\n", task.id, action(&task.action)));
    for (name, value) in &task.arguments {
        if !value.argument.is_unset() {
            text.push_str(&format!("      {} = {}\n", name.value, argument(&value.argument, Place::Text)));
        }
    }
    if let Action::Condition(branches) = &task.action {
        for branch in branches {
            text.push_str(&format!("      {} if {}\n", branch.label.value, tests(&branch.when.tests, None)));
        }
    }
    if let Some(repeat) = &task.repeat {
        let until = match &repeat.until {
            Until::ForEach => "for each item of its inputs".to_owned(),
            Until::Holds(conditions) => format!("until {}, at most {} times", tests(&conditions.tests, None), repeat.max),
            Until::Says { script, answer, .. } => format!("until {} says {answer}, at most {} times", script.value, repeat.max),
        };
        text.push_str(&format!("      repeated {until}\n"));
    }
    for (field, value) in &task.field_mapping {
        text.push_str(&format!("      then field {} = {}\n", field.value, argument(&value.argument, Place::Text)));
    }
    match task.on_error {
        OnError::Stop => {}
        OnError::Continue => text.push_str("      goes on after an error\n"),
        OnError::ErrorPath => text.push_str("      takes #error# after an error\n"),
    }
    for (label, targets) in &task.next {
        let targets: Vec<&str> = targets.iter().map(|target| target.value.as_str()).collect();
        let label = if label.value == "#none#" { String::new() } else { format!("{} ", label.value) };
        text.push_str(&format!("      {label}→ {}\n", targets.join(", ")));
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Start => "start".to_owned(),
        Action::Title => "heading".to_owned(),
        Action::Manual => "a person does it".to_owned(),
        Action::Command(name) => command(name),
        Action::Script(name) => format!("script {}", name.value),
        Action::Playbook(name) => format!("playbook {}", name.value),
        Action::Condition(_) => "condition".to_owned(),
        Action::ConditionBy(Automation::Script(name)) => format!("condition by script {}", name.value),
        Action::ConditionBy(Automation::Command(name)) => format!("condition by {}", command(name)),
        Action::Ask(message) => {
            let replies: Vec<&str> = message.replies.iter().map(|reply| reply.value.as_str()).collect();
            format!("asks a person: {}", replies.join(" / "))
        }
        Action::Decide => "a person decides".to_owned(),
        Action::Collect(form, _) => format!("form with {} questions", form.questions.len()),
    }
}

fn command(command: &Command) -> String {
    match &command.brand {
        Some(brand) if brand != "Builtin" => format!("command {} of {brand}", command.name.value),
        _ => format!("command {}", command.name.value),
    }
}
