//! The few things of FFmpeg that the safe wrappers do not offer, behind safe functions and owning types: opening a source,
//! what a stream says of itself, a decoder as the ffmpeg command opens it, facts of decoded frames, the MP4 muxer's streams.
//! No raw pointer leaves this file.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::i420::{Chroma, Picture, Samples};
use super::pixels::{Component, Family, PixelLayout};
use super::source_file::{self, SourceFile};
pub(super) use crate::decode::ffmpeg::log::{
    begin as begin_messages, first_message, is_heard, may_have_warned, take_message,
};
use crate::decode::{Fill, thread_time};
use crate::media::{ColorRange, ColorSpec, FrameView, PlaneView};
use crate::{Error, ErrorKind, Result};
use ffmpeg_next::{self as av, ffi};
use std::ffi::CStr;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

/// Prepares FFmpeg for this process, once.
pub(super) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| _ = av::init());
}

/// Checks that the FFmpeg that is loaded knows no more codecs and pixel formats than the headers of this build: the numbers that it
/// gives are taken for those that the headers name.
pub(super) fn check_version() -> Result<()> {
    // SAFETY: takes nothing.
    let codec = unsafe { ffi::avcodec_version() };
    // SAFETY: takes nothing.
    let util = unsafe { ffi::avutil_version() };
    for (name, loaded, major, minor) in [
        ("libavcodec", codec, ffi::LIBAVCODEC_VERSION_MAJOR, ffi::LIBAVCODEC_VERSION_MINOR),
        ("libavutil", util, ffi::LIBAVUTIL_VERSION_MAJOR, ffi::LIBAVUTIL_VERSION_MINOR),
    ] {
        check_library(name, loaded, (major.unsigned_abs(), minor.unsigned_abs()))?;
    }
    Ok(())
}

/// `loaded` is a version as FFmpeg writes it: 16 bits of major, 8 of minor, 8 of micro.
fn check_library(name: &str, loaded: u32, (major, minor): (u32, u32)) -> Result<()> {
    if loaded >> 8 <= (major << 8 | minor) {
        return Ok(());
    }
    let (found, of) = (loaded >> 16, loaded >> 8 & 0xff);
    Err(Error::unsupported(format!(
        "{name} {found}.{of} is loaded, and framefeed was built for {major}.{minor}: build it again for this FFmpeg"
    )))
}

/// What FFmpeg complained of, or else the words of its error code.
pub(super) fn message_of(error: av::Error) -> String {
    first_message().unwrap_or_else(|| error.to_string())
}

/// Maps a file that this process has just written and that nobody else changes.
pub(super) fn map(file: &std::fs::File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the file is a temporary one of the calling conversion, complete, and not written again while it is mapped.
    unsafe { memmap2::Mmap::map(file) }
}

/// Opens `path` as the ffmpeg command does, with its defaults; blocking reads end at `deadline`.
pub(super) fn open_input(path: &Path, deadline: Instant, ignore_edit_list: bool) -> Result<av::format::context::Input> {
    init();
    begin_messages();
    let name = path.to_str().ok_or_else(|| Error::unsupported("path is not valid UTF-8").with_path(path))?;
    let mut options = av::Dictionary::new();
    // As the ffmpeg command does for transport streams; other demuxers ignore it.
    options.set("scan_all_pmts", "1");
    // A source is one file: no playlist, no pattern, nothing on a network.
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", single_file_formats());
    options.set("pattern_type", "none");
    if ignore_edit_list {
        options.set("ignore_editlist", "1");
    }
    // `file:` keeps names with a colon from being taken for a protocol.
    let url = format!("file:{name}");
    let interrupt = move || Instant::now() > deadline;
    let file = SourceFile::open(path)?;
    let opened = av::format::context::StreamIo::from_read_seek(file)
        .and_then(|io| av::format::input_from_stream_with_interrupt(io, Some(&url), Some(options), interrupt));
    // What was found out without the bytes that could not be read is not to be believed.
    if let Some(trouble) = source_file::trouble() {
        return Err(trouble);
    }
    opened.map_err(|error| read_failure(error).unwrap_or_else(|| Error::decode(message_of(error))).with_path(path))
}

/// The error that FFmpeg's `error` is where the source is not to blame: out of time or out of memory. Read errors of the
/// machine are [`source_file::trouble`]; demuxers use the same numbers for damage.
pub(super) fn read_failure(error: av::Error) -> Option<Error> {
    match error {
        av::Error::Exit => Some(out_of_time()),
        // A damaged file may ask for more memory than any machine has.
        av::Error::Other { errno: libc::ENOMEM } if Vec::<u8>::new().try_reserve_exact(64 << 20).is_err() => {
            Some(Error::new(ErrorKind::OutOfMemory, "no memory to read the source"))
        }
        _ => None,
    }
}

/// The deadline has passed. Where most of the time went into waiting for bytes, the machine is to blame.
pub(super) fn out_of_time() -> Error {
    if source_file::has_mostly_waited() {
        return Error::new(ErrorKind::Io, "cannot read: its bytes came so slowly that the time for it is used up");
    }
    Error::new(ErrorKind::LimitExceeded, "converting takes longer than any ordinary file of its size")
}

/// Demuxers that open other files than the one they are given, or reach out to a network.
const SEVERAL_FILES: [&str; 12] =
    ["hls", "dash", "concat", "imf", "sdp", "rtp", "rtsp", "sap", "vobsub", "avisynth", "vapoursynth", "lavfi"];

/// The names of all other demuxers.
fn single_file_formats() -> &'static str {
    static NAMES: LazyLock<String> = LazyLock::new(|| {
        let mut names = Vec::new();
        let mut state = std::ptr::null_mut();
        loop {
            // SAFETY: the state is FFmpeg's own from the call before, null in the first.
            let format = unsafe { ffi::av_demuxer_iterate(&raw mut state) };
            // SAFETY: null at the end, else a demuxer, which lives for ever.
            let Some(format) = (unsafe { format.as_ref() }) else { break };
            // SAFETY: every demuxer has a name, which lives for ever.
            let name = unsafe { CStr::from_ptr(format.name) }.to_string_lossy();
            if !name.split(',').any(|name| SEVERAL_FILES.contains(&name)) {
                names.push(name);
            }
        }
        names.join(",")
    });
    &NAMES
}

