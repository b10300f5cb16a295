//! Owns the schema directory: `fields.yaml` declares incident fields, `types.yaml`
//! declares incident types. Both are optional; what is declared is checked.

use std::path::Path;

use crate::content::field::FieldType;
use crate::content::{Body, Content, Kind};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits::{FIELDS_MAX, TYPES_MAX};
use super::load::read_yaml_file;
use super::node::{Node, Value};
use super::read::{self, Fields, Note};
use super::sections::{RESERVED_FIELDS, field_kind, field_name};
use super::source_map::{Span, Spanned};
use super::suggest;
use super::units;

/// What the schema directory declares.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Fields in the order of the file; empty if there is no `fields.yaml`.
    pub fields: Vec<FieldSpec>,
    /// Types in the order of the file; empty if there is no `types.yaml`.
    pub types: Vec<TypeSpec>,
    /// Fields that content packs declare, by their names in incidents. What `fields.yaml` says of
    /// a field goes before that.
    pub imported_fields: Vec<FieldSpec>,
    /// Types that content packs declare.
    pub imported_types: Vec<TypeSpec>,
}

impl Schema {
    /// The declaration of a field.
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().chain(&self.imported_fields).find(|field| field.name == name)
    }

    /// The declaration of a type.
    pub fn type_spec(&self, name: &str) -> Option<&TypeSpec> {
        self.types.iter().chain(&self.imported_types).find(|spec| spec.name == name)
    }
}

impl Schema {
    /// Adds what content packs declare.
    pub(super) fn import(&mut self, content: &Content) {
        let mut seen = std::collections::HashSet::new();
        for (item, field) in content.incident_fields().filter(|(item, _)| content.in_window(item)) {
            let name = field_name(&field.cli_name);
            if seen.insert(name.clone()) {
                let kind = field_kind(&name, field.kind).unwrap_or(FieldKind::Json);
                let description = (!item.head.description.is_empty()).then(|| item.head.description.clone());
                self.imported_fields.push(FieldSpec { name, kind, required: false, scale: None, description, span: item.head.span });
            }
        }
        for item in content.of_kind(Kind::IncidentType).filter(|item| content.in_window(item)) {
            let Some(Body::Type(found)) = &item.body else { continue };
            self.imported_types.push(TypeSpec {
                name: item.head.name.clone(),
                color: (!found.color.is_empty()).then(|| found.color.clone()),
                playbook: found.playbook.as_ref().map(|name| name.value.clone()),
                sla_ms: (found.sla_minutes > 0).then(|| found.sla_minutes.saturating_mul(60_000)),
                description: (!item.head.description.is_empty()).then(|| item.head.description.clone()),
                span: item.head.span,
            });
        }
    }
}

/// A declared incident field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// An event that yields no value for it becomes a dead letter.
    pub required: bool,
    /// The scale of a severity: `words`, `p1-p5`, `0-10`, `0-100`, `syslog`.
    pub scale: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A point in time.
    Time,
    /// A length of time.
    Duration,
    /// 0, 0.5, 1, 2, 3 or 4.
    Severity,
    /// An IP address.
    Ip,
    /// A list.
    List,
    /// Anything that JSON can say.
    Json,
}

impl FieldKind {
    /// What a field of a content pack holds, in our terms.
    pub fn of(field_type: FieldType) -> FieldKind {
        match field_type {
            FieldType::ShortText | FieldType::LongText | FieldType::SingleSelect | FieldType::User | FieldType::Role => FieldKind::Text,
            FieldType::Url | FieldType::Markdown | FieldType::Html => FieldKind::Text,
            FieldType::Boolean => FieldKind::Boolean,
            FieldType::Number => FieldKind::Number,
            FieldType::Date => FieldKind::Time,
            FieldType::MultiSelect | FieldType::TagsSelect | FieldType::Attachments => FieldKind::List,
            FieldType::Grid | FieldType::Timer | FieldType::Internal => FieldKind::Json,
        }
    }

    /// As written in `fields.yaml`.
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("text", |(word, _)| word)
    }
}

/// A declared incident type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeSpec {
    /// Its name.
    pub name: String,
    /// `#rrggbb`.
    pub color: Option<String>,
    /// The playbook that answers it.
    pub playbook: Option<String>,
    /// How soon it must be dealt with, in milliseconds.
    pub sla_ms: Option<i64>,
    /// For people.
    pub description: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

