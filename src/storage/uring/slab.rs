//! Things under small numbers that are used again.

/// At most so many things as it was made for, each under a number of its own.
pub(super) struct Slab<T> {
    entries: Vec<Option<T>>,
    /// Numbers that are free.
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: (0..capacity).map(|_| None).collect(), free: (0..capacity).rev().collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Puts `entry` in, or gives it back where there is no room.
    pub(super) fn insert(&mut self, entry: T) -> Result<usize, T> {
        match self.free.pop() {
            Some(number) => {
                self.entries[number] = Some(entry);
                Ok(number)
            }
            None => Err(entry),
        }
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.entries.get_mut(number)?.as_mut()
    }

    pub(super) fn remove(&mut self, number: usize) -> Option<T> {
        let entry = self.entries.get_mut(number)?.take()?;
        self.free.push(number);
        Some(entry)
    }

    /// Never drops what is in it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.entries));
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_never_twice_at_once() {
        let mut slab = Slab::new(2);
        let (first, second) = (slab.insert('a').unwrap(), slab.insert('b').unwrap());
        assert_ne!(first, second);
        assert_eq!((slab.insert('c'), slab.len(), slab.is_full()), (Err('c'), 2, true));
        assert_eq!((slab.remove(first), slab.remove(first), slab.remove(99)), (Some('a'), None, None));
        assert_eq!(slab.insert('d'), Ok(first));
        assert_eq!(slab.get_mut(first), Some(&mut 'd'));
    }

    #[test]
    fn what_is_leaked_is_not_dropped() {
        let shared = std::rc::Rc::new(());
        let mut slab = Slab::new(1);
        slab.insert(shared.clone()).unwrap();
        slab.leak();
        drop(slab);
        assert_eq!(std::rc::Rc::strong_count(&shared), 2);
    }
}