/// What the ffmpeg command adds to a stream's pixels where packets of it were seen on opening.
pub(super) const SCORE_OF_PACKETS: i64 = 100_000_000;

/// The score by which the ffmpeg command (`map_auto_video`) chooses among the video streams of a file that was just opened.
pub(super) fn command_score(stream: &av::format::stream::Stream<'_>) -> i64 {
    let facts = stream_facts(stream);
    // SAFETY: the stream is alive.
    let pointer = unsafe { stream.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    let has_packets = raw.event_flags & ffi::AVSTREAM_EVENT_FLAG_NEW_PACKETS as libc::c_int != 0;
    let is_default = raw.disposition & ffi::AV_DISPOSITION_DEFAULT as libc::c_int != 0;
    i64::from(facts.width) * i64::from(facts.height)
        + if has_packets { SCORE_OF_PACKETS } else { 0 }
        + if is_default { 5_000_000 } else { 0 }
}

/// True for a track of small pictures for a player's timeline.
pub(super) fn is_thumbnails(stream: &av::format::stream::Stream<'_>) -> bool {
    // SAFETY: the stream is alive.
    let pointer = unsafe { stream.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    raw.disposition & ffi::AV_DISPOSITION_TIMED_THUMBNAILS as libc::c_int != 0
}

/// The streams of program `number`; none where there is no such program.
pub(super) fn program_streams(input: &av::format::context::Input, number: i32) -> Vec<usize> {
    // SAFETY: the context is alive.
    let pointer = unsafe { input.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    if raw.programs.is_null() {
        return Vec::new();
    }
    // SAFETY: there are `nb_programs` of them.
    let programs = unsafe { std::slice::from_raw_parts(raw.programs, raw.nb_programs as usize) };
    for &program in programs {
        // SAFETY: FFmpeg's own, alive with the context.
        let program = unsafe { &*program };
        if program.id == number && !program.stream_index.is_null() {
            // SAFETY: there are so many numbers.
            let streams =
                unsafe { std::slice::from_raw_parts(program.stream_index, program.nb_stream_indexes as usize) };
            return streams.iter().map(|&index| index as usize).collect();
        }
    }
    Vec::new()
}

/// What a stream says of itself.
#[derive(Debug, Clone)]
pub(super) struct StreamFacts {
    /// FFmpeg's name of the codec.
    pub(super) codec: String,
    /// FourCC in the container, 0 where there is none.
    pub(super) tag: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) extradata: Vec<u8>,
    pub(super) profile: Option<i32>,
    pub(super) bit_rate: Option<u64>,
    /// Decode delay that the container or the probing found.
    pub(super) video_delay: u8,
    pub(super) color: ColorTags,
    pub(super) display_matrix: Option<[i32; 9]>,
    /// FFmpeg's record of Dolby Vision, empty where there is none.
    pub(super) dolby_vision: Vec<u8>,
    /// The container says that the packets are encrypted.
    pub(super) is_encrypted: bool,
    /// A decoder exists.
    pub(super) decodable: bool,
    /// The codec keeps every sample as it was.
    pub(super) is_lossless: bool,
}

/// Colour as tagged: code points of H.273, and FFmpeg's range and chroma location numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ColorTags {
    pub(super) matrix: u32,
    pub(super) primaries: u32,
    pub(super) transfer: u32,
    /// 0 unknown, 1 limited, 2 full.
    pub(super) range: u32,
    /// 0 unknown, 1 left, 2 center, 3 topleft, 4 top, 5 bottomleft, 6 bottom.
    pub(super) chroma_location: u32,
}

/// The number in a field of one of FFmpeg's enum types. Files decide it, and it may be one that the headers do not name,
/// which a Rust enum must not hold.
///
/// # Safety
/// `field` points to such a field of a live structure that nobody writes to meanwhile.
unsafe fn read_enum<T>(field: *const T) -> u32 {
    const { assert!(size_of::<T>() == size_of::<u32>() && align_of::<T>() == align_of::<u32>()) };
    // SAFETY: by the caller's promise the field can be read; any number of its size is a u32.
    unsafe { field.cast::<u32>().read() }
}

/// [`read_enum`] of a field of a borrowed structure of FFmpeg.
macro_rules! code {
    ($fields:ident.$name:ident) => {
        // SAFETY: FFmpeg initialises all fields, and the structure is borrowed here.
        unsafe { read_enum(&raw const $fields.$name) }
    };
}

fn matrix_from(bytes: &[u8]) -> Option<[i32; 9]> {
    let mut matrix = [0; 9];
    for (value, chunk) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
        *value = i32::from_ne_bytes(chunk.try_into().ok()?);
    }
    (bytes.len() >= 36).then_some(matrix)
}