const KINDS: [(&str, FieldKind); 10] = [
    ("text", FieldKind::Text),
    ("number", FieldKind::Number),
    ("integer", FieldKind::Integer),
    ("boolean", FieldKind::Boolean),
    ("time", FieldKind::Time),
    ("duration", FieldKind::Duration),
    ("severity", FieldKind::Severity),
    ("ip", FieldKind::Ip),
    ("list", FieldKind::List),
    ("json", FieldKind::Json),
];

/// What other systems call our kinds.
const OTHER_WORDS: [(&str, &str); 14] = [
    ("string", "text"),
    ("str", "text"),
    ("shorttext", "text"),
    ("longtext", "text"),
    ("int", "integer"),
    ("long", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("bool", "boolean"),
    ("timestamp", "time"),
    ("date", "time"),
    ("datetime", "time"),
    ("array", "list"),
    ("object", "json"),
];

const SCALES: [(&str, &str); 5] = [("words", "words"), ("p1-p5", "p1-p5"), ("0-10", "0-10"), ("0-100", "0-100"), ("syslog", "syslog")];

/// Ten years: longer than any promise to react.
const SLA_MS_MAX: i64 = 3_650 * 24 * 3_600_000;

/// Reads the directory that `schema:` names, or `schema/` if it is there.
pub(super) fn read_schema(node: Option<&Node>, dir: &Path, out: &mut Diagnostics) -> Schema {
    let named = match node {
        Some(node) => match read::text(node, "`schema`", out) {
            Some(text) => Some(text),
            None => return Schema::default(),
        },
        None => None,
    };
    let path = dir.join(named.as_ref().map_or("schema", |text| text.value.as_str()));
    if !path.is_dir() {
        if let Some(named) = named {
            let message = format!("the schema directory {} does not exist", named.value);
            let hint = "it holds fields.yaml and types.yaml; paths start from the directory of the pipeline";
            out.push(Diagnostic::error("missing-file", message).at(named.span).hint(hint));
        }
        return Schema::default();
    }
    let (fields, types) = (path.join("fields.yaml"), path.join("types.yaml"));
    if let Some(named) = named
        && !fields.is_file()
        && !types.is_file()
    {
        let message = format!("{} has neither fields.yaml nor types.yaml", named.value);
        out.push(Diagnostic::error("missing-file", message).at(named.span));
    }
    let mut schema = Schema::default();
    if fields.is_file()
        && let Some(node) = read_yaml_file(&fields, out)
    {
        schema.fields = declared(&node, "fields", FIELDS_MAX, out).into_iter().filter_map(|(name, node)| read_field(name, node, out)).collect();
    }
    if types.is_file()
        && let Some(node) = read_yaml_file(&types, out)
    {
        schema.types = declared(&node, "types", TYPES_MAX, out).into_iter().filter_map(|(name, node)| read_type(name, node, out)).collect();
    }
    schema
}

/// Name and declaration of each entry. A file is `name: {…}` entries or a list of entries
/// with `name`, in either case also one level down under `fields:` or `types:`.
fn declared<'n>(node: &'n Node, what: &'static str, most: usize, out: &mut Diagnostics) -> Vec<(Spanned<String>, Option<&'n Node>)> {
    let mut node = node;
    if let Value::Mapping(entries) = &node.value
        && let [(key, inner)] = entries.as_slice()
        && key.value == what
    {
        node = inner;
    }
    let mut found: Vec<(Spanned<String>, Option<&Node>)> = Vec::new();
    match &node.value {
        Value::Mapping(_) => {
            for (name, node) in read::entries(node, what, most, out) {
                found.push((name.clone(), Some(node).filter(|node| !node.is_nothing())));
            }
        }
        Value::List(_) => {
            for item in read::list(node, what, most, out) {
                match &item.value {
                    Value::Mapping(entries) => match entries.iter().find(|(key, _)| key.value == "name") {
                        Some((_, name)) => {
                            if let Some(name) = read::name(name, "`name`", out) {
                                found.push((name, Some(item)));
                            }
                        }
                        None => {
                            let message = format!("an entry of {what} needs `name`");
                            out.push(Diagnostic::error("missing-key", message).at(item.head()));
                        }
                    },
                    _ => {
                        if let Some(name) = read::name(item, "a name", out) {
                            found.push((name, None));
                        }
                    }
                }
            }
        }
        _ => read::wrong_type(node, what, "a mapping or a list", out),
    }
    read::unique(found.iter().map(|(name, _)| name), what, out);
    found
}

