//! Seconds since 1970 as a date.

/// The last moment that an archive can carry: 11 octal digits, in the year 2242.
pub const LAST: u64 = 0o777_7777_7777;

const DAY: u64 = 24 * 60 * 60;

/// A moment as RFC 3339 writes it, in UTC: `1970-01-01T00:00:00Z`.
pub fn rfc3339(epoch: u64) -> String {
    let (year, month, day) = date(epoch / DAY);
    let second = epoch % DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the day that is `days` after 1970-01-01, in the Gregorian calendar. Years begin on the
/// first of March here, so that the day that not every year has is the last of one.
fn date(days: u64) -> (u64, u64, u64) {
    /// Days from the first of March of year 0 to 1970-01-01.
    const TO_1970: u64 = 719_468;
    /// Days of 400, 100 and 4 years.
    const CYCLE: [u64; 3] = [146_097, 36_524, 1_461];
    let days = days + TO_1970;
    let (cycles, day) = (days / CYCLE[0], days % CYCLE[0]);
    let year = (day - day / (CYCLE[2] - 1) + day / CYCLE[1] - day / (CYCLE[0] - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31 days: 153 in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycles * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_date_writes_them() {
        // `date -u -d @SECONDS +%FT%TZ`
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_599, "1972-02-28T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (68_256_000, "1972-03-01T00:00:00Z"),
            (946_684_799, "1999-12-31T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "2242-03-16T12:56:31Z"),
        ] {
            assert_eq!(rfc3339(epoch), text);
        }
    }
}
