//! The real-time clock of a PC (Motorola MC146818 and what followed it): what its registers say.

use crate::Date;

/// The registers that tell the time, in the order in which [`seconds`] takes their values: second, minute, hour, day,
/// month, year and, where QEMU and most firmware have it, century.
pub const TIME: [u8; 7] = [0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32];
/// The register that says whether the time is being changed, by [`CHANGING`].
pub const STATUS: u8 = 0x0a;
/// The registers of the time cannot be read now.
pub const CHANGING: u8 = 1 << 7;
/// The register that says how numbers are written.
pub const FORMAT: u8 = 0x0b;
/// Numbers are binary, else each half of a byte is a digit.
const BINARY: u8 = 1 << 2;
/// Hours go to 24, else to 12, with the uppermost bit after noon.
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

/// Seconds since 1970-01-01 00:00, when the clock shows `time` in `format`; none where it shows no time. Which zone it
/// shows it does not say.
pub fn seconds(time: [u8; 7], format: u8) -> Option<u64> {
    let number = |value: u8| {
        let (tens, ones) = (value >> 4, value & 15);
        match format & BINARY != 0 {
            true => Some(value),
            false => (tens < 10 && ones < 10).then_some(tens * 10 + ones),
        }
    };
    let [second, minute, hour, day, month, year, century] = time;
    let (second, minute) = (number(second)?, number(minute)?);
    let hour = match format & HOURS_24 != 0 {
        true => number(hour)?,
        false => {
            let of_half = number(hour & !AFTERNOON).filter(|hour| (1..=12).contains(hour))?;
            of_half % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 }
        }
    };
    // What is no century is memory that nobody has written a century to.
    let century = number(century).filter(|century| (20..=21).contains(century)).unwrap_or(20);
    let year = number(year).filter(|year| *year < 100)?;
    if second > 59 || minute > 59 || hour > 23 {
        return None;
    }
    let date =
        Date { year: u64::from(century) * 100 + u64::from(year), month: number(month)?, day: number(day)? };
    Some(date.number()? * 86_400 + u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28 20:37:34 UTC.
    const NOW: u64 = 1_795_898_254;

    #[test]
    fn a_moment_is_the_same_in_every_format() {
        let digits = [0x34, 0x37, 0x20, 0x28, 0x11, 0x26, 0x20];
        assert_eq!(seconds(digits, HOURS_24), Some(NOW));
        assert_eq!(seconds([34, 37, 20, 28, 11, 26, 20], HOURS_24 | BINARY), Some(NOW));
        assert_eq!(seconds([0x34, 0x37, 0x88, 0x28, 0x11, 0x26, 0x20], 0), Some(NOW));
        assert_eq!(seconds([34, 37, 0x88, 28, 11, 26, 20], BINARY), Some(NOW));
        // No century, or what is none.
        for century in [0, 0x19, 0xff, 0x99] {
            let [second, minute, hour, day, month, year, _] = digits;
            assert_eq!(seconds([second, minute, hour, day, month, year, century], HOURS_24), Some(NOW));
        }
    }

    #[test]
    fn noon_and_midnight_are_twelve_on_a_clock_of_twelve_hours() {
        let at = |hour| seconds([0, 0, hour, 1, 1, 0x26, 0x20], 0).map(|seconds| seconds / 3600 % 24);
        assert_eq!([0x12, 0x01, 0x11, 0x92, 0x81, 0x91].map(at), [0, 1, 11, 12, 13, 23].map(Some));
        assert_eq!([0x00, 0x13, 0x80, 0x93].map(at), [None; 4]);
    }

    #[test]
    fn whatever_the_registers_hold_there_is_a_time_or_none() {
        let mut state = 1_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [time @ .., format] = state.to_le_bytes();
            let _ = seconds(time, format);
        }
        assert_eq!(seconds([0xff; 7], 0), None);
        assert_eq!(seconds([0xff; 7], 0xff), None);
        assert_eq!(seconds([0; 7], HOURS_24), None);
    }
}
