//! The transform's answer in float64, computed the plain way: for every output pixel, weights from the filter's formula,
//! a sum over the window, the matrix of the standard, no intermediate rounding or clamping. The oracle of the tests and of
//! the benchmark, which includes this file by path; so it knows nothing of the crate, and shares no code with what it checks.
#![allow(unreachable_pub, reason = "public to whichever crate includes this file")]

/// One plane in units of 8-bit levels.
pub struct Plane {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f64>,
    /// Luma pixels per sample, and the luma position of the first sample's centre.
    pub pitch: (f64, f64),
    pub centre: (f64, f64),
}

/// The part of the picture that is shown, in luma pixels: left, top, right, bottom.
pub type Region = (f64, f64, f64, f64);

fn filter(name: &str, x: f64) -> (f64, f64) {
    let x = x.abs();
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
    match name {
        "bilinear" => (1.0, if x < 1.0 { 1.0 - x } else { 0.0 }),
        "bicubic" if x < 1.0 => (2.0, 1.5 * x * x * x - 2.5 * x * x + 1.0),
        "bicubic" if x < 2.0 => (2.0, -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0),
        "bicubic" => (2.0, 0.0),
        "lanczos" => (3.0, if x < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }),
        _ => panic!("no filter {name}"),
    }
}

/// Weights of samples along one axis at position `at`, in samples, for output pixels `step` samples apart.
fn weights(name: &str, at: f64, step: f64, count: usize) -> Vec<(usize, f64)> {
    let scale = step.max(1.0);
    let mut found = Vec::new();
    for n in 0..count {
        let distance = (n as f64 + 0.5 - at) / scale;
        // The box is half open: a sample on its far edge belongs to it, one on its near edge does not.
        let weight = match name {
            "area" => f64::from(u8::from(distance > -0.5 + 1e-9 && distance <= 0.5 + 1e-9)),
            _ => filter(name, distance).1,
        };
        if weight != 0.0 {
            found.push((n, weight));
        }
    }
    let sum: f64 = found.iter().map(|&(_, weight)| weight).sum();
    if found.is_empty() || sum < 1e-6 {
        return vec![((at.floor().max(0.0) as usize).min(count - 1), 1.0)];
    }
    found.into_iter().map(|(n, weight)| (n, weight / sum)).collect()
}

/// `plane` sampled on a grid of `width` by `height` over `region`, with a filter per axis.
pub fn resample(plane: &Plane, region: Region, width: usize, height: usize, names: (&str, &str)) -> Vec<f64> {
    let along = |axis: usize, from: f64, to: f64, outputs: usize, count: usize| -> Vec<Vec<(usize, f64)>> {
        let pitch = if axis == 0 { plane.pitch.0 } else { plane.pitch.1 };
        let centre = if axis == 0 { plane.centre.0 } else { plane.centre.1 };
        let name = if axis == 0 { names.0 } else { names.1 };
        let step = (to - from) / outputs as f64;
        (0..outputs)
            .map(|i| weights(name, (from + (i as f64 + 0.5) * step - centre) / pitch + 0.5, step / pitch, count))
            .collect()
    };
    let columns = along(0, region.0, region.2, width, plane.width);
    let rows = along(1, region.1, region.3, height, plane.height);
    let mut out = Vec::with_capacity(width * height);
    for row in &rows {
        for column in &columns {
            let mut sum = 0.0;
            for &(y, wy) in row {
                for &(x, wx) in column {
                    sum += wy * wx * plane.values[y * plane.width + x];
                }
            }
            out.push(sum);
        }
    }
    out
}

/// R, G, B in 0..=255, unclamped and unrounded, of one pixel given in 8-bit levels of a format of `depth` bits.
pub fn rgb(pixel: [f64; 3], model: &str, matrix: u8, full: bool, depth: u32) -> [f64; 3] {
    let scale = f64::from(1_u32 << (depth - 8));
    let peak = f64::from((1_u32 << depth) - 1);
    let luma = |v: f64| if full { v * scale / peak } else { (v - 16.0) / 219.0 };
    let chroma = |v: f64| if full { (v - 128.0) * scale / peak } else { (v - 128.0) / 224.0 };
    let [r, g, b] = match model {
        "gray" => [luma(pixel[0]); 3],
        "gbr" => [luma(pixel[2]), luma(pixel[0]), luma(pixel[1])],
        _ => {
            let (y, cb, cr) = (luma(pixel[0]), chroma(pixel[1]), chroma(pixel[2]));
            if matrix == 8 {
                [y - cb + cr, y + cb, y - cb - cr]
            } else {
                let (kr, kb) = match matrix {
                    1 => (0.2126, 0.0722),
                    4 => (0.30, 0.11),
                    5 | 6 => (0.299, 0.114),
                    7 => (0.212, 0.087),
                    9 => (0.2627, 0.0593),
                    _ => panic!("no matrix {matrix}"),
                };
                let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
                [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
            }
        }
    };
    [r * 255.0, g * 255.0, b * 255.0]
}
