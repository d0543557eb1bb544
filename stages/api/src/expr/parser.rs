//! From tokens to a tree.

use std::ops::Range;

use super::ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp};
use super::error::{ExprError, ExprErrorKind, Syntax};
use super::lexer::{Token, TokenKind, tokens};
use crate::value::Value;

/// The longest text of an expression, in bytes.
pub const MAX_LENGTH: usize = 10_000;

/// The most levels of a tree. It bounds the stack that any walk over a tree needs, whatever the text.
pub const MAX_DEPTH: usize = 100;

/// Parses an expression.
///
/// # Errors
///
/// Returns every mistake that can be told apart: all bad tokens, and the first place where the tokens make no
/// expression. There is at least one.
pub fn parse(text: &str) -> Result<Expr, Vec<ExprError>> {
    if text.len() > MAX_LENGTH {
        return Err(vec![ExprError {
            span: 0..0,
            kind: Syntax::TooLong { limit: MAX_LENGTH }.into(),
        }]);
    }
    let mut errors = Vec::new();
    let tokens = tokens(text, &mut errors);
    let mut parser = Parser {
        tokens,
        at: 0,
        end: text.len(),
        depth: 0,
        errors,
    };
    let parsed = parser.whole();
    let mut errors = parser.errors;
    match parsed {
        Ok(expr) if errors.is_empty() => return Ok(expr),
        Ok(_) => {}
        // The lexer may have said what is wrong with this token already.
        Err(error) if errors.iter().any(|known| known.span == error.span) => {}
        Err(error) => errors.push(error),
    }
    errors.sort_by_key(|error| (error.span.start, error.span.end));
    Err(errors)
}

/// A tree and how many levels it has.
struct Tree {
    expr: Expr,
    levels: usize,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    end: usize,
    /// How many calls of [`Parser::unary`] are open.
    depth: usize,
    errors: Vec<ExprError>,
}

type Parsed<T> = Result<T, ExprError>;