/// Reads what `stream` says of itself.
pub(super) fn stream_facts(stream: &av::format::stream::Stream<'_>) -> StreamFacts {
    let parameters = stream.parameters();
    // SAFETY: the pointer is valid as long as `parameters`.
    let pointer = unsafe { parameters.as_ptr() };
    // SAFETY: as above; nobody writes to it meanwhile.
    let par = unsafe { &*pointer };
    let extradata = if par.extradata.is_null() || par.extradata_size <= 0 {
        Vec::new()
    } else {
        // SAFETY: FFmpeg keeps `extradata_size` bytes there.
        unsafe { std::slice::from_raw_parts(par.extradata, par.extradata_size as usize) }.to_vec()
    };
    let id = parameters.id();
    StreamFacts {
        codec: id.name().to_owned(),
        tag: par.codec_tag,
        width: u32::try_from(par.width).unwrap_or(0),
        height: u32::try_from(par.height).unwrap_or(0),
        extradata,
        profile: (par.profile != ffi::FF_PROFILE_UNKNOWN).then_some(par.profile),
        bit_rate: u64::try_from(par.bit_rate).ok().filter(|&rate| rate > 0),
        video_delay: u8::try_from(par.video_delay).unwrap_or(0),
        color: ColorTags {
            matrix: code!(par.color_space),
            primaries: code!(par.color_primaries),
            transfer: code!(par.color_trc),
            range: code!(par.color_range),
            chroma_location: code!(par.chroma_location),
        },
        display_matrix: stream
            .side_data()
            .find(|data| data.kind() == av::codec::packet::side_data::Type::DisplayMatrix)
            .and_then(|data| matrix_from(data.data())),
        dolby_vision: stream
            .side_data()
            .find(|data| data.kind() == av::codec::packet::side_data::Type::DOVI_CONF)
            .map_or_else(Vec::new, |data| data.data().to_vec()),
        // Matroska's ContentEncryption, and the FourCC of FairPlay; of Common Encryption each packet says it.
        is_encrypted: stream.metadata().get("enc_key_id").is_some() || par.codec_tag == u32::from_le_bytes(*b"drmi"),
        decodable: av::decoder::find(id).is_some(),
        is_lossless: is_lossless(id),
    }
}

/// True of codecs that cannot lose anything.
fn is_lossless(id: av::codec::Id) -> bool {
    // SAFETY: any id is allowed; what comes out is null or a static table's entry.
    let descriptor = unsafe { ffi::avcodec_descriptor_get(id.into()) };
    // SAFETY: as above.
    let props = unsafe { descriptor.as_ref() }.map_or(0, |descriptor| descriptor.props);
    props & (ffi::AV_CODEC_PROP_LOSSLESS | ffi::AV_CODEC_PROP_LOSSY) == ffi::AV_CODEC_PROP_LOSSLESS
}

/// Makes the demuxer pass over every stream but `wanted`.
pub(super) fn discard_others(input: &mut av::format::context::Input, wanted: usize) {
    for index in 0..input.streams().count() {
        if index != wanted
            && let Some(mut stream) = input.stream_mut(index)
        {
            // SAFETY: the stream belongs to `input`, which is borrowed mutably.
            let pointer = unsafe { stream.as_mut_ptr() };
            // SAFETY: as above.
            let raw = unsafe { &mut *pointer };
            raw.discard = ffi::AVDiscard::AVDISCARD_ALL;
        }
    }
}

