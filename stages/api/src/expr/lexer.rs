//! From text to tokens.

use std::ops::Range;

use super::error::{ExprError, ExprErrorKind, Syntax};
use crate::value::Value;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// A name or a reserved word.
    Word(String),
    /// A text.
    Text(String),
    /// A whole number without its sign; up to 2^63, because `-9223372036854775808` is a number.
    Int(u64),
    /// A number with a point or an exponent.
    Float(f64),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// Stands for what was reported as an error, wherever a value may stand.
    Bad,
}

/// A token and its place.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Range<usize>,
}

impl Token {
    /// Names the token in an error.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            TokenKind::Word(word) => format!("`{word}`"),
            TokenKind::Text(text) => Value::Text(text.clone()).to_string(),
            TokenKind::Int(int) => format!("`{int}`"),
            TokenKind::Float(float) => format!("`{float:?}`"),
            TokenKind::Symbol(symbol) => format!("`{symbol}`"),
            TokenKind::Bad => "this".to_owned(),
        }
    }
}

/// Longer symbols come before their prefixes.
const SYMBOLS: [&str; 19] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "(", ")", "[", "]", ",",
    ".",
];

/// Symbols of other languages, with what they are read as.
const FOREIGN: [(&str, &str); 6] = [
    ("===", "=="),
    ("!==", "!="),
    ("<>", "!="),
    ("=", "=="),
    ("&", "&&"),
    ("|", "||"),
];

/// Cuts a text into tokens. What is wrong is added to `errors`, and reading goes on.
pub(super) fn tokens(text: &str, errors: &mut Vec<ExprError>) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        at: 0,
        errors,
    };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next() {
        tokens.push(token);
    }
    tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    errors: &'t mut Vec<ExprError>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&mut self, span: Range<usize>, syntax: Syntax) {
        self.errors.push(ExprError {
            span,
            kind: ExprErrorKind::Syntax(syntax),
        });
    }

    fn next(&mut self) -> Option<Token> {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        self.at = self.text.len() - self.rest().trim_start_matches(blank).len();
        let start = self.at;
        let first = self.rest().chars().next()?;
        let kind = match first {
            'a'..='z' | 'A'..='Z' | '_' => TokenKind::Word(self.word().to_owned()),
            '0'..='9' => self.number(),
            '\'' | '"' => self.quoted(first),
            _ => self.symbol(first),
        };
        Some(Token {
            kind,
            span: start..self.at,
        })
    }

    /// Takes letters, digits and underscores.
    fn word(&mut self) -> &str {
        let start = self.at;
        let length = self
            .rest()
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest().len());
        self.at += length;
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        self.word();
        let mut float = false;
        let fraction = self
            .rest()
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if fraction {
            float = true;
            self.at += 1;
            self.word();
        }
        // The sign of an exponent ends a word: `1e-7`.
        if self.text[start..self.at].ends_with(['e', 'E']) && self.rest().starts_with(['+', '-']) {
            self.at += 1;
            self.word();
        }
        let span = start..self.at;
        let written = self.text[span.clone()].to_owned();
        float |= written.contains(['e', 'E']);
        if !underscores_stand_between_digits(&written) {
            self.error(span, Syntax::BadNumber(written));
            return TokenKind::Bad;
        }
        let digits = written.replace('_', "");
        let parsed = if float {
            digits.parse::<f64>().ok().map(|number| {
                Some(number)
                    .filter(|number| number.is_finite())
                    .map(TokenKind::Float)
            })
        } else if digits.bytes().all(|b| b.is_ascii_digit()) {
            Some(
                digits
                    .parse()
                    .ok()
                    .filter(|number| *number <= i64::MIN.unsigned_abs())
                    .map(TokenKind::Int),
            )
        } else {
            None
        };
        match parsed {
            Some(Some(kind)) => kind,
            Some(None) => {
                self.error(span, Syntax::LargeNumber(written));
                TokenKind::Bad
            }
            None => {
                self.error(span, Syntax::BadNumber(written));
                TokenKind::Bad
            }
        }
    }

    fn quoted(&mut self, quote: char) -> TokenKind {
        let start = self.at;
        let mut text = String::new();
        let mut bad_escapes = Vec::new();
        let mut closed = false;
        let mut chars = self.rest().char_indices().skip(1);
        let mut length = self.rest().len();
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                closed = true;
                length = offset + 1;
                break;
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some((_, escaped @ ('\'' | '\\'))) => text.push(escaped),
                Some((_, '"')) if quote == '"' => text.push('"'),
                Some((next, escaped)) => {
                    bad_escapes.push(start + offset..start + next + escaped.len_utf8());
                }
                None => {}
            }
        }
        self.at += length;
        for span in bad_escapes {
            self.error(span, Syntax::UnknownEscape);
        }
        if !closed {
            self.error(start..self.at, Syntax::UnclosedText);
        } else if quote == '"' {
            self.error(start..self.at, Syntax::DoubleQuotes);
        }
        TokenKind::Text(text)
    }

    fn symbol(&mut self, first: char) -> TokenKind {
        let start = self.at;
        let known = SYMBOLS
            .into_iter()
            .find(|symbol| self.rest().starts_with(symbol))
            .unwrap_or_default();
        let foreign = FOREIGN
            .into_iter()
            .find(|(written, _)| self.rest().starts_with(written));
        if let Some((written, meant)) = foreign.filter(|(written, _)| written.len() > known.len()) {
            self.at += written.len();
            self.error(start..self.at, Syntax::Operator { written, meant });
            return TokenKind::Symbol(meant);
        }
        if known.is_empty() {
            self.at += first.len_utf8();
            self.error(start..self.at, Syntax::UnknownCharacter(first));
            return TokenKind::Bad;
        }
        self.at += known.len();
        TokenKind::Symbol(known)
    }
}

/// `1_000` is a number; `1__0`, `1_`, `1_.5` and `1_e3` are none.
fn underscores_stand_between_digits(number: &str) -> bool {
    let bytes = number.as_bytes();
    bytes.iter().enumerate().all(|(index, byte)| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_digit)
        };
        *byte != b'_' || digit(index.checked_sub(1)) && digit(index.checked_add(1))
    })
}
