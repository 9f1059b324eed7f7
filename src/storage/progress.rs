//! One read on its way from the first byte to the last, apart from who performs it: which bytes to ask for next, and
//! what an answer of the operating system means. `pread` and `uring` share it, so that they treat short reads,
//! interruptions, refused direct I/O and the end of the file in one way.

use std::io;

/// Most bytes asked for at once. Linux gives at most 2 GiB less a page for one read.
pub(super) const MAX_CHUNK: usize = 1 << 30;

/// EINTR and EAGAIN in a row before the read is given up: an interruption is momentary, a refusal is not.
const MAX_INTERRUPTIONS: u32 = 100;

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
    /// The file ended first, with so many of the wanted bytes read.
    End(u64),
    /// It cannot be read.
    Failed(io::Error),
}

/// The state of one read.
#[derive(Debug, Clone)]
pub(super) struct ReadProgress {
    /// File offset of the buffer's first byte; `offset` rounded down for direct I/O.
    start: u64,
    /// Wanted bytes begin here in the buffer.
    skip: usize,
    /// Buffer bytes up to the last wanted one.
    target: usize,
    /// Length of the buffer; `target` rounded up for direct I/O.
    buffer_len: usize,
    filled: usize,
    /// The alignment while direct I/O goes well.
    direct: Option<usize>,
    max_chunk: usize,
    interruptions: u32,
}

impl ReadProgress {
    /// A read of `len` bytes at `offset`, in pieces of at most `max_chunk`; on multiples of `align` where that is given.
    /// `offset + len` is within the file, hence no sum here overflows. `align` is a power of two.
    pub(super) fn new(offset: u64, len: usize, align: Option<u64>, max_chunk: usize) -> Self {
        let block = align.unwrap_or(1);
        let start = offset - offset % block;
        let skip = (offset - start) as usize;
        let target = skip + len;
        let buffer_len = target.next_multiple_of(block as usize);
        let direct = align.map(|align| align as usize);
        Self { start, skip, target, buffer_len, filled: 0, direct, max_chunk, interruptions: 0 }
    }

    /// Bytes that the buffer must have.
    pub(super) fn buffer_len(&self) -> usize {
        self.buffer_len
    }

    /// Where the wanted bytes begin in the buffer.
    pub(super) fn skip(&self) -> usize {
        self.skip
    }

    /// True where nothing needs to be asked for.
    pub(super) fn is_done(&self) -> bool {
        self.filled >= self.target || self.skip == self.target
    }

    /// What to ask for. Not to be called when [done](Self::is_done).
    pub(super) fn next(&self) -> Chunk {
        let len = match self.direct {
            // `filled` and `buffer_len` are multiples of the block here, so that this is one, too, and not 0.
            Some(block) => (self.buffer_len - self.filled).min((self.max_chunk / block).max(1) * block),
            None => (self.target - self.filled).min(self.max_chunk),
        };
        Chunk { is_direct: self.direct.is_some(), offset: self.start + self.filled as u64, at: self.filled, len }
    }

    /// Takes the answer to [`next`](Self::next).
    pub(super) fn advance(&mut self, answer: io::Result<usize>) -> Step {
        match answer {
            Ok(0) => Step::End(self.filled.saturating_sub(self.skip) as u64),
            Ok(got) => {
                self.filled += got;
                self.interruptions = 0;
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
                _ => Step::Failed(error),
            },
        }
    }
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

    fn run(file: &[u8], offset: usize, len: usize, align: Option<u64>, chunk: usize, answers: &[Answer]) -> Vec<u8> {
        let mut progress = ReadProgress::new(offset as u64, len, align, chunk);
        let mut buffer = vec![0_u8; progress.buffer_len()];
        let mut answers = answers.iter();
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
        buffer[progress.skip()..progress.skip() + len].to_vec()
    }

    proptest! {
        #[test]
        fn any_sequence_of_short_interrupted_and_refused_reads_gives_the_bytes(
            offset in 0..20_000_usize,
            len in 0..20_000_usize,
            align in prop_oneof![Just(None), Just(Some(512_u64)), Just(Some(4096))],
            chunk in prop_oneof![1..9000_usize, Just(MAX_CHUNK)],
            answers in prop::collection::vec(answer(), 0..40),
        ) {
            let file: Vec<u8> = (0..40_000_usize).map(|i| (i * 31 % 251) as u8).collect();
            prop_assert_eq!(run(&file, offset, len, align, chunk, &answers), &file[offset..offset + len]);
        }
    }

    #[test]
    fn the_last_block_of_the_file_is_read_though_it_is_not_whole() {
        let file: Vec<u8> = (0..5000_usize).map(|i| i as u8).collect();
        assert_eq!(run(&file, 4999, 1, Some(4096), MAX_CHUNK, &[]), &file[4999..]);
    }

    #[test]
    fn the_end_of_the_file_says_how_many_wanted_bytes_were_read() {
        let mut progress = ReadProgress::new(5000, 100, Some(4096), MAX_CHUNK);
        assert!(matches!(progress.advance(Ok(950)), Step::Again));
        assert!(!progress.next().is_direct);
        assert!(matches!(progress.advance(Ok(0)), Step::End(46)));
        let mut early = ReadProgress::new(5000, 100, Some(4096), MAX_CHUNK);
        assert!(matches!(early.advance(Ok(0)), Step::End(0)));
    }

    #[test]
    fn endless_interruptions_and_other_errors_end_the_read() {
        let mut progress = ReadProgress::new(0, 1, None, MAX_CHUNK);
        for _ in 0..MAX_INTERRUPTIONS {
            assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EAGAIN))), Step::Again));
        }
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EAGAIN))), Step::Failed(_)));
        let mut progress = ReadProgress::new(0, 1, None, MAX_CHUNK);
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EINVAL))), Step::Failed(_)));
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EIO))), Step::Failed(_)));
    }
}
