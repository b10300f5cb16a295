//! SQL `LIKE` for the texts of an array: `%` any text, `_` any character, `\` takes the next one literally.

/// A pattern, prepared.
#[derive(Debug)]
pub(super) struct Like(Box<[Piece]>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Any,
    One,
    Char(char),
}

impl Like {
    pub(super) fn new(pattern: &str) -> Like {
        let mut pieces = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let piece = match c {
                '%' => Piece::Any,
                '_' => Piece::One,
                '\\' => Piece::Char(chars.next().unwrap_or('\\')),
                c => Piece::Char(c),
            };
            if piece != Piece::Any || pieces.last() != Some(&Piece::Any) {
                pieces.push(piece);
            }
        }
        Like(pieces.into())
    }

    /// Whether the whole text matches. Time is at most the product of both lengths, and for a
    /// pattern with one `%` at its end the length of the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Where the last `%` stands, and the text that it has not swallowed yet.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            match self.0.get(at) {
                Some(Piece::Any) if at + 1 == self.0.len() => return true,
                Some(Piece::Any) => {
                    at += 1;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                piece => {
                    let mut after = rest.clone();
                    let fits = match (piece, after.next()) {
                        (None, None) => return true,
                        (Some(Piece::One), Some(_)) => true,
                        (Some(Piece::Char(wanted)), Some(c)) => *wanted == c,
                        _ => false,
                    };
                    if fits {
                        at += 1;
                        rest = after;
                        continue;
                    }
                }
            }
            let Some((start, swallowed)) = &mut retry else { return false };
            if swallowed.next().is_none() {
                return false;
            }
            (at, rest) = (*start, swallowed.clone());
        }
    }
}

#[cfg(test)]
impl Like {
    /// The same as a regular expression, for comparison.
    pub(super) fn regex(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Any => ".*".to_owned(),
            Piece::One => ".".to_owned(),
            Piece::Char(c) => regex::escape(&c.to_string()),
        };
        self.0.iter().map(piece).collect()
    }
}
