//! Reads parts of a data file from its store, for whoever needs a few columns without a query.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// A data file.
pub struct Reader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl Reader {
    /// The file of this path and size.
    pub fn new(store: Arc<dyn ObjectStore>, path: &str, bytes: u64) -> Reader {
        Reader { store, path: Path::from(path), bytes }
    }
}

fn wrong(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(wrong) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(wrong) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let bytes = self.bytes;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, bytes).await?)) }.boxed()
    }
}
