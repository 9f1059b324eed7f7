//! Lists of clips: `.csv` (with a header), `.jsonl` (one object a line) and `.parquet`.
//!
//! `path` (or `video`, or `file`) names the video, relative to the list's folder. `start` and `end` are seconds after the
//! first frame, as a number or as `[hours:]minutes:seconds`; `start_frame` and `end_frame` in their place are numbers of frames
//! from 0 on. Ends are exclusive. `key` names the clip, `caption` describes it; every further column is kept with the clip. A row
//! that makes no sense is an error of its own with its line; the other rows stand.

use super::csv::read_csv;
use super::object::{NoObject, parse_object};
use crate::format::open_regular;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead as _, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Names of the column that names the video, in order of preference.
pub(crate) const PATH_COLUMNS: [&str; 3] = ["path", "video", "file"];
/// Names of the other columns that say what the clip is.
pub(crate) const CUT_COLUMNS: [&str; 6] = ["key", "caption", "start", "end", "start_frame", "end_frame"];
/// Begins the names that pandas gives to columns of its index in a Parquet file where it has none.
const PANDAS_INDEX: &str = "__index_level_";

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ListRow {
    pub(crate) path: String,
    pub(crate) start: Option<f64>,
    pub(crate) end: Option<f64>,
    pub(crate) start_frame: Option<u64>,
    pub(crate) end_frame: Option<u64>,
    pub(crate) key: Option<String>,
    pub(crate) caption: Option<String>,
    pub(crate) columns: Map<String, Value>,
}

/// A row and where it stands: "line 3", or "row 3" of a Parquet file.
pub(crate) type PlacedRow = (String, Result<ListRow>);
/// The same before it is understood.
pub(crate) type PlacedObject = (String, Result<Map<String, Value>>);

/// A list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) rows: Vec<PlacedRow>,
    /// Parts of it that were lost, by their place.
    pub(crate) failed: Vec<(String, Error)>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// A list whose rows are objects.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<PlacedObject>,
    pub(crate) failed: Vec<(String, Error)>,
    pub(crate) notes: Vec<String>,
}

/// True for the names of lists.
pub(crate) fn is_list(path: &Path) -> bool {
    extension(path).is_some_and(|e| matches!(e.as_str(), "csv" | "jsonl" | "ndjson" | "parquet"))
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Reads a list. The error is that of a list that cannot be read as a whole.
pub(crate) fn read_list(path: &Path) -> Result<List> {
    let (mut file, _) = open_regular(path)?;
    let table = match extension(path).as_deref() {
        Some("csv") => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
            read_csv(&bytes)
        }
        // The decoder is not ours, and a file may be made to break it.
        Some("parquet") => catch_unwind(AssertUnwindSafe(|| read_parquet(file)))
            .unwrap_or_else(|_| Err(Error::corrupt("not a Parquet file that can be read"))),
        _ => read_jsonl(path, file),
    };
    let Table { rows, failed, notes } = table.map_err(|e| e.with_path(path))?;
    if rows.is_empty() {
        return Err(Error::invalid("the list has no rows").with_path(path));
    }
    let rows = rows.into_iter().map(|(place, row)| (place, row.and_then(row_from_object))).collect();
    Ok(List { rows, failed, notes })
}

fn read_jsonl(path: &Path, file: File) -> Result<Table> {
    let mut table = Table::default();
    for (index, line) in std::io::BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|e| Error::io("read", path, e))?;
        let line = if index == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let object = parse_object(line).map_err(|bad| match bad {
            NoObject::Other => Error::invalid("expected a JSON object"),
            NoObject::Twice(name) => Error::invalid(format!("'{name}' stands twice")),
            NoObject::NotJson(e) => {
                // It counts lines within this one.
                let (message, place) = (e.to_string(), format!(" at line {} column {}", e.line(), e.column()));
                let message = message.strip_suffix(&place).unwrap_or(&message);
                Error::invalid(format!("not JSON: {message} at column {}", e.column()))
            }
        });
        table.rows.push((format!("line {}", index + 1), object));
    }
    Ok(table)
}

/// What cannot be read of a file ends the list there; the rows before it stand.
fn read_parquet(file: File) -> Result<Table> {
    let bad = |e: String| Error::corrupt(format!("not a Parquet file that can be read: {e}"));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::build)
        .map_err(|e| bad(e.to_string()))?;
    let mut table = Table::default();
    for batch in reader {
        let batch = match batch {
            Ok(batch) => batch,
            Err(e) if table.rows.is_empty() => return Err(bad(e.to_string())),
            Err(e) => {
                table.failed.push((format!("from row {} on", table.rows.len() + 1), bad(e.to_string())));
                break;
            }
        };
        let batch = without_index(&batch, &mut table)?;
        // The JSON writer knows nearly every Arrow type; a list is small beside its videos.
        let lines = json_lines(&batch).or_else(|_| json_lines(&without_unknown(&batch, &mut table)?))?;
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let object = parse_object(line).map_err(|bad| match bad {
                NoObject::Twice(name) => Error::invalid(format!("column '{name}' stands twice")),
                NoObject::Other => Error::invalid("expected columns"),
                NoObject::NotJson(e) => Error::invalid("a value is none that can be kept").with_source(e),
            });
            table.rows.push((format!("row {}", table.rows.len() + 1), object));
        }
    }
    Ok(table)
}

