//! Owns incident fields: their types, what they accept, and which types of incidents have them.

use crate::config::node::Node;
use crate::config::read::shortened;
use crate::config::source_map::Spanned;
use crate::config::suggest;

use super::names::normalise;
use super::read::{Keys, Reader};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// A line of text.
    ShortText,
    /// Text.
    LongText,
    /// True or false.
    Boolean,
    /// One of a few words; others are stored, too.
    SingleSelect,
    /// Some of a few words.
    MultiSelect,
    /// A point in time.
    Date,
    /// The name of a user.
    User,
    /// The name of a role.
    Role,
    /// A number.
    Number,
    /// Files.
    Attachments,
    /// Words.
    TagsSelect,
    /// Anything: for the product itself.
    Internal,
    /// An address.
    Url,
    /// Text with marks.
    Markdown,
    /// Rows of named columns.
    Grid,
    /// Time until something must be done.
    Timer,
    /// Text with tags.
    Html,
}

/// Names as packs write them.
const TYPES: [(&str, FieldType); 17] = [
    ("shortText", FieldType::ShortText),
    ("longText", FieldType::LongText),
    ("boolean", FieldType::Boolean),
    ("singleSelect", FieldType::SingleSelect),
    ("multiSelect", FieldType::MultiSelect),
    ("date", FieldType::Date),
    ("user", FieldType::User),
    ("role", FieldType::Role),
    ("number", FieldType::Number),
    ("attachments", FieldType::Attachments),
    ("tagsSelect", FieldType::TagsSelect),
    ("internal", FieldType::Internal),
    ("url", FieldType::Url),
    ("markdown", FieldType::Markdown),
    ("grid", FieldType::Grid),
    ("timer", FieldType::Timer),
    ("html", FieldType::Html),
];

impl FieldType {
    /// By its name in packs, in any case.
    pub fn parse(word: &str) -> Option<FieldType> {
        // `keyValue` and `longText` variants of indicator fields hold text.
        TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, kind)| *kind)
    }

    /// As packs write it.
    pub fn as_str(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("shortText", |(name, _)| name)
    }
}

/// What a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    /// Incidents.
    #[default]
    Incident,
    /// Evidence.
    Evidence,
    /// Indicators.
    Indicator,
    /// Something of a newer product.
    Other,
}

/// A column of a grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Column {
    /// By which rows name it.
    pub key: String,
    /// What people see.
    pub display: String,
    /// What it holds, as written.
    pub kind: String,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in incidents: letters and digits in lower case.
    pub cli_name: String,
    /// What it holds.
    pub kind: FieldType,
    /// What it belongs to.
    pub group: Group,
    /// An incident without it cannot be saved by hand.
    pub required: bool,
    /// What may be chosen.
    pub select_values: Vec<String>,
    /// Other values may be chosen, too.
    pub open_ended: bool,
    /// Compared without case.
    pub case_insensitive: bool,
    /// What people may type, a regular expression.
    pub validation: Option<Spanned<String>>,
    /// Of a grid.
    pub columns: Vec<Column>,
    /// Rows that a grid starts with.
    pub default_rows: Vec<serde_json::Value>,
    /// Types of incidents that have it, by name.
    pub types: Vec<Spanned<String>>,
    /// All types have it.
    pub all_types: bool,
    /// Other names that read and write the same field.
    pub aliases: Vec<String>,
    /// It is an alias itself, of the field of this name.
    pub alias_to: Option<String>,
    /// A script that runs when it changes.
    pub script: Option<Spanned<String>>,
    /// A timer's script for a broken promise.
    pub breach_script: Option<Spanned<String>>,
    /// A timer's promise, in minutes.
    pub sla_minutes: i64,
    /// Hours before that at which it is at risk.
    pub threshold_hours: i64,
    /// It is never found by a search.
    pub unsearchable: bool,
    /// It is not offered to mappers.
    pub unmapped: bool,
    /// Its value is set by the product.
    pub read_only: bool,
}

const WITHOUT_EFFECT: [&str; 28] = [
    "ownerOnly",
    "placeholder",
    "closeForm",
    "editForm",
    "fieldCalcScript",
    "neverSetAsRequired",
    "useAsKpi",
    "hidden",
    "mergeStrategy",
    "runScriptAfterUpdate",
    "runScriptAfterIncUpdate",
    "template",
    "x2_fields",
    "associatedToAll",
    "isSearchable",
    "orgType",
    "cliNameWithPrefix",
    "nameWithPrefix",
    "defaultValue",
    "genericModuleId",
    "unsearchableFields",
    "autoCompleteTags",
    "runScriptAfterIncidentCreation",
    "propagationLabels",
    "tooltip",
    "version",
    "forceUnique",
    "layoutRules",
];

