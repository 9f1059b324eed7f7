//! The plan: which clips there are, in which order, in which shard. A pure function of the sources (path, size, time of
//! change, what stands beside them), the lists and the options.
//!
//! The clips are ordered by a hash of seed and key, so that the pieces of one film do not lie side by side, and the order
//! is cut into units of about `shard_bytes`. The fingerprint identifies what went in; it is known before any file is
//! opened, so a second run can tell at once that nothing has changed.

use super::looks::{Look, looks};
use crate::convert::clip::i420;
use crate::convert::clip::train::TrainOptions;
use crate::convert::listing::keys::{KeySource, make_keys};
use crate::convert::listing::sources::{Candidate, Listing};
use crate::convert::report::Failure;
use crate::convert::source::pieces::{Cut, split, split_at};
use crate::convert::{CheckLevel, ConvertOptions, OnChange, Profile, RawFormat, StreamChoice};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use std::collections::{BTreeMap, HashSet};

/// Raised when the same inputs would give other shards, so that no run goes on with half of the old kind.
const PLAN_VERSION: u32 = 3;

/// Bytes of text that the clips of one shard bring, at most: an Arrow column of text has 32-bit offsets.
const MAX_TEXT_BYTES: u64 = 1 << 30;

/// One clip to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanClip {
    pub(crate) key: String,
    pub(crate) source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<f64>,
    /// Estimated size of its part of the source.
    pub(crate) bytes: u64,
    /// Estimated size of what is stored of it, where that is not its part of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw_bytes: Option<u64>,
    /// True for a piece that `split_seconds` made: its times were guessed from a stated duration, so it may hold no frame.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_piece: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caption: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) columns: Map<String, Value>,
    /// List and line that named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
}

impl PlanClip {
    /// That it could not be converted.
    pub(crate) fn failure(&self, error: &Error) -> Failure {
        Failure::of(&self.source, self.place.as_deref(), Some(&self.key), error)
    }

    /// Bytes of its text in the shard's index, at most.
    fn text_bytes(&self) -> u64 {
        let column = |(name, value): (&String, &Value)| match value {
            Value::String(text) => name.len() + text.len(),
            other => name.len() + other.to_string().len(),
        };
        let columns: usize = self.columns.iter().map(column).sum();
        (columns + self.key.len() + self.source.len() + self.caption.as_ref().map_or(0, String::len)) as u64
    }
}

/// One shard to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanUnit {
    /// Number and fingerprint: the name of the shard.
    pub(crate) id: String,
    /// In the order in which they stand in the shard.
    pub(crate) clips: Vec<PlanClip>,
}

/// The whole conversion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) version: u32,
    /// BLAKE3 of everything that went in.
    pub(crate) fingerprint: String,
    pub(crate) profile: Profile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) raw_format: RawFormat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw_size: Option<(u32, u32)>,
    /// With the profile `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) train: Option<TrainOptions>,
    pub(crate) check: CheckLevel,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) stream: StreamChoice,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) on_change: OnChange,
    /// Different files.
    pub(crate) sources: u64,
    /// Bytes of these files.
    pub(crate) source_bytes: u64,
    pub(crate) units: Vec<PlanUnit>,
    /// What the user named and did not become a clip.
    pub(crate) failed: Vec<Failure>,
    pub(crate) warnings: Vec<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Plan {
    pub(crate) fn num_clips(&self) -> u64 {
        self.units.iter().map(|unit| unit.clips.len() as u64).sum()
    }
}

