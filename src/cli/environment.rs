//! `--config` and `--brokers`: which environment file a command goes by, and how it reaches
//! the brokers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{self, Style, err_style};
use crate::config::environment::{Environment, check_broker, load};
use crate::error::Error;
use crate::kafka::{Admin, Settings};

/// The environment file's usual name.
pub const FILE: &str = "catchment.yaml";

/// How long a command waits for one answer of the brokers.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The options of every command that talks to Kafka.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EnvironmentArgs {
    /// The environment file [default: ./catchment.yaml, else catchment.yaml beside the pipeline]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Brokers, instead of those in the environment file
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub brokers: Vec<String>,
}

impl EnvironmentArgs {
    /// Reads the environment, prints what is wrong with it. `pipeline` is what the user named.
    ///
    /// # Errors
    /// A file that cannot be used; a broker that is none.
    pub fn load(&self, pipeline: Option<&Path>) -> Result<Environment, Error> {
        let mut environment = match self.file(pipeline) {
            None => Environment::default(),
            Some(file) => {
                let (environment, diagnostics) = load(&file);
                eprint!("{}", diagnostics.render(output::colour_err()));
                match environment.filter(|_| !diagnostics.has_errors()) {
                    Some(environment) => environment,
                    None => return Err(Error::user(format!("{} cannot be used: {}", file.display(), diagnostics.summary()))),
                }
            }
        };
        for broker in &self.brokers {
            check_broker(broker.trim()).map_err(|hint| Error::user(format!("`{broker}` is not a broker")).hint(hint))?;
        }
        if !self.brokers.is_empty() {
            environment.brokers = self.brokers.iter().map(|broker| broker.trim().to_owned()).collect();
        }
        Ok(environment)
    }

    /// The file that [`EnvironmentArgs::load`] reads; `None`: there is none.
    pub fn file(&self, pipeline: Option<&Path>) -> Option<PathBuf> {
        self.config.clone().or_else(|| find(pipeline))
    }

    /// As [`EnvironmentArgs::load`], for a command that cannot do without brokers.
    ///
    /// # Errors
    /// As there; no brokers.
    pub fn require(&self, pipeline: Option<&Path>) -> Result<(Environment, String), Error> {
        let environment = self.load(pipeline)?;
        let bootstrap = environment.bootstrap().ok_or_else(|| {
            let read = self.config.clone().or_else(|| find(pipeline));
            let error = match read {
                Some(file) => Error::user(format!("{} names no brokers", file.display())),
                None => Error::user(format!("no brokers are known: there is no {FILE} here or beside the pipeline")),
            };
            error.hint(format!("write `brokers: [kafka-1:9092]` into {FILE}, or give --brokers kafka-1:9092"))
        })?;
        Ok((environment, bootstrap))
    }
}

/// `./catchment.yaml`, else the one beside the pipeline.
fn find(pipeline: Option<&Path>) -> Option<PathBuf> {
    let beside = pipeline.map(|pipeline| if pipeline.is_dir() { pipeline.to_owned() } else { pipeline.parent().unwrap_or(Path::new("")).to_owned() });
    [Some(PathBuf::new()), beside].into_iter().flatten().map(|dir| dir.join(FILE)).find(|file| file.is_file())
}

/// Connects to the brokers of the environment.
///
/// # Errors
/// Properties that cannot be used, or why the brokers cannot be reached.
pub fn connect(environment: &Environment, bootstrap: &str) -> Result<Admin, Error> {
    let settings = Settings::admin(bootstrap).with_user(&environment.client_properties())?;
    Ok(Admin::connect(&settings, ASK_TIMEOUT)?)
}

/// Says something that is no error, on standard error.
pub fn warn(message: &str) {
    eprintln!("{}: {message}", err_style("warning", Style::Warn));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_beside_the_pipeline_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find(Some(dir.path())), None);
        std::fs::write(dir.path().join(FILE), "brokers: [a:1]\ninstance: x\n").unwrap();
        assert_eq!(find(Some(dir.path())), Some(dir.path().join(FILE)));
        assert_eq!(find(Some(&dir.path().join("pipeline.yaml"))), Some(dir.path().join(FILE)));
        let (environment, bootstrap) = EnvironmentArgs::default().require(Some(dir.path())).unwrap();
        assert_eq!((environment.instance.as_str(), bootstrap.as_str()), ("x", "a:1"));
        let args = EnvironmentArgs { config: None, brokers: vec!["b:2".into(), "c:3".into()] };
        assert_eq!(args.require(Some(dir.path())).unwrap().1, "b:2,c:3");
    }

    #[test]
    fn without_brokers_it_says_what_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let error = EnvironmentArgs::default().require(Some(dir.path())).unwrap_err();
        assert!(error.hint.unwrap().contains("--brokers"), "{}", error.message);
        let args = EnvironmentArgs { config: None, brokers: vec!["kafka".into()] };
        assert_eq!(args.load(None).unwrap_err().message, "`kafka` is not a broker");
    }
}
