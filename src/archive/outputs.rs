//! What commands of playbooks yield and is too large for a run: files beside the tables, named by what they hold.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, path::Path};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ArchiveError, Location};

/// The directory beside the tables.
pub const OUTPUTS: &str = "playbook_outputs";

/// Where outputs are kept.
#[derive(Debug, Clone)]
pub struct Outputs {
    store: Arc<dyn ObjectStore>,
}

impl Outputs {
    /// In an archive.
    ///
    /// # Errors
    /// A directory that cannot be made, or options that the client refuses.
    pub fn open(location: &Location) -> Result<Outputs, ArchiveError> {
        Ok(Outputs { store: location.table(OUTPUTS, true)?.store })
    }

    /// Stores a value; what is to stand in its place. The same value is stored once, however often it is put.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn put(&self, value: &Value) -> Result<Value, ArchiveError> {
        let bytes = value.to_string().into_bytes();
        let size = bytes.len();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}/{hash}.json", hash.get(..2).unwrap_or_default());
        self.store.put(&Path::from(name.as_str()), PutPayload::from(bytes)).await?;
        Ok(json!({ "stored": format!("{OUTPUTS}/{name}"), "bytes": size, "sha256": hash }))
    }
}
