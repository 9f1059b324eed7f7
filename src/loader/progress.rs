//! Where a loader stands, and which of its iterations moves it.
//!
//! An iteration that was asked for nothing leaves no trace. With its first batch or error it takes the place where the
//! next iteration would begin, and from then on the loader's state is its own, until another iteration takes a place or
//! the loader is told to go elsewhere. Batches that are handed out move the state, errors do not.

use crate::order::{Cut, LoaderState, OrderKey};

/// Epoch and position that an iteration begins with.
pub(super) type Place = (u64, u64);

#[derive(Debug)]
pub(super) struct Progress {
    /// The next sample to be handed out.
    state: LoaderState,
    /// Where the next iteration begins.
    next: Place,
    /// Where the loader was told to resume, as long as that epoch is not over and no other was begun.
    resumed: Option<Place>,
    /// Number of the iteration that moves the state, 0 where none does.
    current: u64,
    /// Iterations that took a place.
    num_begun: u64,
}

impl Progress {
    /// At the begin of epoch 0.
    pub(super) fn new(order: OrderKey) -> Self {
        let state = LoaderState { epoch: 0, position: 0, order };
        Self { state, next: (0, 0), resumed: None, current: 0, num_begun: 0 }
    }

    pub(super) fn state(&self) -> &LoaderState {
        &self.state
    }

    /// Where the next iteration begins.
    pub(super) fn next(&self) -> Place {
        self.next
    }

    /// An iteration of `num_epochs` epochs that began at `place` has its first batch or error, and the loader stands
    /// there. Gives its number, or `None` where the next iteration no longer begins there.
    pub(super) fn begin(&mut self, place: Place, num_epochs: u64) -> Option<u64> {
        if place != self.next {
            return None;
        }
        self.resumed = self.resumed.filter(|(epoch, _)| *epoch == place.0);
        self.next = (place.0.saturating_add(num_epochs), 0);
        self.num_begun += 1;
        self.current = self.num_begun;
        (self.state.epoch, self.state.position) = place;
        Some(self.current)
    }

    /// Iteration `number` handed out the batch of `epoch` that ends before position `end`. The loader stands behind it, and behind
    /// the last batch of an epoch at the begin of the next.
    pub(super) fn advance(&mut self, number: u64, epoch: u64, end: u64, cut: &Cut) {
        if number != self.current {
            return;
        }
        (self.state.epoch, self.state.position) = behind(epoch, end, cut);
        if self.state.epoch != epoch {
            self.resumed = self.resumed.filter(|(resumed, _)| *resumed != epoch);
        }
    }

    /// The next iteration begins where `state` was taken. None that runs moves the state any more.
    pub(super) fn load(&mut self, state: &LoaderState, cut: &Cut) {
        let place = behind(state.epoch, state.position, cut);
        self.resumed = Some(place);
        self.go_to(place);
    }

    /// The next iteration begins with `epoch`: at its begin, or where the loader was resumed in it. None that runs moves the state any
    /// more.
    pub(super) fn set_epoch(&mut self, epoch: u64) {
        self.resumed = self.resumed.filter(|(resumed, _)| *resumed == epoch);
        self.go_to(self.resumed.unwrap_or((epoch, 0)));
    }

    fn go_to(&mut self, place: Place) {
        (self.state.epoch, self.state.position) = place;
        self.next = place;
        self.current = 0;
    }
}