/// True where the container gives no timestamps at all (raw elementary streams), so that it cannot be searched by time.
pub(super) fn lacks_timestamps(input: &av::format::context::Input) -> bool {
    // SAFETY: the context is alive.
    let pointer = unsafe { input.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    // SAFETY: an opened context has its input format for ever.
    let format = unsafe { &*raw.iformat };
    format.flags & (ffi::AVFMT_NOTIMESTAMPS | ffi::AVFMT_GENERIC_INDEX)
        == (ffi::AVFMT_NOTIMESTAMPS | ffi::AVFMT_GENERIC_INDEX)
        || format.flags & ffi::AVFMT_NOTIMESTAMPS != 0
}

/// True where the container may set its clock on the way, so that times jump without a meaning.
pub(super) fn may_set_its_clock(input: &av::format::context::Input) -> bool {
    // SAFETY: the context is alive.
    let pointer = unsafe { input.as_ptr() };
    // SAFETY: as above.
    let format = unsafe { (*pointer).iformat };
    // SAFETY: an opened context has its input format for ever.
    let flags = unsafe { (*format).flags };
    flags & ffi::AVFMT_TS_DISCONT != 0
}

/// The packets that an MP4 or MOV says stream `index` has, where the file ended under its reader: the index of a file that was cut
/// off names more than there are. Other containers' headers are not to be believed, and are read to their end in any case.
pub(super) fn packets_before_cut(input: &av::format::context::Input, index: usize) -> Option<usize> {
    // SAFETY: the context is alive.
    let pointer = unsafe { input.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    if !input.format().name().split(',').any(|name| name == "mp4") {
        return None;
    }
    // SAFETY: null, or a file that lives as long as the context.
    let is_past_end = unsafe { raw.pb.as_ref() }.is_some_and(|file| file.eof_reached != 0);
    let said = usize::try_from(input.stream(index)?.frames()).ok()?;
    (is_past_end && said > 0).then_some(said)
}

/// Decode times of all packets of stream `index` that are to be shown, where the index of an MP4 or MOV names as many packets as
/// the stream has. Fragments are named only as they are read: there, what is read says more.
pub(super) fn indexed_times(input: &av::format::context::Input, index: usize) -> Option<Vec<i64>> {
    if !input.format().name().split(',').any(|name| name == "mp4") {
        return None;
    }
    let stream = input.stream(index)?;
    // SAFETY: the stream lives as long as `input`, which is borrowed here.
    let pointer = unsafe { stream.as_ptr() }.cast_mut();
    // SAFETY: as above; the call reads a number.
    let count = unsafe { ffi::avformat_index_get_entries_count(pointer) };
    if count <= 0 || i64::from(count) != stream.frames() {
        return None;
    }
    let time = |number: libc::c_int| {
        // SAFETY: as above; FFmpeg checks the number and gives null or an entry of the stream, which nothing changes meanwhile.
        let entry = unsafe { ffi::avformat_index_get_entry(pointer, number) };
        // SAFETY: as above.
        let entry = unsafe { entry.as_ref() }?;
        let is_shown = entry.flags() & ffi::AVINDEX_DISCARD_FRAME == 0;
        Some(is_shown.then_some(entry.timestamp))
    };
    let times: Option<Vec<Option<i64>>> = (0..count).map(time).collect();
    times.map(|times| times.into_iter().flatten().collect())
}

/// Fills in what the container does not say of its stream: the size of its pictures, the decoder configuration.
pub(super) fn complete_parameters(
    parameters: &mut av::codec::Parameters,
    (width, height): (u32, u32),
    configuration: Option<&[u8]>,
) -> Result<()> {
    // SAFETY: the parameters are alive and borrowed mutably.
    let pointer = unsafe { parameters.as_mut_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &mut *pointer };
    if raw.width <= 0 || raw.height <= 0 {
        raw.width = i32::try_from(width).unwrap_or(0);
        raw.height = i32::try_from(height).unwrap_or(0);
    }
    let Some(configuration) = configuration.filter(|_| raw.extradata.is_null()) else { return Ok(()) };
    let padding = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    // SAFETY: takes a size; null is checked.
    let bytes = unsafe { ffi::av_mallocz(configuration.len() + padding) }.cast::<u8>();
    if bytes.is_null() {
        return Err(Error::new(crate::ErrorKind::OutOfMemory, "no memory for a decoder configuration"));
    }
    // SAFETY: new memory of that length and more.
    unsafe { std::ptr::copy_nonoverlapping(configuration.as_ptr(), bytes, configuration.len()) };
    raw.extradata = bytes;
    raw.extradata_size = i32::try_from(configuration.len()).unwrap_or(0);
    Ok(())
}

/// Moves to a place from which everything at and after `ticks` of stream `index` can be read.
pub(super) fn seek_before(input: &mut av::format::context::Input, index: usize, ticks: i64) -> bool {
    // SAFETY: the context is alive and borrowed mutably.
    let pointer = unsafe { input.as_mut_ptr() };
    // SAFETY: as above; `index` was given by this context.
    unsafe { ffi::avformat_seek_file(pointer, index as libc::c_int, i64::MIN, ticks, ticks, 0) >= 0 }
}

/// All flags of a packet, also those that the wrapper hides.
pub(super) fn packet_flags(packet: &av::Packet) -> i32 {
    use av::codec::packet::Ref as _;
    let pointer = packet.as_ptr();
    // SAFETY: the packet is alive.
    let raw = unsafe { &*pointer };
    raw.flags
}

/// Sets all flags of a packet.
pub(super) fn set_packet_flags(packet: &mut av::Packet, flags: i32) {
    use av::codec::packet::Mut as _;
    let pointer = packet.as_mut_ptr();
    // SAFETY: the packet is alive and borrowed mutably.
    let raw = unsafe { &mut *pointer };
    raw.flags = flags;
}

/// A decoder opened as the ffmpeg command opens it, on one thread.
pub(super) struct Decoder {
    inner: av::decoder::Video,
    took: Duration,
}

impl Decoder {
    /// A decoder for a stream of those parameters. `delay` is the least number of frames to hold back. Pictures begin with `fill`.
    pub(super) fn new(
        parameters: &av::codec::Parameters,
        time_base: av::Rational,
        delay: u8,
        fill: Fill,
    ) -> Result<Self> {
        let mut context = av::codec::Context::from_parameters(parameters.clone())
            .map_err(|error| Error::decode(message_of(error)))?;
        // SAFETY: the context is alive and borrowed mutably.
        let pointer = unsafe { context.as_mut_ptr() };
        // SAFETY: as above.
        let raw = unsafe { &mut *pointer };
        raw.thread_count = 1;
        // With threads for frames FFmpeg 5.1 warns of every `get_buffer2` but its own, and a warning is a doubt.
        raw.thread_type = ffi::FF_THREAD_SLICE as libc::c_int;
        raw.has_b_frames = raw.has_b_frames.max(i32::from(delay));
        raw.max_pixels = MAX_PIXELS;
        fill.serve(raw);
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(time_base);
        let inner = decoder.video().map_err(|error| match error {
            av::Error::DecoderNotFound => Error::unsupported("this FFmpeg has no decoder for the codec"),
            other => Error::decode(format!("cannot open the decoder: {}", message_of(other))),
        })?;
        Ok(Self { inner, took: Duration::ZERO })
    }

    /// Feeds a packet; its pts comes back as its frame's pts.
    pub(super) fn send(&mut self, packet: &av::Packet) -> std::result::Result<(), av::Error> {
        let begun = thread_time();
        let sent = self.inner.send_packet(packet);
        self.took += thread_time().saturating_sub(begun);
        sent
    }

    /// Says that no packet follows. `gives_all`: also frames come out of which the decoder is not sure that they are whole.
    pub(super) fn finish(&mut self, gives_all: bool) {
        if gives_all {
            // SAFETY: the context is alive and borrowed mutably.
            let pointer = unsafe { self.inner.as_mut_ptr() };
            // SAFETY: as above.
            let raw = unsafe { &mut *pointer };
            raw.flags |= ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT as libc::c_int;
        }
        let _ = self.inner.send_eof();
    }

    /// The next frame; `None` where the decoder needs more packets or has ended.
    pub(super) fn receive(&mut self, frame: &mut av::frame::Video) -> std::result::Result<bool, av::Error> {
        let begun = thread_time();
        let received = self.inner.receive_frame(frame);
        self.took += thread_time().saturating_sub(begun);
        match received {
            Ok(()) => Ok(true),
            Err(av::Error::Eof) => Ok(false),
            Err(av::Error::Other { errno }) if errno == libc::EAGAIN => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Processor time of its decoding so far.
    pub(super) fn took(&self) -> Duration {
        self.took
    }

    /// How many frames the decoder holds back by now.
    pub(super) fn delay(&self) -> u8 {
        // SAFETY: the context is alive.
        let pointer = unsafe { self.inner.as_ptr() };
        // SAFETY: as above.
        let raw = unsafe { &*pointer };
        u8::try_from(raw.has_b_frames).unwrap_or(0)
    }
}

/// Pictures beyond that many pixels are refused, as readers refuse them by default.
const MAX_PIXELS: i64 = 1 << 26;

/// What a decoded frame says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrameFacts {
    pub(super) width: u32,
    pub(super) height: u32,
    /// FFmpeg's name of the pixel format.
    pub(super) format: String,
    pub(super) color: ColorTags,
    pub(super) display_matrix: Option<[i32; 9]>,
}

/// Reads what `frame` says of itself.
pub(super) fn frame_facts(frame: &av::frame::Video) -> FrameFacts {
    // SAFETY: the frame is alive.
    let pointer = unsafe { frame.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    let is_limited = code!(raw.color_range) == ffi::AVColorRange::AVCOL_RANGE_MPEG as u32;
    let format = pixel_name(frame);
    FrameFacts {
        width: frame.width(),
        height: frame.height(),
        // A decoder keeps `yuvj` where the range becomes limited on the way: the samples are those of `yuv`.
        format: if is_limited { format.replacen("yuvj", "yuv", 1) } else { format.to_owned() },
        color: ColorTags {
            matrix: code!(raw.colorspace),
            primaries: code!(raw.color_primaries),
            transfer: code!(raw.color_trc),
            range: code!(raw.color_range),
            chroma_location: code!(raw.chroma_location),
        },
        display_matrix: frame
            .side_data(av::frame::side_data::Type::DisplayMatrix)
            .and_then(|data| matrix_from(data.data())),
    }
}

/// FFmpeg's name of a frame's pixel format.
pub(super) fn pixel_name(frame: &av::frame::Video) -> &'static str {
    frame.format().descriptor().map_or("unknown", av::format::pixel::Descriptor::name)
}

/// The sample aspect ratio that ffmpeg uses for a frame of that stream, 0/1 where nobody says.
pub(super) fn sample_aspect(
    input: &mut av::format::context::Input,
    index: usize,
    frame: &mut av::frame::Video,
) -> (i32, i32) {
    let Some(mut stream) = input.stream_mut(index) else { return (0, 1) };
    // SAFETY: the stream is alive and borrowed mutably.
    let stream = unsafe { stream.as_mut_ptr() };
    // SAFETY: the frame is alive and borrowed mutably.
    let frame = unsafe { frame.as_mut_ptr() };
    // SAFETY: both are alive; the function reads them and does not use the context.
    let ratio = unsafe { ffi::av_guess_sample_aspect_ratio(std::ptr::null_mut(), stream, frame) };
    (ratio.num, ratio.den)
}

/// What the descriptor of a pixel format says; `None` where there is none, or where pictures lie in a device's memory.
pub(super) fn pixel_layout(format: av::format::Pixel) -> Option<PixelLayout> {
    let descriptor = format.descriptor()?;
    let name = descriptor.name();
    // SAFETY: descriptors are static tables of FFmpeg's.
    let raw = unsafe { &*descriptor.as_ptr() };
    let has = |flag: libc::c_int| raw.flags & flag as u64 != 0;
    let count = usize::from(raw.nb_components);
    // Of the packed 4:1:1 of DV cameras no descriptor can say where its luma lies; libswscale does not read it either.
    let is_known = !has(ffi::AV_PIX_FMT_FLAG_HWACCEL) && count > 0 && format != av::format::Pixel::UYYVYY411;
    let colors = count - usize::from(has(ffi::AV_PIX_FMT_FLAG_ALPHA) && count > 1);
    let family = if has(ffi::AV_PIX_FMT_FLAG_PAL) {
        Family::Palette
    } else if has(ffi::AV_PIX_FMT_FLAG_BAYER) {
        Family::Bayer
    } else if matches!(format, av::format::Pixel::XYZ12LE | av::format::Pixel::XYZ12BE) {
        Family::Xyz
    } else if has(ffi::AV_PIX_FMT_FLAG_RGB) {
        Family::Rgb
    } else if colors == 1 {
        Family::Gray
    } else {
        Family::Yuv
    };
    let number = |value: libc::c_int| u32::try_from(value).unwrap_or(0);
    let component = |component: &ffi::AVComponentDescriptor| Component {
        plane: number(component.plane) as usize,
        step: number(component.step),
        offset: number(component.offset),
        shift: number(component.shift),
        depth: number(component.depth),
    };
    let [first, second, third, _] = &raw.comp;
    is_known.then(|| PixelLayout {
        name,
        family,
        components: [component(first), component(second), component(third)],
        log2_chroma_w: raw.log2_chroma_w,
        log2_chroma_h: raw.log2_chroma_h,
        has_alpha: has(ffi::AV_PIX_FMT_FLAG_ALPHA),
        is_float: has(ffi::AV_PIX_FMT_FLAG_FLOAT),
        is_big_endian: has(ffi::AV_PIX_FMT_FLAG_BE),
        is_bit_stream: has(ffi::AV_PIX_FMT_FLAG_BITSTREAM),
        is_inverted: format == av::format::Pixel::MonoWhite,
    })
}

/// Reads the samples of row `y` of a component, of which a row has as many as `samples`, without their neighbours in their
/// bytes; floating-point ones as their bits. False where the picture has no such row.
pub(super) fn read_samples(frame: &av::frame::Video, component: usize, y: u32, samples: &mut [u32]) -> bool {
    let Some(layout) = pixel_layout(frame.format()) else { return false };
    let Some(&Component { plane, .. }) =
        layout.components.get(component).filter(|_| component < layout.num_components())
    else {
        return false;
    };
    let is_chroma = layout.family == Family::Yuv && component > 0;
    let (w, h) = if is_chroma { (layout.log2_chroma_w, layout.log2_chroma_h) } else { (0, 0) };
    let (width, height) = (frame.width().div_ceil(1 << w), frame.height().div_ceil(1 << h));
    // SAFETY: the frame is alive.
    let pointer = unsafe { frame.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    let is_there = raw.data.get(plane).is_some_and(|data| !data.is_null());
    if !is_there || y >= height || samples.len() != width as usize {
        return false;
    }
    let mut data = [std::ptr::null::<u8>(); 4];
    let mut strides = [0; 4];
    for (to, from) in data.iter_mut().zip(&raw.data) {
        *to = from.cast_const();
    }
    for (to, from) in strides.iter_mut().zip(&raw.linesize) {
        *to = *from;
    }
    let Some(descriptor) = frame.format().descriptor() else { return false };
    let (out, bytes) = (samples.as_mut_ptr().cast(), size_of::<u32>() as libc::c_int);
    let (y, component, width) = (y as libc::c_int, component as libc::c_int, width as libc::c_int);
    // SAFETY: FFmpeg's contract for a decoded frame: the planes of its format have their rows, `linesize` apart in either
    // direction, and row `y` of the component, which is one of the format's, lies in a plane that is there; it has `width`
    // samples, and `samples` has room for as many of four bytes.
    unsafe {
        ffi::av_read_image_line2(
            out,
            data.as_mut_ptr(),
            strides.as_ptr(),
            descriptor.as_ptr(),
            0,
            y,
            component,
            width,
            0,
            bytes,
        );
    };
    true
}

/// The frame's planes as our own view, without alpha; `None` where its samples do not lie plane by plane as ours do, or the
/// picture is stored upside down.
pub(super) fn view(frame: &av::frame::Video) -> Option<FrameView<'_>> {
    let layout = pixel_layout(frame.format())?;
    let (format, numbers) = (layout.planar(), layout.planes()?);
    let (width, height) = (frame.width(), frame.height());
    let mut planes = [PlaneView { data: &[], stride: 0 }; 3];
    for (index, (view, number)) in planes.iter_mut().zip(numbers).enumerate().take(format.num_planes()) {
        let (samples, rows) = format.plane_size(index, width, height);
        *view = plane(frame, number, samples as usize * format.bytes_per_sample(), rows as usize)?;
    }
    Some(FrameView { format, width, height, planes })
}

/// The frame as a picture of 8-bit 4:2:0; `None` where its format is another one, or the picture is stored upside down.
pub(super) fn picture_420(frame: &av::frame::Video) -> Option<Picture<'_>> {
    let chroma = Chroma::of(pixel_name(frame))?;
    let (width, height) = (frame.width(), frame.height());
    let (samples, rows) = (width.div_ceil(2) as usize, height.div_ceil(2) as usize);
    let (u, v) = match chroma {
        Chroma::Planes => {
            (Samples::dense(plane(frame, 1, samples, rows)?), Samples::dense(plane(frame, 2, samples, rows)?))
        }
        Chroma::PairsUv => Samples::pairs(plane(frame, 1, 2 * samples, rows)?),
        Chroma::PairsVu => {
            let (v, u) = Samples::pairs(plane(frame, 1, 2 * samples, rows)?);
            (u, v)
        }
    };
    let luma = Samples::dense(plane(frame, 0, width as usize, height as usize)?);
    Some(Picture { width, height, planes: [luma, u, v] })
}

/// A plane of the frame's format with `rows` rows of `row_bytes`; `None` where it is empty or its rows run upwards.
fn plane(frame: &av::frame::Video, index: usize, row_bytes: usize, rows: usize) -> Option<PlaneView<'_>> {
    // SAFETY: the frame is alive.
    let pointer = unsafe { frame.as_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &*pointer };
    let data = NonNull::new(*raw.data.get(index)?)?;
    let stride = usize::try_from(*raw.linesize.get(index)?).ok()?;
    if stride < row_bytes || row_bytes == 0 || rows == 0 {
        return None;
    }
    let len = stride.checked_mul(rows - 1)?.checked_add(row_bytes)?;
    // SAFETY: FFmpeg's contract for a decoded frame: each plane of its format has `rows` rows of `row_bytes` initialised
    // bytes, `linesize` apart, which is not negative here; they stay, and are only read, while the frame is borrowed.
    let data = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) };
    Some(PlaneView { data, stride })
}

