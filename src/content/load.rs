//! Owns the way from paths to [`Content`]: every file is read, told by its content, and becomes
//! items, or the reasons why it does not.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::node::{Node, Value};
use crate::config::source_map::Span;
use crate::config::yaml;

use super::classifier::Classifier;
use super::field::Field;
use super::files::{self, Candidate};
use super::incident_type::IncidentType;
use super::integration::Integration;
use super::item::{Body, Head, Item, Kind};
use super::kind::{self, Found};
use super::layout::Layout;
use super::list::List;
use super::mapper::Mapper;
use super::playbook::Playbook;
use super::preprocess::PreprocessRule;
use super::read::{Keys, Reader};
use super::script::Script;
use super::version::Version;
use super::{Content, Pack, json, marketplace};

/// Items of one id that are compared with each other.
const NAMESAKES_MAX: usize = 64;

/// Reads everything at some paths: packs, directories of packs, single files. Mistakes go to
/// `out`, each at its file; an item with an error has no body.
pub fn load(paths: &[PathBuf], server: Option<Version>, out: &mut Diagnostics) -> Content {
    let mut loader = Loader { content: Content { server, ..Content::default() }, packs: HashMap::new(), total: 0, out };
    for path in paths {
        for candidate in files::find(path, loader.out) {
            loader.file(&candidate);
        }
    }
    let mut content = loader.content;
    content.finish(out);
    content
}

/// A playbook from its text alone: one that runs are pinned to and that stands in no file any
/// more. `None` for what is none.
pub fn playbook_of(text: &str) -> Option<(Head, Playbook)> {
    let mut out = Diagnostics::new();
    let name = if text.trim_start().starts_with('{') { "playbook.json" } else { "playbook.yml" };
    let file = out.add_file(name, text);
    let mut root = tree(Path::new(name), file, &mut out)?;
    marketplace::resolve(&mut root);
    let mut loader = Loader { content: Content::default(), packs: HashMap::new(), total: 0, out: &mut out };
    loader.item(Kind::Playbook, &root, file, None, Path::new(name));
    let item = loader.content.items.pop()?;
    match item.body? {
        Body::Playbook(playbook) => Some((item.head, *playbook)),
        _ => None,
    }
}

struct Loader<'d> {
    content: Content,
    packs: HashMap<PathBuf, usize>,
    total: u64,
    out: &'d mut Diagnostics,
}

impl Loader<'_> {
    fn file(&mut self, candidate: &Candidate) {
        let pack = candidate.pack.as_ref().map(|dir| self.pack(dir));
        let (file, readable) = files::read(&candidate.path, &mut self.total, self.out);
        let root = if readable { tree(&candidate.path, file, self.out) } else { None };
        let name = candidate.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(mut root) = root else {
            let stem = candidate.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            let head = Head { id: stem.clone(), name: stem, ..Head::default() };
            self.content.items.push(Item { kind: candidate.should.unwrap_or(Kind::Unknown), head, file, pack, body: None });
            return;
        };
        marketplace::resolve(&mut root);
        match kind::found(&root, name, candidate.should) {
            Found::Other => self.content.others += 1,
            Found::Metadata => {
                if let Some(pack) = pack.and_then(|pack| self.content.packs.get_mut(pack)) {
                    describe(&root, pack, &mut Reader::new(self.out));
                }
            }
            Found::One(kind) => self.item(kind, &root, file, pack, &candidate.path),
            Found::Many(kind, key) => {
                let Value::Mapping(entries) = &root.value else { return };
                let nodes = entries.iter().find(|(name, _)| name.value.eq_ignore_ascii_case(key)).map(|(_, node)| node);
                if let Some(Node { value: Value::List(nodes), .. }) = nodes {
                    for node in nodes {
                        self.item(kind, node, file, pack, &candidate.path);
                    }
                }
            }
        }
    }

    fn pack(&mut self, dir: &Path) -> usize {
        if let Some(&pack) = self.packs.get(dir) {
            return pack;
        }
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.content.packs.push(Pack { dir: dir.to_owned(), name, ..Pack::default() });
        let pack = self.content.packs.len() - 1;
        self.packs.insert(dir.to_owned(), pack);
        pack
    }

    fn item(&mut self, kind: Kind, node: &Node, file: u32, pack: Option<usize>, path: &Path) {
        let before = errors_of(self.out);
        let mut reader = Reader::new(self.out);
        let mut head = Head::default();
        let mut body = Keys::open(node, kind.as_str(), &mut reader).and_then(|keys| read(kind, keys, &mut head, &mut reader));
        if head.id.is_empty() {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if kind != Kind::Unknown && kind != Kind::OldLayout {
                reader.warn("missing-key", "neither `id` nor `name`; the file's name is taken", node.point());
            }
            head.id = stem.to_owned();
            head.name = stem.to_owned();
        }
        if let Some(Body::List(list)) = &mut body
            && list.data_beside
        {
            beside(path, list, &mut self.total, self.out);
        }
        // An error somewhere inside is enough: half an item would do something else than the whole.
        if errors_of(self.out) > before {
            body = None;
        } else if body.is_none() {
            self.out.push(Diagnostic::error("unknown-kind", "this is none of the items that packs have").at(node.point()));
        }
        self.content.items.push(Item { kind, head, file, pack, body });
    }
}

fn errors_of(out: &Diagnostics) -> usize {
    out.errors()
}