/// The place behind a batch that ends before `end`.
fn behind(epoch: u64, end: u64, cut: &Cut) -> Place {
    if cut.num_batches(end) == 0 { (epoch.saturating_add(1), 0) } else { (epoch, end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CUT: Cut = Cut { num_samples: 7, batch_size: 3, drop_last: false, buckets: None };

    fn progress() -> Progress {
        Progress::new(OrderKey {
            seed: 0,
            shuffle: true,
            num_samples: 7,
            bucket_batch_size: None,
            bucket_crc32c: None,
            dataset: "d".to_owned(),
        })
    }

    /// Hands out batches of a new iteration until one ends at `end`.
    fn run_to(progress: &mut Progress, end: u64) {
        let place = progress.next();
        let number = progress.begin(place, 1).unwrap();
        for end in (1..=end).filter(|end| *end > place.1 && (end % 3 == 0 || *end == 7)) {
            progress.advance(number, place.0, end, &CUT);
        }
    }

    fn place(progress: &Progress) -> Place {
        (progress.state().epoch, progress.state().position)
    }

    #[test]
    fn the_epoch_that_was_resumed_keeps_its_position_until_it_is_over() {
        let mut progress = progress();
        let state = LoaderState { epoch: 4, position: 3, ..progress.state().clone() };
        progress.load(&state, &CUT);
        progress.set_epoch(4);
        assert_eq!((progress.next(), place(&progress)), ((4, 3), (4, 3)));
        // A look at the first batch, and the epoch once more.
        run_to(&mut progress, 6);
        assert_eq!((progress.next(), place(&progress)), ((5, 0), (4, 6)));
        progress.set_epoch(4);
        assert_eq!(progress.next(), (4, 3));
        run_to(&mut progress, 7);
        assert_eq!((progress.next(), place(&progress)), ((5, 0), (5, 0)));
        progress.set_epoch(4);
        assert_eq!(progress.next(), (4, 0), "all of it, as it was over");
        progress.load(&state, &CUT);
        progress.set_epoch(5);
        progress.set_epoch(4);
        assert_eq!(progress.next(), (4, 0), "another epoch was asked for in between");
    }

    #[test]
    fn an_error_leaves_the_state_before_its_batch() {
        let mut progress = progress();
        // The first batch of an epoch, behind one that was left early.
        run_to(&mut progress, 3);
        let number = progress.begin((1, 0), 1).unwrap();
        assert_eq!(place(&progress), (1, 0));
        progress.advance(number, 1, 3, &CUT);
        assert_eq!((progress.next(), place(&progress)), ((2, 0), (1, 3)));
    }

    #[test]
    fn a_state_at_the_end_of_an_epoch_is_the_begin_of_the_next() {
        let mut progress = progress();
        let state = LoaderState { epoch: 1, position: 6, ..progress.state().clone() };
        progress.load(&state, &Cut { drop_last: true, ..CUT });
        assert_eq!((progress.next(), place(&progress)), ((2, 0), (2, 0)));
    }

    /// What may be done to a loader.
    #[derive(Debug, Clone)]
    enum Step {
        /// A new iterator.
        Iter,
        /// The next batch of one of the iterators.
        Next(usize),
        SetEpoch(u64),
        Save,
        Load(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Iter),
            8 => any::<usize>().prop_map(Step::Next),
            1 => (0..4_u64).prop_map(Step::SetEpoch),
            2 => Just(Step::Save),
            2 => any::<usize>().prop_map(Step::Load),
        ]
    }

    /// An iterator as `Batches` is one: it may have begun to read at a place that is no longer the next one.
    struct Iteration {
        place: Place,
        number: Option<u64>,
        left: Vec<(u64, u64)>,
    }

    fn batches(place: Place) -> Vec<(u64, u64)> {
        let ends = [3, 6, 7].into_iter().filter(|&end| end > place.1);
        ends.map(|end| (place.0, end)).collect()
    }

    impl Iteration {
        fn new(progress: &Progress) -> Self {
            Self { place: progress.next(), number: None, left: batches(progress.next()) }
        }

        fn next(&mut self, progress: &mut Progress) -> Option<(u64, u64)> {
            let number = match self.number {
                Some(number) => number,
                None => loop {
                    match progress.begin(self.place, 1) {
                        Some(number) => break number,
                        None => *self = Self::new(progress),
                    }
                },
            };
            self.number = Some(number);
            if self.left.is_empty() {
                return None;
            }
            let (epoch, end) = self.left.remove(0);
            progress.advance(number, epoch, end, &CUT);
            Some((epoch, end))
        }
    }

    proptest! {
        /// Iterators that hand out nothing change nothing: the same steps without them give the same batches and states.
        #[test]
        fn iterators_that_are_not_asked_are_not_there(steps in prop::collection::vec(step(), 0..60)) {
            let asked = |steps: &[Step]| {
                let mut is_asked = vec![false; steps.iter().filter(|step| matches!(step, Step::Iter)).count()];
                let mut num_iterators = 0;
                for step in steps {
                    match step {
                        Step::Iter => num_iterators += 1,
                        Step::Next(which) if num_iterators > 0 => is_asked[which % num_iterators] = true,
                        _ => {}
                    }
                }
                is_asked
            };
            let run = |steps: &[Step], is_made: &dyn Fn(usize) -> bool| {
                let (mut progress, mut seen) = (progress(), Vec::new());
                let (mut iterators, mut states) = (Vec::new(), vec![progress.state().clone()]);
                for step in steps {
                    match *step {
                        Step::Iter => {
                            let made = is_made(iterators.len()).then(|| Iteration::new(&progress));
                            iterators.push(made);
                        }
                        Step::Next(which) if !iterators.is_empty() => {
                            let which = which % iterators.len();
                            let iterator = iterators[which].as_mut().unwrap();
                            seen.push((which, iterator.next(&mut progress), place(&progress)));
                        }
                        Step::SetEpoch(epoch) => progress.set_epoch(epoch),
                        Step::Save => states.push(progress.state().clone()),
                        Step::Load(which) => progress.load(&states[which % states.len()], &CUT),
                        Step::Next(_) => {}
                    }
                    seen.push((usize::MAX, None, place(&progress)));
                }
                seen
            };
            let is_asked = asked(&steps);
            prop_assert_eq!(run(&steps, &|_| true), run(&steps, &|number| is_asked[number]));
        }
    }
}
