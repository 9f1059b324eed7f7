//! CSV lists: each row an object, each value of the type that its column has. What is wrong with one row or one column is
//! its own failure.

use super::list::{CUT_COLUMNS, PATH_COLUMNS, PlacedObject, Table};
use crate::{Error, Result};
use csv::ByteRecord;
use serde_json::{Map, Number, Value};

/// A column that is kept.
struct Column {
    name: String,
    /// Its place in a row.
    index: usize,
    kind: TextType,
}

/// Reads a list; the error is that of its header.
pub(crate) fn read_csv(bytes: &[u8]) -> Result<Table> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| {
        reader.read_byte_record(record).map_err(|e| Error::invalid("not a CSV list").with_source(e))
    };
    let mut table = Table::default();
    if !next(&mut record)? {
        return Ok(table);
    }
    let names = names(&record)?;
    // Every value is read as text: its type is decided over the whole column, and `007` stays what it is.
    let mut rows: Vec<(u64, Result<Vec<String>>)> = Vec::new();
    let mut last = 0;
    while next(&mut record)? {
        let (line, byte) = record.position().map_or((0, 0), |place| (place.line(), place.byte()));
        last = byte as usize;
        // Empty lines before it are counted as its own.
        let empty = bytes.get(last..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
        let line = line + empty.filter(|&&byte| byte == b'\n').count() as u64;
        rows.push((line, values(&record, names.len())));
    }
    if rows.is_empty() && ends_in_quotes(bytes) {
        return Err(Error::invalid("line 1: its quotes are not closed before the end of the file"));
    }
    if let Some((_, row)) = rows.last_mut()
        && bytes.get(last..).is_some_and(ends_in_quotes)
    {
        *row = Err(Error::invalid("its quotes are not closed before the end of the file"));
    }
    let columns = columns(&names, &rows, &mut table)?;
    table.rows = rows
        .into_iter()
        .map(|(line, row)| -> PlacedObject { (format!("line {line}"), row.map(|row| object(&columns, row))) })
        .collect();
    Ok(table)
}

fn names(header: &ByteRecord) -> Result<Vec<String>> {
    let text = |name: &[u8]| std::str::from_utf8(name).map(|name| name.trim().to_owned());
    let names: Result<Vec<String>, _> = header.iter().map(text).collect();
    names.map_err(|e| Error::invalid("line 1 is not UTF-8").with_source(e))
}

/// The values of a row, as many as the header has names. Empty ones behind those are left out: spreadsheets write them.
fn values(record: &ByteRecord, expected: usize) -> Result<Vec<String>> {
    let found = record.len();
    if found < expected || record.iter().skip(expected).any(|value| !value.is_empty()) {
        return Err(Error::invalid(format!("has {found} values, expected {expected}, as in the header")));
    }
    let text = |value: &[u8]| std::str::from_utf8(value).map(str::to_owned);
    let values: Result<Vec<String>, _> = record.iter().take(expected).map(text).collect();
    values.map_err(|e| Error::invalid("is not UTF-8").with_source(e))
}

/// The columns that are kept; what is said of the others goes to `table`.
fn columns(names: &[String], rows: &[(u64, Result<Vec<String>>)], table: &mut Table) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let texts = || rows.iter().filter_map(|(_, row)| row.as_ref().ok()?.get(index)).filter(|text| !text.is_empty());
        let is_ours = PATH_COLUMNS.iter().chain(&CUT_COLUMNS).any(|ours| ours == name);
        if name.is_empty() {
            if texts().next().is_some() {
                let number = index + 1;
                table.notes.push(format!("column {number} has no name and is passed over; pandas writes its index so"));
            }
        } else if !columns.iter().any(|column| column.name == *name) {
            let kind = if is_ours { TextType::Text } else { TextType::of(texts()) };
            columns.push(Column { name: name.clone(), index, kind });
        } else if is_ours {
            return Err(Error::invalid(format!("line 1: column '{name}' stands twice")));
        } else {
            let number = index + 1;
            let message = format!("column '{name}' stands twice; column {number} is passed over");
            table.failed.push(("line 1".to_owned(), Error::invalid(message)));
        }
    }
    Ok(columns)
}

fn object(columns: &[Column], mut row: Vec<String>) -> Map<String, Value> {
    let mut object = Map::new();
    for column in columns {
        let text = row.get_mut(column.index).map(std::mem::take).filter(|text| !text.is_empty());
        object.insert(column.name.clone(), text.map_or(Value::Null, |text| column.kind.value(text)));
    }
    object
}

/// True where the bytes of a record end within quotes. Quotes begin a value, and are doubled within one.
fn ends_in_quotes(record: &[u8]) -> bool {
    let (mut quoted, mut at_start, mut closing) = (false, true, false);
    for &byte in record {
        match (quoted, byte) {
            (true, b'"') => (quoted, closing) = (false, true),
            (false, b'"') if at_start || closing => (quoted, at_start, closing) = (true, false, false),
            (true, _) => {}
            (false, byte) => (at_start, closing) = (matches!(byte, b',' | b'\n' | b'\r'), false),
        }
    }
    quoted
}

/// The type that all texts of a CSV column have.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TextType {
    Bool,
    Int,
    Float,
    Text,
}

impl TextType {
    fn of<'a>(texts: impl Iterator<Item = &'a String>) -> Self {
        let mut seen: Option<Self> = None;
        for text in texts {
            let this = Self::of_one(text);
            seen = Some(match (seen, this) {
                (None, this) => this,
                (Some(a), b) if a == b => a,
                (Some(Self::Int | Self::Float), Self::Int | Self::Float) => Self::Float,
                _ => return Self::Text,
            });
        }
        seen.unwrap_or(Self::Text)
    }

    fn of_one(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
            Self::Bool
        } else if digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") {
            Self::Text // an identifier, not a number
        } else if text.parse::<i64>().is_ok() && !text.starts_with('+') {
            Self::Int
        } else if digits.bytes().all(|b| b.is_ascii_digit()) {
            Self::Text // beyond 64 bits: a float would lose digits
        } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && text.parse::<f64>().is_ok_and(f64::is_finite)
        {
            Self::Float
        } else {
            Self::Text
        }
    }

    fn value(self, text: String) -> Value {
        let parsed = match self {
            Self::Bool => Some(Value::Bool(text.eq_ignore_ascii_case("true"))),
            Self::Int => text.parse::<i64>().ok().map(Value::from),
            Self::Float => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
            Self::Text => None,
        };
        parsed.unwrap_or(Value::String(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_are_not_closed_are_seen() {
        for open in ["\"", "a,\"b", "a,\"b\"\"", "a,\"\"\""] {
            assert!(ends_in_quotes(open.as_bytes()), "{open:?}");
        }
        for closed in ["", "a,b", "a,\"b\"", "a,\"b\"\"c\"\n", "5\" disk,\"x\"", "a,\"\"", "a,\"b\"c\"d"] {
            assert!(!ends_in_quotes(closed.as_bytes()), "{closed:?}");
        }
    }
}