fn json_lines(batch: &arrow::array::RecordBatch) -> Result<Vec<u8>> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer
        .write(batch)
        .and_then(|()| writer.finish())
        .map_err(|e| Error::corrupt("its values cannot be read").with_source(e))?;
    Ok(writer.into_inner())
}

type Batch = arrow::array::RecordBatch;

/// The batch without the columns of pandas' index.
fn without_index(batch: &Batch, table: &mut Table) -> Result<Batch> {
    let is_index = |name: &str| name.starts_with(PANDAS_INDEX);
    if table.rows.is_empty() && batch.schema().fields().iter().any(|field| is_index(field.name())) {
        table.notes.push("pandas' index, which has no name, is passed over".to_owned());
    }
    kept(batch, |index| batch.schema().fields().get(index).is_some_and(|field| !is_index(field.name())))
}

/// The batch without the columns whose values no text can stand for.
fn without_unknown(batch: &Batch, table: &mut Table) -> Result<Batch> {
    let is_known = |index: usize| batch.project(&[index]).is_ok_and(|column| json_lines(&column).is_ok());
    for (index, field) in batch.schema().fields().iter().enumerate() {
        let place = "its columns".to_owned();
        let message =
            format!("column '{}' of type {} cannot be kept, and is passed over", field.name(), field.data_type());
        let is_said = table.failed.iter().any(|(_, said)| said.message() == message);
        if !is_known(index) && !is_said {
            table.failed.push((place, Error::unsupported(message)));
        }
    }
    kept(batch, is_known)
}

fn kept(batch: &Batch, is_kept: impl Fn(usize) -> bool) -> Result<Batch> {
    let kept: Vec<usize> = (0..batch.num_columns()).filter(|&index| is_kept(index)).collect();
    batch.project(&kept).map_err(|e| Error::corrupt("its columns cannot be read").with_source(e))
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
    let start_frame = frame("start_frame", object.shift_remove("start_frame").as_ref())?;
    let end_frame = frame("end_frame", object.shift_remove("end_frame").as_ref())?;
    if let (start, Some(end)) = (start_frame.unwrap_or(0), end_frame)
        && start >= end
    {
        return Err(Error::invalid(format!("start_frame is {start}, expected less than end_frame, which is {end}")));
    }
    if (start.is_some() || end.is_some()) && (start_frame.is_some() || end_frame.is_some()) {
        return Err(Error::invalid(
            "has seconds (start, end) and frames (start_frame, end_frame), expected one of them",
        ));
    }
    let key = text("key", object.shift_remove("key"))?;
    let caption = text("caption", object.shift_remove("caption"))?;
    object.retain(|_, value| !value.is_null());
    Ok(ListRow { path, start, end, start_frame, end_frame, key, caption, columns: object })
}

