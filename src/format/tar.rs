//! Tar headers, byte for byte: POSIX ustar, with a pax header before it where the name or the size does not fit.
//!
//! Nothing in a header depends on when, where or by whom it was written, so a header can be checked by writing it again.

use tar::{EntryType, Header};

/// Bytes of a tar block.
pub(crate) const BLOCK: u64 = 512;
/// Bytes of zeros that end a tar file.
pub(crate) const END_BYTES: u64 = 2 * BLOCK;
/// Largest size that eleven octal digits hold.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;
/// Longest name of a ustar header without prefix.
const MAX_NAME_BYTES: usize = 100;
/// Name of the pax headers.
const PAX_NAME: &str = "PaxHeaders/member";

/// The header blocks before a member's content: one block, or three and more with a pax header.
pub(crate) fn header(name: &str, size: u64) -> Vec<u8> {
    let needs_pax_name = name.len() > MAX_NAME_BYTES || !name.is_ascii();
    let needs_pax_size = size > MAX_OCTAL_SIZE;
    let mut records = Vec::new();
    if needs_pax_name {
        records.extend(pax_record("path", name));
    }
    if needs_pax_size {
        records.extend(pax_record("size", &size.to_string()));
    }
    let mut out = Vec::new();
    if !records.is_empty() {
        out.extend(block(PAX_NAME, records.len() as u64, EntryType::XHeader));
        out.extend(&records);
        out.resize(out.len() + padding(records.len() as u64) as usize, 0);
    }
    let plain: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).take(MAX_NAME_BYTES).collect();
    out.extend(block(&plain, if needs_pax_size { 0 } else { size }, EntryType::Regular));
    out
}

/// Zero bytes from the end of `size` bytes of content to the next block.
pub(crate) fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

fn block(name: &str, size: u64, kind: EntryType) -> [u8; 512] {
    let mut header = Header::new_ustar();
    if let Some(ustar) = header.as_ustar_mut() {
        for (to, from) in ustar.name.iter_mut().zip(name.bytes()) {
            *to = from;
        }
    }
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_cksum();
    *header.as_bytes()
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts all of it, itself included.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tar_crate_reads_short_long_and_unicode_names_back() {
        for name in ["a.mp4", &format!("{}.json", "d/".repeat(90)), "日本/é.mp4", &"x".repeat(100), &"x".repeat(101)]
        {
            let mut bytes = header(name, 3);
            bytes.extend(b"abc");
            bytes.resize(bytes.len() + padding(3) as usize + 1024, 0);
            assert_eq!(bytes.len() % 512, 0);
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut entries = archive.entries().unwrap();
            let entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path_bytes(), name.as_bytes());
            assert_eq!(entry.size(), 3);
            assert!(entries.next().is_none());
        }
    }

    #[test]
    fn a_pax_record_counts_its_own_digits() {
        for length in 0..1200 {
            let record = pax_record("path", &"v".repeat(length));
            let text = String::from_utf8(record).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn a_size_beyond_eleven_octal_digits_goes_to_a_pax_header() {
        assert_eq!(header("a.mp4", MAX_OCTAL_SIZE).len(), 512);
        let bytes = header("a.mp4", MAX_OCTAL_SIZE + 1);
        assert_eq!(bytes.len(), 1536);
        assert!(bytes[512..].starts_with(b"19 size=8589934592\n"));
    }
}