/// Makes `out` of `frame`, which must be of the format and size that `scaler` was made for. As the wrapper's own call, which does
/// not say whether it succeeded.
pub(super) fn scale(
    scaler: &mut av::software::scaling::Context,
    frame: &av::frame::Video,
    out: &mut av::frame::Video,
) -> std::result::Result<(), av::Error> {
    let (from, to) = (*scaler.input(), *scaler.output());
    if (from.format, from.width, from.height) != (frame.format(), frame.width(), frame.height()) {
        return Err(av::Error::InputChanged);
    }
    if (to.format, to.width, to.height) != (out.format(), out.width(), out.height()) {
        *out = av::frame::Video::new(to.format, to.width, to.height);
    }
    if out.planes() == 0 {
        return Err(av::Error::Other { errno: libc::ENOMEM });
    }
    // SAFETY: the frame is alive.
    let frame = unsafe { frame.as_ptr() };
    // SAFETY: as above; nobody writes to it meanwhile.
    let frame = unsafe { &*frame };
    // SAFETY: the frame is alive and borrowed mutably.
    let out = unsafe { out.as_mut_ptr() };
    // SAFETY: as above.
    let out = unsafe { &mut *out };
    // SAFETY: the context is alive and borrowed mutably.
    let context = unsafe { scaler.as_mut_ptr() };
    let (rows, data, strides) = (from.height as libc::c_int, frame.data.as_ptr(), frame.linesize.as_ptr());
    // SAFETY: both frames have the planes of the formats and sizes that the context was made for.
    let scaled =
        unsafe { ffi::sws_scale(context, data.cast(), strides, 0, rows, out.data.as_ptr(), out.linesize.as_ptr()) };
    if scaled < 0 { Err(av::Error::from(scaled)) } else { Ok(()) }
}

