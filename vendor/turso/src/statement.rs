//! The statements that CubeCL makes (cubecl-environment 0.11.3, `persistence/turso.rs`), word for word.

use std::collections::BTreeMap;

use crate::entries::{Entries, Entry};
use crate::rows::{Row, Rows, Value};
use crate::{Error, Result};

const GET_META: &str = "SELECT v FROM meta WHERE k = ?1";
const SET_META: &str = "INSERT INTO meta (k, v) VALUES (?1, ?2) ON CONFLICT(k) DO UPDATE SET v = excluded.v";
const DROP: &str = "DROP TABLE IF EXISTS entries";
const INSERT: &str = "INSERT INTO entries (namespace, key, value, origin) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT(namespace, key) DO UPDATE SET value = excluded.value, origin = excluded.origin \
     WHERE entries.origin = 1 AND excluded.origin = 0";
const REPLACE: &str = "INSERT INTO entries (namespace, key, value, origin) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT(namespace, key) DO UPDATE SET value = excluded.value, origin = excluded.origin";
const GET: &str = "SELECT value FROM entries WHERE namespace = ?1 AND key = ?2";
const SCAN: &str = "SELECT key, value, origin FROM entries WHERE namespace = ?1";
const PURGE: &str = "DELETE FROM entries WHERE namespace = ?1";
const PURGE_KEY: &str = "DELETE FROM entries WHERE namespace = ?1 AND key = ?2";
const SUMMARISE: &str = "SELECT namespace, COUNT(*), SUM(length(key) + length(value)) \
     FROM entries GROUP BY namespace ORDER BY namespace";

/// Namespace of the rows of `meta`, which is none of CubeCL's: those have no control characters.
const META: &str = "\u{1}meta";

fn words_of(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unknown(statement: &str) -> Error {
    Error::Error(format!("the store of kernels knows no statement {statement:?}"))
}

/// Executes a statement that changes something.
pub(crate) fn execute(entries: &Entries, statement: &str, values: Vec<Value>) -> Result<u64> {
    let words = words_of(statement);
    if words.starts_with("CREATE TABLE IF NOT EXISTS ") {
        return Ok(0);
    }
    match (words.as_str(), values.as_slice()) {
        (SET_META, [Value::Text(key), Value::Text(value)]) => {
            let entry = Entry::new(META, key.as_bytes(), value.as_bytes(), 0);
            entries.replace(&entry).map(|()| 1)
        }
        (DROP, []) => entries.remove_all_but(META),
        (INSERT, [Value::Text(namespace), Value::Blob(key), Value::Blob(value), Value::Integer(origin)]) => {
            entries.insert(&Entry::new(namespace, key, value, *origin)).map(u64::from)
        }
        (REPLACE, [Value::Text(namespace), Value::Blob(key), Value::Blob(value), Value::Integer(origin)]) => {
            entries.replace(&Entry::new(namespace, key, value, *origin)).map(|()| 1)
        }
        (PURGE, [Value::Text(namespace)]) => entries.remove_namespace(namespace),
        (PURGE_KEY, [Value::Text(namespace), Value::Blob(key)]) => entries.remove(namespace, key),
        _ => Err(unknown(statement)),
    }
}

/// Answers a question.
pub(crate) fn query(entries: &Entries, statement: &str, values: Vec<Value>) -> Result<Rows> {
    let words = words_of(statement);
    let rows = match (words.as_str(), values.as_slice()) {
        (GET_META, [Value::Text(key)]) => {
            let found = entries.get(META, key.as_bytes());
            let text = found.and_then(|entry| String::from_utf8(entry.value).ok());
            text.map(|text| Row::new(vec![Value::Text(text)])).into_iter().collect()
        }
        (GET, [Value::Text(namespace), Value::Blob(key)]) => {
            let found = entries.get(namespace, key);
            found.map(|entry| Row::new(vec![Value::Blob(entry.value)])).into_iter().collect()
        }
        (SCAN, [Value::Text(namespace)]) => {
            let of_entry = |entry: Entry| {
                let Entry { key, value, origin, .. } = entry;
                Row::new(vec![Value::Blob(key), Value::Blob(value), Value::Integer(origin)])
            };
            entries.of_namespace(namespace).into_iter().map(of_entry).collect()
        }
        (SUMMARISE, []) => {
            let mut sums: BTreeMap<String, [i64; 2]> = BTreeMap::new();
            for entry in entries.all().into_iter().filter(|entry| entry.namespace != META) {
                let bytes = (entry.key.len() + entry.value.len()) as i64;
                let [count, sum] = sums.entry(entry.namespace).or_default();
                (*count, *sum) = (*count + 1, *sum + bytes);
            }
            let of_sum = |(namespace, [count, bytes]): (String, [i64; 2])| {
                Row::new(vec![
                    Value::Text(namespace),
                    Value::Integer(count),
                    Value::Integer(bytes),
                ])
            };
            sums.into_iter().map(of_sum).collect()
        }
        _ => return Err(unknown(statement)),
    };
    Ok(Rows::new(rows))
}
