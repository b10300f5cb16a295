//! Owns what a pipeline says about its playbooks, ready to run: which type starts which, the ways
//! out and their secrets, brakes and rates. Loaded at the start and anew with every reload.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::outside::Outside;
use super::outside::config::Settings;
use super::schedule::driver::Caller;
use super::world::World;
use super::world::brakes::Mode;
use crate::archive::outputs::Outputs;
use crate::config::model::{Pipeline, PlaybookMode};
use crate::config::{Diagnostics, yaml};
use crate::content::{Body, Content, Kind, check as spanning, load};
use crate::error::Error;

/// Mistakes of one load that are kept.
const KEPT_MAX: usize = 200_000;
/// Files beside a playbook that are loaded with it (count).
const SIBLINGS_MAX: usize = 2_000;
/// The file that says what playbooks may do, and how.
pub const FILE: &str = "respond.yaml";

/// What a pipeline says about its playbooks.
#[derive(Default)]
pub struct Setup {
    /// Type of incident → playbook, by id.
    pub starts: HashMap<String, String>,
    /// What runs see of their surroundings.
    pub world: World,
    /// The ways out; `None` only in tests.
    pub outside: Option<Arc<dyn Caller>>,
    /// Calls an hour, by command.
    pub rates: HashMap<String, u32>,
    /// The texts of all playbooks, by version: runs go on with the one that they began with.
    pub texts: HashMap<String, String>,
    /// The version of the pipeline.
    pub version: String,
}

impl Setup {
    /// Of a pipeline that passed its checks. Outputs that are too large for runs go to `outputs`.
    ///
    /// # Errors
    /// Playbooks that are not there or cannot run; mistakes of `respond.yaml`, each printed.
    pub fn of(pipeline: &Pipeline, outputs: Option<Outputs>) -> Result<Setup, Error> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for playbook in &pipeline.playbooks {
            let file = &playbook.file.value;
            if !file.is_file() {
                return Err(Error::user(format!("the playbook {} does not exist", file.display())));
            }
            push_new(&mut paths, file.clone());
        }
        for playbook in &pipeline.playbooks {
            let file = &playbook.file.value;
            for beside in siblings(file.parent().unwrap_or(Path::new(".")), file)? {
                push_new(&mut paths, beside);
            }
        }
        let packs = pipeline.content.as_deref();
        paths.extend(packs.into_iter().flat_map(|content| &content.packs).map(|pack| pack.dir.clone()));
        let mut diagnostics = Diagnostics::with_room(KEPT_MAX);
        let content = Arc::new(load(&paths, packs.and_then(|content| content.server), &mut diagnostics));
        spanning::check(&content, &mut diagnostics);
        let mut setup = Setup { version: pipeline.version.clone(), ..Setup::default() };
        let mut world = World::of(content.clone(), diagnostics.files());
        for item in &content.items {
            // Those of packs first: what the pipeline says comes after it, and wins.
            if let Some(Body::Type(found)) = &item.body
                && content.in_window(item)
                && let Some(playbook) = found.playbook.as_ref().filter(|_| found.autorun && !found.disabled)
            {
                match world.library.find(&playbook.value) {
                    Some(program) => drop(setup.starts.insert(item.head.name.clone(), program.id.clone())),
                    None => tracing::warn!(incident_type = %item.head.name, "the playbook of a type of the content packs is not there: it starts none"),
                }
            }
        }
        let settings = settings(None, Some(&pipeline.dir))?;
        Outside::declare(&settings, &mut world);
        world.users.clone_from(&settings.users);
        world.brakes = settings.brakes.clone();
        for playbook in &pipeline.playbooks {
            let id = id_of(&content, &diagnostics, &playbook.file.value)?;
            setup.starts.insert(playbook.type_name.value.clone(), id);
            let mode = match playbook.mode {
                PlaybookMode::Ask => Mode::Ask,
                PlaybookMode::Run => Mode::Run,
                PlaybookMode::Simulate => Mode::Simulate,
            };
            world.brakes.types.insert(playbook.type_name.value.clone(), mode);
        }
        setup.texts = texts(&content, &diagnostics, &world);
        setup.rates.clone_from(&settings.rates);
        let outside = Outside::new(settings).map_err(Error::user)?;
        setup.outside = Some(Arc::new(match outputs {
            Some(outputs) => outside.storing(outputs),
            None => outside,
        }));
        setup.world = world;
        Ok(setup)
    }

    /// The playbooks that creating an incident may start, each once.
    pub fn playbooks(&self) -> BTreeSet<&String> {
        self.starts.values().collect()
    }
}

