//! The grammar of JSON. Nothing here is generic, so a component has it once.

use std::borrow::Cow;

use serde::de::Error as _;

use super::Error;

/// As in serde_json: a bound on the stack, far above what a config nests.
const MAX_DEPTH: u8 = 128;

/// The powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A value that is read, or the opening of one that is not.
pub(super) enum Token<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Array,
    Object,
}

/// A place in a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    pub(super) fn not_json(&self) -> Error {
        Error::custom(format_args!("not JSON at byte {}", self.at))
    }

    /// The next byte.
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Passes over the byte `wanted`, if it is the next.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), Error> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(self.not_json())
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.not_json())
        }
    }

    /// Between the items of a container: whether there is another one.
    pub(super) fn another(&mut self, end: u8, first: &mut bool) -> Result<bool, Error> {
        if self.take(end) {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    fn open(&mut self) -> Result<(), Error> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::custom("nested too deeply"));
        }
        Ok(())
    }

    /// A container has ended.
    pub(super) fn close(&mut self) {
        self.depth -= 1;
    }

    /// The next value, or the opening of one.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Error> {
        Ok(match self.peek() {
            Some(b'n') => {
                self.word("null")?;
                Token::Null
            }
            Some(b't') => {
                self.word("true")?;
                Token::Bool(true)
            }
            Some(b'f') => {
                self.word("false")?;
                Token::Bool(false)
            }
            Some(b'"') => Token::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'[') => {
                self.open()?;
                Token::Array
            }
            Some(b'{') => {
                self.open()?;
                Token::Object
            }
            _ => return Err(self.not_json()),
        })
    }

    /// A text in quotes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect(b'"')?;
        let mut owned = String::new();
        loop {
            let start = self.at;
            while !matches!(self.byte(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            // Both ends are beside ASCII.
            let plain = &self.text[start..self.at];
            match self.byte() {
                Some(b'"') if owned.is_empty() => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(plain));
                }
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(owned + plain));
                }
                Some(b'\\') => {
                    self.at += 1;
                    owned.push_str(plain);
                    owned.push(self.escaped()?);
                }
                _ => return Err(self.not_json()),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Error> {
        let kind = self.byte().ok_or_else(|| self.not_json())?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => kind as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                // The first half of a surrogate pair.
                if let 0xd800..0xdc00 = code {
                    self.word("\\u")?;
                    let low = self.hex()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.not_json());
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code).ok_or_else(|| self.not_json())?
            }
            _ => return Err(self.not_json()),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .byte()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.not_json())?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// The digits that come, added to `mantissa`; how many there were, and how many of them did not fit.
    fn digits(&mut self, mantissa: &mut u64) -> Result<(i32, i32), Error> {
        let (mut count, mut dropped) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            let longer = mantissa
                .checked_mul(10)
                .and_then(|longer| longer.checked_add(u64::from(digit - b'0')));
            match longer {
                Some(longer) if dropped == 0 => *mantissa = longer,
                _ => dropped += 1,
            }
            count += 1;
            self.at += 1;
        }
        if count == 0 {
            return Err(self.not_json());
        }
        Ok((count, dropped))
    }

    fn number(&mut self) -> Result<Token<'a>, Error> {
        let negative = self.take(b'-');
        let mut mantissa = 0;
        let leading_zero = self.byte() == Some(b'0');
        let (count, mut exponent) = self.digits(&mut mantissa)?;
        if leading_zero && count > 1 {
            return Err(self.not_json());
        }
        let mut is_integer = exponent == 0;
        if self.byte() == Some(b'.') {
            self.at += 1;
            is_integer = false;
            let full = exponent > 0;
            let (count, dropped) = self.digits(&mut mantissa)?;
            if !full {
                exponent -= count - dropped;
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            is_integer = false;
            let down = self.byte() == Some(b'-');
            self.at += usize::from(down || self.byte() == Some(b'+'));
            let mut scale = 0;
            self.digits(&mut scale)?;
            // Beyond any float.
            let scale = i32::try_from(scale).unwrap_or(i32::MAX).min(100_000);
            exponent += if down { -scale } else { scale };
        }
        if is_integer && !negative {
            return Ok(Token::Unsigned(mantissa));
        }
        if is_integer
            && mantissa > 0
            && let Some(value) = 0_i64.checked_sub_unsigned(mantissa)
        {
            return Ok(Token::Signed(value));
        }
        let value = float(mantissa, exponent);
        if value.is_infinite() {
            return Err(Error::custom("number out of range"));
        }
        Ok(Token::Float(if negative { -value } else { value }))
    }
}

/// `mantissa` × 10^`exponent`.
fn float(mantissa: u64, mut exponent: i32) -> f64 {
    let mut value = mantissa as f64;
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-22, 22);
        let power = POWERS[step.unsigned_abs() as usize];
        value = if step < 0 {
            value / power
        } else {
            value * power
        };
        exponent -= step;
    }
    value
}
