//! Where the tables of a session come from, and what a query pins: one version of each table, and the
//! live rows beyond it, taken together before the query is planned.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use datafusion::arrow::datatypes::SchemaRef;
use tokio::sync::{Mutex, OnceCell};

use crate::archive::blooms::{Blooms, Places};
use crate::archive::newest::{Index, Newest};
use crate::archive::repeats::Repeats;
use crate::archive::ring::{Ring, View};
use crate::archive::table::Table;
use crate::archive::work::Rings;
use crate::archive::{ArchiveError, DEAD_LETTERS, INCIDENT_VERSIONS, LEDGER, Location, PLAYBOOK_RUNS, WAR_ROOM, columns::Columns, ledgers, letters, playbooks};
use crate::config::schema::Schema;

/// The tables of an archive; the first one is that of incidents.
const TABLES: [&str; 5] = [INCIDENT_VERSIONS, DEAD_LETTERS, LEDGER, PLAYBOOK_RUNS, WAR_ROOM];

/// A table of the archive.
pub struct Source {
    /// Its name.
    pub name: &'static str,
    location: Location,
    /// Live rows, where this process archives.
    ring: Option<Arc<Ring>>,
    /// Opened by the first query.
    table: Mutex<Option<Table>>,
    /// What is known of the tail.
    index: Index,
    blooms: Blooms,
    /// The columns of a table that is not there yet.
    columns: Columns,
}

/// What a query sees of a table.
pub struct Pin {
    source: Arc<Source>,
    /// `None`: there is no table yet.
    pub view: Option<View>,
    newest: OnceCell<Arc<Newest>>,
    repeats: OnceCell<Arc<Repeats>>,
}

impl Source {
    fn new(name: &'static str, location: &Location, ring: Option<Arc<Ring>>, columns: Columns) -> Arc<Source> {
        Arc::new(Source { name, location: location.clone(), ring, table: Mutex::new(None), index: Index::default(), blooms: Blooms::default(), columns })
    }

    /// Pins the newest version, and the live rows beyond it.
    async fn pin(self: &Arc<Source>) -> Result<Pin, ArchiveError> {
        let view = match self.ring.as_ref().and_then(|ring| ring.view()) {
            Some(view) => Some(view),
            None => self.at_rest().await?,
        };
        Ok(Pin { source: self.clone(), view, newest: OnceCell::new(), repeats: OnceCell::new() })
    }

    async fn at_rest(&self) -> Result<Option<View>, ArchiveError> {
        let mut table = self.table.lock().await;
        match table.as_mut() {
            Some(table) => drop(table.refresh().await?),
            None => match Table::open(&self.location, self.name, None).await {
                Ok(opened) => *table = Some(opened),
                Err(ArchiveError::NoTable { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        }
        let pinned = table.as_ref().map(Table::pinned).transpose()?;
        Ok(pinned.map(|table| View { table, live: Vec::new(), missing: Vec::new() }))
    }
}

impl Pin {
    /// The columns of the table.
    pub fn schema(&self) -> SchemaRef {
        self.view.as_ref().map_or_else(|| self.source.columns.arrow(), |view| view.table.columns.arrow())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.source.name
    }

    /// Its files.
    ///
    /// # Errors
    /// A table that is not there.
    pub fn store(&self) -> Result<Arc<dyn object_store::ObjectStore>, ArchiveError> {
        Ok(self.source.location.table(self.source.name, false)?.store)
    }

    /// Where rows of these incidents can be; files that are not told may hold any.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn places(&self, store: &Arc<dyn object_store::ObjectStore>, ids: &[String]) -> Result<Places, ArchiveError> {
        match &self.view {
            Some(view) => self.source.blooms.places(store, &view.table, ids).await,
            None => Ok(Places::default()),
        }
    }

    /// Which rows say again what another row says; found out once per pin.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn repeats(&self, store: &Arc<dyn object_store::ObjectStore>) -> Result<Arc<Repeats>, ArchiveError> {
        let found = || async {
            match &self.view {
                Some(view) => Ok(Arc::new(crate::archive::newest::repeats_of_view(&self.source.index, store, view).await?)),
                None => Ok(Arc::new(Repeats::default())),
            }
        };
        self.repeats.get_or_try_init(found).await.cloned()
    }

    /// Which rows are the newest of their incident; found out once per pin.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn newest(&self, store: &Arc<dyn object_store::ObjectStore>) -> Result<Arc<Newest>, ArchiveError> {
        let found = || async {
            match &self.view {
                Some(view) => Ok(Arc::new(crate::archive::newest::of_view(&self.source.index, store, view).await?)),
                None => Ok(Arc::new(Newest::default())),
            }
        };
        self.newest.get_or_try_init(found).await.cloned()
    }
}

/// The tables of an archive.
#[derive(Clone)]
pub struct Catalog {
    sources: [Arc<Source>; TABLES.len()],
}

impl Catalog {
    /// Over an archive; `rings`: those of this process, if it archives. `schema`: what the pipeline
    /// declares, for an archive that is empty.
    pub fn new(location: &Location, rings: Option<&Rings>, schema: &Schema) -> Catalog {
        let source = |name: &'static str, ring: fn(&Rings) -> &Arc<Ring>, columns| Source::new(name, location, rings.map(|rings| ring(rings).clone()), columns);
        let [incidents, dead, ledger, runs, war_room] = TABLES;
        Catalog {
            sources: [
                source(incidents, |rings| &rings.incidents, Columns::new(schema)),
                source(dead, |rings| &rings.letters, letters::columns()),
                source(ledger, |rings| &rings.ledger, ledgers::columns()),
                source(runs, |rings| &rings.runs, playbooks::run_columns()),
                source(war_room, |rings| &rings.war_room, playbooks::war_room_columns()),
            ],
        }
    }
}

/// What the queries of a session see; every statement pins anew.
pub struct Pins {
    catalog: Catalog,
    pinned: [ArcSwapOption<Pin>; TABLES.len()],
}

impl Pins {
    /// Nothing pinned yet.
    pub fn new(catalog: Catalog) -> Pins {
        Pins { catalog, pinned: Default::default() }
    }

    /// Pins what is newest now, for the next statement.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn renew(&self) -> Result<(), ArchiveError> {
        for (source, pinned) in self.catalog.sources.iter().zip(&self.pinned) {
            pinned.store(Some(Arc::new(source.pin().await?)));
        }
        Ok(())
    }

    /// What is pinned of a table.
    pub fn get(&self, name: &str) -> Option<Arc<Pin>> {
        let at = TABLES.iter().position(|table| *table == name)?;
        self.pinned.get(at)?.load_full()
    }

    /// Partitions whose newest rows are not here but in another member's memory.
    pub fn missing(&self) -> Vec<i32> {
        self.get(INCIDENT_VERSIONS).and_then(|pin| pin.view.as_ref().map(|view| view.missing.clone())).unwrap_or_default()
    }
}