/// Identifies the inputs of a plan.
pub(crate) fn fingerprint(options: &ConvertOptions, listing: &Listing) -> Result<String> {
    let inputs = (
        PLAN_VERSION,
        options.profile,
        options.raw_size,
        options.split_seconds,
        options.shard_bytes,
        options.seed,
        options.check,
        listing,
    );
    let write = |error| Error::invalid("the sources cannot be written down").with_source(error);
    let mut bytes = serde_json::to_vec(&inputs).map_err(write)?;
    // The default leaves no trace: conversions that were begun before there was a choice are gone on with.
    if let Some(format) = options.raw_format.filter(|format| !is_default(format)) {
        serde_json::to_writer(&mut bytes, &format).map_err(write)?;
    }
    if let Some(train) = options.train_options() {
        serde_json::to_writer(&mut bytes, &train).map_err(write)?;
    }
    if options.stream != StreamChoice::default() {
        serde_json::to_writer(&mut bytes, &options.stream).map_err(write)?;
    }
    if options.on_change != OnChange::default() {
        serde_json::to_writer(&mut bytes, &options.on_change).map_err(write)?;
    }
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// Makes the plan. Looks into sources that are cut, on `jobs` threads.
pub(crate) fn make_plan(
    options: &ConvertOptions,
    listing: Listing,
    fingerprint: String,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<Plan> {
    let Listing { candidates, mut failed, mut warnings, notes, .. } = listing;
    warnings.extend(notes);
    let looks = looks(options, &candidates, cancel)?;
    let unknown = Look::default();
    let look = |candidate: &Candidate| looks.get(candidate.path.as_str()).unwrap_or(&unknown);
    let mut planned = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        match look(candidate).cut(candidate) {
            Ok(cut) => planned.push((candidate, pieces_of(options, cut, look(candidate)))),
            Err(error) => failed.push(failure(candidate, &error)),
        }
    }
    let entries: Vec<KeySource<'_>> = planned
        .iter()
        .map(|(candidate, pieces)| KeySource {
            given: candidate.key.as_deref(),
            key_path: &candidate.key_path,
            path: &candidate.path,
            pieces: (options.split_seconds.is_some() || pieces.len() > 1).then_some(pieces.len()),
        })
        .collect();
    let keys = make_keys(&entries);
    let raw_format = options.raw_format.unwrap_or_default();
    let mut paths: HashSet<&str> = HashSet::new();
    let mut source_bytes = 0_u64;
    let mut clips = Vec::new();
    for ((candidate, cuts), keys) in planned.iter().zip(keys) {
        if paths.insert(&candidate.path) {
            source_bytes = source_bytes.saturating_add(candidate.bytes);
        }
        let keys = match keys.and_then(|keys| check_columns(raw_format, &candidate.columns).map(|()| keys)) {
            Ok(keys) => keys,
            Err(error) => {
                failed.push(failure(candidate, &error));
                continue;
            }
        };
        let look = look(candidate);
        for (key, cut) in keys.into_iter().zip(cuts) {
            clips.push(PlanClip {
                key,
                source: candidate.path.clone(),
                start: cut.start,
                end: cut.end,
                bytes: estimated_bytes(*cut, candidate.bytes, look.seconds),
                raw_bytes: match options.profile {
                    Profile::Copy => None,
                    Profile::Train => {
                        options.train_options().map(|train| train_bytes(*cut, &train, candidate.bytes, look))
                    }
                    Profile::Raw => Some(raw_bytes(*cut, raw_format, options.raw_size, candidate.bytes, look)),
                },
                is_piece: cuts.len() > 1,
                caption: candidate.caption.clone(),
                columns: candidate.columns.clone(),
                place: candidate.place.clone(),
            });
        }
    }
    unify_columns(&mut clips, &mut warnings);
    shuffle(&mut clips, options.seed);
    Ok(Plan {
        version: PLAN_VERSION,
        profile: options.profile,
        raw_format,
        raw_size: options.raw_size,
        train: options.train_options(),
        check: options.check,
        stream: options.stream,
        on_change: options.on_change,
        sources: paths.len() as u64,
        source_bytes,
        units: cut_into_units(clips, options.shard_bytes, &fingerprint),
        fingerprint,
        failed,
        warnings,
    })
}

/// Refuses columns of a source that the conversion writes itself.
fn check_columns(format: RawFormat, columns: &Map<String, Value>) -> Result<()> {
    let taken = i420::COLUMNS.into_iter().find(|&name| format == RawFormat::Yuv420 && columns.contains_key(name));
    match taken {
        Some(name) => {
            Err(Error::invalid(format!("column '{name}' is one that frames of the format yuv420 bring themselves")))
        }
        None => Ok(()),
    }
}

fn failure(candidate: &Candidate, error: &Error) -> Failure {
    Failure::of(&candidate.path, candidate.place.as_deref(), candidate.key.as_deref(), error)
}

fn pieces_of(options: &ConvertOptions, cut: Cut, look: &Look) -> Vec<Cut> {
    let pieces = match (options.split_seconds, &look.stretches) {
        (Some(seconds), Some(stretches)) => split(cut, seconds, stretches),
        _ => vec![cut],
    };
    pieces.into_iter().flat_map(|piece| split_at(piece, &look.changes)).collect()
}

/// The cut's share of the file, by time; the whole file where the file does not say how long it is.
fn estimated_bytes(cut: Cut, file_bytes: u64, duration: Option<f64>) -> u64 {
    let share = match duration {
        Some(duration) if duration > 0.0 && (cut.start.is_some() || cut.end.is_some()) => {
            let end = cut.end.unwrap_or(duration).min(duration);
            ((end - cut.start.unwrap_or(0.0)) / duration).clamp(0.0, 1.0)
        }
        _ => 1.0,
    };
    // A tar member and an index row are never free.
    ((file_bytes as f64 * share) as u64).max(4096)
}

/// Bytes of the frames, at 30 a second: headers do not say how many there are.
fn raw_bytes(cut: Cut, format: RawFormat, size: Option<(u32, u32)>, file_bytes: u64, look: &Look) -> u64 {
    let pixel_bytes = match format {
        RawFormat::Rgb => 3.0,
        RawFormat::Yuv420 => 1.5,
    };
    let pixels = size.map_or(look.pixels, |(height, width)| u64::from(height) * u64::from(width));
    let bytes = seconds(cut, look) * 30.0 * pixel_bytes * pixels as f64;
    if bytes > 0.0 { bytes as u64 } else { file_bytes.saturating_mul(100) }
}

/// Bytes of the pictures encoded anew; those of its part of the file where the headers say too little.
fn train_bytes(cut: Cut, train: &TrainOptions, file_bytes: u64, look: &Look) -> u64 {
    let bytes = train.estimated_bytes(seconds(cut, look), look.pixels);
    // A tar member and an index row are never free.
    if bytes > 0.0 { (bytes as u64).max(4096) } else { estimated_bytes(cut, file_bytes, look.seconds) }
}

/// Length of a cut, 0 where nobody says.
fn seconds(cut: Cut, look: &Look) -> f64 {
    let end = cut.end.or(look.seconds).unwrap_or(0.0).min(look.seconds.unwrap_or(f64::MAX));
    (end - cut.start.unwrap_or(0.0)).max(0.0)
}

/// Orders the clips by a hash of seed and key.
fn shuffle(clips: &mut [PlanClip], seed: u64) {
    clips.sort_by_cached_key(|clip| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(clip.key.as_bytes());
        *hasher.finalize().as_bytes()
    });
}

