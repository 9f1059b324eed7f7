//! One read on its way from the first byte to the last, apart from who performs it: which bytes to ask for next, and
//! what an answer of the operating system means. `pread` and `uring` share it, so that they treat short reads,
//! interruptions, refused direct I/O, errors that may pass and the end of the file in one way.
//!
//! A read is a [`ReadPlan`]; it is performed in one part or in several that are under way at once, each a [`ReadProgress`].

use std::io;
use std::time::Duration;

/// Most bytes asked for at once. Linux gives at most 2 GiB less a page for one read.
pub(super) const MAX_CHUNK: usize = 1 << 30;

/// EINTR and EAGAIN in a row before the read is given up: an interruption is momentary, a refusal is not.
const MAX_INTERRUPTIONS: u32 = 100;

/// Pause before the first repetition of a read that failed; the next ones are longer by a factor of 4.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What to ask the operating system for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// On the `O_DIRECT` descriptor.
    pub is_direct: bool,
    /// Where in the file.
    pub offset: u64,
    /// Where in the buffer.
    pub at: usize,
    /// How many bytes; never 0, and `at + len` is within the buffer.
    pub len: usize,
}

/// What to do after an answer.
#[derive(Debug)]
pub(super) enum Step {
    /// All bytes are there.
    Done,
    /// Ask for [`ReadProgress::next`].
    Again,
    /// The same, after a pause: it failed in a way that may pass.
    Later(Duration),
    /// The file ended first, with so many of the wanted bytes in front of its end.
    End(u64),
    /// It cannot be read.
    Failed(io::Error),
}

/// How a range of a file lies in the buffer that it is read to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadPlan {
    /// File offset of the buffer's first byte; the range's rounded down for direct I/O.
    start: u64,
    /// Wanted bytes begin here in the buffer.
    skip: usize,
    /// Buffer bytes up to the last wanted one.
    target: usize,
    /// Length of the buffer; `target` rounded up for direct I/O.
    buffer_len: usize,
    /// The alignment of direct I/O.
    align: Option<usize>,
}

impl ReadPlan {
    /// A read of `len` bytes at `offset`; on multiples of `align` where that is given. `offset + len` is within the file,
    /// hence no sum here overflows. `align` is a power of two.
    pub(super) fn new(offset: u64, len: usize, align: Option<u64>) -> Self {
        let block = align.unwrap_or(1);
        let start = offset - offset % block;
        let skip = (offset - start) as usize;
        let target = skip + len;
        let buffer_len = target.next_multiple_of(block as usize);
        Self { start, skip, target, buffer_len, align: align.map(|align| align as usize) }
    }

    /// Bytes that the buffer must have.
    pub(super) fn buffer_len(&self) -> usize {
        self.buffer_len
    }

    /// Where the wanted bytes begin in the buffer.
    pub(super) fn skip(&self) -> usize {
        self.skip
    }

    /// True where no byte is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.skip == self.target
    }

    /// Bytes of the buffer in the part from `from`, if parts are to have at most `split` bytes: a multiple of the
    /// alignment, at least one block. 0 at the buffer's end.
    pub(super) fn part_len(&self, from: usize, split: usize) -> usize {
        let block = self.align.unwrap_or(1);
        (self.buffer_len - from).min((split / block).max(1) * block)
    }

    /// The read of `len` bytes of the buffer from `from`, as [`part_len`](Self::part_len) gave them.
    pub(super) fn part(&self, from: usize, len: usize, policy: Policy) -> ReadProgress {
        let end = from + len;
        ReadProgress {
            start: self.start,
            skip: self.skip,
            target: self.target.min(end),
            buffer_len: end,
            filled: from,
            direct: self.align,
            policy,
            interruptions: 0,
            failures: 0,
        }
    }

    /// The read in one part.
    pub(super) fn whole(&self, policy: Policy) -> ReadProgress {
        self.part(0, self.buffer_len, policy)
    }
}

/// How reads are performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    /// Most bytes asked for at once.
    pub max_chunk: usize,
    /// How often one part is repeated after an error that may pass.
    pub max_retries: u32,
}

/// The state of one part of a read.
#[derive(Debug, Clone)]
pub(super) struct ReadProgress {
    start: u64,
    skip: usize,
    /// Buffer bytes up to the part's last wanted one.
    target: usize,
    /// The part's end in the buffer.
    buffer_len: usize,
    /// The part's begin in the buffer, then what is read.
    filled: usize,
    /// The alignment while direct I/O goes well.
    direct: Option<usize>,
    policy: Policy,
    interruptions: u32,
    failures: u32,
}

