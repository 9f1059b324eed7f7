//! How a decoded picture is turned for display: one of the eight ways to lay a rectangle on a rectangle.

/// Mirror left to right if `mirrored`, then turn clockwise by `quarter_turns` times 90 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Orientation {
    quarter_turns: u8,
    mirrored: bool,
}

impl Orientation {
    /// As decoded.
    pub const UPRIGHT: Self = Self { quarter_turns: 0, mirrored: false };

    /// Mirror first, then turn clockwise; `quarter_turns` counts modulo 4.
    pub fn new(quarter_turns: u8, mirrored: bool) -> Self {
        Self { quarter_turns: quarter_turns % 4, mirrored }
    }

    /// Clockwise quarter turns, 0..=3.
    pub fn quarter_turns(self) -> u8 {
        self.quarter_turns
    }

    /// Clockwise rotation in degrees: 0, 90, 180 or 270.
    pub fn degrees(self) -> u16 {
        u16::from(self.quarter_turns) * 90
    }

    /// True where the picture is mirrored left to right before it is turned.
    pub fn is_mirrored(self) -> bool {
        self.mirrored
    }

    /// True where width and height change places.
    pub fn swaps_axes(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// The size of the displayed picture.
    pub fn display_size(self, width: u32, height: u32) -> (u32, u32) {
        if self.swaps_axes() { (height, width) } else { (width, height) }
    }

    /// The decoded pixel that is shown at display position (`x`, `y`), for a decoded picture of `width` by `height`.
    pub fn source_of(self, x: u32, y: u32, width: u32, height: u32) -> (u32, u32) {
        let (sx, sy) = match self.quarter_turns {
            0 => (x, y),
            1 => (y, height - 1 - x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        };
        if self.mirrored { (width - 1 - sx, sy) } else { (sx, sy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clockwise_turn_moves_the_top_left_to_the_top_right() {
        let turn = Orientation::new(1, false);
        assert_eq!(turn.display_size(4, 2), (2, 4));
        // The decoded pixel (0, 0) appears at the right end of the first displayed row.
        assert_eq!(turn.source_of(1, 0, 4, 2), (0, 0));
    }

    #[test]
    fn every_orientation_is_a_bijection() {
        for turns in 0..4 {
            for mirrored in [false, true] {
                let orientation = Orientation::new(turns, mirrored);
                let (w, h) = orientation.display_size(3, 2);
                let mut seen = std::collections::HashSet::new();
                for y in 0..h {
                    for x in 0..w {
                        let (sx, sy) = orientation.source_of(x, y, 3, 2);
                        assert!(sx < 3 && sy < 2);
                        assert!(seen.insert((sx, sy)));
                    }
                }
            }
        }
    }
}