/// One end of a [`Scaler`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScalerEnd {
    pub(super) pixel: av::format::Pixel,
    /// Width and height.
    pub(super) size: (u32, u32),
    /// Of this, matrix and range count.
    pub(super) color: ColorSpec,
}

impl ScalerEnd {
    fn is_full(&self) -> i64 {
        i64::from(self.color.range == ColorRange::Full)
    }

    /// The pixel format without the range that `yuvj` brings; it is given apart.
    fn samples(&self) -> av::format::Pixel {
        use av::format::Pixel;
        match self.pixel {
            Pixel::YUVJ411P => Pixel::YUV411P,
            Pixel::YUVJ420P => Pixel::YUV420P,
            Pixel::YUVJ422P => Pixel::YUV422P,
            Pixel::YUVJ440P => Pixel::YUV440P,
            Pixel::YUVJ444P => Pixel::YUV444P,
            pixel => pixel,
        }
    }

    /// The matrix as libswscale counts them, which is as H.273 does; BT.601 where it knows none.
    fn matrix(&self) -> libc::c_int {
        match self.color.matrix {
            code @ (1 | 4..=7 | 9 | 10) => code.into(),
            _ => 5,
        }
    }
}

/// libswscale from one size, pixel format, matrix and range to others, as the ffmpeg command's `scale` filter uses it, with
/// the flags that make it exact on every machine.
pub(super) struct Scaler {
    context: NonNull<ffi::SwsContext>,
    from: ScalerEnd,
    out: av::frame::Video,
}

