//! Whoever asks: a session in this process over an archive, or a running instance over the Postgres wire.
//! Both give rows as record batches.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringViewBuilder, TimestampMicrosecondBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use futures::{StreamExt, TryStreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client as Wire, Config, NoTls, Row, SimpleQueryMessage};

use super::output::{Cells, Format, Output};
use super::session::{DATABASE, Engine, INCIDENTS, Session};
use crate::archive::INCIDENT_VERSIONS;
use crate::error::Error;

/// Rows that are turned into a batch at once (count).
const BATCH_ROWS: usize = 4_096;

/// How to reach a running instance.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Encrypt, and trust whom this file names.
    pub ca: Option<PathBuf>,
}

enum Kind {
    Here(Session),
    There(Wire, Notices),
}

/// What a server told beside results.
type Notices = Arc<std::sync::Mutex<Vec<String>>>;

/// Someone who asks.
pub struct Client {
    runtime: Runtime,
    kind: Kind,
}

/// What became of a statement.
#[derive(Debug, Default)]
pub struct Answer {
    /// For a terminal.
    pub cells: Option<Cells>,
    /// What is to be known about it.
    pub notes: Vec<String>,
}

/// Partitions whose newest rows are in another member's memory, in words.
pub fn missing_words(partitions: usize) -> String {
    let noun = if partitions == 1 { "partition" } else { "partitions" };
    format!("{partitions} {noun} without the last seconds: other members hold them")
}

/// True for a query that looks at incidents: the others miss nothing.
pub(super) fn reads_incidents(plan: &LogicalPlan) -> bool {
    let mut reads = false;
    let _ = plan.apply_with_subqueries(|node| {
        reads |= matches!(node, LogicalPlan::TableScan(scan) if [INCIDENTS, INCIDENT_VERSIONS].contains(&scan.table_name.table()));
        Ok(TreeNodeRecursion::Continue)
    });
    reads
}

impl Client {
    /// A session in this process.
    ///
    /// # Errors
    /// An archive that cannot be read.
    pub fn here(engine: &Engine) -> Result<Client, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("sql").enable_all().build()?;
        let session = runtime.block_on(engine.session())?;
        Ok(Client { runtime, kind: Kind::Here(session) })
    }

    /// A connection to a running instance.
    ///
    /// # Errors
    /// Nobody there, or nobody who lets us in.
    pub fn there(remote: &Remote) -> Result<Client, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("sql").enable_all().build()?;
        let mut config = Config::new();
        config.host(&remote.host).port(remote.port).dbname(DATABASE).application_name("catchment").connect_timeout(std::time::Duration::from_secs(10));
        match &remote.login {
            Some((user, password)) => config.user(user).password(password),
            None => config.user(DATABASE),
        };
        let failed = |error: &tokio_postgres::Error| Error::environment(format!("{}:{}: {}", remote.host, remote.port, said(error)));
        let notices = Notices::default();
        let wire = runtime.block_on(async {
            match &remote.ca {
                None => {
                    let (client, connection) = config.connect(NoTls).await.map_err(|error| failed(&error))?;
                    tokio::spawn(listen(connection, notices.clone()));
                    Ok::<_, Error>(client)
                }
                Some(ca) => {
                    let tls = tokio_postgres_rustls::MakeRustlsConnect::new(trusting(ca)?);
                    config.ssl_mode(tokio_postgres::config::SslMode::Require);
                    let (client, connection) = config.connect(tls).await.map_err(|error| failed(&error))?;
                    tokio::spawn(listen(connection, notices.clone()));
                    Ok(client)
                }
            }
        })?;
        Ok(Client { runtime, kind: Kind::There(wire, notices) })
    }

    /// Runs all statements of a text; each result goes to `to` in turn, tables to `each`.
    ///
    /// # Errors
    /// The first that fails.
    pub fn run(&mut self, sql: &str, format: Format, to: &mut (dyn std::io::Write + Send), each: &mut dyn FnMut(Answer)) -> Result<(), Error> {
        match &self.kind {
            Kind::Here(session) => {
                let statements = session.parse(sql).map_err(|error| query(&error))?;
                for statement in &statements {
                    each(self.runtime.block_on(here(session, statement, format, to))?);
                }
                Ok(())
            }
            Kind::There(wire, notices) => {
                for statement in split(sql) {
                    let mut answer = self.runtime.block_on(there(wire, &statement, format, to))?;
                    answer.notes = std::mem::take(&mut *notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
                    each(answer);
                }
                Ok(())
            }
        }
    }

    /// The rows of a statement, as lists of texts: for completion.
    ///
    /// # Errors
    /// A statement that fails.
    pub fn texts(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let mut rows = Vec::new();
        self.run(sql, Format::Table, &mut std::io::sink(), &mut |answer| rows.extend(answer.cells.into_iter().flat_map(|cells| cells.rows)))?;
        Ok(rows)
    }
}

