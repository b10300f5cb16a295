//! Owns where tables are: a directory, or a prefix of an S3 bucket. Everything else sees an object store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, path::Path as StorePath};
use url::Url;

use super::ArchiveError;

/// Where an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory.
    Directory(PathBuf),
    /// `s3://bucket/prefix`, and options of the client: names as object_store has them
    /// (`region`, `endpoint`, `access_key_id`, `secret_access_key`, …); what is missing comes from
    /// the variables `AWS_…`.
    S3 {
        /// The bucket and the prefix.
        url: Url,
        /// Options; secrets are among them.
        options: Vec<(String, String)>,
    },
}

impl Location {
    /// Reads a path or an `s3://` address.
    ///
    /// # Errors
    /// An address of another kind.
    pub fn parse(text: &str, base: &Path, options: Vec<(String, String)>) -> Result<Location, ArchiveError> {
        if text.starts_with("s3://") {
            let url = Url::parse(text).map_err(|error| ArchiveError::Location(format!("`{text}` is no address: {error}")))?;
            return match url.host_str() {
                Some(_) => Ok(Location::S3 { url, options }),
                None => Err(ArchiveError::Location(format!("`{text}` names no bucket"))),
            };
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(ArchiveError::Location(format!("an archive is a directory or s3://bucket/prefix; `{scheme}://` is not known"))),
            None => Ok(Location::Directory(base.join(text))),
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Location::Directory(dir) => dir.display().to_string(),
            Location::S3 { url, .. } => url.to_string(),
        }
    }

    /// The store whose root is the bucket or the file system, the address of a table in it, and a
    /// store whose root is that table. `create`: make the directory.
    ///
    /// # Errors
    /// A directory that cannot be made, or options that the client refuses.
    pub fn table(&self, name: &str, create: bool) -> Result<TableStore, ArchiveError> {
        match self {
            Location::Directory(dir) => {
                let dir = dir.join(name);
                if create {
                    std::fs::create_dir_all(&dir).map_err(|error| ArchiveError::Location(format!("{}: {error}", dir.display())))?;
                }
                let dir = dir.canonicalize().map_err(|_| ArchiveError::NoTable { table: name.to_owned(), at: self.shown() })?;
                let url = Url::from_directory_path(&dir).map_err(|()| ArchiveError::Location(format!("{} cannot be an address", dir.display())))?;
                let root: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
                let path = StorePath::from_absolute_path(&dir).map_err(|error| ArchiveError::Location(format!("{}: {error}", dir.display())))?;
                Ok(TableStore { store: Arc::new(PrefixStore::new(root.clone(), path)), root, url })
            }
            Location::S3 { url, options } => {
                // Puts that must not overwrite are what commits are made of.
                let mut builder =
                    AmazonS3Builder::from_env().with_bucket_name(url.host_str().unwrap_or_default()).with_conditional_put(S3ConditionalPut::ETagMatch);
                let known: HashMap<&str, &str> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                for (name, value) in known {
                    let key =
                        format!("aws_{}", name.to_lowercase()).parse().map_err(|_| ArchiveError::Location(format!("`{name}` is no option of an S3 client")))?;
                    builder = builder.with_config(key, value);
                }
                let root: Arc<dyn ObjectStore> = Arc::new(builder.build().map_err(|error| ArchiveError::Location(error.to_string()))?);
                let prefix = format!("{}/{name}", url.path().trim_matches('/'));
                let url = Url::parse(&format!("s3://{}/{}/", url.host_str().unwrap_or_default(), prefix.trim_matches('/')))
                    .map_err(|error| ArchiveError::Location(error.to_string()))?;
                Ok(TableStore { store: Arc::new(PrefixStore::new(root.clone(), prefix.trim_matches('/'))), root, url })
            }
        }
    }
}

/// The store of one table.
#[derive(Debug, Clone)]
pub struct TableStore {
    /// Its root is the table.
    pub store: Arc<dyn ObjectStore>,
    /// Its root is the bucket or the file system.
    pub root: Arc<dyn ObjectStore>,
    /// The table.
    pub url: Url,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_buckets() {
        let base = Path::new("/base");
        assert_eq!(Location::parse("lake", base, Vec::new()).unwrap(), Location::Directory("/base/lake".into()));
        assert_eq!(Location::parse("/lake", base, Vec::new()).unwrap(), Location::Directory("/lake".into()));
        let options = vec![("region".to_owned(), "eu-central-1".to_owned())];
        let table = Location::parse("s3://bucket/soc/lake", base, options).unwrap().table("ledger", true).unwrap();
        assert_eq!(table.url.as_str(), "s3://bucket/soc/lake/ledger/");
        assert!(Location::parse("gs://bucket", base, Vec::new()).unwrap_err().to_string().contains("gs://"));
        let wrong = Location::parse("s3://bucket/x", base, vec![("nonsense".into(), "1".into())]).unwrap();
        assert!(wrong.table("t", false).unwrap_err().to_string().contains("nonsense"));
    }

    #[test]
    fn a_table_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Directory(dir.path().to_owned());
        assert!(matches!(location.table("ledger", false), Err(ArchiveError::NoTable { .. })));
        location.table("ledger", true).unwrap();
        location.table("ledger", false).unwrap();
    }
}
