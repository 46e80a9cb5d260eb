//! The framing of TFRecord files: length, data, and a checksum of each.

/// What is added to a checksum, so that a checksum of data with checksums in it stays a good one.
const MASK: u32 = 0xa282_ead8;

/// A record: `u64` length, its checksum, the data, their checksum; little endian.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length).to_le_bytes(), data, &checksum(data).to_le_bytes()].concat()
}

/// The masked CRC32C.
pub fn checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK)
}
