//! What demuxers say of sources and their streams, beyond the safe wrappers: programs, dispositions, side data, index
//! entries.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::colors::{ColorTags, matrix_from};
use super::live::{Live, LiveMut, code, get, set};
use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};
use std::ffi::CStr;
use std::sync::LazyLock;

/// Demuxers that open other files than the one they are given, or reach out to a network.
const SEVERAL_FILES: [&str; 12] =
    ["hls", "dash", "concat", "imf", "sdp", "rtp", "rtsp", "sap", "vobsub", "avisynth", "vapoursynth", "lavfi"];

/// The names of all other demuxers.
pub(crate) fn single_file_formats() -> &'static str {
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

fn live_stream<'a>(stream: &'a av::format::stream::Stream<'_>) -> Live<'a, ffi::AVStream> {
    // SAFETY: the stream is alive.
    let pointer = unsafe { stream.as_ptr() };
    // SAFETY: the stream, which is borrowed, keeps its structure.
    unsafe { Live::new(pointer, stream) }
}

fn live_input(input: &av::format::context::Input) -> Live<'_, ffi::AVFormatContext> {
    // SAFETY: the context is alive.
    let pointer = unsafe { input.as_ptr() };
    // SAFETY: the context, which is borrowed, owns its structure.
    unsafe { Live::new(pointer, input) }
}

fn live_parameters(parameters: &mut av::codec::Parameters) -> LiveMut<'_, ffi::AVCodecParameters> {
    // SAFETY: the parameters are alive and borrowed mutably.
    let pointer = unsafe { parameters.as_mut_ptr() };
    // SAFETY: the parameters, which are borrowed mutably, own their structure.
    unsafe { LiveMut::new(pointer, parameters) }
}

/// The flags of the container's demuxer.
fn format_flags(input: &av::format::context::Input) -> libc::c_int {
    let raw = live_input(input);
    let format = get!(raw.iformat);
    // SAFETY: an opened context has its input format for ever.
    let format = unsafe { Live::new(format, input) };
    get!(format.flags)
}

/// What the ffmpeg command adds to a stream's pixels where packets of it were seen on opening.
pub(crate) const SCORE_OF_PACKETS: i64 = 100_000_000;

/// The score by which the ffmpeg command (`map_auto_video`) chooses among the video streams of a file that was just
/// opened.
pub(crate) fn command_score(stream: &av::format::stream::Stream<'_>) -> i64 {
    let facts = stream_facts(stream);
    let raw = live_stream(stream);
    let has_packets = get!(raw.event_flags) & ffi::AVSTREAM_EVENT_FLAG_NEW_PACKETS as libc::c_int != 0;
    let is_default = get!(raw.disposition) & ffi::AV_DISPOSITION_DEFAULT as libc::c_int != 0;
    i64::from(facts.width) * i64::from(facts.height)
        + if has_packets { SCORE_OF_PACKETS } else { 0 }
        + if is_default { 5_000_000 } else { 0 }
}

/// True for a track of small pictures for a player's timeline.
pub(crate) fn is_thumbnails(stream: &av::format::stream::Stream<'_>) -> bool {
    let raw = live_stream(stream);
    get!(raw.disposition) & ffi::AV_DISPOSITION_TIMED_THUMBNAILS as libc::c_int != 0
}

/// The streams of program `number`; none where there is no such program.
pub(crate) fn program_streams(input: &av::format::context::Input, number: i32) -> Vec<usize> {
    let raw = live_input(input);
    let (programs, count) = (get!(raw.programs), get!(raw.nb_programs));
    if programs.is_null() {
        return Vec::new();
    }
    // SAFETY: there are so many of them.
    let programs = unsafe { std::slice::from_raw_parts(programs, count as usize) };
    for &program in programs {
        // SAFETY: FFmpeg's own, alive with the context.
        let program = unsafe { Live::new(program, input) };
        let (streams, count) = (get!(program.stream_index), get!(program.nb_stream_indexes));
        if get!(program.id) == number && !streams.is_null() {
            // SAFETY: there are so many numbers.
            let streams = unsafe { std::slice::from_raw_parts(streams, count as usize) };
            return streams.iter().map(|&index| index as usize).collect();
        }
    }
    Vec::new()
}

