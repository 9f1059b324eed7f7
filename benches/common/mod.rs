//! What the benchmarks share that are programs of their own: options and CPU time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// `--name value` and `--flag` of the command line.
pub(crate) struct Arguments {
    values: BTreeMap<String, String>,
    flags: BTreeSet<String>,
}

impl Arguments {
    /// Those of this process; `flags` are the options without a value.
    pub(crate) fn parse(flags: &[&str]) -> Result<Self, Failure> {
        let mut this = Self { values: BTreeMap::new(), flags: BTreeSet::new() };
        let mut name = None;
        // Cargo says `--bench` to every benchmark.
        for word in std::env::args().skip(1).filter(|word| word != "--bench") {
            match (name.take(), word.strip_prefix("--")) {
                (Some(name), _) => drop(this.values.insert(name, word)),
                (None, Some(flag)) if flags.contains(&flag) => drop(this.flags.insert(flag.to_owned())),
                (None, Some(option)) => name = Some(option.to_owned()),
                (None, None) => return Err(format!("expected an option, found '{word}'").into()),
            }
        }
        match name {
            Some(name) => Err(format!("--{name} needs a value").into()),
            None => Ok(this),
        }
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.values.get(name).map(PathBuf::from)
    }

    /// Words between commas.
    pub(crate) fn list(&self, name: &str, default: &str) -> Vec<String> {
        self.values.get(name).map_or(default, String::as_str).split(',').map(str::to_owned).collect()
    }

    pub(crate) fn numbers<T: FromStr<Err: Into<Failure>>>(&self, name: &str, default: &str) -> Result<Vec<T>, Failure> {
        self.list(name, default).iter().map(|word| word.parse().map_err(Into::into)).collect()
    }

    pub(crate) fn number<T: FromStr<Err: Into<Failure>>>(&self, name: &str, default: &str) -> Result<T, Failure> {
        self.values.get(name).map_or(default, String::as_str).parse().map_err(Into::into)
    }
}

/// True where `cargo test --benches` runs the benchmark: nothing is measured then.
pub(crate) fn is_test() -> bool {
    std::env::args().any(|word| word == "--test")
}

/// CPU time of this process, of all its threads, user and system.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
