//! Owns how commands say something to a running pipeline: who says it, and one record that is acknowledged.

use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::environment::{EnvironmentArgs, connect};
use crate::config::{Pipeline, load};
use crate::error::Error;
use crate::incident::id::FactId;
use crate::kafka::{Admin, Delivery, OutputTopic, Settings, Transactor};
use crate::run::names::Names;

/// A pipeline, and the brokers that it runs on.
pub struct Pipe {
    pub pipeline: Pipeline,
    pub names: Names,
    pub admin: Admin,
    pub reader: Settings,
    producer: Settings,
}

impl Pipe {
    /// Finds it.
    pub fn find(path: &Path, environment: &EnvironmentArgs) -> Result<Pipe, Error> {
        let (pipeline, diagnostics) = load(path);
        let Some(pipeline) = pipeline else {
            eprint!("{}", diagnostics.render(super::output::colour_err()));
            return Err(Error::user(format!("{} cannot be read: {}", path.display(), diagnostics.summary())));
        };
        let (environment, bootstrap) = environment.require(Some(path))?;
        let properties = environment.client_properties();
        Ok(Pipe {
            names: Names::of(&pipeline),
            pipeline,
            admin: connect(&environment, &bootstrap)?,
            reader: Settings::reader(&bootstrap).with_user(&properties)?,
            producer: Settings::producer(&bootstrap).only_failures().with_user(&properties)?,
        })
    }

    /// Writes one record, and waits until it is acknowledged.
    pub fn write(&self, topic: &str, partitions: i32, partition: i32, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let topics = vec![OutputTopic { name: topic.to_owned(), partitions }];
        let failed = |error: crate::kafka::TxnError| Error::from(error.into_error());
        let mut producer = Transactor::start(&self.producer, Delivery::AtLeastOnce, topics).map_err(failed)?;
        producer.begin().map_err(failed)?;
        producer.produce(0, Some(partition), key, value, &[], 0).map_err(failed)?;
        producer.commit().map_err(failed)
    }
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Who says it: as it was named, else the name of the user, as their session has it.
pub fn actor(named: Option<&str>) -> String {
    let user = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.map_or_else(|| format!("cli:{}", user().unwrap_or_else(|| "unknown".to_owned())), str::to_owned)
}

/// A random id: two hashers, each keyed from the system's random numbers.
pub fn new_id() -> FactId {
    let half = || {
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u128(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()));
        u128::from(hasher.finish())
    };
    FactId(half() << 64 | half())
}
