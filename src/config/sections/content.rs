//! Owns `content:` and what the other sections take from it: `classify: { xsoar: … }`,
//! `map: { xsoar: … }`, `preprocess: { xsoar: […] }`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::model::{XsoarClassify, XsoarEntry, XsoarMap, XsoarSection};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, shortened};
use crate::config::schema::FieldKind;
use crate::config::source_map::Spanned;
use crate::content::field::FieldType;
use crate::content::item::{Item, Kind};
use crate::content::mapper::{Mapper, Section};
use crate::content::{Content, Target, Version, check, load};
use crate::expr::xsoar::external::Limits;

use super::map::RESERVED_FIELDS;

/// Packs that one pipeline may name.
const PACKS_MAX: usize = 1_000;
/// Mistakes in packs that are kept until it is known which items the pipeline uses.
const KEPT_MAX: usize = 100_000;
/// How long a batch of calls of a user's operator may be allowed to take: a worker waits for it.
const SCRIPT_MS_MAX: i64 = 60_000;

/// What a pipeline imports, and what is wrong with it.
pub struct Imported {
    /// The packs.
    pub content: Arc<Content>,
    said: Diagnostics,
}

/// `content: [packs/…]`, or `content: { packs: […], xsoar_version: 6.5.0, scripts: operators/ }`.
pub fn read_content(node: Option<&Node>, dir: &Path, out: &mut Diagnostics) -> Option<Imported> {
    let node = node?;
    let mut scripts = None;
    let mut limits = Limits::default();
    let (packs, version) = match &node.value {
        Value::Mapping(_) => {
            let mut fields = Fields::open(node, "`content`", out)?;
            let packs = fields.need("packs", "[packs/Acme]", out);
            let version = fields.get("xsoar_version", out).and_then(|node| read_version(node, out));
            scripts = fields.get("scripts", out).and_then(|node| read::text(node, "`scripts`", out));
            if let Some(ms) = fields.get("script_timeout", out).and_then(|node| read::duration_ms(node, "`script_timeout`", SCRIPT_MS_MAX, out)) {
                limits.timeout = Duration::from_millis(ms.unsigned_abs());
            }
            if let Some(bytes) = fields.get("script_memory", out).and_then(|node| read::bytes(node, "`script_memory`", out)) {
                limits.memory = bytes;
            }
            fields.close(&[], out);
            (packs?, version)
        }
        _ => (node, None),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for node in read::one_or_many(packs).iter().take(PACKS_MAX) {
        let Some(pack) = read::text(node, "a pack", out) else { continue };
        let path = dir.join(&pack.value);
        if path.exists() {
            paths.push(path);
        } else {
            let hint = "a pack is a directory, or a directory of packs; paths start from the directory of the pipeline";
            out.push(Diagnostic::error("missing-file", format!("{} does not exist", shortened(&pack.value))).at(pack.span).hint(hint));
        }
    }
    let mut said = out.beside(KEPT_MAX);
    let mut content = load(&paths, version, &mut said);
    if let Some(scripts) = scripts
        && content.with_scripts(&dir.join(&scripts.value), limits).is_err()
    {
        let hint = "a directory of executables, each named like its operator; the path starts from the directory of the pipeline";
        out.push(Diagnostic::error("missing-file", format!("{} cannot be read", shortened(&scripts.value))).at(scripts.span).hint(hint));
    }
    check::check(&content, &mut said);
    out.take_files(&said);
    if content.items.is_empty() && !paths.is_empty() {
        out.push(Diagnostic::warning("empty-content", "there is no content item in these packs").at(packs.point()));
    }
    let failed = content.items.iter().filter(|item| item.body.is_none()).count();
    if failed > 0 {
        let items = if failed == 1 { "1 item does" } else { "some items do" };
        let message = format!("{items} not load ({failed} of {})", content.items.len());
        out.push(Diagnostic::warning("broken-content", message).at(packs.point()).hint("`catchment content check` tells which, and why"));
    }
    Some(Imported { content: Arc::new(content), said })
}

fn read_version(node: &Node, out: &mut Diagnostics) -> Option<Version> {
    let text = read::text(node, "`xsoar_version`", out)?;
    let version = Version::parse(&text.value);
    if version.is_none() {
        out.push(Diagnostic::error("bad-value", "`xsoar_version` is a version such as 6.5.0").at(text.span));
    }
    version
}

impl Imported {
    /// Says why an item cannot be used, or that there is none.
    pub fn missing(&self, what: &str, kinds: &[Kind], name: &Spanned<String>, out: &mut Diagnostics) {
        let named = |item: &&Item| kinds.contains(&item.kind) && (item.head.id == name.value || item.head.name == name.value);
        match self.content.items.iter().find(named) {
            Some(item) => {
                out.push(Diagnostic::error("broken-content", format!("the {what} `{}` does not load", shortened(&name.value))).at(name.span));
                self.tell(item, out);
            }
            None => {
                let near = check::nearest(&self.content, kinds, &name.value).map(|near| format!("did you mean `{near}`?"));
                let hint = near.unwrap_or_else(|| "`catchment content list` shows what there is".to_owned());
                out.push(Diagnostic::error("unknown-name", format!("there is no {what} `{}` in these packs", shortened(&name.value))).at(name.span).hint(hint));
            }
        }
    }

    /// Passes on what there is to say about an item that the pipeline uses: keys that are passed
    /// over have no effect, and names that lead nowhere matter where they are used.
    pub fn tell(&self, item: &Item, out: &mut Diagnostics) {
        let passed_on = |diagnostic: &&Diagnostic| {
            diagnostic.span.is_some_and(|span| span.file == item.file)
                && !matches!(diagnostic.code, "unknown-key" | "duplicate-name" | "unknown-type" | "other-spelling")
        };
        for diagnostic in self.said.iter().filter(passed_on) {
            if !out.iter().any(|known| known == diagnostic) {
                out.push(diagnostic.clone());
            }
        }
    }
}

/// The packs, or a mistake that says that there are none.
pub fn need<'i>(imported: Option<&'i Imported>, key: &Spanned<String>, out: &mut Diagnostics) -> Option<&'i Imported> {
    if imported.is_none() {
        out.push(
            Diagnostic::error("missing-key", "`xsoar` names something of a content pack, and the pipeline has none")
                .at(key.span)
                .hint("add for example: content: [packs/Acme]"),
        );
    }
    imported
}

