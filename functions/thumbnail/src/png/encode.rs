//! A picture as a file. Each row goes through the filter that leaves the smallest numbers, and then into what packs: beside
//! the file, there are two rows and the window at a time.

use super::{GREY, GREY_ALPHA, RGB, RGB_ALPHA, SIGNATURE};
use crate::{Error, Pixels, damaged};
use alloc::{vec, vec::Vec};
use miniz_oxide::{
    DataFormat,
    deflate::{
        CompressionLevel,
        core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output},
    },
};

/// A picture as a file.
pub(crate) fn encode(pixels: &Pixels) -> Result<Vec<u8>, Error> {
    let mut file = SIGNATURE.to_vec();
    chunk(&mut file, b"IHDR", &head(pixels)?);
    let mut packer = CompressorOxide::with_format_and_level(DataFormat::Zlib, CompressionLevel::DefaultLevel);
    let row_bytes = pixels.width * pixels.channels;
    let (mut line, mut spare) = (Vec::with_capacity(1 + row_bytes), Vec::with_capacity(1 + row_bytes));
    let nothing = vec![0; row_bytes];
    let mut above = &nothing[..];
    for row in pixels.bytes.chunks_exact(row_bytes) {
        filter(row, above, pixels.channels, &mut line, &mut spare);
        pack(&mut packer, &line, TDEFLFlush::None, &mut file)?;
        above = row;
    }
    pack(&mut packer, &[], TDEFLFlush::Finish, &mut file)?;
    chunk(&mut file, b"IEND", &[]);
    Ok(file)
}

/// The head of a picture with 8 bits for each channel, without interlacing (11.2.1).
fn head(pixels: &Pixels) -> Result<[u8; 13], Error> {
    let side = |side| u32::try_from(side).map_err(|_| damaged("it is too large for a file"));
    let ([w0, w1, w2, w3], [h0, h1, h2, h3]) =
        (side(pixels.width)?.to_be_bytes(), side(pixels.height)?.to_be_bytes());
    let colours = match pixels.channels {
        1 => GREY,
        2 => GREY_ALPHA,
        3 => RGB,
        _ => RGB_ALPHA,
    };
    Ok([w0, w1, w2, w3, h0, h1, h2, h3, 8, colours, 0, 0, 0])
}

/// Writes a chunk: length, name, data, and the checksum of both (5.3). `data` comes from a buffer of the packer, or is short.
fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let begin = file.len();
    file.extend_from_slice(name);
    file.extend_from_slice(data);
    let sum = crc32fast::hash(&file[begin..]);
    file.extend_from_slice(&sum.to_be_bytes());
}

/// Packs more bytes. Whatever leaves the packer, some ten kilobytes at a time, becomes a chunk.
fn pack(
    packer: &mut CompressorOxide,
    bytes: &[u8],
    flush: TDEFLFlush,
    file: &mut Vec<u8>,
) -> Result<(), Error> {
    let (status, taken) = compress_to_output(packer, bytes, flush, |packed| {
        chunk(file, b"IDAT", packed);
        true
    });
    let wanted = if flush == TDEFLFlush::Finish { TDEFLStatus::Done } else { TDEFLStatus::Okay };
    if status == wanted && taken == bytes.len() { Ok(()) } else { Err(damaged("it cannot be packed")) }
}

/// What a filter expects of a byte, from those to the left, above, and above to the left (9.2), in the order of their numbers.
const FILTERS: [fn(u8, u8, u8) -> u8; 5] = [
    |_, _, _| 0,
    |left, _, _| left,
    |_, above, _| above,
    |left, above, _| left.midpoint(above),
    |left, above, corner| {
        // Whichever is nearest to left + above - corner; the first of them where two are (9.4).
        let of_left = u16::from(above.abs_diff(corner));
        let of_above = u16::from(left.abs_diff(corner));
        let of_corner = (i16::from(left) + i16::from(above) - 2 * i16::from(corner)).unsigned_abs();
        if of_left <= of_above && of_left <= of_corner {
            left
        } else if of_above <= of_corner {
            above
        } else {
            corner
        }
    },
];

/// Makes `line` of a row: the number of a filter, and what it leaves. The filter with the smallest sum is taken, as numbers
/// with signs (12.7).
fn filter(row: &[u8], above: &[u8], channels: usize, line: &mut Vec<u8>, spare: &mut Vec<u8>) {
    let mut least = usize::MAX;
    for (number, expected) in (0..).zip(FILTERS) {
        spare.clear();
        spare.push(number);
        spare.extend(row.iter().enumerate().map(|(at, byte)| {
            let (left, corner) = at.checked_sub(channels).map_or((0, 0), |at| (row[at], above[at]));
            byte.wrapping_sub(expected(left, above[at], corner))
        }));
        let sum = spare[1..].iter().map(|byte| usize::from(byte.cast_signed().unsigned_abs())).sum();
        if sum < least {
            least = sum;
            core::mem::swap(line, spare);
        }
    }
}
