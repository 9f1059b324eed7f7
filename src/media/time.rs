//! Exact time: ratios and time bases of fixed-width integers. Timestamps stay in stream units; seconds as a float are
//! for people and statistics only.

use std::fmt;

/// A positive fraction: a sample aspect ratio, a frame rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ratio {
    num: u32,
    den: u32,
}

impl Ratio {
    /// One.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// A fraction of two numbers above zero, kept as given; `None` when either is zero.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        (num > 0 && den > 0).then_some(Self { num, den })
    }

    /// The nearest fraction to a positive finite number, exact for the NTSC rates (`29.97` gives 30000/1001).
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() || value <= 0.0 || value > 1e9 {
            return None;
        }
        let ntsc = (value * 1001.0 / 1000.0).round();
        if ntsc >= 1.0 && (ntsc * 1000.0 / 1001.0 - value).abs() < 0.005 && (value - value.round()).abs() > 1e-9 {
            return Self::new((ntsc * 1000.0) as u32, 1001);
        }
        for den in [1_u32, 2, 3, 4, 5, 10, 100, 1000, 1001] {
            let num = value * f64::from(den);
            if (num - num.round()).abs() < 1e-9 * num.max(1.0) && num.round() <= f64::from(u32::MAX) {
                return Self::new(num.round() as u32, den);
            }
        }
        let den = (f64::from(u32::MAX) / value).min(1e6) as u32;
        Self::new((value * f64::from(den)).round() as u32, den)
    }

    /// Numerator.
    pub fn num(self) -> u32 {
        self.num
    }

    /// Denominator.
    pub fn den(self) -> u32 {
        self.den
    }

    /// The value as a float.
    pub fn to_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// The length of one tick in seconds, as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBase(Ratio);

impl TimeBase {
    /// `num / den` seconds a tick; `None` when either is zero.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        Ratio::new(num, den).map(Self)
    }

    /// Numerator of the seconds per tick.
    pub fn num(self) -> u32 {
        self.0.num
    }

    /// Denominator of the seconds per tick.
    pub fn den(self) -> u32 {
        self.0.den
    }

    /// Ticks as seconds, for people and statistics.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.0.num) / f64::from(self.0.den)
    }

    /// The first tick at or after `seconds`; saturates.
    pub fn ceil_ticks(self, seconds: f64) -> i64 {
        // A cut given as a decimal must not miss the frame it names by a rounding error.
        (seconds * f64::from(self.0.den) / f64::from(self.0.num) - 1e-6).ceil() as i64
    }
}

impl fmt::Display for TimeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntsc_rates_are_recognised() {
        assert_eq!(Ratio::from_f64(29.97), Ratio::new(30000, 1001));
        assert_eq!(Ratio::from_f64(23.976), Ratio::new(24000, 1001));
        assert_eq!(Ratio::from_f64(30.0), Ratio::new(30, 1));
        assert_eq!(Ratio::from_f64(12.5), Ratio::new(25, 2));
        assert_eq!(Ratio::from_f64(8.0), Ratio::new(8, 1));
        assert_eq!(Ratio::from_f64(0.0), None);
        assert_eq!(Ratio::from_f64(f64::NAN), None);
    }
}