/// `classify: { xsoar: <id> }`
pub fn classifier(node: &Node, imported: &Imported, out: &mut Diagnostics) -> Option<XsoarClassify> {
    let id = read::name(node, "`xsoar`", out)?;
    let Some((item, classifier)) = imported.content.classifier(&id.value) else {
        imported.missing("classifier", &[Kind::Classifier, Kind::LegacyClassifier], &id, out);
        return None;
    };
    imported.tell(item, out);
    if classifier.feed {
        out.push(Diagnostic::error("bad-value", "this classifier is for indicators of a feed, not for events").at(id.span));
        return None;
    }
    Some(XsoarClassify {
        key: classifier.key.argument.clone(),
        at: classifier.key.span,
        types: classifier.types.iter().map(|(value, name)| (value.value.clone(), as_its_file(&imported.content, name))).collect(),
        default: classifier.default_type.as_ref().map(|name| as_its_file(&imported.content, name)),
        id,
    })
}

fn as_its_file(content: &Content, name: &Spanned<String>) -> Spanned<String> {
    Spanned::new(content.type_name(&name.value).to_owned(), name.span)
}

/// `map: { xsoar: <id> }`
pub fn mapper(node: &Node, imported: &Imported, out: &mut Diagnostics) -> Option<XsoarMap> {
    let id = read::name(node, "`xsoar`", out)?;
    let Some((item, mapper)) = imported.content.mapper(&id.value) else {
        imported.missing("incoming mapper", &[Kind::IncomingMapper, Kind::LegacyClassifier], &id, out);
        return None;
    };
    imported.tell(item, out);
    if mapper.feed {
        out.push(Diagnostic::error("bad-value", "this mapper is for indicators of a feed, not for events").at(id.span));
        return None;
    }
    Some(XsoarMap { sections: sections(&imported.content, mapper), id })
}

fn sections(content: &Content, mapper: &Mapper) -> Vec<XsoarSection> {
    let mut found: Vec<XsoarSection> = mapper
        .sections
        .iter()
        .map(|section| XsoarSection {
            target: section.target.as_ref().map_or_else(|| "*".to_owned(), |target| content.type_name(&target.value).to_owned()),
            labels: section.labels,
            fields: entries(content, section),
        })
        .collect();
    // What is for every type comes first: a type's own entries override it.
    found.sort_by_key(|section| section.target != "*");
    found
}

fn entries(content: &Content, section: &Section) -> Vec<XsoarEntry> {
    let mut found: Vec<XsoarEntry> = Vec::new();
    for entry in section.entries.iter().filter(|entry| !entry.value.argument.is_blank()) {
        let (field, field_type) = match content.target(&entry.field.value) {
            Target::System(system) if system.mappable => (system.name.to_owned(), system.kind),
            Target::System(_) => continue,
            Target::Custom(field) => (field.cli_name.clone(), field.kind),
            Target::Unknown(name) => (name, FieldType::Internal),
        };
        let field = field_name(&field);
        found.retain(|known| known.field != field);
        found.push(XsoarEntry {
            kind: kind(&field, field_type),
            field,
            title: entry.field.value.clone(),
            field_type,
            argument: entry.value.argument.clone(),
            at: entry.value.span,
        });
    }
    found
}

/// The name of a field in our incidents: its own, unless Catchment fills a field of that name.
pub fn field_name(name: &str) -> String {
    if RESERVED_FIELDS.iter().any(|(reserved, _)| *reserved == name) { format!("xsoar_{name}") } else { name.to_owned() }
}

/// As `schema/fields.yaml` would declare it.
pub fn kind(name: &str, field_type: FieldType) -> Option<FieldKind> {
    match name {
        "severity" => Some(FieldKind::Severity),
        "occurred" => Some(FieldKind::Time),
        _ => Some(FieldKind::of(field_type)),
    }
}
