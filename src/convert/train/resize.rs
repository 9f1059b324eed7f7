//! Decoded frames to the pictures that are stored: upright, in square pixels, 8-bit 4:2:0, resized by the loader's own
//! antialiased filter. Formats that the transform does not take (packed, RGB, with alpha, stored upside down) go through
//! libswscale first, in the same size, into the nearest one that it takes.

use super::encoder::PictureKind;
use super::options::TrainOptions;
use crate::convert::av::{self, StreamFacts};
use crate::convert::changes::Appearance;
use crate::convert::conform::Conformer;
use crate::convert::{facts, reencode};
use crate::media::{Codec, ColorModel, ColorRange, ColorSpec, PixelFormat};
use crate::transform::{Filter, Fit, OUTPUT_LOCATION, PlanarSource, PlanarTransform};
use crate::{Error, Result};
use ffmpeg_next as ff;

/// Resizes the frames of one clip.
pub(super) struct Resizer {
    /// The format that the transform takes.
    pixel: ff::format::Pixel,
    format: PixelFormat,
    converter: Option<ff::software::scaling::Context>,
    converted: ff::frame::Video,
    /// Makes all frames like the first one.
    conformer: Conformer,
    transform: PlanarTransform,
    kind: PictureKind,
}

impl Resizer {
    /// For frames of `stream`, of which `look` is the first one's.
    pub(super) fn new(look: &Appearance, stream: &StreamFacts, options: &TrainOptions) -> Result<Self> {
        let first = &look.facts;
        let planar = PixelFormat::parse(&first.format);
        let codec = Codec::parse(&stream.codec).unwrap_or(Codec::H264);
        let shown_as = planar.unwrap_or(PixelFormat::YUV420P);
        let mut color = facts::color(first.color, stream.color, &first.format, shown_as, codec, first.height);
        let taken = planar.filter(|format| format.model != ColorModel::Gbr);
        let (name, format) = if let Some(format) = taken {
            (first.format.as_str(), format)
        } else {
            let (name, format, from_rgb) = reencode::target(first)?;
            if from_rgb {
                // What libswscale converts RGB to by default.
                color = ColorSpec { matrix: 6, range: ColorRange::Limited, ..color };
            }
            (name, format)
        };
        let pixel = name.parse().map_err(|_| Error::unsupported(format!("no pixel format {name}")))?;
        let source = PlanarSource {
            format,
            width: first.width,
            height: first.height,
            sample_aspect: facts::sample_aspect(look.sample_aspect),
            orientation: facts::orientation(first.display_matrix.or(stream.display_matrix)).unwrap_or_default(),
            color,
        };
        let size = options.output_size(source.display_size());
        let transform = PlanarTransform::new(source, size, Fit::Crop, Filter::Bicubic)?;
        let kind = PictureKind { size, color: ColorSpec { chroma_location: OUTPUT_LOCATION, ..color } };
        let converted = ff::frame::Video::empty();
        let conformer = Conformer::new(look, stream)?;
        Ok(Self { pixel, format, converter: None, converted, conformer, transform, kind })
    }

    /// What comes out.
    pub(super) fn kind(&self) -> PictureKind {
        self.kind
    }

    /// Writes the picture of `frame` into `picture`, I420.
    pub(super) fn resize(&mut self, frame: &ff::frame::Video, picture: &mut Vec<u8>) -> Result<()> {
        picture.resize(self.transform.num_bytes(), 0);
        let frame = self.conformer.conform(frame)?;
        let view = av::view(frame).filter(|view| view.format == self.format && frame.format() == self.pixel);
        if let Some(view) = view {
            return self.transform.apply(&view, picture);
        }
        let failed = |error: ff::Error| Error::decode(format!("cannot convert a frame: {}", av::message_of(error)));
        let converter = match &mut self.converter {
            Some(converter) => converter,
            slot => slot.insert(reencode::scaling(frame, self.pixel).map_err(failed)?),
        };
        converter.run(frame, &mut self.converted).map_err(failed)?;
        let view = av::view(&self.converted).ok_or_else(|| Error::decode("a converted frame has no planes"))?;
        self.transform.apply(&view, picture)
    }
}
