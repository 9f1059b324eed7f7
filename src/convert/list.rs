//! Lists of clips: `.csv` (with a header), `.jsonl` (one object a line) and `.parquet`.
//!
//! `path` (or `video`, or `file`) names the video, relative to the list's folder. `start` and `end` are seconds after the
//! first frame, as a number or as `[hours:]minutes:seconds`. `key` names the clip, `caption` describes it; every further
//! column is kept with the clip. A row that makes no sense is an error of its own with its line; the other rows stand.

use crate::{Error, Result};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::io::BufRead as _;
use std::path::Path;

/// Names of the column that names the video, in order of preference.
const PATH_COLUMNS: [&str; 3] = ["path", "video", "file"];

/// One row of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListRow {
    pub(super) path: String,
    pub(super) start: Option<f64>,
    pub(super) end: Option<f64>,
    pub(super) key: Option<String>,
    pub(super) caption: Option<String>,
    pub(super) columns: Map<String, Value>,
}

/// A row and where it stands: "line 3", or "row 3" of a Parquet file.
pub(super) type PlacedRow = (String, Result<ListRow>);

/// True for the names of lists.
pub(super) fn is_list(path: &Path) -> bool {
    extension(path).is_some_and(|e| matches!(e.as_str(), "csv" | "jsonl" | "ndjson" | "parquet"))
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Reads a list. The error is that of a list that cannot be read as a whole.
pub(super) fn read_list(path: &Path) -> Result<Vec<PlacedRow>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let rows = match extension(path).as_deref() {
        Some("csv") => read_csv(path),
        Some("parquet") => read_parquet(file).map_err(|e| e.with_path(path)),
        _ => read_jsonl(path, file),
    }?;
    if rows.is_empty() {
        return Err(Error::invalid("the list has no rows").with_path(path));
    }
    Ok(rows.into_iter().map(|(place, row)| (place, row.and_then(row_from_object))).collect())
}

type PlacedObject = (String, Result<Map<String, Value>>);

fn read_jsonl(path: &Path, file: File) -> Result<Vec<PlacedObject>> {
    let mut rows = Vec::new();
    for (index, line) in std::io::BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|e| Error::io("read", path, e))?;
        let line = if index == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let object = match serde_json::from_slice::<Value>(line) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Error::invalid("expected a JSON object")),
            Err(e) => {
                // It counts lines within this one.
                let (message, place) = (e.to_string(), format!(" at line {} column {}", e.line(), e.column()));
                let message = message.strip_suffix(&place).unwrap_or(&message);
                Err(Error::invalid(format!("not JSON: {message} at column {}", e.column())))
            }
        };
        rows.push((format!("line {}", index + 1), object));
    }
    Ok(rows)
}

fn read_parquet(file: File) -> Result<Vec<PlacedObject>> {
    let bad = |e: String| Error::corrupt(format!("not a Parquet file that can be read: {e}"));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::build)
        .map_err(|e| bad(e.to_string()))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| bad(e.to_string()))?;
        // The JSON writer knows every Arrow type; a list is small beside its videos.
        let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|e| bad(e.to_string()))?;
        for line in writer.into_inner().split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let object = serde_json::from_slice(line).map_err(|e| bad(e.to_string()));
            rows.push((format!("row {}", rows.len() + 1), object));
        }
    }
    Ok(rows)
}

fn read_csv(path: &Path) -> Result<Vec<PlacedObject>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let bad = |e: &dyn std::fmt::Display| Error::invalid(format!("not a CSV list: {e}")).with_path(path);
    let header = arrow::csv::reader::Format::default().with_header(true);
    let (schema, _) = header.infer_schema(bytes, Some(0)).map_err(|e| bad(&e))?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().trim().to_owned()).collect();
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|other| other == name) {
            return Err(bad(&format!("line 1: column '{name}' stands twice")));
        }
    }
    // Every value is read as text: its type is decided over the whole column, and `007` stays what it is.
    let fields: Vec<_> =
        names.iter().map(|name| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true)).collect();
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
    let reader = arrow::csv::ReaderBuilder::new(schema).with_header(true).build(bytes).map_err(|e| bad(&e))?;
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
    for batch in reader {
        let batch = batch.map_err(|e| bad(&e))?;
        for (array, column) in batch.columns().iter().zip(&mut columns) {
            let texts = arrow::array::AsArray::as_string_opt::<i32>(array).ok_or_else(|| bad(&"not text"))?;
            column.extend(texts.iter().map(|text| text.map(str::to_owned)));
        }
    }
    let num_rows = columns.first().map_or(0, Vec::len);
    let mut objects: Vec<Map<String, Value>> = vec![Map::new(); num_rows];
    for (name, column) in names.iter().zip(columns) {
        let fixed = matches!(name.as_str(), "path" | "video" | "file" | "key" | "caption" | "start" | "end");
        let kind = if fixed { TextType::Text } else { TextType::of(column.iter().flatten()) };
        for (object, text) in objects.iter_mut().zip(column) {
            object.insert(name.clone(), text.map_or(Value::Null, |text| kind.value(text)));
        }
    }
    let lines = csv_lines(bytes).into_iter().skip(1).map(Some).chain(std::iter::repeat(None));
    Ok(objects
        .into_iter()
        .zip(lines)
        .enumerate()
        .map(|(index, (object, line))| (line.map_or(format!("row {}", index + 1), |l| format!("line {l}")), Ok(object)))
        .collect())
}

