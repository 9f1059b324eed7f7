//! Decoded frames to the pictures that are stored: upright, in square pixels, 8-bit 4:2:0, resized by the loader's own
//! antialiased filter. RGB becomes luma and chroma first, in full range and in more bits than are stored.

use super::encoder::PictureKind;
use super::options::TrainOptions;
use crate::convert::clip::conform::Conformer;
use crate::convert::clip::encoder_target;
use crate::convert::clip::encoder_target::Luma;
use crate::convert::clip::plane_reader::PlaneReader;
use crate::convert::source::changes::Appearance;
use crate::convert::source::color_and_rotation;
use crate::ffmpeg::StreamFacts;
use crate::ffmpeg::pixel_layout::PixelLayout;
use crate::media::{Codec, ColorModel, ColorSpec, FrameView, PixelFormat, PlaneView};
use crate::transform::{Filter, Fit, OUTPUT_LOCATION, PlanarSource, PlanarTransform};
use crate::{Error, Result};
use ffmpeg_next as ff;

/// Resizes the frames of one clip.
pub(super) struct Resizer {
    /// Makes all frames like the first one.
    conformer: Conformer,
    reader: PlaneReader,
    /// Where the frames are RGB: what the transform takes in their place.
    luma: Option<Planes>,
    transform: PlanarTransform,
    kind: PictureKind,
}

/// RGB as planes of luma and chroma, in memory that every frame uses again.
struct Planes {
    from: PixelFormat,
    luma: Luma,
    samples: [Vec<u8>; 3],
}

/// Full range and more bits than 8, so that nothing is rounded before the picture is stored.
const OF_RGB: PixelFormat = PixelFormat { model: ColorModel::Yuv, depth: 14, log2_chroma_w: 0, log2_chroma_h: 0 };

impl Planes {
    fn of<'a>(&'a mut self, view: &FrameView<'_>) -> Result<FrameView<'a>> {
        if view.format != self.from {
            return Err(Error::unsupported("its pictures change their format on the way"));
        }
        let [first, second, third] = &mut self.samples;
        let mut planes = [first, second, third];
        for plane in &mut planes {
            plane.clear();
        }
        for y in 0..view.height {
            self.luma.row(view, y, &mut |plane, _, sample| {
                if let Some(plane) = planes.get_mut(plane) {
                    plane.extend_from_slice(&sample.to_le_bytes());
                }
            });
        }
        let stride = 2 * view.width as usize;
        let planes = self.samples.each_ref().map(|data| PlaneView { data, stride });
        Ok(FrameView { format: OF_RGB, width: view.width, height: view.height, planes })
    }
}

impl Resizer {
    /// For frames of `stream`, of which `look` is the first one's.
    pub(super) fn new(look: &Appearance, stream: &StreamFacts, options: &TrainOptions) -> Result<Self> {
        let first = &look.facts;
        let planar = PixelLayout::of_name(&first.format)?.planar();
        let codec = Codec::parse(&stream.codec).unwrap_or(Codec::H264);
        let mut color =
            color_and_rotation::color(first.color, stream.color, &first.format, planar, codec, first.height);
        let luma = if planar.model == ColorModel::Gbr {
            color = encoder_target::from_rgb(color, first.height);
            let luma = Luma::new(planar, OF_RGB, color, first.height);
            Some(Planes { from: planar, luma, samples: Default::default() })
        } else {
            None
        };
        let source = PlanarSource {
            format: if luma.is_some() { OF_RGB } else { planar },
            width: first.width,
            height: first.height,
            sample_aspect: color_and_rotation::sample_aspect(look.sample_aspect),
            orientation: color_and_rotation::orientation(first.display_matrix.or(stream.display_matrix))
                .unwrap_or_default(),
            color,
        };
        let size = options.output_size(source.display_size());
        let transform = PlanarTransform::new(source, size, Fit::Crop, Filter::Bicubic)?;
        let kind = PictureKind { size, color: ColorSpec { chroma_location: OUTPUT_LOCATION, ..color } };
        let conformer = Conformer::new(look, stream)?;
        Ok(Self { conformer, reader: PlaneReader::new(), luma, transform, kind })
    }

    /// What comes out.
    pub(super) fn kind(&self) -> PictureKind {
        self.kind
    }

    /// Writes the picture of `frame` into `picture`, I420.
    pub(super) fn resize(&mut self, frame: &ff::frame::Video, picture: &mut Vec<u8>) -> Result<()> {
        picture.resize(self.transform.num_bytes(), 0);
        let view = self.reader.view(self.conformer.conform(frame)?)?;
        match &mut self.luma {
            Some(planes) => self.transform.apply(&planes.of(&view)?, picture),
            None => self.transform.apply(&view, picture),
        }
    }
}
