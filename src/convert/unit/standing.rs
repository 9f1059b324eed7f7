//! The dataset that stands in the output folder already, and what a run must not take from it: columns that were added, and
//! a manifest that is true for as long as it stands.

use super::out_folder::{OutFolder, remove_existing};
use super::unit_report::{UnitReport, hash};
use super::workers::OpenUnit;
use crate::format::{MANIFEST_FILE, Manifest, ShardEntry, sync_folder};
use crate::{Error, ErrorKind, Result};
use std::collections::HashSet;

/// Where columns lie that were added to the dataset.
const COLUMNS_FOLDER: &str = "columns";

/// The manifest that stood in the folder when the run began. What others have put into it, which is columns, survives every
/// run, or the run ends with a conflict before anything that they depend on is replaced.
#[derive(Debug, Default)]
pub(crate) struct Standing(Option<Manifest>);

/// When a shard that has been written is put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placing {
    Now,
    /// The manifest that stands names other bytes, and is to be true for as long as it stands.
    AtCommit,
}

impl Standing {
    /// # Errors
    /// `Conflict` where the manifest is damaged and may have named columns; `Unsupported` where it is of a newer version.
    pub(crate) fn read(out: &OutFolder) -> Result<Self> {
        let columns = out.root().join(COLUMNS_FOLDER);
        let has_columns = std::fs::read_dir(&columns).is_ok_and(|mut entries| entries.next().is_some());
        match Manifest::read(out.root()) {
            Ok(manifest) => Ok(Self(Some(manifest))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if has_columns {
                    out.note(format!(
                        "there was no manifest, and the new one does not name what lies in '{}': add those columns again \
                         by the same calls, which take up what is there",
                        columns.display()
                    ));
                }
                Ok(Self(None))
            }
            Err(error) if error.kind() == ErrorKind::Corrupt && has_columns => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{}, and the columns that it names would be lost: put it back from a copy, or remove it and add the \
                     columns again by the same calls, which take up what is there",
                    error.message()
                ),
            )
            .with_path(out.root().join(MANIFEST_FILE))),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                out.note(format!("the manifest was damaged, and was written again: {}", error.report()));
                Ok(Self(None))
            }
            Err(error) => Err(error),
        }
    }

    /// Names of the columns that were added.
    fn columns(&self) -> Vec<&str> {
        self.0.iter().flat_map(|manifest| &manifest.columns).map(|set| set.name.as_str()).collect()
    }

    fn conflict(&self, what: &str) -> Error {
        let columns = self.columns().join("', '");
        Error::new(
            ErrorKind::Conflict,
            format!(
                "{what}, for whose clips the columns '{columns}' were added: they would be lost; put those files back from \
                 a copy, or convert into another folder and add the columns there"
            ),
        )
    }

    /// # Errors
    /// `Conflict` where shards are to be made anew to try clips again, and columns have tensors for the clips there are.
    pub(crate) fn check_retry(&self, units: &[OpenUnit<'_>], out: &OutFolder) -> Result<()> {
        let retried = units.iter().filter(|unit| unit.before.is_some()).count();
        if retried == 0 || self.columns().is_empty() {
            return Ok(());
        }
        let columns = self.columns().join("', '");
        let message = format!(
            "clips that failed cannot be tried again: that would change {retried} of the shards for whose clips the \
             columns '{columns}' were added; convert into another folder and add the columns there"
        );
        Err(Error::new(ErrorKind::Conflict, message).with_path(out.root()))
    }

    /// When the shard of a finished unit may be put in its place.
    ///
    /// # Errors
    /// `Conflict` where columns depend on other bytes.
    pub(crate) fn placing(&self, unit: &UnitReport, out: &OutFolder) -> Result<Placing> {
        let Some(manifest) = &self.0 else { return Ok(Placing::Now) };
        let entry = manifest.shards.iter().find(|entry| entry.id == unit.id);
        if entry.cloned() == shard_entry(unit) {
            return Ok(Placing::Now);
        }
        if self.columns().is_empty() {
            return Ok(Placing::AtCommit);
        }
        Err(self.conflict("a shard was made again and is another one than").with_path(out.shard(&unit.id)))
    }

    /// Puts shards in their places that the standing manifest does not name. It goes first.
    pub(crate) fn place(&mut self, out: &OutFolder, units: &mut [UnitReport], waiting: &HashSet<String>) -> Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        if !self.columns().is_empty() {
            return Err(self.conflict("shards were made again and are others than those").with_path(out.root()));
        }
        let manifest = out.root().join(MANIFEST_FILE);
        remove_existing(&manifest, |path| std::fs::remove_file(path))?;
        sync_folder(&manifest)?;
        self.0 = None;
        for unit in units.iter_mut().filter(|unit| waiting.contains(&unit.id)) {
            if unit.rows > 0 {
                out.place_shard(&unit.id)?;
                unit.note_time(out)?;
            } else {
                remove_existing(&out.shard(&unit.id), |path| std::fs::remove_file(path))?;
            }
            unit.publish(out)?;
            out.remove_unit_tmp(&unit.id)?;
        }
        Ok(())
    }

    /// `manifest` with what others have put into the one that stands.
    pub(crate) fn kept(&self, manifest: Manifest, out: &OutFolder) -> Result<Manifest> {
        let Some(standing) = &self.0 else { return Ok(manifest) };
        if standing.shards == manifest.shards {
            let Manifest { fields, description, columns, .. } = standing.clone();
            return Ok(Manifest { fields, description, columns, ..manifest });
        }
        if standing.columns.is_empty() {
            return Ok(manifest);
        }
        Err(self.conflict("the shards are others than those").with_path(out.root()))
    }

    /// True where the dataset that these units give has been published, and its index is whole.
    pub(crate) fn is_published(&self, out: &OutFolder, units: &[UnitReport]) -> Result<bool> {
        let Some(Manifest { index, shards, .. }) = &self.0 else { return Ok(false) };
        if *shards != shard_entries(units) {
            return Ok(false);
        }
        let path = out.root().join(&index.file);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() == index.bytes => Ok(hash(&path, &|| false)? == index.blake3),
            Ok(_) => Ok(false),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("open", &path, e)),
        }
    }
}

/// What a manifest says of these units' shards.
pub(crate) fn shard_entries(units: &[UnitReport]) -> Vec<ShardEntry> {
    units.iter().filter_map(shard_entry).collect()
}

/// What a manifest says of a unit's shard, where it has one.
fn shard_entry(unit: &UnitReport) -> Option<ShardEntry> {
    (unit.rows > 0).then(|| ShardEntry {
        id: unit.id.clone(),
        file: OutFolder::shard_file(&unit.id),
        rows: unit.rows,
        bytes: unit.bytes,
        blake3: unit.blake3.clone(),
    })
}