/// A value that must be text; a number is taken as its digits.
pub(crate) fn text(name: &str, value: Option<Value>) -> Result<Option<String>> {
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

/// The number of a frame. Where a column has gaps, pandas makes floats of it.
fn frame(name: &str, value: Option<&Value>) -> Result<Option<u64>> {
    let whole = |number: f64| ((0.0..1e15).contains(&number) && number.fract() == 0.0).then_some(number as u64);
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok().and_then(whole),
        Some(Value::Number(number)) => number.as_f64().and_then(whole),
        Some(_) => None,
    };
    let refuse = || {
        let value = value.cloned().unwrap_or_default();
        Error::invalid(format!("{name} is {value}, expected the number of a frame, from 0 up"))
    };
    number.map(Some).ok_or_else(refuse)
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

    fn whole_list(name: &str, content: &[u8]) -> Result<List> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_list(&path)
    }

    fn list(name: &str, content: &[u8]) -> Result<Vec<PlacedRow>> {
        whole_list(name, content).map(|list| list.rows)
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
    fn a_ragged_or_foreign_csv_row_is_refused_with_its_line_and_the_others_stand() {
        let rows = list(
            "l.csv",
            b"path,start\na.mp4,1\nb.mp4,1,2\nc.mp4\nd.mp4,1,,\n\xff.mp4,1\ne.mp4,2\nf.mp4,\"3\ng.mp4,4\n",
        )
        .unwrap();
        let said: Vec<String> = rows
            .iter()
            .map(|(place, row)| {
                format!("{place}: {}", row.as_ref().map_or_else(ToString::to_string, |row| row.path.clone()))
            })
            .collect();
        let expected = [
            "line 2: a.mp4",
            "line 3: has 3 values, expected 2",
            "line 4: has 1 values, expected 2",
            "line 5: d.mp4",
            "line 6: is not UTF-8",
            "line 7: e.mp4",
            "line 8: its quotes are not closed",
        ];
        assert!(said.len() == 7 && said.iter().zip(expected).all(|(said, start)| said.starts_with(start)), "{said:?}");
        let error = whole_list("l.csv", b"path,\"start\na.mp4,1\n").unwrap_err();
        assert!(error.to_string().contains("line 1: its quotes"), "{error}");
    }

    #[test]
    fn columns_without_a_name_or_with_that_of_another_are_passed_over_and_said() {
        let whole = whole_list("l.csv", b",path,start,a,a,,\n0,x.mp4,1,2,3,,\n1,y.mp4,,4,5,,\n").unwrap();
        let rows: Vec<&ListRow> = whole.rows.iter().map(|(_, row)| row.as_ref().unwrap()).collect();
        assert_eq!(Value::Object(rows[1].columns.clone()), json!({"a": 4}));
        assert_eq!(rows[0].start, Some(1.0));
        assert!(whole.notes.len() == 1 && whole.notes[0].contains("column 1 has no name"), "{:?}", whole.notes);
        let (place, error) = &whole.failed[0];
        assert!(whole.failed.len() == 1 && place == "line 1", "{:?}", whole.failed);
        assert!(error.to_string().contains("column 'a' stands twice; column 5"), "{error}");
        let error = whole_list("l.csv", b"path,start,start\nx.mp4,1,2\n").unwrap_err();
        assert!(error.to_string().contains("line 1: column 'start' stands twice"), "{error}");
        let rows = list("l.jsonl", b"{\"path\": \"a.mp4\", \"n\": 1, \"n\": 2}\n{\"path\": \"b.mp4\"}\n").unwrap();
        assert!(rows[0].1.as_ref().unwrap_err().to_string().contains("'n' stands twice") && rows[1].1.is_ok());
    }

    #[test]
    fn cuts_by_frames_are_whole_numbers_and_not_mixed_with_seconds() {
        let rows = list(
            "l.csv",
            b"path,start,end,start_frame,end_frame\na,,,3,7\na,,,3.0,\na,,,,5\na,1,,,5\na,,,7,7\na,,,-1,\na,,,1.5,\na,,,x,\n",
        )
        .unwrap();
        let cut = |index: usize| rows[index].1.as_ref().map(|row| (row.start_frame, row.end_frame)).unwrap();
        assert_eq!([cut(0), cut(1), cut(2)], [(Some(3), Some(7)), (Some(3), None), (None, Some(5))]);
        for (index, part) in [(3, "seconds (start, end) and frames"), (4, "start_frame is 7, expected less"), (5, "-1")]
            .into_iter()
            .chain([(6, "1.5"), (7, "\"x\", expected the number of a frame")])
        {
            let error = rows[index].1.as_ref().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let rows = good(list("l.jsonl", b"{\"path\": \"a\", \"start_frame\": 0, \"end_frame\": 12}\n"));
        assert_eq!((rows[0].start_frame, rows[0].end_frame), (Some(0), Some(12)));
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
        let rows = read_list(&path).unwrap().rows;
        let first = rows[0].1.as_ref().unwrap();
        assert_eq!((first.start, first.end, first.columns["year"].as_i64()), (None, Some(2.5), Some(1999)));
        assert_eq!(rows[1].0, "row 2");
        assert!(rows[1].1.as_ref().unwrap_err().to_string().starts_with("start is 4"));
        // Columns of pandas' index and of types that no list has are passed over.
        let binary = arrow::array::DurationSecondArray::from(vec![1, 2]);
        let batch = RecordBatch::try_from_iter([
            ("path", std::sync::Arc::new(StringArray::from(vec!["a.mp4", "b.mp4"])) as arrow::array::ArrayRef),
            ("__index_level_0__", std::sync::Arc::new(Int64Array::from(vec![3, 4]))),
            ("length", std::sync::Arc::new(binary)),
        ])
        .unwrap();
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let list = read_list(&path).unwrap();
        let names: Vec<&String> = list.rows[1].1.as_ref().unwrap().columns.keys().collect();
        assert!(names.iter().all(|name| *name == "length") && list.notes.len() == 1, "{names:?} {:?}", list.notes);
        std::fs::write(&path, b"not parquet").unwrap();
        assert_eq!(read_list(&path).unwrap_err().kind(), crate::ErrorKind::Corrupt);
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(read_list(&path).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert!(list("l.csv", b"path,start\n").is_err());
        assert!(list("l.jsonl", b"").is_err());
        assert!(list("l.csv", b"").is_err());
    }
}