/// The line on which each record of a CSV file starts, the header's first. A quoted value may span lines.
fn csv_lines(bytes: &[u8]) -> Vec<u64> {
    let (mut lines, mut line, mut quoted, mut at_start) = (Vec::new(), 1, false, true);
    for &byte in bytes {
        if at_start && !matches!(byte, b'\n' | b'\r') {
            lines.push(line);
            at_start = false;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\n' => {
                line += 1;
                at_start = at_start || !quoted;
            }
            _ => {}
        }
    }
    lines
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

/// Of a row that names no video.
fn no_video(object: &Map<String, Value>) -> Error {
    if let Some(name) = PATH_COLUMNS.into_iter().find(|name| object.contains_key(*name)) {
        return Error::invalid(format!("no video named: column '{name}' is empty"));
    }
    let mut found: Vec<String> = object.keys().take(8).map(|name| format!("'{name}'")).collect();
    found.extend((object.len() > found.len()).then(|| "...".to_owned()));
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Error::invalid(format!("no video named: expected a column 'path', 'video' or 'file', found {found}"))
}

fn row_from_object(mut object: Map<String, Value>) -> Result<ListRow> {
    let name = PATH_COLUMNS.into_iter().find(|name| object.get(*name).is_some_and(|value| !value.is_null()));
    let path = match name.and_then(|name| object.get(name)) {
        Some(Value::String(path)) if !path.is_empty() => path.clone(),
        Some(Value::String(_)) | None => return Err(no_video(&object)),
        Some(other) => return Err(Error::invalid(format!("the video's path is {other}, expected text"))),
    };
    if let Some(name) = name {
        object.shift_remove(name);
    }
    let start = seconds("start", object.shift_remove("start"))?;
    let end = seconds("end", object.shift_remove("end"))?;
    if let (start, Some(end)) = (start.unwrap_or(0.0), end)
        && start >= end
    {
        return Err(Error::invalid(format!("start is {start}, expected less than end, which is {end}")));
    }
    let key = text("key", object.shift_remove("key"))?;
    let caption = text("caption", object.shift_remove("caption"))?;
    object.retain(|_, value| !value.is_null());
    Ok(ListRow { path, start, end, key, caption, columns: object })
}

/// A value that must be text; a number is taken as its digits.
pub(super) fn text(name: &str, value: Option<Value>) -> Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(Error::invalid(format!("{name} is {other}, expected text"))),
    }
}

fn seconds(name: &str, value: Option<Value>) -> Result<Option<f64>> {
    let seconds = match &value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => parse_seconds(text.trim()),
        Some(Value::Number(number)) => number.as_f64(),
        Some(_) => None,
    };
    match seconds {
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
        _ => {
            let value = value.unwrap_or_default();
            Err(Error::invalid(format!("{name} is {value}, expected seconds from 0 up, or hours:minutes:seconds")))
        }
    }
}