fn query(error: &datafusion::error::DataFusionError) -> Error {
    Error::user(error.strip_backtrace())
}

async fn here(
    session: &Session,
    statement: &datafusion::sql::sqlparser::ast::Statement,
    format: Format,
    to: &mut (dyn std::io::Write + Send),
) -> Result<Answer, Error> {
    let rows = session.query(statement, format.has_maps()).await.map_err(|error| query(&error))?;
    let schema: SchemaRef = Arc::new(rows.schema().as_arrow().clone());
    let mut output = Output::new(format, &schema, to)?;
    let concerned = reads_incidents(rows.logical_plan());
    let mut stream = rows.execute_stream().await.map_err(|error| query(&error))?;
    while let Some(batch) = stream.next().await {
        output.write(&batch.map_err(|error| query(&error))?)?;
    }
    let missing = session.pins.missing();
    let notes = if missing.is_empty() || !concerned { Vec::new() } else { vec![missing_words(missing.len())] };
    Ok(Answer { cells: output.finish()?, notes })
}

/// Serves a connection, and keeps what its server tells beside results.
async fn listen<S, T>(mut connection: tokio_postgres::Connection<S, T>, notices: Notices)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let tokio_postgres::AsyncMessage::Notice(notice) = message {
            notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(notice.message().to_owned());
        }
    }
}

/// What a server says, and not only that it said something.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}

fn trusting(ca: &std::path::Path) -> Result<rustls::ClientConfig, Error> {
    let pem = std::fs::read(ca).map_err(|error| Error::user(format!("{}: {error}", ca.display())))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map_err(|error| error.to_string()).and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| Error::user(format!("{}: {error}", ca.display())))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| Error::bug(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn there(wire: &Wire, sql: &str, format: Format, to: &mut (dyn std::io::Write + Send)) -> Result<Answer, Error> {
    let wrong = |error: &tokio_postgres::Error| match error.as_db_error() {
        Some(said) => Error::user(said.message().to_owned()),
        None => Error::environment(said(error)),
    };
    let statement = wire.prepare(sql).await.map_err(|error| wrong(&error))?;
    let kinds: Option<Vec<Builder>> = statement.columns().iter().map(|column| Builder::of(column.type_())).collect();
    let Some(mut builders) = kinds.filter(|kinds| !kinds.is_empty()) else { return plain(wire, sql, format, to).await };
    let fields: Vec<Field> = statement.columns().iter().zip(&builders).map(|(column, builder)| Field::new(column.name(), builder.data_type(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut output = Output::new(format, &schema, to)?;
    let none: [&str; 0] = [];
    let mut rows = std::pin::pin!(wire.query_raw(&statement, none).await.map_err(|error| wrong(&error))?);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(|error| wrong(&error))? {
        for (at, builder) in builders.iter_mut().enumerate() {
            builder.push(&row, at).map_err(|error| wrong(&error))?;
        }
        count += 1;
        if count == BATCH_ROWS {
            output.write(&batch(&schema, &mut builders)?)?;
            count = 0;
        }
    }
    if count > 0 {
        output.write(&batch(&schema, &mut builders)?)?;
    }
    Ok(Answer { cells: output.finish()?, notes: Vec::new() })
}

/// Columns of types that we have no builder for: all as text, as the server writes them.
async fn plain(wire: &Wire, sql: &str, format: Format, to: &mut (dyn std::io::Write + Send)) -> Result<Answer, Error> {
    let messages = wire.simple_query(sql).await.map_err(|error| Error::user(said(&error)))?;
    let names = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::RowDescription(columns) => Some(columns.iter().map(|column| column.name().to_owned()).collect::<Vec<_>>()),
        _ => None,
    });
    let Some(names) = names else { return Ok(Answer::default()) };
    let schema: SchemaRef = Arc::new(Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8View, true)).collect::<Vec<_>>()));
    let mut columns: Vec<StringViewBuilder> = names.iter().map(|_| StringViewBuilder::new()).collect();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            columns.iter_mut().enumerate().for_each(|(at, column)| column.append_option(row.get(at)));
        }
    }
    let arrays = columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
    let rows = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| Error::bug(error.to_string()))?;
    let mut output = Output::new(format, &schema, to)?;
    output.write(&rows)?;
    Ok(Answer { cells: output.finish()?, notes: Vec::new() })
}

