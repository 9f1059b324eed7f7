//! Sizes and counts as people write and read them.

/// `1GiB`, `500MB`, `1.5G`, `4096`: decimal units are powers of 1000, `K`, `M`, `G`, `T` alone and those with an `i` of 1024.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1_u64,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        other => return Err(format!("'{other}' is no unit of bytes: expected KB, MB, GB, TB, KiB, MiB, GiB or TiB")),
    };
    let bytes = number.parse::<f64>().map_err(|_| "expected a number of bytes, like 1GiB".to_owned())? * factor as f64;
    if (1.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err("expected at least one byte".to_owned()) }
}

/// `256x384`: a height and a width in pixels.
pub(super) fn parse_size(text: &str) -> std::result::Result<(u32, u32), String> {
    let sides = text.split_once('x').map(|(height, width)| (height.parse(), width.parse()));
    match sides {
        Some((Ok(height), Ok(width))) => Ok((height, width)),
        _ => Err("expected a height and a width, such as 256x256".to_owned()),
    }
}

/// Bytes in binary units, three digits.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    match value {
        v if unit == "B" => format!("{v} B"),
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// `1 clip`, `1,234 clips`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Hours, or minutes or seconds where that reads better.
pub(super) fn hours(hours: f64) -> String {
    match hours {
        h if h >= 1.0 => format!("{h:.2} hours"),
        h if h * 60.0 >= 1.0 => format!("{:.1} minutes", h * 60.0),
        h => format!("{:.1} seconds", h * 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(parse_bytes("1.5 g"), Ok(3 << 29));
        assert_eq!(parse_bytes("500MB"), Ok(500_000_000));
        for bad in ["", "x", "1XB", "-1", "0", "1e99"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_is_a_height_and_a_width() {
        assert_eq!(parse_size("256x384"), Ok((256, 384)));
        for bad in ["256", "x", "256x", "-1x2", "256x384x3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1.00 KiB");
        assert_eq!(bytes(5 << 30), "5.00 GiB");
        assert_eq!(bytes(123 << 20), "123 MiB");
        assert_eq!(count(1, "clip"), "1 clip");
        assert_eq!(count(1_234_567, "clip"), "1,234,567 clips");
        assert_eq!(hours(0.01), "36.0 seconds");
    }
}
