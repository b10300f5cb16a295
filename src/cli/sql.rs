//! `catchment sql`: the archive, or a running instance, in SQL.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Answer;
use super::environment::EnvironmentArgs;
use super::output::{Style, err_style, number, table};
use super::text::{count, visible};
use crate::archive::Location;
use crate::config::environment::{Archive, Environment, Sql};
use crate::config::model::Pipeline;
use crate::config::schema::Schema;
use crate::error::Error;
use crate::serve::sql::catalog::Catalog;
use crate::serve::sql::client::{Client, Remote};
use crate::serve::sql::output::{Cells, Format};
use crate::serve::sql::session::{Bounds, Engine};

mod repl;

/// `sql`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --archive and --connect the environment file tells: an instance that listens for SQL is asked; if none answers, the archive is read as it lies there. `catchment demo` leaves an archive in ./catchment-demo.\n\nTables: incidents (newest versions), incident_versions (all), dead_letters, ledger, playbook_runs, war_room, and with --pipeline lookup_<name> and event_sample. `\\d` lists them, `\\d incidents` its columns.\n\nExamples:\n  catchment sql \"SELECT type, count(*) FROM incidents GROUP BY type ORDER BY 2 DESC\"\n  catchment sql --archive catchment-demo -o csv \"SELECT * FROM incidents LIMIT 10\"\n  catchment sql --connect 127.0.0.1:5433            a prompt with history and completion\n  echo 'SELECT 1' | catchment sql --archive lake -o json\n\nExit codes: 0 done; 2 could not be done."
)]
pub struct SqlArgs {
    /// One or more statements, divided by semicolons; without them they are read from standard input
    #[arg(value_name = "SQL")]
    pub query: Option<String>,
    /// An archive: a directory, or s3://bucket/prefix
    #[arg(long, value_name = "PATH", conflicts_with = "connect")]
    pub archive: Option<String>,
    /// A running instance
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: Option<String>,
    /// The user of a running instance; the password comes from CATCHMENT_SQL_PASSWORD [default: as in the environment file]
    #[arg(long, value_name = "NAME", requires = "connect")]
    pub user: Option<String>,
    /// Encrypt the connection, and trust the authorities in this file
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub ca: Option<PathBuf>,
    /// A pipeline, for its lookup tables and samples
    #[arg(long, value_name = "DIR")]
    pub pipeline: Option<PathBuf>,
    /// table, json (one object a line), csv, arrow (a stream), parquet
    #[arg(short, long, default_value = "table", value_parser = ["table", "json", "csv", "arrow", "parquet"], value_name = "FORMAT")]
    pub output: String,
    /// Where from
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// The variable that the password is read from.
const PASSWORD: &str = "CATCHMENT_SQL_PASSWORD";
/// Where `demo` leaves its archive.
pub const DEMO_ARCHIVE: &str = "catchment-demo";

/// Runs the command.
pub fn run(args: &SqlArgs) -> Result<Answer, Error> {
    let format = Format::parse(&args.output).ok_or_else(|| Error::bug("a format that is not known"))?;
    let mut client = client(args)?;
    let sql = match &args.query {
        Some(query) => query.clone(),
        None if std::io::stdin().is_terminal() => return repl::run(&mut client, format),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
    };
    ask(&mut client, &sql, format, false)?;
    Ok(Answer::Yes)
}

/// Runs statements and prints what they yield. `timed`: with how long each took.
fn ask(client: &mut Client, sql: &str, format: Format, timed: bool) -> Result<(), Error> {
    // Standard output is not held meanwhile: tables go there, too.
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut began = Instant::now();
    let done = client.run(sql, format, &mut out, &mut |answer| {
        if let Some(cells) = answer.cells {
            print!("{}", shown(&cells));
            if timed {
                println!("({}, {:.0?})", count(cells.count as u64, "row", "rows"), began.elapsed());
            }
        }
        for note in &answer.notes {
            eprintln!("{} {note}", err_style("note:", Style::Warn));
        }
        began = Instant::now();
    });
    match (done, out.flush()) {
        (Err(error), _) => Err(error),
        // Whoever reads may have had enough.
        (Ok(()), Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        (Ok(()), flushed) => Ok(flushed?),
    }
}

/// A result as a table; what events hold is made visible, and does not steer the terminal.
pub fn shown(cells: &Cells) -> String {
    if cells.head.is_empty() {
        return String::new();
    }
    let head: Vec<&str> = cells.head.iter().map(String::as_str).collect();
    let mut grid = table(&head, &cells.right);
    // A plan is not what events hold, and has a line for each step.
    let plan = head == ["plan_type", "plan"];
    let cell = |cell: &String| if plan { cell.lines().map(visible).collect::<Vec<_>>().join("\n") } else { visible(cell).into_owned() };
    for row in &cells.rows {
        grid.add_row(row.iter().map(cell).collect::<Vec<_>>());
    }
    let more = cells.count.saturating_sub(cells.rows.len());
    let note = if more > 0 { format!("… and {} more rows: -o json or -o csv shows all\n", number(more as u64)) } else { String::new() };
    format!("{grid}\n{note}")
}

fn client(args: &SqlArgs) -> Result<Client, Error> {
    let pipeline = args.pipeline.as_deref().map(pipeline).transpose()?;
    if let Some(address) = &args.connect {
        let environment = args.environment.load(args.pipeline.as_deref())?;
        let password = std::env::var(PASSWORD).ok();
        let login = match (&args.user, password, &environment.sql.login) {
            (Some(user), Some(password), _) => Some((user.clone(), password)),
            (Some(_), None, None) => return Err(Error::user(format!("the password is read from {PASSWORD}, which is not set"))),
            (_, _, Some((user, password))) => Some((args.user.clone().unwrap_or_else(|| user.clone()), password.expose().to_owned())),
            (None, _, None) => None,
        };
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .ok_or_else(|| Error::user(format!("`{address}` is not host:port")))?;
        return Client::there(&Remote { host: host.trim_matches(['[', ']']).to_owned(), port, login, ca: args.ca.clone() });
    }
    if let Some(archive) = &args.archive {
        return here(&Location::parse(archive, std::path::Path::new(""), Vec::new())?, pipeline.as_ref(), &Sql::default());
    }
    let environment = args.environment.load(args.pipeline.as_deref())?;
    if let Some(remote) = remote(&environment) {
        match Client::there(&remote) {
            Ok(client) => return Ok(client),
            Err(error) => eprintln!("{} {}: the archive is read as it lies there", err_style("note:", Style::Warn), error.message),
        }
    }
    match &environment.archive {
        Some(archive) => here(&location(archive)?, pipeline.as_ref(), &environment.sql),
        None if std::path::Path::new(DEMO_ARCHIVE).is_dir() => here(&Location::Directory(DEMO_ARCHIVE.into()), pipeline.as_ref(), &environment.sql),
        None => Err(Error::user("there is no archive to ask")
            .hint("name one with --archive or --connect, write archive: { path: … } into catchment.yaml, or let `catchment demo` make one")),
    }
}

fn here(location: &Location, pipeline: Option<&Pipeline>, sql: &Sql) -> Result<Client, Error> {
    if let Location::Directory(dir) = location
        && !dir.is_dir()
    {
        return Err(Error::user(format!("there is no archive in {}", dir.display())));
    }
    let schema = pipeline.map_or_else(Schema::default, |pipeline| pipeline.schema.clone());
    let threads = sql.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    Client::here(&Engine::new(Catalog::new(location, None, &schema), pipeline, bounds(sql, threads))?)
}

fn pipeline(path: &std::path::Path) -> Result<Pipeline, Error> {
    Ok(super::load::require(path, &crate::ingest::plan::build::Options::default())?.0)
}

/// The instance of an environment file, if it listens.
fn remote(environment: &Environment) -> Option<Remote> {
    let address = environment.listen.sql?;
    let login = environment.sql.login.as_ref().map(|(user, password)| (user.clone(), password.expose().to_owned()));
    // An instance that listens everywhere listens here.
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    Some(Remote { host, port: address.port(), login, ca: environment.sql.tls.as_ref().map(|(certificate, _)| certificate.clone()) })
}

/// Where an archive of the environment file is.
///
/// # Errors
/// An address that cannot be one.
pub fn location(archive: &Archive) -> Result<Location, Error> {
    let options = archive.s3.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    Ok(Location::parse(&archive.path, &archive.base, options)?)
}

/// What a query may use.
pub fn bounds(sql: &Sql, threads: usize) -> Bounds {
    Bounds { memory: usize::try_from(sql.memory).unwrap_or(usize::MAX), time: Duration::from_millis(sql.timeout_ms), threads }
}
