//! Go's date layouts: `02 Jan 06 15:04 MST`.

use super::{MONTHS, Moment, WEEKDAYS, offset_text};

/// Pieces of a layout, longest first where one begins another.
const PIECES: [&str; 26] = [
    "January", "Monday", "Z07:00", "-07:00", "Z0700", "-0700", "2006", "Jan", "Mon", "MST", "-07", "_2", "01", "02", "03", "04", "05", "06", "15", "PM", "pm",
    "1", "2", "3", "4", "5",
];

/// Prints a moment by a layout.
pub fn format(moment: Moment, layout: &str) -> String {
    let p = moment.parts();
    let offset = moment.offset_s.unwrap_or(0);
    let twelve = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
    let month = MONTHS.get(p.month as usize - 1).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(moment.weekday()).copied().unwrap_or_default();
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        // `.000` or `.999` behind the seconds.
        if (c == '.' || c == ',') && rest.as_bytes().get(1).is_some_and(|b| matches!(b, b'0' | b'9')) {
            let kind = rest.as_bytes()[1];
            let digits = rest[1..].bytes().take_while(|b| *b == kind).count();
            if !rest.as_bytes().get(1 + digits).is_some_and(u8::is_ascii_digit) {
                let nanos: String = format!("{:06}000", p.micros).chars().chain(std::iter::repeat('0')).take(digits).collect();
                let shown = if kind == b'9' { nanos.trim_end_matches('0') } else { &nanos };
                if !shown.is_empty() {
                    out.push(c);
                    out.push_str(shown);
                }
                rest = &rest[1 + digits..];
                continue;
            }
        }
        let Some(piece) = PIECES.iter().find(|piece| rest.starts_with(**piece)) else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        match *piece {
            "January" => out.push_str(month),
            "Jan" => out.push_str(&month[..3]),
            "Monday" => out.push_str(weekday),
            "Mon" => out.push_str(&weekday[..3]),
            "2006" => out.push_str(&format!("{:04}", p.year)),
            "06" => out.push_str(&format!("{:02}", p.year % 100)),
            "01" => out.push_str(&format!("{:02}", p.month)),
            "1" => out.push_str(&p.month.to_string()),
            "02" => out.push_str(&format!("{:02}", p.day)),
            "_2" => out.push_str(&format!("{:2}", p.day)),
            "2" => out.push_str(&p.day.to_string()),
            "15" => out.push_str(&format!("{:02}", p.hour)),
            "03" => out.push_str(&format!("{twelve:02}")),
            "3" => out.push_str(&twelve.to_string()),
            "04" => out.push_str(&format!("{:02}", p.minute)),
            "4" => out.push_str(&p.minute.to_string()),
            "05" => out.push_str(&format!("{:02}", p.second)),
            "5" => out.push_str(&p.second.to_string()),
            "PM" => out.push_str(if p.hour < 12 { "AM" } else { "PM" }),
            "pm" => out.push_str(if p.hour < 12 { "am" } else { "pm" }),
            "Z07:00" | "Z0700" if offset == 0 => out.push('Z'),
            "Z07:00" | "-07:00" => out.push_str(&offset_text(offset, ":")),
            "Z0700" | "-0700" => out.push_str(&offset_text(offset, "")),
            "-07" => out.push_str(offset_text(offset, "").get(..3).unwrap_or_default()),
            "MST" if offset == 0 => out.push_str("UTC"),
            // A zone without a name is its offset.
            _ => out.push_str(offset_text(offset, "").trim_end_matches("00")),
        }
        rest = &rest[piece.len()..];
    }
    out
}