fn cut_into_units(clips: Vec<PlanClip>, shard_bytes: u64, fingerprint: &str) -> Vec<PlanUnit> {
    let mut units: Vec<PlanUnit> = Vec::new();
    let (mut room, mut text_room) = (0_u64, 0_u64);
    for clip in clips {
        let (bytes, text_bytes) = (clip.raw_bytes.unwrap_or(clip.bytes), clip.text_bytes());
        match units.last_mut() {
            Some(unit) if bytes <= room && text_bytes <= text_room => {
                (room, text_room) = (room - bytes, text_room - text_bytes);
                unit.clips.push(clip);
            }
            _ => {
                room = shard_bytes.saturating_sub(bytes);
                text_room = MAX_TEXT_BYTES.saturating_sub(text_bytes);
                let id = format!("{:05}-{}", units.len(), fingerprint.get(..8).unwrap_or_default());
                units.push(PlanUnit { id, clips: vec![clip] });
            }
        }
    }
    units
}

/// Gives each column one type over the whole dataset: integers beside floats become floats, anything else that is mixed
/// becomes text, and what is nested becomes its JSON text.
fn unify_columns(clips: &mut [PlanClip], warnings: &mut Vec<String>) {
    const BOOL: u8 = 1;
    const INT: u8 = 2;
    const FLOAT: u8 = 4;
    const TEXT: u8 = 8;
    const INT_AND_FLOAT: u8 = INT | FLOAT;
    let kind = |value: &Value| match value {
        Value::Bool(_) => BOOL,
        Value::Number(number) if number.is_i64() => INT,
        Value::Number(number) if number.is_u64() => TEXT, // beyond 63 bits: a float would lose digits
        Value::Number(_) => FLOAT,
        _ => TEXT,
    };
    let mut kinds: BTreeMap<String, u8> = BTreeMap::new();
    for (name, value) in clips.iter().flat_map(|clip| &clip.columns) {
        match kinds.get_mut(name) {
            Some(kinds) => *kinds |= kind(value),
            None => _ = kinds.insert(name.clone(), kind(value)),
        }
    }
    for (name, kinds) in &kinds {
        let is_one_type = matches!(*kinds, BOOL | INT | FLOAT | TEXT | INT_AND_FLOAT);
        if !is_one_type {
            warnings.push(format!("column '{name}' has values of several types, so all are stored as text"));
        }
    }
    for (name, value) in clips.iter_mut().flat_map(|clip| &mut clip.columns) {
        match kinds.get(name.as_str()).copied().unwrap_or(TEXT) {
            BOOL | INT | FLOAT => {}
            INT_AND_FLOAT => {
                if let Some(number) = value.as_f64().and_then(Number::from_f64) {
                    *value = Value::Number(number);
                }
            }
            _ => {
                if !value.is_string() {
                    *value = Value::String(value.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::TrainSize;
    use serde_json::json;

    fn candidate(name: &str, bytes: u64) -> Candidate {
        Candidate {
            path: name.to_owned(),
            key_path: name.to_owned(),
            key: None,
            start: None,
            end: None,
            start_frame: None,
            end_frame: None,
            caption: None,
            columns: Map::new(),
            bytes,
            modified_nanos: 1,
            place: None,
        }
    }

    fn plan(options: &ConvertOptions, candidates: Vec<Candidate>) -> Plan {
        let listing = Listing { candidates, ..Listing::default() };
        let print = fingerprint(options, &listing).unwrap();
        make_plan(options, listing, print, &|| false).unwrap()
    }

    fn many() -> Vec<Candidate> {
        (0..40).flat_map(|film| (0..10).map(move |cut| candidate(&format!("film{film}/{cut}.mp4"), 10_000))).collect()
    }

    #[test]
    fn the_same_inputs_give_the_same_plan_and_other_inputs_another() {
        let options = ConvertOptions::new(["x"], "out").shard_bytes(1 << 20);
        let first = plan(&options, many());
        assert_eq!(first, plan(&options.clone().jobs(7), many()));
        let print = |options: &ConvertOptions, candidates| plan(options, candidates).fingerprint;
        let mut touched = many();
        touched[3].modified_nanos = 2;
        assert_ne!(print(&options, touched), first.fingerprint);
        let mut captioned = many();
        captioned[3].caption = Some("c".into());
        assert_ne!(print(&options, captioned), first.fingerprint);
        assert_ne!(print(&options.clone().seed(1), many()), first.fingerprint);
        assert_ne!(print(&options.clone().shard_bytes(1 << 21), many()), first.fingerprint);
        assert_eq!(print(&options.clone().on_error(crate::convert::OnError::Fail), many()), first.fingerprint);
        let back: Plan = serde_json::from_slice(&serde_json::to_vec(&first).unwrap()).unwrap();
        assert_eq!(back, first);
    }

    #[test]
    fn the_format_of_raw_frames_is_an_input_and_its_default_the_same_as_none() {
        let raw = |format| ConvertOptions::new(["x"], "out").profile(Profile::Raw).raw_format(format);
        let plan = |format| plan(&raw(format), vec![candidate("a.mp4", 5000)]);
        let (none, rgb, yuv420) = (plan(None), plan(Some(RawFormat::Rgb)), plan(Some(RawFormat::Yuv420)));
        assert_eq!(none, rgb);
        assert_ne!(none.fingerprint, yuv420.fingerprint);
        let written = |plan: &Plan| serde_json::to_value(plan).unwrap()["raw_format"].clone();
        assert_eq!((written(&none), written(&yuv420)), (Value::Null, json!("yuv420")));
        let back = |plan: &Plan| serde_json::from_value::<Plan>(serde_json::to_value(plan).unwrap()).unwrap();
        assert_eq!((back(&none), back(&yuv420)), (none, yuv420));
    }

    #[test]
    fn the_options_of_the_profile_train_are_inputs_and_their_defaults_the_same_as_none() {
        let options = |train| ConvertOptions::new(["x"], "out").profile(Profile::Train).train(train);
        let plan = |train| plan(&options(train), vec![candidate("a.mp4", 5000)]);
        let (none, default) = (plan(None), plan(Some(TrainOptions::new())));
        assert_eq!((&none, none.train), (&default, Some(TrainOptions::new())));
        let others = [
            TrainOptions::new().size(TrainSize::ShortSide(128)),
            TrainOptions::new().size(TrainSize::Exact(256, 256)),
            TrainOptions::new().fps(Some(8.0)),
            TrainOptions::new().gop_frames(8),
            TrainOptions::new().crf(18.5),
        ];
        let mut prints: Vec<String> = others.map(|train| plan(Some(train)).fingerprint).into();
        prints.push(none.fingerprint.clone());
        assert_eq!(prints.iter().collect::<HashSet<_>>().len(), 6);
        assert_eq!(serde_json::from_value::<Plan>(serde_json::to_value(&none).unwrap()).unwrap(), none);
    }

    #[test]
    fn clips_of_the_profile_train_are_weighed_by_their_pixels_and_seconds_as_far_as_they_are_known() {
        let bytes = |seconds, pixels| {
            let cut = Cut { start: Some(1.0), end: Some(3.0) };
            train_bytes(cut, &TrainOptions::new(), 1 << 20, &Look { seconds, pixels, ..Look::default() })
        };
        let (large, small) = (bytes(Some(10.0), 1920 * 1080), bytes(Some(10.0), 100 * 100));
        assert!((100_000..400_000).contains(&large) && small * 10 < large, "{large} {small}");
        assert_eq!(bytes(None, 0), 1 << 20);
    }

    #[test]
    fn frames_are_weighed_by_their_format() {
        let bytes = |format| {
            let look = Look { seconds: Some(10.0), pixels: 1000, ..Look::default() };
            raw_bytes(Cut { start: Some(1.0), end: Some(3.0) }, format, None, 1, &look)
        };
        assert_eq!((bytes(RawFormat::Rgb), bytes(RawFormat::Yuv420)), (180_000, 90_000));
    }

    #[test]
    fn clips_of_one_source_are_spread_over_the_shards() {
        let plan = plan(&ConvertOptions::new(["x"], "out").shard_bytes(400_000), many());
        assert_eq!(plan.num_clips(), 400);
        assert_eq!(plan.units.len(), 10);
        for film in 0..40 {
            let prefix = format!("film{film}/");
            let most = plan.units.iter().map(|u| u.clips.iter().filter(|c| c.key.starts_with(&prefix)).count()).max();
            assert!(most.unwrap() <= 5, "10 clips of film {film}, {most:?} of them in one of 10 shards");
        }
        assert_eq!(plan.units[3].id, format!("00003-{}", &plan.fingerprint[..8]));
    }

    #[test]
    fn a_clip_larger_than_a_shard_gets_its_own() {
        let plan = plan(
            &ConvertOptions::new(["x"], "out").shard_bytes(10),
            vec![candidate("a.mp4", 5000), candidate("b.mp4", 9000)],
        );
        assert_eq!(plan.units.iter().map(|unit| unit.clips.len()).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_cut_weighs_its_share_of_the_file() {
        let cut = Cut { start: Some(10.0), end: Some(20.0) };
        assert_eq!(estimated_bytes(cut, 1_000_000, Some(100.0)), 100_000);
        assert_eq!(estimated_bytes(cut, 1_000_000, None), 1_000_000);
    }

    #[test]
    fn a_column_has_one_type_over_the_whole_dataset() {
        let columns =
            [json!({"a": 1, "b": 1, "c": [1], "d": true, "e": u64::MAX}), json!({"a": 0.5, "b": "x", "d": false})];
        let mut clips: Vec<PlanClip> = columns
            .into_iter()
            .map(|columns| PlanClip {
                key: String::new(),
                source: String::new(),
                start: None,
                end: None,
                bytes: 1,
                raw_bytes: None,
                is_piece: false,
                caption: None,
                columns: columns.as_object().unwrap().clone(),
                place: None,
            })
            .collect();
        let mut warnings = Vec::new();
        unify_columns(&mut clips, &mut warnings);
        let expected = json!({"a": 1.0, "b": "1", "c": "[1]", "d": true, "e": u64::MAX.to_string()});
        assert_eq!(Value::Object(clips[0].columns.clone()), expected);
        assert!(clips[0].columns["a"].is_f64());
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_bad_given_key_is_a_failure_with_its_place() {
        let bad = Candidate { key: Some("a.b".into()), place: Some("l.csv, line 3".into()), ..candidate("a.mp4", 1) };
        let plan = plan(&ConvertOptions::new(["x"], "out"), vec![bad, candidate("b.mp4", 1)]);
        assert_eq!((plan.num_clips(), plan.failed[0].source.as_str()), (1, "a.mp4 (l.csv, line 3)"));
    }

    #[test]
    fn text_that_one_column_cannot_hold_is_spread_over_shards() {
        let clip = |bytes: usize| PlanClip {
            key: "k".into(),
            source: "s".into(),
            start: None,
            end: None,
            bytes: 1,
            raw_bytes: None,
            is_piece: false,
            caption: Some("x".repeat(bytes)),
            columns: Map::new(),
            place: None,
        };
        let units = cut_into_units(vec![clip(1 << 29), clip(1 << 28), clip(1 << 29), clip(7)], u64::MAX, "f");
        assert_eq!(units.iter().map(|unit| unit.clips.len()).collect::<Vec<_>>(), [2, 2]);
    }
}
