//! Days as dates.

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The year.
    pub year: u64,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
}

impl Date {
    /// The date of a day, counted from 1970-01-01, which is 0.
    pub const fn of_day(day: u64) -> Self {
        // Years that begin in March have the leap day at their end, so that months have a regular length:
        // 153 days in five of them. 719,468 days lie between 0000-03-01 and 1970-01-01.
        let day = day as u128 + 719_468;
        let (era, day) = (day / 146_097, day % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let next_year = month >= 10;
        let month = if next_year { month - 9 } else { month + 3 };
        Self { year: (era * 400 + year + next_year as u128) as u64, month: month as u8, day: day as u8 }
    }

    /// The day, counted as in [`of_day`](Self::of_day); none for what is no date, or one before 1970 or after 9999.
    pub fn number(self) -> Option<u64> {
        let Self { year, month, day } = self;
        if !(1970..=9999).contains(&year) {
            return None;
        }
        let year = year - u64::from(month < 3);
        let month = (u64::from(month) + 9) % 12;
        let of_year = (153 * month + 2) / 5 + u64::from(day);
        let number = (365 * year + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_469)?;
        // A month of 13, or a day of 31 in a month of 30, has come out as another date.
        (Self::of_day(number) == self).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut date = Date::of_day(0);
        assert_eq!(date, Date { year: 1970, month: 1, day: 1 });
        for day in 1..300_000 {
            let Date { year, month, day: of_month } = date;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u8::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next = match (month, of_month) {
                (12, 31) => Date { year: year + 1, month: 1, day: 1 },
                (month, of_month) if of_month == last => Date { year, month: month + 1, day: 1 },
                _ => Date { day: of_month + 1, ..date },
            };
            date = Date::of_day(day);
            assert_eq!(date, next, "{day}");
            assert_eq!(date.number(), Some(day));
        }
    }

    #[test]
    fn what_is_no_date_has_no_number() {
        let number = |year, month, day| Date { year, month, day }.number();
        assert_eq!(number(2026, 2, 28), Some(20_512));
        let none = [(1969, 12, 31), (2026, 2, 29), (2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (2026, 4, 31)];
        assert!(none.iter().all(|&(year, month, day)| number(year, month, day).is_none()));
        assert_eq!((number(0, 1, 1), number(u64::MAX, 255, 255), number(2026, 255, 255)), (None, None, None));
    }

    #[test]
    fn knows_some_days_and_survives_the_last_one() {
        assert_eq!(Date::of_day(11_016), Date { year: 2000, month: 2, day: 29 });
        assert_eq!(Date::of_day(20_454), Date { year: 2026, month: 1, day: 1 });
        assert!(Date::of_day(u64::MAX).month <= 12);
    }
}
