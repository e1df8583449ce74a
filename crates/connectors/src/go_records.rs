//! Reads the records of the Go Milvus-CDC from its store, an etcd or a MySQL. Never writes to it,
//! and never interprets a record.

use crate::etcd::{Connection, EtcdOptions, list};
use crate::store::{MysqlOptions, mysql::failed};
use replication::error::{Error, Result};
use sqlx::{MySqlPool, Row};

/// One record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoRecord {
    /// Its key.
    pub key: String,
    /// JSON, unless it is damaged.
    pub value: Vec<u8>,
}

/// All records below one root path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoRecords {
    /// One record for each task.
    pub tasks: Vec<GoRecord>,
    /// One record for each task and collection.
    pub positions: Vec<GoRecord>,
}

fn prefixes(root: &str) -> [String; 2] {
    let root = root.trim_end_matches('/');
    [format!("{root}/task_info/"), format!("{root}/task_position/")]
}

/// Reads the records from an etcd, below `options.root_path`.
pub async fn from_etcd(options: EtcdOptions) -> Result<GoRecords> {
    let [tasks, positions] = prefixes(&options.root_path);
    let connection = Connection::new(options)?;
    let (tasks, revision) = list(&connection, &tasks, None).await?;
    let (positions, _) = list(&connection, &positions, Some(revision)).await?;
    let record = |kv: etcd_client::KeyValue| GoRecord {
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        value: kv.value().to_vec(),
    };
    Ok(GoRecords {
        tasks: tasks.into_iter().map(record).collect(),
        positions: positions.into_iter().map(record).collect(),
    })
}

/// In MySQL the three maps of positions have columns of their own; joined, they are the record that
/// etcd would contain.
const MYSQL_TASKS: &str =
    "SELECT task_info_key, CAST(task_info_value AS CHAR) FROM task_info ORDER BY task_info_key";
const MYSQL_POSITIONS: &str = "SELECT task_position_key, CAST(JSON_OBJECT(
        'TaskID', task_id, 'CollectionID', collection_id, 'CollectionName', collection_name
     ) AS CHAR), CAST(task_position_value AS CHAR), CAST(op_position_value AS CHAR),
     CAST(target_position_value AS CHAR) FROM task_position ORDER BY task_position_key";

/// Reads the records from a MySQL or MariaDB, below `options.root_path`.
pub async fn from_mysql(options: MysqlOptions) -> Result<GoRecords> {
    let [tasks, positions] = prefixes(&options.root_path);
    let pool = options.pool()?;
    let place = options.place();
    let rows = async |query, prefix| {
        let rows = rows(&pool, query, prefix).await;
        rows.map_err(|error| match &error {
            sqlx::Error::Database(e) if e.code().as_deref() == Some("42S02") => {
                let what = format!("{place} has no tables of the Go tool; check the database");
                Error::permanent(what).because(error)
            }
            _ => failed(&place, error),
        })
    };
    Ok(GoRecords {
        tasks: rows(MYSQL_TASKS, &tasks).await?.into_iter().map(|(record, _)| record).collect(),
        positions: rows(MYSQL_POSITIONS, &positions)
            .await?
            .into_iter()
            .map(|(record, columns)| joined(record, &columns))
            .collect(),
    })
}

/// The rows whose key begins with `prefix`: key and value, and the other columns.
async fn rows(
    pool: &MySqlPool,
    query: &str,
    prefix: &str,
) -> sqlx::Result<Vec<(GoRecord, Vec<Option<String>>)>> {
    let mut found = Vec::new();
    for row in sqlx::query(query).fetch_all(pool).await? {
        let key: String = row.try_get(0)?;
        if key.starts_with(prefix) {
            let value: Option<String> = row.try_get(1)?;
            let value = value.unwrap_or_default().into_bytes();
            let columns = (2..row.len()).map(|n| row.try_get(n)).collect::<sqlx::Result<_>>()?;
            found.push((GoRecord { key, value }, columns));
        }
    }
    Ok(found)
}

/// Joins `{"TaskID":…}` and the maps from the other columns.
fn joined(mut record: GoRecord, columns: &[Option<String>]) -> GoRecord {
    if record.value.pop() == Some(b'}') {
        for (name, column) in ["Positions", "OpPositions", "TargetPositions"].iter().zip(columns) {
            let column = column.as_deref().filter(|c| !c.is_empty()).unwrap_or("null");
            record.value.extend(format!(",\"{name}\":{column}").into_bytes());
        }
        record.value.push(b'}');
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_position_are_put_joined() {
        let value = br#"{"TaskID":"t"}"#.to_vec();
        let record = GoRecord { key: "k".into(), value };
        let columns = [Some(r#"{"a":1}"#.to_owned()), None, Some("{}".to_owned())];
        let value = r#"{"TaskID":"t","Positions":{"a":1},"OpPositions":null,"TargetPositions":{}}"#;
        assert_eq!(joined(record, &columns).value, value.as_bytes());
    }
}