fn read_field(name: Spanned<String>, node: Option<&Node>, out: &mut Diagnostics) -> Option<FieldSpec> {
    if let Some((_, why)) = RESERVED_FIELDS.iter().find(|(reserved, _)| *reserved == name.value) {
        let message = format!("`{}` is filled by Catchment and cannot be declared", name.value);
        out.push(Diagnostic::error("field-name", message).at(name.span).hint(*why));
        return None;
    }
    let mut spec = FieldSpec { name: name.value, kind: FieldKind::Text, required: false, scale: None, description: None, span: name.span };
    let Some(node) = node else { return Some(spec) };
    // `src_ip: ip` is the short form of `src_ip: { type: ip }`.
    let Value::Mapping(_) = node.value else {
        spec.kind = read_kind(node, out)?;
        return Some(spec);
    };
    let mut fields = Fields::open(node, "a field", out)?;
    fields.entry("name");
    let kind = fields.get("type", out);
    if let Some(node) = kind {
        // A field of an unknown kind is still a declared field.
        spec.kind = read_kind(node, out).unwrap_or(FieldKind::Json);
    }
    if let Some(node) = fields.get("required", out) {
        spec.required = read::boolean(node, "`required`", out).unwrap_or(false);
    }
    if let Some(node) = fields.get("scale", out)
        && let Some(scale) = read::choice(node, "`scale`", &SCALES, out)
    {
        if spec.kind != FieldKind::Severity {
            let message = "`scale` belongs to fields of type `severity`";
            out.push(Diagnostic::error("bad-value", message).at(node.span).hint("add type: severity"));
        }
        spec.scale = Some(scale.to_owned());
    }
    if let Some(node) = fields.get("description", out) {
        spec.description = read::text(node, "`description`", out).map(|text| text.value);
    }
    fields.close(&[Note::Elsewhere("kind", "the key is `type`")], out);
    Some(spec)
}

fn read_kind(node: &Node, out: &mut Diagnostics) -> Option<FieldKind> {
    if let Some(word) = node.word()
        && let Some((_, ours)) = OTHER_WORDS.iter().find(|(other, _)| other.eq_ignore_ascii_case(word))
    {
        let message = format!("`{word}` is not a field type");
        out.push(Diagnostic::error("bad-value", message).at(node.span).hint(format!("here it is called `{ours}`")));
        return None;
    }
    read::choice(node, "the type of a field", &KINDS, out)
}

fn read_type(name: Spanned<String>, node: Option<&Node>, out: &mut Diagnostics) -> Option<TypeSpec> {
    let mut spec = TypeSpec { name: name.value, color: None, playbook: None, sla_ms: None, description: None, span: name.span };
    let Some(node) = node else { return Some(spec) };
    let mut fields = Fields::open(node, "a type", out)?;
    fields.entry("name");
    if let Some(node) = fields.get("color", out) {
        spec.color = read_color(node, out);
    }
    if let Some(node) = fields.get("playbook", out) {
        spec.playbook = read::text(node, "`playbook`", out).map(|text| text.value);
    }
    if let Some(node) = fields.get("sla", out) {
        spec.sla_ms = read::duration_ms(node, "`sla`", SLA_MS_MAX, out);
    }
    if let Some(node) = fields.get("description", out) {
        spec.description = read::text(node, "`description`", out).map(|text| text.value);
    }
    fields.close(&[Note::Elsewhere("colour", "the key is `color`")], out);
    Some(spec)
}

/// `#rrggbb` in quotes (YAML takes an unquoted # for a comment), or a plain color word.
fn read_color(node: &Node, out: &mut Diagnostics) -> Option<String> {
    const WORDS: [&str; 10] = ["red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "gray"];
    let color = read::text(node, "`color`", out)?;
    let hex = color.value.strip_prefix('#').is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || WORDS.contains(&color.value.as_str()) {
        return Some(color.value);
    }
    let words = suggest::one_of(&WORDS).unwrap_or_default();
    let message = "`color` must be \"#rrggbb\" or the word for a color";
    out.push(Diagnostic::error("bad-value", message).at(color.span).hint(format!("words: {words}")));
    None
}

/// How soon a type must be dealt with, for people.
impl TypeSpec {
    /// `4h`, or nothing.
    pub fn sla_text(&self) -> Option<String> {
        self.sla_ms.map(units::format_duration_ms)
    }
}
