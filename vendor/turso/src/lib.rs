//! The interface of `turso` that CubeCL's store of kernels uses, over files (README).

mod entries;
mod error;
mod rows;
mod statement;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entries::Entries;
pub use error::Error;
pub use rows::{FromValue, IntoParams, Row, Rows, Value};

/// Transactions' behaviours.
pub mod transaction {
    /// When a transaction takes the right to write. Here all take it at once.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TransactionBehavior {
        /// With the first write.
        Deferred,
        /// At its beginning.
        Immediate,
    }
}

/// Answer of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Opens a database.
#[derive(Debug)]
pub struct Builder {
    folder: PathBuf,
    is_read_only: bool,
}

impl Builder {
    /// Database in the folder `path`.
    pub fn new_local(path: &str) -> Self {
        Self { folder: path.into(), is_read_only: false }
    }

    /// Makes no difference: several processes may share any folder.
    #[must_use]
    pub fn experimental_multiprocess_wal(self, _is_wanted: bool) -> Self {
        self
    }

    /// Makes no difference: there is nothing to compact.
    #[must_use]
    pub fn experimental_vacuum(self, _is_wanted: bool) -> Self {
        self
    }

    /// Refuses every write.
    #[must_use]
    pub fn read_only(self, is_read_only: bool) -> Self {
        Self { is_read_only, ..self }
    }

    /// Opens the folder; one that may be written is made if it is missing.
    ///
    /// # Errors
    /// If the folder is not there and cannot be made.
    pub async fn build(self) -> Result<Database> {
        let entries = Entries::open(self.folder, self.is_read_only)?;
        Ok(Database { entries: Arc::new(entries) })
    }
}

/// Database that is open.
#[derive(Debug, Clone)]
pub struct Database {
    entries: Arc<Entries>,
}

impl Database {
    /// Connects to it.
    ///
    /// # Errors
    /// None; turso has some.
    pub fn connect(&self) -> Result<Connection> {
        Ok(Connection { entries: Arc::clone(&self.entries) })
    }
}

/// Connection to a database; as many as are wanted, in any thread.
#[derive(Debug, Clone)]
pub struct Connection {
    entries: Arc<Entries>,
}

impl Connection {
    /// Executes a statement and returns the number of entries that it changed.
    ///
    /// # Errors
    /// If the statement is unknown, or the file system refuses.
    pub async fn execute(&self, statement: &str, parameters: impl IntoParams) -> Result<u64> {
        statement::execute(&self.entries, statement, parameters.into_values())
    }

    /// Asks a question.
    ///
    /// # Errors
    /// If it is unknown.
    pub async fn query(&self, statement: &str, parameters: impl IntoParams) -> Result<Rows> {
        statement::query(&self.entries, statement, parameters.into_values())
    }

    /// Answers a pragma: the folder is always as whole as it will be, so 0 for not busy.
    ///
    /// # Errors
    /// Those of `visit`.
    pub async fn pragma_query(
        &self,
        pragma: &str,
        mut visit: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        if pragma.contains('=') { Ok(()) } else { visit(&Row::new(vec![Value::Integer(0)])) }
    }

    /// Makes no difference: only transactions wait, and those are short.
    ///
    /// # Errors
    /// None; turso has some.
    pub fn busy_timeout(&self, _timeout: Duration) -> Result<()> {
        Ok(())
    }

    /// Begins a transaction: no other process has one until this ends. What is written in it stays, whether it
    /// is committed or not.
    ///
    /// # Errors
    /// If the file system refuses.
    pub async fn transaction_with_behavior(
        &mut self,
        _behavior: transaction::TransactionBehavior,
    ) -> Result<Transaction<'_>> {
        let lock = self.entries.lock()?;
        Ok(Transaction { connection: self, _lock: lock })
    }
}

/// Transaction, ended when it is committed or dropped.
#[derive(Debug)]
pub struct Transaction<'a> {
    connection: &'a Connection,
    _lock: Option<std::fs::File>,
}

impl Transaction<'_> {
    /// Ends it.
    ///
    /// # Errors
    /// None; turso has some.
    pub async fn commit(self) -> Result<()> {
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}