impl Scaler {
    pub(super) fn new(from: ScalerEnd, to: ScalerEnd) -> Result<Self> {
        use av::software::scaling::Flags;
        let no_memory = || Error::new(crate::ErrorKind::OutOfMemory, "no memory to scale pictures");
        // SAFETY: takes nothing; null where there is no memory.
        let context = NonNull::new(unsafe { ffi::sws_alloc_context() }).ok_or_else(no_memory)?;
        let out = av::frame::Video::new(to.pixel, to.size.0, to.size.1);
        // From here on dropping frees the context.
        let scaler = Self { context, from, out };
        if scaler.out.planes() == 0 {
            return Err(no_memory());
        }
        let flags =
            Flags::BICUBIC | Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT | Flags::FULL_CHR_H_INP | Flags::BITEXACT;
        let format = |pixel: av::format::Pixel| ffi::AVPixelFormat::from(pixel) as i64;
        let mut options = vec![
            (c"sws_flags", i64::from(flags.bits())),
            (c"srcw", from.size.0.into()),
            (c"srch", from.size.1.into()),
            (c"src_format", format(from.samples())),
            (c"src_range", from.is_full()),
            (c"dstw", to.size.0.into()),
            (c"dsth", to.size.1.into()),
            (c"dst_format", format(to.samples())),
            (c"dst_range", to.is_full()),
        ];
        // Chroma between two lines, as MPEG-2 has it: the filter's default, for this format alone.
        let between = |end: ScalerEnd, name| (end.pixel == av::format::Pixel::YUV420P).then_some((name, 128));
        options.extend([between(from, c"src_v_chr_pos"), between(to, c"dst_v_chr_pos")].into_iter().flatten());
        for (name, value) in options {
            // SAFETY: a live context, whose first field is its class; the name ends with a zero.
            let code = unsafe { ffi::av_opt_set_int(context.as_ptr().cast(), name.as_ptr(), value, 0) };
            if code < 0 {
                return Err(Error::unsupported(format!("libswscale does not know {}", name.to_string_lossy())));
            }
        }
        // SAFETY: a live context that was not initialised yet; filters may be null.
        let code = unsafe { ffi::sws_init_context(context.as_ptr(), std::ptr::null_mut(), std::ptr::null_mut()) };
        if code < 0 {
            let (from, to) = (from.pixel, to.pixel);
            return Err(Error::unsupported(format!("cannot convert pictures from {from:?} to {to:?}")));
        }
        // SAFETY: any number may be asked for; the table lives for ever.
        let source = unsafe { ffi::sws_getCoefficients(from.matrix()) };
        // SAFETY: as above.
        let target = unsafe { ffi::sws_getCoefficients(to.matrix()) };
        let (source_full, target_full) = (from.is_full() as libc::c_int, to.is_full() as libc::c_int);
        // Brightness, contrast and saturation stay. Formats without a matrix refuse, and need none.
        // SAFETY: a live, initialised context and two tables of FFmpeg's own.
        unsafe {
            ffi::sws_setColorspaceDetails(
                context.as_ptr(),
                source,
                source_full,
                target,
                target_full,
                0,
                1 << 16,
                1 << 16,
            )
        };
        Ok(scaler)
    }

    /// The picture made of `frame`, which must be as the scaler was made for. It stays until the next one.
    pub(super) fn run(&mut self, frame: &av::frame::Video) -> Result<&av::frame::Video> {
        let size = (frame.width(), frame.height());
        if frame.format() != self.from.pixel || size != self.from.size {
            return Err(Error::decode("a frame is not of the size and format that its look says"));
        }
        // SAFETY: the frame is alive.
        let from = unsafe { frame.as_ptr() };
        // SAFETY: as above; nobody writes to it meanwhile.
        let from = unsafe { &*from };
        // SAFETY: the frame is ours, with planes that nobody else has.
        let to = unsafe { self.out.as_mut_ptr() };
        // SAFETY: as above.
        let to = unsafe { &mut *to };
        let (rows, data, strides) = (size.1 as libc::c_int, from.data.as_ptr(), from.linesize.as_ptr());
        // SAFETY: both frames have the planes of the sizes and formats that the context was made for, at least so many rows.
        let scaled = unsafe {
            ffi::sws_scale(self.context.as_ptr(), data.cast(), strides, 0, rows, to.data.as_ptr(), to.linesize.as_ptr())
        };
        if scaled < 0 {
            return Err(Error::decode("a frame cannot be converted"));
        }
        Ok(&self.out)
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: the context is ours, and nobody uses it any more.
        unsafe { ffi::sws_freeContext(self.context.as_ptr()) };
    }
}

/// Makes decoder parameters say that pictures have that width and height.
pub(super) fn set_picture_size(parameters: &mut av::codec::Parameters, (width, height): (u32, u32)) {
    // SAFETY: the parameters are alive and borrowed mutably.
    let pointer = unsafe { parameters.as_mut_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &mut *pointer };
    (raw.width, raw.height) = (width as libc::c_int, height as libc::c_int);
}

/// What an MP4 track says of its pictures besides the decoder configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrackFacts {
    pub(super) sample_aspect: (i32, i32),
    pub(super) display_matrix: Option<[i32; 9]>,
}

