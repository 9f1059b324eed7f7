//! Telling things apart that others hold on to by number, also after they are gone.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

/// Part of a thing: lives as long as it does.
pub(crate) struct Life(Arc<()>);

impl Life {
    pub(crate) fn new() -> Self {
        Self(Arc::new(()))
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity(Arc::downgrade(&self.0))
    }
}

/// A name for a thing with a [`Life`]: no other thing has it for as long as the name is kept, be the thing gone or not.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Weak<()>);

impl Identity {
    /// True once the thing is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outlives_its_thing_and_is_given_to_no_other() {
        let life = Life::new();
        let name = life.identity();
        assert!(name == life.identity() && !name.is_gone());
        drop(life);
        assert!(name.is_gone());
        for _ in 0..100 {
            assert!(Life::new().identity() != name);
        }
    }
}
