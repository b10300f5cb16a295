//! An archive in a directory, written as the role does it, for the tests of tables and queries.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catchment::archive::commit::written;
use catchment::archive::ring::{Segment, Topic};
use catchment::archive::rows::{Origin, Rows};
use catchment::archive::table::{Committed, Position, Table};
use catchment::archive::work::{Rings, open_incidents};
use catchment::archive::{ArchiveError, Location};
use catchment::config::schema::{FieldKind, FieldSpec, Schema};
use catchment::config::source_map::Span;
use catchment::serve::sql::catalog::Catalog;
use catchment::serve::sql::client::Client;
use catchment::serve::sql::output::Format;
use catchment::serve::sql::session::{Bounds, Engine};

pub const BOUNDS: Bounds = Bounds { memory: 256 << 20, time: Duration::from_secs(60), threads: 2 };

/// Fields of these names and kinds.
pub fn schema(fields: &[(&str, FieldKind)]) -> Schema {
    let span = Span { file: 0, start: 0, end: 0 };
    let field = |(name, kind): &(&str, FieldKind)| FieldSpec { name: (*name).to_owned(), kind: *kind, required: false, scale: None, description: None, span };
    Schema { fields: fields.iter().map(field).collect(), ..Schema::default() }
}

/// A version of an incident, as a state says it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub id: u128,
    pub version: u64,
    pub host: String,
    pub severity: u8,
    /// Minutes since 2026-03-01.
    pub created: u32,
}

impl Version {
    pub fn json(&self) -> String {
        let time = |minutes: u32| format!("2026-03-{:02}T{:02}:{:02}:00Z", 1 + minutes / 1440, minutes / 60 % 24, minutes % 60);
        let (id, created) = (format!("{:032x}", self.id), time(self.created));
        format!(
            r#"{{"id":"{id}","type":"T{}","severity":{},"occurred":"{created}","created":"{created}","host":"{}","extra":"e{}","labels":{{"a":1}},"raw":{{"b":[1]}},"source":{{"name":"s","topic":"t","partition":0,"offset":1,"element":0}},"pipeline":"p","status":"open","version":{}}}"#,
            self.id % 3,
            self.severity,
            self.host,
            self.version,
            self.version,
        )
    }
}

pub struct Lake {
    pub runtime: tokio::runtime::Runtime,
    pub location: Location,
    pub schema: Schema,
    pub table: Table,
    pub rings: Arc<Rings>,
    rows: Rows,
    covers: BTreeMap<(Topic, i32), (i64, i64)>,
    next: BTreeMap<(Topic, i32), i64>,
    stored: BTreeMap<(Topic, i32), i64>,
}

impl Lake {
    pub fn open(dir: &Path) -> Lake {
        Lake::with(dir, schema(&[("host", FieldKind::Text), ("port", FieldKind::Integer)])).unwrap()
    }

    pub fn with(dir: &Path, schema: Schema) -> Result<Lake, ArchiveError> {
        Lake::at(Location::Directory(dir.to_owned()), schema)
    }

    pub fn at(location: Location, schema: Schema) -> Result<Lake, ArchiveError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let table = runtime.block_on(open_incidents(&location, &schema))?;
        let rows = Rows::new(&table.pinned()?.columns);
        let rings = Arc::new(Rings::default());
        rings.incidents.committed(table.pinned()?, &[]);
        let mut lake = Lake { runtime, location, schema, table, rings, rows, covers: BTreeMap::new(), next: BTreeMap::new(), stored: BTreeMap::new() };
        for feed in [(Topic::Facts, 0), (Topic::States, 0)] {
            let app = app(feed);
            let stored = lake.runtime.block_on(lake.table.positions(std::slice::from_ref(&app)))?;
            if let Some(next) = stored[&app] {
                lake.stored.insert(feed, next);
                lake.next.insert(feed, next);
            }
        }
        Ok(lake)
    }

    /// A record is read.
    pub fn read(&mut self, topic: Topic, version: &Version) {
        let feed = (topic, 0);
        let offset = self.next.get(&feed).copied().unwrap_or(0);
        let origin = Origin { partition: 0, offset, timestamp_ms: Some(1_772_323_200_000 + offset) };
        let json = version.json();
        let pushed = match topic {
            Topic::Facts => self.rows.push_fact(format!(r#"{{"fact":"created","fact_id":"{:032x}","incident":{json}}}"#, version.id).as_bytes(), &origin),
            _ => self.rows.push_state(json.as_bytes(), &origin),
        };
        assert!(pushed.unwrap());
        self.next.insert(feed, offset + 1);
        self.covers.entry(feed).and_modify(|covered| covered.1 = offset + 1).or_insert((offset, offset + 1));
    }

    /// What was read becomes visible.
    pub fn cut(&mut self) {
        if !self.rows.is_empty() {
            let batch = self.rows.finish().unwrap();
            self.rings.incidents.push(Segment { batch, bytes: 1, covers: std::mem::take(&mut self.covers) });
        }
    }

    pub fn positions(&self) -> Vec<Position> {
        self.next
            .iter()
            .map(|(feed, next)| Position { app: app(*feed), from: self.stored.get(feed).copied(), next: *next })
            .filter(|position| position.from != Some(position.next))
            .collect()
    }

    /// And is committed.
    pub fn commit(&mut self) -> Committed {
        self.cut();
        let segments = self.rings.incidents.waiting();
        let positions = self.positions();
        if segments.is_empty() {
            return Committed::Yes;
        }
        let committed = self.runtime.block_on(async {
            let adds = written(&self.table, &segments, true).await?;
            self.table.append(&adds, &positions, &[]).await
        });
        let committed = committed.unwrap();
        if matches!(committed, Committed::Yes) {
            self.rings.incidents.committed(self.table.pinned().unwrap(), &segments);
            self.stored = self.next.clone();
        }
        committed
    }

    /// As the role does every second.
    pub fn refresh(&mut self) {
        if self.runtime.block_on(self.table.refresh()).unwrap() {
            self.rings.incidents.committed(self.table.pinned().unwrap(), &[]);
        }
    }

    /// A session with the live rows, or over the directory alone.
    pub fn client(&self, live: bool) -> Client {
        self.bounded(live, BOUNDS)
    }

    pub fn bounded(&self, live: bool, bounds: Bounds) -> Client {
        let catalog = Catalog::new(&self.location, live.then_some(&*self.rings), &self.schema);
        Client::here(&Engine::new(catalog, None, bounds).unwrap()).unwrap()
    }
}

pub fn app(feed: (Topic, i32)) -> String {
    format!("cluster/{:?}/{}", feed.0, feed.1)
}

/// The result of a query, as lines of CSV without the head.
pub fn csv(client: &mut Client, sql: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    client.run(sql, Format::Csv, &mut bytes, &mut |_| {}).unwrap_or_else(|error| panic!("{sql}: {error}"));
    String::from_utf8(bytes).unwrap().lines().skip(1).map(str::to_owned).collect()
}