/// `12.5`, `01:12.5` or `00:01:12.5`.
fn parse_seconds(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 || (parts.len() > 1 && text.contains('-')) {
        return None;
    }
    for part in parts {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(name: &str, content: &[u8]) -> Result<Vec<PlacedRow>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_list(&path)
    }

    fn good(rows: Result<Vec<PlacedRow>>) -> Vec<ListRow> {
        rows.unwrap().into_iter().map(|(_, row)| row.unwrap()).collect()
    }

    #[test]
    fn csv_with_quotes_keeps_commas_newlines_and_types() {
        let rows = good(list(
            "l.csv",
            b"path,start,end,caption,score,id,ok,zip\n\
              a.mp4,0,1.5,\"a \"\"red\"\" car,\nparked\",1,7,true,007\n\
              b.mp4,,,,0.5,8,false,010\n",
        ));
        assert_eq!(rows[0].caption.as_deref(), Some("a \"red\" car,\nparked"));
        assert_eq!((rows[0].start, rows[0].end), (Some(0.0), Some(1.5)));
        assert_eq!(Value::Object(rows[0].columns.clone()), json!({"score": 1.0, "id": 7, "ok": true, "zip": "007"}));
        assert_eq!(rows[0].columns["score"].as_f64(), Some(1.0));
        assert_eq!(rows[0].columns["id"].as_i64(), Some(7));
        assert_eq!((rows[1].start, rows[1].end, rows[1].caption.clone()), (None, None, None));
    }

    #[test]
    fn a_bad_csv_row_is_named_by_its_line_and_the_others_stand() {
        let rows = list("l.csv", b"file,start,end,note\na.mp4,0,1,\"two\nlines\"\n\nb.mp4,3,2,x\nc.mp4,-1,2,x\nd.mp4,x,2,x\n,0,1,x\ne.mp4,1,1,x\nf.mp4,0:01,1:00.5,x\n").unwrap();
        let line = |i: usize| format!("{}: {}", rows[i].0, rows[i].1.as_ref().unwrap_err());
        assert!(rows[0].1.is_ok());
        assert!(line(1).contains("line 5: start is 3"), "{}", line(1));
        assert!(line(2).contains("line 6: start is \"-1\""), "{}", line(2));
        assert!(line(3).contains("line 7: start is \"x\""), "{}", line(3));
        assert!(line(4).contains("line 8: no video named: column 'file' is empty"), "{}", line(4));
        assert!(line(5).contains("line 9"), "{}", line(5));
        let last = rows[6].1.as_ref().unwrap();
        assert_eq!((last.start, last.end), (Some(1.0), Some(60.5)));
    }

    #[test]
    fn a_list_that_names_no_video_says_what_it_has() {
        let rows = list("l.csv", b"clip,start\na.mp4,1\n").unwrap();
        let message = rows[0].1.as_ref().unwrap_err().to_string();
        assert!(
            message.contains("no video named: expected a column 'path', 'video' or 'file', found 'clip', 'start'"),
            "{message}"
        );
    }

    #[test]
    fn a_ragged_csv_is_refused_with_its_line() {
        let error = list("l.csv", b"path,start\na.mp4,1\nb.mp4,1,2\n").unwrap_err();
        assert!(error.report().contains("line 3"), "{}", error.report());
    }

    #[test]
    fn jsonl_rows_keep_their_columns_and_bad_ones_their_line() {
        let rows = list(
            "l.jsonl",
            b"{\"video\": \"a.mp4\", \"start\": 1, \"end\": 2.5, \"key\": \"k\", \"tags\": [1, 2], \"none\": null}\n\n\
              [1]\n{\"video\": \n{\"video\": 3}\n",
        )
        .unwrap();
        let first = rows[0].1.as_ref().unwrap();
        assert_eq!((first.path.as_str(), first.key.as_deref()), ("a.mp4", Some("k")));
        assert_eq!(Value::Object(first.columns.clone()), json!({"tags": [1, 2]}));
        let errors: Vec<String> =
            rows[1..].iter().map(|(place, row)| format!("{place}: {}", row.as_ref().unwrap_err())).collect();
        assert!(errors[0].contains("line 3: expected a JSON object"), "{errors:?}");
        assert!(errors[1].ends_with("line 4: not JSON: EOF while parsing a value at column 10"), "{errors:?}");
        assert!(errors[2].contains("line 5: the video's path is 3"), "{errors:?}");
    }

    #[test]
    fn parquet_rows_are_read() {
        use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.parquet");
        let batch = RecordBatch::try_from_iter([
            ("path", std::sync::Arc::new(StringArray::from(vec!["a.mp4", "b.mp4"])) as arrow::array::ArrayRef),
            ("start", std::sync::Arc::new(Float64Array::from(vec![None, Some(4.0)]))),
            ("end", std::sync::Arc::new(Float64Array::from(vec![2.5, 3.0]))),
            ("year", std::sync::Arc::new(Int64Array::from(vec![Some(1999), None]))),
        ])
        .unwrap();
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let rows = read_list(&path).unwrap();
        let first = rows[0].1.as_ref().unwrap();
        assert_eq!((first.start, first.end, first.columns["year"].as_i64()), (None, Some(2.5), Some(1999)));
        assert_eq!(rows[1].0, "row 2");
        assert!(rows[1].1.as_ref().unwrap_err().to_string().starts_with("start is 4"));
        std::fs::write(&path, b"not parquet").unwrap();
        assert_eq!(read_list(&path).unwrap_err().kind(), crate::ErrorKind::Corrupt);
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert!(list("l.csv", b"path,start\n").is_err());
        assert!(list("l.jsonl", b"").is_err());
        assert!(list("l.csv", b"").is_err());
    }
}