impl ReadProgress {
    /// True where nothing needs to be asked for.
    pub(super) fn is_done(&self) -> bool {
        self.filled >= self.target || self.skip == self.target
    }

    /// What to ask for. Not to be called when [done](Self::is_done).
    pub(super) fn next(&self) -> Chunk {
        let len = match self.direct {
            // `filled` and `buffer_len` are multiples of the block here, so that this is one, too, and not 0.
            Some(block) => (self.buffer_len - self.filled).min((self.policy.max_chunk / block).max(1) * block),
            None => (self.target - self.filled).min(self.policy.max_chunk),
        };
        Chunk { is_direct: self.direct.is_some(), offset: self.start + self.filled as u64, at: self.filled, len }
    }

    /// Takes the answer to [`next`](Self::next).
    pub(super) fn advance(&mut self, answer: io::Result<usize>) -> Step {
        match answer {
            Ok(0) => Step::End(self.filled.saturating_sub(self.skip) as u64),
            Ok(got) => {
                self.filled += got;
                (self.interruptions, self.failures) = (0, 0);
                if self.is_done() {
                    return Step::Done;
                }
                if self.direct.is_some_and(|block| !self.filled.is_multiple_of(block)) {
                    // A direct read that stops within a block cannot go on from there; the page cache can.
                    self.direct = None;
                }
                Step::Again
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) if self.interruptions < MAX_INTERRUPTIONS => {
                    self.interruptions += 1;
                    Step::Again
                }
                Some(libc::EINVAL | libc::EOPNOTSUPP) if self.direct.is_some() => {
                    self.direct = None;
                    Step::Again
                }
                Some(errno) if may_pass(errno) && self.failures < self.policy.max_retries => {
                    let pause = FIRST_PAUSE.saturating_mul(1 << (2 * self.failures).min(16)).min(MAX_PAUSE);
                    self.failures += 1;
                    Step::Later(pause)
                }
                _ => Step::Failed(error),
            },
        }
    }
}