/// What a stream says of itself.
#[derive(Debug, Clone)]
pub(crate) struct StreamFacts {
    /// FFmpeg's name of the codec.
    pub(crate) codec: String,
    /// FourCC in the container, 0 where there is none.
    pub(crate) tag: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) extradata: Vec<u8>,
    pub(crate) profile: Option<i32>,
    pub(crate) bit_rate: Option<u64>,
    /// Decode delay that the container or the probing found.
    pub(crate) video_delay: u8,
    pub(crate) color: ColorTags,
    pub(crate) display_matrix: Option<[i32; 9]>,
    /// FFmpeg's record of Dolby Vision, empty where there is none.
    pub(crate) dolby_vision: Vec<u8>,
    /// The container says that the packets are encrypted.
    pub(crate) is_encrypted: bool,
    /// A decoder exists.
    pub(crate) decodable: bool,
    /// The codec keeps every sample as it was.
    pub(crate) is_lossless: bool,
}

/// Reads what `stream` says of itself.
pub(crate) fn stream_facts(stream: &av::format::stream::Stream<'_>) -> StreamFacts {
    let parameters = stream.parameters();
    // SAFETY: the pointer is valid as long as `parameters`.
    let pointer = unsafe { parameters.as_ptr() };
    // SAFETY: as above; nobody writes to it meanwhile.
    let par = unsafe { Live::new(pointer, &parameters) };
    let (extradata, size) = (get!(par.extradata), get!(par.extradata_size));
    let extradata = match usize::try_from(size) {
        // SAFETY: FFmpeg keeps `extradata_size` bytes there.
        Ok(size) if !extradata.is_null() => unsafe { std::slice::from_raw_parts(extradata, size) }.to_vec(),
        _ => Vec::new(),
    };
    let (tag, profile) = (get!(par.codec_tag), get!(par.profile));
    let id = parameters.id();
    StreamFacts {
        codec: id.name().to_owned(),
        tag,
        width: u32::try_from(get!(par.width)).unwrap_or(0),
        height: u32::try_from(get!(par.height)).unwrap_or(0),
        extradata,
        profile: (profile != ffi::FF_PROFILE_UNKNOWN).then_some(profile),
        bit_rate: u64::try_from(get!(par.bit_rate)).ok().filter(|&rate| rate > 0),
        video_delay: u8::try_from(get!(par.video_delay)).unwrap_or(0),
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
        is_encrypted: stream.metadata().get("enc_key_id").is_some() || tag == u32::from_le_bytes(*b"drmi"),
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
pub(crate) fn discard_others(input: &mut av::format::context::Input, wanted: usize) {
    for index in 0..input.streams().count() {
        if index != wanted
            && let Some(mut stream) = input.stream_mut(index)
        {
            // SAFETY: the stream belongs to `input`, which is borrowed mutably.
            let pointer = unsafe { stream.as_mut_ptr() };
            // SAFETY: as above.
            let raw = unsafe { LiveMut::new(pointer, &mut stream) };
            set!(raw.discard = ffi::AVDiscard::AVDISCARD_ALL);
        }
    }
}

/// True where the container gives no timestamps at all (raw elementary streams), so that it cannot be searched by time.
pub(crate) fn lacks_timestamps(input: &av::format::context::Input) -> bool {
    format_flags(input) & ffi::AVFMT_NOTIMESTAMPS != 0
}

/// True where the container may set its clock on the way, so that times jump without a meaning.
pub(crate) fn may_set_its_clock(input: &av::format::context::Input) -> bool {
    format_flags(input) & ffi::AVFMT_TS_DISCONT != 0
}

/// The packets that an MP4 or MOV says stream `index` has, where the file ended under its reader: the index of a file
/// that was cut off names more than there are. Other containers' headers are not to be believed, and are read to
/// their end in any case.
pub(crate) fn packets_before_cut(input: &av::format::context::Input, index: usize) -> Option<usize> {
    if !input.format().name().split(',').any(|name| name == "mp4") {
        return None;
    }
    let raw = live_input(input);
    let file = get!(raw.pb);
    let is_past_end = !file.is_null() && {
        // SAFETY: not null, so a file that lives as long as the context.
        let file = unsafe { Live::new(file, input) };
        get!(file.eof_reached) != 0
    };
    let said = usize::try_from(input.stream(index)?.frames()).ok()?;
    (is_past_end && said > 0).then_some(said)
}

/// Decode times of all packets of stream `index` that are to be shown, where the index of an MP4 or MOV names as many
/// packets as the stream has. Fragments are named only as they are read: there, what is read says more.
pub(crate) fn indexed_times(input: &av::format::context::Input, index: usize) -> Option<Vec<i64>> {
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
        // SAFETY: as above; FFmpeg checks the number and gives null or an entry of the stream, which nothing changes
        // meanwhile.
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
pub(crate) fn complete_parameters(
    parameters: &mut av::codec::Parameters,
    (width, height): (u32, u32),
    configuration: Option<&[u8]>,
) -> Result<()> {
    let raw = live_parameters(parameters);
    if get!(raw.width) <= 0 || get!(raw.height) <= 0 {
        set!(raw.width = i32::try_from(width).unwrap_or(0));
        set!(raw.height = i32::try_from(height).unwrap_or(0));
    }
    let Some(configuration) = configuration.filter(|_| get!(raw.extradata).is_null()) else { return Ok(()) };
    let padding = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    // SAFETY: takes a size; null is checked.
    let bytes = unsafe { ffi::av_mallocz(configuration.len() + padding) }.cast::<u8>();
    if bytes.is_null() {
        return Err(Error::new(crate::ErrorKind::OutOfMemory, "no memory for a decoder configuration"));
    }
    // SAFETY: new memory of that length and more.
    unsafe { std::ptr::copy_nonoverlapping(configuration.as_ptr(), bytes, configuration.len()) };
    set!(raw.extradata = bytes);
    set!(raw.extradata_size = i32::try_from(configuration.len()).unwrap_or(0));
    Ok(())
}

/// Moves to a place from which everything at and after `ticks` of stream `index` can be read.
pub(crate) fn seek_before(input: &mut av::format::context::Input, index: usize, ticks: i64) -> bool {
    // SAFETY: the context is alive and borrowed mutably.
    let pointer = unsafe { input.as_mut_ptr() };
    // SAFETY: as above; `index` was given by this context.
    unsafe { ffi::avformat_seek_file(pointer, index as libc::c_int, i64::MIN, ticks, ticks, 0) >= 0 }
}

/// All flags of a packet, also those that the wrapper hides.
pub(crate) fn packet_flags(packet: &av::Packet) -> i32 {
    use av::codec::packet::Ref as _;
    // SAFETY: the packet, which is borrowed, owns its structure.
    let raw = unsafe { Live::new(packet.as_ptr(), packet) };
    get!(raw.flags)
}

/// Sets all flags of a packet.
pub(crate) fn set_packet_flags(packet: &mut av::Packet, flags: i32) {
    use av::codec::packet::Mut as _;
    // SAFETY: the packet, which is borrowed mutably, owns its structure.
    let raw = unsafe { LiveMut::new(packet.as_mut_ptr(), packet) };
    set!(raw.flags = flags);
}

/// Makes decoder parameters say that pictures have that width and height.
pub(crate) fn set_picture_size(parameters: &mut av::codec::Parameters, (width, height): (u32, u32)) {
    let raw = live_parameters(parameters);
    set!(raw.width = width as libc::c_int);
    set!(raw.height = height as libc::c_int);
}