impl Parser {
    fn whole(&mut self) -> Parsed<Expr> {
        if self.tokens.is_empty() {
            return Err(error(0..self.end, Syntax::Empty));
        }
        let tree = self.binary(0)?;
        match self.peek() {
            None => Ok(tree.expr),
            Some(_) => Err(self.expected("an operator or the end")),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Takes the next token if it is this symbol.
    fn take(&mut self, symbol: &str) -> Option<Range<usize>> {
        let token = self.peek()?;
        let is = matches!(&token.kind, TokenKind::Symbol(found) if *found == symbol);
        let span = token.span.clone();
        self.at += usize::from(is);
        is.then_some(span)
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        matches!(self.tokens.get(at), Some(Token { kind: TokenKind::Word(found), .. }) if found == word)
    }

    fn expected(&self, expected: &'static str) -> ExprError {
        let (span, found) = match self.peek() {
            Some(token) => (token.span.clone(), token.describe()),
            None => (self.end..self.end, "the end".to_owned()),
        };
        error(span, Syntax::Expected { expected, found })
    }

    /// Refuses a tree with too many levels.
    fn limited(expr: Expr, levels: usize) -> Parsed<Tree> {
        if levels > MAX_DEPTH {
            let limit = MAX_DEPTH;
            return Err(error(expr.span, Syntax::TooDeep { limit }));
        }
        Ok(Tree { expr, levels })
    }

    /// Reads the operator that comes next, with the number of its tokens.
    fn operator(&mut self) -> Option<(BinaryOp, usize)> {
        let word = match &self.peek()?.kind {
            TokenKind::Symbol(symbol) => {
                return Some((
                    match *symbol {
                        "||" => BinaryOp::Or,
                        "&&" => BinaryOp::And,
                        "==" => BinaryOp::Equal,
                        "!=" => BinaryOp::NotEqual,
                        "<" => BinaryOp::Less,
                        "<=" => BinaryOp::LessEqual,
                        ">" => BinaryOp::Greater,
                        ">=" => BinaryOp::GreaterEqual,
                        "+" => BinaryOp::Add,
                        "-" => BinaryOp::Subtract,
                        "*" => BinaryOp::Multiply,
                        "/" => BinaryOp::Divide,
                        _ => return None,
                    },
                    1,
                ));
            }
            TokenKind::Word(word) => word.as_str(),
            _ => return None,
        };
        match word {
            "in" => Some((BinaryOp::In, 1)),
            "not" if self.is_word(self.at + 1, "in") => Some((BinaryOp::NotIn, 2)),
            "and" => Some((BinaryOp::And, 1)),
            "or" => Some((BinaryOp::Or, 1)),
            _ => None,
        }
    }

    /// Reports `and`, `or` and `not`, which are read as what they mean.
    fn report_word(&mut self) {
        let Some(token) = self.peek() else { return };
        let (written, meant) = match &token.kind {
            TokenKind::Word(word) if word == "and" => ("and", "&&"),
            TokenKind::Word(word) if word == "or" => ("or", "||"),
            TokenKind::Word(word) if word == "not" => ("not", "!"),
            _ => return,
        };
        let span = token.span.clone();
        self.errors
            .push(error(span, Syntax::Operator { written, meant }));
    }

    /// Parses operators that bind tighter than `level`.
    fn binary(&mut self, level: u8) -> Parsed<Tree> {
        let starts_with_not = matches!(
            self.peek(),
            Some(Token {
                kind: TokenKind::Symbol("!"),
                ..
            })
        );
        let mut left = self.unary()?;
        // The comparison that made `left`, if one did.
        let mut compared = None;
        while let Some((op, length)) = self.operator().filter(|(op, _)| op.level() > level) {
            let at = self.peek().map_or(self.end..self.end, |t| t.span.clone());
            if op.compares() {
                if let Some(first) = compared {
                    return Err(error(at, Syntax::Chained { first, second: op }));
                }
                if starts_with_not && matches!(left.expr.kind, ExprKind::Unary(UnaryOp::Not, _)) {
                    self.errors
                        .push(error(at, Syntax::NotBeforeComparison { operator: op }));
                }
            }
            if length == 1 {
                self.report_word();
            }
            self.at += length;
            let right = self.binary(op.level())?;
            compared = op.compares().then_some(op);
            let span = left.expr.span.start..right.expr.span.end;
            let levels = left.levels.max(right.levels) + 1;
            let kind = ExprKind::Binary(op, Box::new(left.expr), Box::new(right.expr));
            left = Self::limited(Expr { kind, span }, levels)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Tree> {
        if self.depth > MAX_DEPTH {
            let at = self.peek().map_or(self.end..self.end, |t| t.span.clone());
            return Err(error(at, Syntax::TooDeep { limit: MAX_DEPTH }));
        }
        self.depth += 1;
        let tree = self.operand();
        self.depth -= 1;
        tree
    }

    fn operand(&mut self) -> Parsed<Tree> {
        if let Some(start) = self.take("-") {
            if let Some(literal) = self.negative_number(&start) {
                return Self::limited(literal, 1);
            }
            return self.prefixed(UnaryOp::Negate, start.start);
        }
        if let Some(start) = self.take("!") {
            return self.prefixed(UnaryOp::Not, start.start);
        }
        if self.is_word(self.at, "not") {
            let start = self.peek().map_or(self.end, |token| token.span.start);
            self.report_word();
            self.at += 1;
            // `not a == b` is meant as `!(a == b)`.
            let operand = self.binary(BinaryOp::And.level())?;
            return Self::negated(UnaryOp::Not, start, operand);
        }
        self.atom()
    }

    fn prefixed(&mut self, op: UnaryOp, start: usize) -> Parsed<Tree> {
        let operand = self.unary()?;
        Self::negated(op, start, operand)
    }

    fn negated(op: UnaryOp, start: usize, operand: Tree) -> Parsed<Tree> {
        let span = start..operand.expr.span.end;
        let kind = ExprKind::Unary(op, Box::new(operand.expr));
        Self::limited(Expr { kind, span }, operand.levels + 1)
    }

    /// Takes a number after its minus.
    fn negative_number(&mut self, minus: &Range<usize>) -> Option<Expr> {
        let token = self.peek()?;
        let value = match token.kind {
            TokenKind::Int(int) => Value::Int(0i64.checked_sub_unsigned(int)?),
            TokenKind::Float(float) => Value::float(-float)?,
            _ => return None,
        };
        let span = minus.start..token.span.end;
        self.at += 1;
        Some(Expr {
            kind: ExprKind::Literal(value),
            span,
        })
    }

    fn atom(&mut self) -> Parsed<Tree> {
        let Some(token) = self.peek().cloned() else {
            return Err(self.expected("a value"));
        };
        let span = token.span.clone();
        let literal = match token.kind {
            TokenKind::Symbol("(") => {
                self.at += 1;
                let tree = self.binary(0)?;
                self.close(')', '(', &span, "an operator or `)`")?;
                return Ok(tree);
            }
            TokenKind::Symbol("[") => {
                self.at += 1;
                let (items, levels, end) = self.items(']', '[', &span)?;
                let kind = ExprKind::List(items);
                let span = span.start..end;
                return Self::limited(Expr { kind, span }, levels + 1);
            }
            TokenKind::Symbol(_) => return Err(self.expected("a value")),
            TokenKind::Word(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "none" => Value::None,
                "in" | "and" | "or" | "not" => return Err(self.expected("a value")),
                _ => return self.path_or_call(),
            },
            TokenKind::Text(text) => Value::Text(text),
            TokenKind::Int(int) => match i64::try_from(int) {
                Ok(int) => Value::Int(int),
                Err(_) => return Err(error(span, Syntax::LargeNumber(int.to_string()))),
            },
            TokenKind::Float(float) => Value::float(float).unwrap_or_default(),
            TokenKind::Bad => Value::None,
        };
        self.at += 1;
        let kind = ExprKind::Literal(literal);
        Self::limited(Expr { kind, span }, 1)
    }

    fn close(
        &mut self,
        close: char,
        open: char,
        opened: &Range<usize>,
        expected: &'static str,
    ) -> Parsed<usize> {
        let mut buffer = [0; 4];
        match self.take(close.encode_utf8(&mut buffer)) {
            Some(span) => Ok(span.end),
            None if self.peek().is_none() => Err(error(opened.clone(), Syntax::Unclosed(open))),
            None => Err(self.expected(expected)),
        }
    }

    /// Parses what stands between brackets, after the opening one: items, their levels, and where it ends.
    fn items(
        &mut self,
        close: char,
        open: char,
        opened: &Range<usize>,
    ) -> Parsed<(Vec<Expr>, usize, usize)> {
        let mut items = Vec::new();
        let mut levels = 0;
        let mut buffer = [0; 4];
        let close_text: &str = close.encode_utf8(&mut buffer);
        loop {
            if let Some(span) = self.take(close_text) {
                return Ok((items, levels, span.end));
            }
            if self.peek().is_none() {
                return Err(error(opened.clone(), Syntax::Unclosed(open)));
            }
            let item = self.binary(0)?;
            levels = levels.max(item.levels);
            items.push(item.expr);
            // A comma may follow the last item.
            if self.take(",").is_none() {
                let end = self.close(
                    close,
                    open,
                    opened,
                    "an operator, a comma or the closing bracket",
                )?;
                return Ok((items, levels, end));
            }
        }
    }

    fn name(&mut self) -> Parsed<Name> {
        match self.peek() {
            Some(Token {
                kind: TokenKind::Word(word),
                span,
            }) if !RESERVED.contains(&word.as_str()) => {
                let name = Name {
                    text: word.clone(),
                    span: span.clone(),
                };
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.expected("a name")),
        }
    }

    fn path_or_call(&mut self) -> Parsed<Tree> {
        let name = self.name()?;
        let start = name.span.start;
        if let Some(opened) = self.take("(") {
            let (args, levels, end) = self.items(')', '(', &opened)?;
            let kind = ExprKind::Call(name, args);
            let span = start..end;
            return Self::limited(Expr { kind, span }, levels + 1);
        }
        let mut end = name.span.end;
        let mut path = vec![name];
        while self.take(".").is_some() {
            let field = self.name()?;
            end = field.span.end;
            path.push(field);
        }
        let kind = ExprKind::Path(path);
        let span = start..end;
        Self::limited(Expr { kind, span }, 1)
    }
}

/// Words that cannot be names.
pub(super) const RESERVED: [&str; 7] = ["true", "false", "none", "in", "not", "and", "or"];

fn error(span: Range<usize>, syntax: Syntax) -> ExprError {
    ExprError {
        span,
        kind: ExprErrorKind::Syntax(syntax),
    }
}