fn batch(schema: &SchemaRef, builders: &mut [Builder]) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(schema.clone(), builders.iter_mut().map(Builder::finish).collect()).map_err(|error| Error::bug(error.to_string()))
}

enum Builder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder, Type),
    Number(Float64Builder, Type),
    Text(StringViewBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn of(kind: &Type) -> Option<Builder> {
        Some(match *kind {
            Type::BOOL => Builder::Boolean(BooleanBuilder::new()),
            Type::INT2 | Type::INT4 | Type::INT8 => Builder::Integer(Int64Builder::new(), kind.clone()),
            Type::FLOAT4 | Type::FLOAT8 => Builder::Number(Float64Builder::new(), kind.clone()),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR => Builder::Text(StringViewBuilder::new()),
            Type::TIMESTAMPTZ => Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            _ => return None,
        })
    }

    fn data_type(&self) -> DataType {
        match self {
            Builder::Boolean(_) => DataType::Boolean,
            Builder::Integer(..) => DataType::Int64,
            Builder::Number(..) => DataType::Float64,
            Builder::Text(_) => DataType::Utf8View,
            Builder::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    fn push(&mut self, row: &Row, at: usize) -> Result<(), tokio_postgres::Error> {
        match self {
            Builder::Boolean(builder) => builder.append_option(row.try_get(at)?),
            Builder::Integer(builder, Type::INT2) => builder.append_option(row.try_get::<_, Option<i16>>(at)?.map(i64::from)),
            Builder::Integer(builder, Type::INT4) => builder.append_option(row.try_get::<_, Option<i32>>(at)?.map(i64::from)),
            Builder::Integer(builder, _) => builder.append_option(row.try_get(at)?),
            Builder::Number(builder, Type::FLOAT4) => builder.append_option(row.try_get::<_, Option<f32>>(at)?.map(f64::from)),
            Builder::Number(builder, _) => builder.append_option(row.try_get(at)?),
            Builder::Text(builder) => builder.append_option(row.try_get::<_, Option<&str>>(at)?),
            Builder::Time(builder) => builder.append_option(row.try_get::<_, Option<std::time::SystemTime>>(at)?.map(micros)),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Integer(builder, _) => Arc::new(builder.finish()),
            Builder::Number(builder, _) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
        }
    }
}

fn micros(time: std::time::SystemTime) -> i64 {
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

/// The statements of a text, at semicolons outside of quotes and comments.
pub fn split(sql: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut chars = sql.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, ';') => {
                statements.push(String::new());
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, '-') if chars.peek() == Some(&'-') => {
                // To the end of the line.
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        if let Some(statement) = statements.last_mut() {
            statement.push(c);
        }
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn statements_end_at_semicolons() {
        assert_eq!(split("SELECT ';', \"a;b\" -- no; end\n; SELECT 2;\n"), ["SELECT ';', \"a;b\" \n", " SELECT 2"]);
        assert!(split(" ;; -- nothing").is_empty());
    }
}
