//! The user's columns: JSON values of many records to one typed Arrow column each, and back.
//!
//! A column is boolean, integer, float or text, the narrowest that holds all its values; integers and floats together
//! are floats, any other mixture is text. Nested values are JSON text. A missing value and `null` are the same.

use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The columns' names.
pub(super) fn names(columns: &StructArray) -> Vec<String> {
    columns.column_names().into_iter().map(str::to_owned).collect()
}

/// Name of the struct column in both indexes.
pub(crate) const COLUMNS: &str = "columns";
const MAX_NAME_BYTES: usize = 255;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Float,
    Text,
}

impl Kind {
    /// Of one value; `None` for null.
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(_) => Self::Float,
            _ => Self::Text,
        })
    }

    fn with(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            _ => Self::Text,
        }
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
        }
    }
}

/// Names and types of columns, in the order in which they first had a value.
#[derive(Debug, Default)]
pub(crate) struct ColumnTypes {
    names: Vec<String>,
    kinds: HashMap<String, Kind>,
}

impl ColumnTypes {
    /// Takes a row into account.
    pub(crate) fn add(&mut self, row: &Map<String, Value>) {
        for (name, value) in row {
            let Some(kind) = Kind::of(value) else { continue };
            if let Some(known) = self.kinds.get_mut(name) {
                *known = known.with(kind);
            } else {
                self.names.push(name.clone());
                self.kinds.insert(name.clone(), kind);
            }
        }
    }

    /// Leaves out what is not a number or a boolean.
    pub(crate) fn without_text(mut self) -> Self {
        let kinds = &self.kinds;
        self.names.retain(|name| kinds.get(name).is_some_and(|&kind| kind != Kind::Text));
        self
    }

    /// True where no column is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The Arrow fields.
    pub(crate) fn fields(&self) -> Fields {
        self.typed().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect()
    }

    /// The struct column of the given rows.
    pub(crate) fn encode<'a, I>(&self, rows: &I) -> Result<StructArray>
    where
        I: Iterator<Item = &'a Map<String, Value>> + Clone,
    {
        let arrays: Vec<ArrayRef> = self.typed().map(|(name, kind)| encode(name, kind, rows.clone())).collect();
        StructArray::try_new(self.fields(), arrays, None)
            .map_err(|error| Error::invalid("columns cannot be stored").with_source(error))
    }

    fn typed(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.names.iter().filter_map(|name| Some((name.as_str(), *self.kinds.get(name)?)))
    }
}

fn encode<'a>(name: &str, kind: Kind, rows: impl Iterator<Item = &'a Map<String, Value>>) -> ArrayRef {
    let values = rows.map(|row| row.get(name).filter(|value| !value.is_null()));
    match kind {
        Kind::Bool => Arc::new(values.map(|value| value?.as_bool()).collect::<BooleanArray>()),
        Kind::Int => Arc::new(values.map(|value| value?.as_i64()).collect::<Int64Array>()),
        Kind::Float => Arc::new(values.map(|value| value?.as_f64()).collect::<Float64Array>()),
        Kind::Text => Arc::new(values.map(|value| value.map(text)).collect::<StringArray>()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Checks the names of all columns of a row.
pub(crate) fn check_names(row: &Map<String, Value>) -> Result<()> {
    row.keys().try_for_each(|name| check_name(name))
}

/// Checks a name: it is shown, printed and used as an identifier.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "column name {name:?} is empty, longer than {MAX_NAME_BYTES} bytes or has control characters"
        )));
    }
    Ok(())
}

/// Checks that a struct column from a file has only types that [`decode`] knows.
pub(crate) fn check_struct(columns: &StructArray) -> Result<()> {
    for field in columns.fields() {
        if !matches!(field.data_type(), DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8) {
            return Err(Error::corrupt(format!("column '{}' has type {}", field.name(), field.data_type())));
        }
    }
    Ok(())
}

/// The values of one row that are there.
pub(crate) fn decode(columns: &StructArray, row: usize) -> Map<String, Value> {
    let mut map = Map::new();
    if row >= columns.len() || columns.is_null(row) {
        return map;
    }
    for (field, array) in columns.fields().iter().zip(columns.columns()) {
        if let Some(value) = value(array.as_ref(), row) {
            map.insert(field.name().clone(), value);
        }
    }
    map
}

fn value(array: &dyn Array, row: usize) -> Option<Value> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    let any = array.as_any();
    if let Some(array) = any.downcast_ref::<BooleanArray>() {
        return Some(Value::Bool(array.value(row)));
    }
    if let Some(array) = any.downcast_ref::<Int64Array>() {
        return Some(Value::from(array.value(row)));
    }
    if let Some(array) = any.downcast_ref::<Float64Array>() {
        return Number::from_f64(array.value(row)).map(Value::Number);
    }
    any.downcast_ref::<StringArray>().map(|array| Value::from(array.value(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round_trip(rows: &[Value]) -> Vec<Value> {
        let rows: Vec<Map<String, Value>> = rows.iter().map(|row| row.as_object().unwrap().clone()).collect();
        let mut types = ColumnTypes::default();
        for row in &rows {
            types.add(row);
        }
        let array = types.encode(&rows.iter()).unwrap();
        check_struct(&array).unwrap();
        (0..rows.len()).map(|row| Value::Object(decode(&array, row))).collect()
    }

    #[test]
    fn scalars_keep_their_type_and_nulls_disappear() {
        let rows = [json!({"a": true, "b": 1, "c": 0.5, "d": "x"}), json!({"a": false, "b": -7, "c": null}), json!({})];
        assert_eq!(round_trip(&rows), [rows[0].clone(), json!({"a": false, "b": -7}), json!({})]);
    }

    #[test]
    fn integers_with_floats_become_floats_and_other_mixtures_text() {
        let rows = [json!({"a": 1, "b": 1}), json!({"a": 0.5, "b": "x"}), json!({"b": [1, {"y": 2}]})];
        assert_eq!(
            round_trip(&rows),
            [json!({"a": 1.0, "b": "1"}), json!({"a": 0.5, "b": "x"}), json!({"b": "[1,{\"y\":2}]"})]
        );
    }

    #[test]
    fn names_that_cannot_be_shown_are_refused() {
        for name in ["", "a\nb", &"x".repeat(256)] {
            let row = json!({name: 1});
            assert!(check_names(row.as_object().unwrap()).is_err());
        }
        assert!(check_names(json!({"aesthetic score (v2)": 1}).as_object().unwrap()).is_ok());
    }
}