/// JSON by its ending or its first letter, else YAML.
fn tree(path: &Path, file: u32, out: &mut Diagnostics) -> Option<Node> {
    let files = out.files().clone();
    let text = files.file(file).map_or("", |file| file.text.as_str());
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let json = match ending {
        "json" => true,
        "yml" | "yaml" => false,
        _ => text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']),
    };
    if json { json::read(file, out) } else { yaml::read_imported(file, out) }
}

fn read(kind: Kind, mut keys: Keys<'_>, head: &mut Head, reader: &mut Reader<'_>) -> Option<Body> {
    // Automations and integrations keep their id one level down.
    if let Some(mut common) = keys.get("commonfields").and_then(|node| Keys::open(node, "`commonfields`", reader)) {
        let id = common.maybe_text("id", reader);
        *head = Head::read(&mut keys, reader);
        head.id = id.unwrap_or_else(|| head.id.clone());
    } else {
        *head = Head::read(&mut keys, reader);
    }
    if kind == Kind::OldLayout && head.id.is_empty() {
        head.id = format!("{} {}", keys.text("typeId", reader), keys.text("kind", reader));
        head.name.clone_from(&head.id);
    }
    Some(match kind {
        Kind::Classifier => {
            keys.entry("type");
            let classifier = Classifier::read(&mut keys, reader);
            Classifier::close(keys, reader);
            Body::Classifier(Box::new(classifier?))
        }
        Kind::LegacyClassifier => {
            let classifier = Classifier::read(&mut keys, reader);
            let mapper = Mapper::read(&mut keys, false, reader);
            Classifier::close(keys, reader);
            Body::Legacy(Box::new(classifier?), Box::new(mapper?))
        }
        Kind::IncomingMapper | Kind::OutgoingMapper => {
            keys.entry("type");
            let mapper = Mapper::read(&mut keys, kind == Kind::OutgoingMapper, reader);
            Classifier::close(keys, reader);
            Body::Mapper(Box::new(mapper?))
        }
        Kind::PreprocessRule => Body::Rule(Box::new(PreprocessRule::read(keys, reader)?)),
        Kind::IncidentType => Body::Type(Box::new(IncidentType::read(keys, reader)?)),
        Kind::IncidentField | Kind::OtherField => Body::Field(Box::new(Field::read(&head.id, &head.name, keys, reader)?)),
        Kind::Layout => Body::Layout(Box::new(Layout::read(keys, reader)?)),
        Kind::OldLayout => Body::Layout(Box::new(Layout::read_old(keys, reader)?)),
        Kind::List => Body::List(Box::new(List::read(keys, reader)?)),
        Kind::Playbook | Kind::TestPlaybook => Body::Playbook(Box::new(Playbook::read(keys, reader)?)),
        Kind::Integration => Body::Integration(Box::new(Integration::read(keys, reader)?)),
        Kind::Script => Body::Script(Box::new(Script::read(keys, reader)?)),
        Kind::Unknown => return None,
    })
}

/// The text of a list that stands in a file beside: `list-x.json` → `list-x_data.txt`.
fn beside(path: &Path, list: &mut List, total: &mut u64, out: &mut Diagnostics) {
    let (Some(dir), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else { return };
    let prefix = format!("{stem}_data.");
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix)));
    names.sort();
    let Some(data) = names.first() else { return };
    let (file, readable) = files::read(data, total, out);
    if readable {
        list.data = out.files().file(file).map(|file| file.text.clone()).unwrap_or_default();
        list.data_beside = false;
    }
}

fn describe(root: &Node, pack: &mut Pack, reader: &mut Reader<'_>) {
    let Some(mut keys) = Keys::open(root, "pack_metadata.json", reader) else { return };
    if let Some(name) = keys.maybe_text("name", reader) {
        pack.name = name;
    }
    pack.version = keys.text("currentVersion", reader);
    pack.support = keys.text("support", reader);
    pack.author = keys.text("author", reader);
}

impl Content {
    /// Reports items of one id and kind whose windows overlap.
    fn finish(&mut self, out: &mut Diagnostics) {
        self.index();
        let mut twice = Vec::new();
        for places in self.by_id.values() {
            for (nth, &later) in places.iter().enumerate() {
                let Some(item) = self.items.get(later) else { continue };
                let same =
                    |&&earlier: &&usize| self.items.get(earlier).is_some_and(|other| other.kind == item.kind && other.head.window.overlaps(&item.head.window));
                if let Some(first) = places.get(..nth).and_then(|earlier| earlier.iter().take(NAMESAKES_MAX).find(same)).and_then(|&at| self.items.get(at)) {
                    twice.push((item.kind, item.head.id.clone(), item.head.span, first.head.span));
                }
            }
        }
        twice.sort_by_key(|(_, _, span, _)| (span.file, span.start));
        for (kind, id, span, first) in twice {
            let message = format!("two {}s have the id `{}`; the first one counts", kind.as_str(), crate::config::read::shortened(&id));
            out.push(Diagnostic { severity: Severity::Warning, ..Diagnostic::warning("duplicate-name", message) }.at(span).also(first, "first here"));
        }
    }

    /// The place of an item for a message.
    pub fn place(&self, item: &Item) -> Span {
        if item.head.span == Span::default() { Span::new(item.file, 0, 0) } else { item.head.span }
    }
}