fn push_new(paths: &mut Vec<PathBuf>, path: PathBuf) {
    if !paths.contains(&path) {
        paths.push(path);
    }
}

/// The texts of playbooks that runs may use.
fn texts(content: &Content, diagnostics: &Diagnostics, world: &World) -> HashMap<String, String> {
    let mut texts = HashMap::new();
    for item in content.items.iter().filter(|item| matches!(item.body, Some(Body::Playbook(_)))) {
        let Some(file) = diagnostics.files().file(item.file) else { continue };
        let version = super::program::version_of(&file.text);
        // Test playbooks and older namesakes are never started.
        if world.library.find(&item.head.id).is_some_and(|program| program.version == version) {
            texts.insert(version, file.text.clone());
        }
    }
    texts
}

/// The id of the playbook in a file.
///
/// # Errors
/// A file that holds none that can run; its mistakes are printed.
pub fn id_of(content: &Content, diagnostics: &Diagnostics, path: &Path) -> Result<String, Error> {
    let inside = |file: u32| diagnostics.files().file(file).is_some_and(|file| Path::new(&file.name) == path);
    let found = content.items.iter().find(|item| item.kind == Kind::Playbook && inside(item.file)).filter(|item| item.body.is_some());
    if let Some(item) = found {
        return Ok(item.head.id.clone());
    }
    for diagnostic in diagnostics.sorted() {
        if diagnostic.span.is_some_and(|span| inside(span.file)) {
            eprintln!("{}", diagnostics.plain_line(diagnostic));
        }
    }
    Err(Error::user(format!("{} is no playbook that can run", path.display())))
}

/// Loads paths as content, with mistakes.
pub fn read_paths(paths: &[PathBuf]) -> (Arc<Content>, Diagnostics) {
    let mut diagnostics = Diagnostics::with_room(KEPT_MAX);
    let content = Arc::new(load(paths, None, &mut diagnostics));
    spanning::check(&content, &mut diagnostics);
    (content, diagnostics)
}

/// Files of packs in a directory but for one.
///
/// # Errors
/// A directory that cannot be read.
pub fn siblings(dir: &Path, file: &Path) -> Result<Vec<PathBuf>, Error> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    found.retain(|path| {
        let beside = name(path);
        let ours = [FILE, "pipeline.yaml", "catchment.yaml"].contains(&&*beside) || beside.ends_with(".test.yaml") || beside.ends_with(".test.yml");
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        path.is_file() && !ours && ["yml", "yaml", "json"].contains(&ending) && path.file_name() != file.file_name()
    });
    found.sort();
    found.truncate(SIBLINGS_MAX);
    Ok(found)
}

/// The settings of a file that was named, else of the one beside a playbook or above.
///
/// # Errors
/// A file that cannot be read; its mistakes are printed.
pub fn settings(named: Option<&Path>, beside: Option<&Path>) -> Result<Settings, Error> {
    let found = match named {
        Some(path) => Some(path.to_owned()),
        None => beside.into_iter().flat_map(|dir| [dir.join(FILE), dir.join("..").join(FILE)]).find(|path| path.is_file()),
    };
    let Some(path) = found else { return Ok(Settings::plain()) };
    let text = std::fs::read_to_string(&path).map_err(|error| Error::user(format!("cannot read {}: {error}", path.display())))?;
    let mut out = Diagnostics::new();
    let file = out.add_file(path.display().to_string(), text);
    let dir = path.parent().map(Path::to_owned).unwrap_or_default();
    let settings = yaml::read(file, &mut out).and_then(|node| Settings::read(&node, &dir, &mut out));
    if out.has_errors() {
        // Without the lines of the file: they may hold what should not stand there.
        for diagnostic in out.sorted() {
            eprintln!("{}", out.plain_line(diagnostic));
        }
        return Err(Error::user(format!("{} has mistakes", path.display())));
    }
    Ok(settings.unwrap_or_else(Settings::plain))
}
