//! Room: what runs see of their surroundings: playbooks, content packs, commands that can be
//! called, people, brakes. It does not change during a step.

pub mod brakes;
pub mod library;
pub mod packs;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::content::{Content, incident};
use crate::respond::command::{self, Builtin};
use brakes::Brakes;
use library::Library;

/// The surroundings of runs.
#[derive(Debug, Default, Clone)]
pub struct World {
    /// Playbooks.
    pub library: Library,
    /// Types, fields, lists.
    pub content: Option<Arc<Content>>,
    /// Commands and scripts that run outside of the engine, by name in lower case.
    pub externals: HashMap<String, External>,
    /// Integration instances, as `modules` shows them: `{name, brand, state}`.
    pub modules: Vec<Value>,
    /// People that incidents can be given to.
    pub users: Vec<User>,
    /// What commands with an effect may do.
    pub brakes: Brakes,
    /// What is missing is called like anything else: in simulations somebody answers.
    pub stand_in: bool,
}

/// A person.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct User {
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    pub online: bool,
    pub on_call: bool,
}

/// A command or script that runs outside of the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct External {
    /// Its name as it is written.
    pub name: String,
    /// Whose it is.
    pub brands: Vec<String>,
    /// It changes something in the world.
    pub execution: bool,
    /// It does so with methods that are not GET, HEAD or OPTIONS only.
    pub by_method: bool,
    /// What a call means whose result nobody knows.
    pub on_unknown: OnUnknown,
    /// Seconds after which it is given up.
    pub timeout_s: u32,
    /// Context paths that it declares.
    pub outputs: Vec<String>,
    /// Arguments it needs.
    pub required: Vec<String>,
    /// Arguments that it has anyway: name, value.
    pub defaults: Vec<(String, String)>,
}

impl External {
    /// True where a call changes something in the world.
    pub fn executes(&self, arguments: &Map<String, Value>) -> bool {
        let method = arguments.get("method").and_then(Value::as_str).unwrap_or("GET").trim().to_uppercase();
        self.execution && !(self.by_method && matches!(method.as_str(), "" | "GET" | "HEAD" | "OPTIONS"))
    }
}

/// What an intent without a result means when a run goes on elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// It is done again, with the same key: for what may happen twice.
    Retry,
    /// A person is asked.
    #[default]
    Ask,
    /// The task fails.
    Fail,
}

/// What stands behind a name.
#[derive(Debug, Clone)]
pub enum Ability<'w> {
    /// The engine itself.
    Builtin(&'static Builtin),
    /// Something outside.
    External(&'w External),
    /// Something that is not here, and somebody answers for it.
    StandIn,
    /// Nothing; or nothing of that brand.
    Missing,
}

impl World {
    /// What a command or script is.
    pub fn ability(&self, brand: Option<&str>, name: &str) -> Ability<'_> {
        let own = brand.is_none_or(|brand| brand.eq_ignore_ascii_case("builtin"));
        let external = self.externals.get(&name.to_lowercase()).filter(|external| match brand {
            Some(brand) if !own => external.brands.is_empty() || external.brands.iter().any(|known| known.eq_ignore_ascii_case(brand)),
            _ => true,
        });
        if let Some(external) = external {
            return Ability::External(external);
        }
        if own && let Some(builtin) = command::find(name) {
            return Ability::Builtin(builtin);
        }
        if self.stand_in { Ability::StandIn } else { Ability::Missing }
    }

    /// The text of a list of the packs, or its value if it is JSON.
    pub fn list(&self, name: &str) -> Option<Value> {
        incident::list(self.content.as_deref()?, name)
    }

    /// The script that runs when incidents of a type are closed.
    pub fn closure_script(&self, type_name: &str) -> Option<String> {
        let (_, found) = self.content.as_deref()?.incident_type(type_name)?;
        found.closure_script.as_ref().map(|script| script.value.clone()).filter(|script| !script.is_empty())
    }

    /// The name under which a field stands in an incident: system fields keep their name, others are cliNames.
    pub fn field_name(&self, name: &str) -> String {
        let bare = name.strip_prefix("incident_").unwrap_or(name);
        // A name that can only be a native pipeline's stays what it is.
        if bare.contains('_') && bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return bare.to_owned();
        }
        match self.content.as_deref() {
            Some(content) => match content.target(bare) {
                crate::content::Target::System(system) => system.name.to_owned(),
                crate::content::Target::Custom(field) => field.cli_name.clone(),
                crate::content::Target::Unknown(name) => name,
            },
            None => crate::content::names::system_field(bare).map_or_else(|| crate::content::names::normalise(bare), |field| field.name.to_owned()),
        }
    }

    /// Minutes that a timer field promises, and those before that at which it is at risk.
    pub fn timer_promise(&self, field: &str) -> (i64, i64) {
        match self.content.as_deref().and_then(|content| content.field(field)) {
            Some((_, field)) if field.sla_minutes > 0 => (field.sla_minutes, field.threshold_hours.clamp(0, 100_000) * 60),
            _ => (-1, 0),
        }
    }
}

/// An incident as tasks see it: fields at the top, labels as an object.
pub fn incident_view(incident: Value) -> Value {
    let Value::Object(mut members) = incident else { return Value::Object(Map::new()) };
    if let Some(Value::Object(custom)) = members.get("CustomFields").cloned() {
        for (name, value) in custom {
            members.entry(name).or_insert(value);
        }
    }
    if let Some(Value::Array(labels)) = members.get("labels") {
        let mut found = Map::new();
        for label in labels {
            if let (Some(name), Some(value)) = (label.get("type").and_then(Value::as_str), label.get("value")) {
                crate::expr::xsoar::context::append(found.entry(name.to_owned()).or_insert(Value::Null), "", value.clone());
            }
        }
        members.insert("labels".to_owned(), Value::Object(found));
    }
    Value::Object(members)
}
