//! User columns of several samples brought to one type.

use serde_json::Value;

/// One user column of a batch: a value or nothing for each row. The type is the same in every batch of a loader.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ColumnValues {
    /// Booleans.
    Bool(Vec<Option<bool>>),
    /// Whole numbers.
    Int64(Vec<Option<i64>>),
    /// Numbers.
    Float64(Vec<Option<f64>>),
    /// Text; any other JSON value as JSON text.
    Text(Vec<Option<String>>),
}

/// The type of a column, decided once per loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Bool,
    Int64,
    Float64,
    Text,
}

impl ColumnValues {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No rows yet, of that type.
    pub(crate) fn new(kind: ColumnKind, capacity: usize) -> Self {
        match kind {
            ColumnKind::Bool => Self::Bool(Vec::with_capacity(capacity)),
            ColumnKind::Int64 => Self::Int64(Vec::with_capacity(capacity)),
            ColumnKind::Float64 => Self::Float64(Vec::with_capacity(capacity)),
            ColumnKind::Text => Self::Text(Vec::with_capacity(capacity)),
        }
    }

    /// Adds a row. What the column's type can't hold is nothing, as is JSON's null.
    pub(crate) fn push(&mut self, value: Option<Value>) {
        match self {
            Self::Bool(values) => values.push(value.and_then(|value| value.as_bool())),
            Self::Int64(values) => values.push(value.and_then(|value| value.as_i64())),
            Self::Float64(values) => values.push(value.and_then(|value| value.as_f64())),
            Self::Text(values) => values.push(match value {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text),
                Some(other) => Some(other.to_string()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_come_out_in_the_columns_type() {
        let fill = |kind, values: &[Value]| {
            let mut column = ColumnValues::new(kind, values.len());
            for value in values {
                column.push(Some(value.clone()));
            }
            column.push(None);
            assert_eq!(column.len(), values.len() + 1);
            column
        };
        assert_eq!(
            fill(ColumnKind::Float64, &[json!(1), json!(2.5), json!(null)]),
            ColumnValues::Float64(vec![Some(1.0), Some(2.5), None, None])
        );
        assert_eq!(fill(ColumnKind::Int64, &[json!(1), json!("x")]), ColumnValues::Int64(vec![Some(1), None, None]));
        assert_eq!(fill(ColumnKind::Bool, &[json!(true)]), ColumnValues::Bool(vec![Some(true), None]));
        assert_eq!(
            fill(ColumnKind::Text, &[json!("a b"), json!([1, 2])]),
            ColumnValues::Text(vec![Some("a b".into()), Some("[1,2]".into()), None])
        );
    }
}
