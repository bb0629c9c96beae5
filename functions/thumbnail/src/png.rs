//! PNG (W3C's third edition), in and out.

mod encode;

pub(crate) use encode::encode;

use crate::{Error, Head, MAX_SOURCE_SIDE, Pixels, damaged, exif::Orientation};
use alloc::{format, vec::Vec};
use zune_core::{bytestream::ZCursor, options::DecoderOptions};
use zune_png::PngDecoder;

/// What every file begins with.
pub(crate) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Colour types.
const GREY: u8 = 0;
const RGB: u8 = 2;
const PALETTE: u8 = 3;
const GREY_ALPHA: u8 = 4;
const RGB_ALPHA: u8 = 6;

/// A part of a file.
struct Chunk<'a> {
    name: [u8; 4],
    data: &'a [u8],
    /// With length, name and checksum.
    whole: &'a [u8],
}

impl Chunk<'_> {
    /// Whether a picture cannot be understood without it (5.4).
    fn is_critical(&self) -> bool {
        self.name[0].is_ascii_uppercase()
    }
}

/// The chunks of a file up to the end, or to the first that is cut off.
fn chunks(file: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = file.get(SIGNATURE.len()..).unwrap_or_default();
    core::iter::from_fn(move || {
        let length = u32::from_be_bytes(*rest.first_chunk()?);
        let length = usize::try_from(length).ok()?;
        let (whole, after) = rest.split_at_checked(length.checked_add(12)?)?;
        rest = after;
        let name = whole[4..8].try_into().ok()?;
        Some(Chunk { name, data: &whole[8..8 + length], whole })
    })
}

/// What its first chunk says (11.2.1).
struct Header {
    width: usize,
    height: usize,
    depth: u8,
    colours: u8,
}

impl Header {
    fn read(file: &[u8]) -> Result<Self, Error> {
        let first = chunks(file).next().filter(|first| &first.name == b"IHDR");
        let first = first.ok_or_else(|| damaged("it has no head"))?;
        let [w0, w1, w2, w3, h0, h1, h2, h3, depth, colours, compression, filter, interlace] = *first.data
        else {
            return Err(damaged("its head is too short or too long"));
        };
        let side = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
        let (width, height) = (side([w0, w1, w2, w3]), side([h0, h1, h2, h3]));
        let fits = match colours {
            GREY => matches!(depth, 1 | 2 | 4 | 8 | 16),
            PALETTE => matches!(depth, 1 | 2 | 4 | 8),
            RGB | GREY_ALPHA | RGB_ALPHA => matches!(depth, 8 | 16),
            _ => false,
        };
        if !fits || compression != 0 || filter != 0 || interlace > 1 || width == 0 || height == 0 {
            return Err(damaged("its head says what there cannot be"));
        }
        Ok(Self { width, height, depth, colours })
    }

    /// Channels of a pixel in the file.
    fn samples(&self) -> usize {
        match self.colours {
            GREY | PALETTE => 1,
            GREY_ALPHA => 2,
            RGB => 3,
            _ => 4,
        }
    }

    /// Whether `tRNS` may be there, with this many bytes (11.3.1.1).
    fn takes_transparency(&self, length: usize) -> bool {
        match self.colours {
            GREY => length == 2,
            RGB => length == 6,
            PALETTE => (1..=256).contains(&length),
            _ => false,
        }
    }
}

/// What its head says.
pub(crate) fn head(file: &[u8]) -> Result<Head, Error> {
    let header = Header::read(file)?;
    let Header { width, height, .. } = header;
    if width.max(height) > MAX_SOURCE_SIDE {
        return Err(Error::TooLarge { width, height });
    }
    let before_data = chunks(file).take_while(|chunk| &chunk.name != b"IDAT");
    let transparent = before_data
        .filter(|chunk| &chunk.name == b"tRNS")
        .any(|chunk| header.takes_transparency(chunk.data.len()));
    let channels = match header.colours {
        GREY | GREY_ALPHA => 1,
        _ => 3,
    } + usize::from(transparent || matches!(header.colours, GREY_ALPHA | RGB_ALPHA));
    let bytes = if header.depth == 16 { 2 } else { 1 };
    let decoded = width * height * channels * bytes;
    let interlaced = file.get(28).is_some_and(|method| *method == 1);
    // The decoder begins with a buffer for what was packed, and doubles it once it does not suffice, as for a file that
    // unpacks to more than its head says: old and new are there at a time.
    let unpacked = 3 * (width + 1) * height * header.samples() * bytes;
    // All packed bytes are put together, in a buffer that doubles.
    let packed = 3 * file.len();
    let memory = decoded * if interlaced { 2 } else { 1 } + unpacked + packed;
    Ok(Head { width, height, channels, memory })
}

/// How the camera was held.
pub(crate) fn orientation(file: &[u8]) -> Orientation {
    let exif = chunks(file).find(|chunk| &chunk.name == b"eXIf");
    exif.map(|chunk| Orientation::read(chunk.data)).unwrap_or_default()
}

/// What of a file is needed for its pixels.
pub(crate) fn needed(file: &[u8]) -> Result<Vec<u8>, Error> {
    let header = Header::read(file)?;
    let mut kept = Vec::with_capacity(file.len());
    kept.extend_from_slice(&SIGNATURE);
    let (mut palette, mut transparency, mut data) = (false, false, false);
    for (number, chunk) in chunks(file).enumerate() {
        let keep = match &chunk.name {
            b"IHDR" if number == 0 => true,
            b"PLTE" if header.colours == PALETTE && !palette && !data => {
                palette = true;
                if chunk.data.len() > 3 << header.depth || chunk.data.is_empty() {
                    return Err(damaged("its palette is too short or too long"));
                }
                true
            }
            // A palette for who cannot show all colours.
            b"PLTE" if header.colours != PALETTE => false,
            b"tRNS" if !transparency && !data && header.takes_transparency(chunk.data.len()) => {
                transparency = true;
                true
            }
            b"IDAT" if header.colours != PALETTE || palette => {
                data = true;
                true
            }
            b"IEND" if data => {
                kept.extend_from_slice(chunk.whole);
                return Ok(kept);
            }
            b"IHDR" | b"PLTE" | b"IDAT" | b"IEND" => return Err(damaged("its parts are in a wrong order")),
            _ if chunk.is_critical() => return Err(Error::Unsupported("a part of this PNG picture")),
            _ => false,
        };
        if keep {
            kept.extend_from_slice(chunk.whole);
        }
    }
    Err(damaged("it is cut off"))
}

/// Decodes what [`needed`] has left.
pub(crate) fn decode(file: &[u8], head: &Head) -> Result<Pixels, Error> {
    let options = DecoderOptions::default()
        .set_max_width(MAX_SOURCE_SIDE)
        .set_max_height(MAX_SOURCE_SIDE)
        .set_strict_mode(true)
        .png_set_confirm_crc(true)
        .inflate_set_confirm_adler(true)
        .png_set_strip_to_8bit(true);
    let mut decoder = PngDecoder::new_with_options(ZCursor::new(file), options);
    let bytes = decoder.decode_raw().map_err(|error| Error::Damaged(format!("{error:?}")))?;
    let Head { width, height, channels, .. } = *head;
    let as_said = decoder.dimensions() == Some((width, height)) && bytes.len() == width * height * channels;
    if as_said {
        Ok(Pixels { width, height, channels, bytes })
    } else {
        Err(damaged("its pixels do not fit"))
    }
}