impl Field {
    /// Reads a field; `id` and `name` are its head's.
    pub fn read(id: &str, name: &str, mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<Field> {
        let group = match keys.whole("group", reader) {
            None | Some(0) => Group::Incident,
            Some(1) => Group::Evidence,
            Some(2) => Group::Indicator,
            Some(_) => Group::Other,
        };
        let kind = keys.spanned("type", reader);
        let kind = match kind {
            Some(word) => read_type(&word, group, reader),
            None => {
                reader.error("missing-key", "a field needs `type`", keys.head());
                None
            }
        };
        let written = keys.spanned("cliName", reader);
        let cli_name = match &written {
            Some(written) => written.value.clone(),
            None if !name.is_empty() => normalise(name),
            None => normalise(id.split_once('_').map_or(id, |(_, rest)| rest)),
        };
        if let Some(written) = &written
            && (written.value.is_empty() || normalise(&written.value) != written.value)
        {
            reader.warn("field-name", format!("the cliName `{}` has other characters than a to z and 0 to 9", shortened(&written.value)), written.span);
        }
        if cli_name.is_empty() {
            reader.error("missing-key", "a field needs `cliName`", keys.head());
        }
        let mut types: Vec<Spanned<String>> = Vec::new();
        for key in ["associatedTypes", "systemAssociatedTypes"] {
            for node in keys.list(key, reader) {
                types.extend(reader.text(node, key).map(|name| Spanned::new(name, node.span)));
            }
        }
        let all = types.iter().any(|name| name.value.eq_ignore_ascii_case("all"));
        let validation = keys.spanned("validationRegex", reader).filter(|regex| usable_regex(regex, reader));
        let field = Field {
            kind: kind.unwrap_or(FieldType::ShortText),
            group,
            required: keys.truth("required", reader),
            select_values: keys.texts("selectValues", reader).into_iter().filter(|word| !word.is_empty()).collect(),
            open_ended: keys.truth("openEnded", reader),
            case_insensitive: keys.truth("caseInsensitive", reader),
            validation,
            columns: keys.list("columns", reader).iter().filter_map(|node| column(node, reader)).collect(),
            default_rows: keys.list("defaultRows", reader).iter().map(Node::to_json).collect(),
            types,
            all_types: keys.truth("associatedToAll", reader) || all,
            aliases: aliases(&mut keys, reader),
            alias_to: keys.maybe_text("aliasTo", reader),
            script: keys.spanned("script", reader),
            breach_script: keys.spanned("breachScript", reader),
            sla_minutes: keys.whole("sla", reader).unwrap_or(0),
            threshold_hours: keys.whole("threshold", reader).unwrap_or(0),
            unsearchable: keys.truth("unsearchable", reader),
            unmapped: keys.truth("unmapped", reader),
            read_only: keys.truth("isReadOnly", reader),
            cli_name,
        };
        keys.close(&WITHOUT_EFFECT, reader);
        (kind.is_some() && !field.cli_name.is_empty()).then_some(field)
    }

    /// True if incidents of a type have it.
    pub fn belongs_to(&self, type_name: &str) -> bool {
        self.all_types || self.types.iter().any(|name| name.value == type_name)
    }
}

fn read_type(word: &Spanned<String>, group: Group, reader: &mut Reader<'_>) -> Option<FieldType> {
    let found = FieldType::parse(&word.value);
    if found.is_none() {
        let words: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let message = format!("`{}` is not a type of field", shortened(&word.value));
        // A type of a newer product must not cost the field; it holds whatever comes.
        let hint = suggest::nearest(&word.value, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        if group == Group::Incident {
            reader
                .out
                .push(crate::config::Diagnostic::warning("unknown-type", format!("{message}; it holds whatever it is given")).at(word.span).maybe_hint(hint));
        }
        return Some(FieldType::Internal);
    }
    found
}

/// Longest regular expression of a field in bytes, and of its compiled form.
const REGEX_BYTES_MAX: usize = 4 << 10;
const REGEX_SIZE_MAX: usize = 1 << 20;

fn usable_regex(regex: &Spanned<String>, reader: &mut Reader<'_>) -> bool {
    let usable = regex.value.len() <= REGEX_BYTES_MAX && regex::RegexBuilder::new(&regex.value).size_limit(REGEX_SIZE_MAX).build().is_ok();
    if !usable {
        reader.warn("bad-value", "`validationRegex` is not a regular expression that can be used; nothing is validated by it", regex.span);
    }
    usable
}

fn column(node: &Node, reader: &mut Reader<'_>) -> Option<Column> {
    let mut keys = Keys::open(node, "a column", reader)?;
    let display = keys.text("displayName", reader);
    let key = keys.maybe_text("key", reader).unwrap_or_else(|| normalise(&display));
    let kind = keys.text("type", reader);
    let without_effect = ["required", "script", "width", "isDefault", "fieldCalcScript", "isReadOnly", "selectValues", "isDisabled"];
    keys.close(&without_effect, reader);
    Some(Column { key, display, kind })
}

/// `Aliases`: words, or `{cliname, name, type}`.
fn aliases(keys: &mut Keys<'_>, reader: &mut Reader<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for node in keys.list("Aliases", reader) {
        match Keys::open_quietly(node) {
            Some(mut alias) => {
                names.extend(alias.maybe_text("cliName", reader));
                names.extend(alias.maybe_text("name", reader));
            }
            None => names.extend(reader.text(node, "an alias")),
        }
    }
    names
}