/// Adds a video track with those parameters to an MP4 that is about to be written.
pub(super) fn add_track(
    output: &mut av::format::context::Output,
    parameters: &av::codec::Parameters,
    time_base: av::Rational,
    facts: &TrackFacts,
) -> Result<()> {
    let mut stream = output
        .add_stream(av::encoder::find(av::codec::Id::None))
        .map_err(|error| Error::unsupported(format!("cannot add a track: {error}")))?;
    stream.set_parameters(parameters.clone());
    stream.set_time_base(time_base);
    // SAFETY: the stream is alive and borrowed mutably.
    let pointer = unsafe { stream.as_mut_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &mut *pointer };
    let ratio = ffi::AVRational { num: facts.sample_aspect.0, den: facts.sample_aspect.1.max(1) };
    raw.sample_aspect_ratio = ratio;
    // SAFETY: every stream owns its parameters.
    let par = unsafe { &mut *raw.codecpar };
    par.sample_aspect_ratio = ratio;
    // The muxer chooses the tag of MP4; the source's may be another container's.
    par.codec_tag = 0;
    clear_side_data(par);
    if let Some(matrix) = facts.display_matrix {
        add_display_matrix(raw, &matrix)?;
    }
    Ok(())
}

/// Leaves the source's side data out, as FFmpeg did that kept it elsewhere than in the parameters: what a record says of colour and shape is all
/// there is.
#[cfg(has_coded_side_data)]
fn clear_side_data(par: &mut ffi::AVCodecParameters) {
    // SAFETY: the list and its length, as the parameters have them.
    unsafe { ffi::av_packet_side_data_free(&raw mut par.coded_side_data, &raw mut par.nb_coded_side_data) };
}

#[cfg(not(has_coded_side_data))]
fn clear_side_data(_: &mut ffi::AVCodecParameters) {}

fn add_display_matrix(stream: &mut ffi::AVStream, matrix: &[i32; 9]) -> Result<()> {
    let bytes = new_display_matrix(stream);
    if bytes.is_null() {
        return Err(Error::new(crate::ErrorKind::OutOfMemory, "no memory for the display matrix"));
    }
    // SAFETY: so many bytes were just allocated there, and of the matrix there are as many.
    unsafe { std::ptr::copy_nonoverlapping(matrix.as_ptr().cast(), bytes, DISPLAY_MATRIX_BYTES) };
    Ok(())
}

const DISPLAY_MATRIX_BYTES: usize = size_of::<[i32; 9]>();

/// Memory for the matrix, which the stream keeps; null where there is none. From FFmpeg 6.1 on it belongs to the stream's parameters.
#[cfg(has_coded_side_data)]
fn new_display_matrix(stream: &mut ffi::AVStream) -> *mut u8 {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    // SAFETY: every stream owns its parameters.
    let par = unsafe { &mut *stream.codecpar };
    let (list, count) = (&raw mut par.coded_side_data, &raw mut par.nb_coded_side_data);
    // SAFETY: the list and its length, as the parameters have them.
    let entry = unsafe { ffi::av_packet_side_data_new(list, count, kind, DISPLAY_MATRIX_BYTES, 0) };
    if entry.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: an entry that was just made.
    unsafe { (*entry).data }
}

/// The same of older FFmpegs.
#[cfg(not(has_coded_side_data))]
fn new_display_matrix(stream: &mut ffi::AVStream) -> *mut u8 {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    // SAFETY: a stream that is borrowed mutably.
    unsafe { ffi::av_stream_new_side_data(stream, kind, DISPLAY_MATRIX_BYTES) }
}

/// Gives an encoder its colour tags and pixel shape, one thread, and bit-exact output with global headers.
pub(super) fn set_encoder_tags(encoder: &mut av::encoder::video::Video, color: ColorSpec, sample_aspect: (i32, i32)) {
    encoder.set_colorspace(av::color::Space::from(space(color.matrix)));
    // SAFETY: the context is alive and borrowed mutably.
    let pointer = unsafe { encoder.as_mut_ptr() };
    // SAFETY: as above.
    let raw = unsafe { &mut *pointer };
    raw.sample_aspect_ratio = ffi::AVRational { num: sample_aspect.0, den: sample_aspect.1.max(1) };
    raw.thread_count = 1;
    raw.color_range = match color.range {
        ColorRange::Limited => ffi::AVColorRange::AVCOL_RANGE_MPEG,
        ColorRange::Full => ffi::AVColorRange::AVCOL_RANGE_JPEG,
    };
    raw.flags |= (ffi::AV_CODEC_FLAG_BITEXACT | ffi::AV_CODEC_FLAG_GLOBAL_HEADER) as i32;
}

/// FFmpeg's matrix of that code point; unspecified for those that records of ours rarely have.
fn space(code: u8) -> ffi::AVColorSpace {
    match code {
        0 => ffi::AVColorSpace::AVCOL_SPC_RGB,
        1 => ffi::AVColorSpace::AVCOL_SPC_BT709,
        4 => ffi::AVColorSpace::AVCOL_SPC_FCC,
        5 => ffi::AVColorSpace::AVCOL_SPC_BT470BG,
        6 => ffi::AVColorSpace::AVCOL_SPC_SMPTE170M,
        7 => ffi::AVColorSpace::AVCOL_SPC_SMPTE240M,
        8 => ffi::AVColorSpace::AVCOL_SPC_YCGCO,
        9 => ffi::AVColorSpace::AVCOL_SPC_BT2020_NCL,
        _ => ffi::AVColorSpace::AVCOL_SPC_UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_library_than_the_headers_is_refused() {
        check_version().unwrap();
        let version = |major: u32, minor: u32| major << 16 | minor << 8 | 100;
        for (loaded, is_known) in [(version(59, 37), true), (version(59, 36), true), (version(59, 38), false)] {
            assert_eq!(check_library("libavcodec", loaded, (59, 37)).is_ok(), is_known);
        }
        let error = check_library("libavcodec", version(60, 1), (59, 37)).unwrap_err();
        assert!(error.to_string().contains("libavcodec 60.1 is loaded"), "{error}");
    }
}