/// Errors of a device or a network that is often back a moment later.
fn may_pass(errno: i32) -> bool {
    matches!(errno, libc::EIO | libc::ESTALE | libc::ETIMEDOUT | libc::EREMOTEIO | libc::ECONNRESET | libc::EHOSTDOWN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the simulated kernel does with one request.
    #[derive(Debug, Clone)]
    enum Answer {
        Short(usize),
        Interrupt(i32),
        Refuse,
        Full,
    }

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            (1..6000_usize).prop_map(Answer::Short),
            prop_oneof![Just(libc::EINTR), Just(libc::EAGAIN)].prop_map(Answer::Interrupt),
            Just(Answer::Refuse),
            Just(Answer::Full),
        ]
    }

    const PLAIN: Policy = Policy { max_chunk: MAX_CHUNK, max_retries: 2 };

    fn run(
        file: &[u8],
        range: (usize, usize),
        align: Option<u64>,
        sizes: (usize, usize),
        answers: &[Answer],
    ) -> Vec<u8> {
        let ((offset, len), (chunk, split)) = (range, sizes);
        let plan = ReadPlan::new(offset as u64, len, align);
        let mut buffer = vec![0_u8; plan.buffer_len()];
        let (mut from, mut answers) = (0, answers.iter());
        while !plan.is_empty() && from < plan.buffer_len() {
            let len = plan.part_len(from, split);
            perform(file, plan.part(from, len, Policy { max_chunk: chunk, ..PLAIN }), align, &mut buffer, &mut answers);
            from += len;
        }
        buffer[plan.skip()..plan.skip() + len].to_vec()
    }

    fn perform(
        file: &[u8],
        mut progress: ReadProgress,
        align: Option<u64>,
        buffer: &mut [u8],
        answers: &mut std::slice::Iter<Answer>,
    ) {
        while !progress.is_done() {
            let next = progress.next();
            if let (true, Some(align)) = (next.is_direct, align) {
                assert_eq!((next.offset % align, next.len as u64 % align, next.at as u64 % align), (0, 0, 0));
            }
            let left = file.len().saturating_sub(next.offset as usize).min(next.len);
            let answer = match answers.next() {
                Some(Answer::Interrupt(errno)) => Err(io::Error::from_raw_os_error(*errno)),
                Some(Answer::Refuse) if next.is_direct => Err(io::Error::from_raw_os_error(libc::EINVAL)),
                Some(Answer::Short(most)) => Ok(left.min(*most)),
                _ => Ok(left),
            };
            if let Ok(got) = answer {
                let from = next.offset as usize;
                buffer[next.at..next.at + got].copy_from_slice(&file[from..from + got]);
            }
            match progress.advance(answer) {
                Step::Done => assert!(progress.is_done()),
                Step::Again => {}
                step => panic!("{step:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_sequence_of_short_interrupted_and_refused_reads_gives_the_bytes(
            offset in 0..20_000_usize,
            len in 0..20_000_usize,
            align in prop_oneof![Just(None), Just(Some(512_u64)), Just(Some(4096))],
            chunk in prop_oneof![1..9000_usize, Just(MAX_CHUNK)],
            split in prop_oneof![1..9000_usize, Just(MAX_CHUNK)],
            answers in prop::collection::vec(answer(), 0..40),
        ) {
            let file: Vec<u8> = (0..40_000_usize).map(|i| (i * 31 % 251) as u8).collect();
            let read = run(&file, (offset, len), align, (chunk, split), &answers);
            prop_assert_eq!(read, &file[offset..offset + len]);
        }
    }

    #[test]
    fn the_last_block_of_the_file_is_read_though_it_is_not_whole() {
        let file: Vec<u8> = (0..5000_usize).map(|i| i as u8).collect();
        assert_eq!(run(&file, (4999, 1), Some(4096), (MAX_CHUNK, MAX_CHUNK), &[]), &file[4999..]);
    }

    #[test]
    fn the_end_of_the_file_says_how_many_wanted_bytes_were_read() {
        let mut progress = ReadPlan::new(5000, 100, Some(4096)).whole(PLAIN);
        assert!(matches!(progress.advance(Ok(950)), Step::Again));
        assert!(!progress.next().is_direct);
        assert!(matches!(progress.advance(Ok(0)), Step::End(46)));
        let mut early = ReadPlan::new(5000, 100, Some(4096)).whole(PLAIN);
        assert!(matches!(early.advance(Ok(0)), Step::End(0)));
    }

    #[test]
    fn endless_interruptions_and_other_errors_end_the_read() {
        let mut progress = ReadPlan::new(0, 1, None).whole(PLAIN);
        for _ in 0..MAX_INTERRUPTIONS {
            assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EAGAIN))), Step::Again));
        }
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EAGAIN))), Step::Failed(_)));
        let mut progress = ReadPlan::new(0, 1, None).whole(PLAIN);
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EINVAL))), Step::Failed(_)));
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EBADF))), Step::Failed(_)));
    }

    #[test]
    fn an_error_that_may_pass_is_repeated_after_growing_pauses_and_not_for_ever() {
        let eio = || Err(io::Error::from_raw_os_error(libc::EIO));
        let mut progress = ReadPlan::new(0, 9, None).whole(PLAIN);
        let Step::Later(first) = progress.advance(eio()) else { panic!("the first error is repeated") };
        let Step::Later(second) = progress.advance(eio()) else { panic!("the second error is repeated") };
        assert!(second > first);
        // Progress counts: what was read anew may fail as often again.
        assert!(matches!(progress.advance(Ok(5)), Step::Again));
        assert!(matches!(progress.advance(eio()), Step::Later(_)));
        assert!(matches!(progress.advance(eio()), Step::Later(_)));
        assert!(matches!(progress.advance(eio()), Step::Failed(_)));
        let mut none = ReadPlan::new(0, 9, None).whole(Policy { max_retries: 0, ..PLAIN });
        assert!(matches!(none.advance(eio()), Step::Failed(_)));
    }

    #[test]
    fn pauses_stay_bounded_however_often_a_read_fails() {
        let mut progress = ReadPlan::new(0, 9, None).whole(Policy { max_retries: 100, ..PLAIN });
        for _ in 0..100 {
            let Step::Later(pause) = progress.advance(Err(io::Error::from_raw_os_error(libc::ESTALE))) else {
                panic!("repeated as often as the policy says")
            };
            assert!(pause <= MAX_PAUSE);
        }
    }

    #[test]
    fn a_part_behind_the_end_of_the_file_knows_only_that_it_begins_there() {
        let plan = ReadPlan::new(100, 10_000, None);
        assert!(matches!(plan.part(4000, 4000, PLAIN).advance(Ok(0)), Step::End(4000)));
    }
}
