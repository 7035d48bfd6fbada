//! What an operator or a function makes of the kinds of its values, or why they
//! do not fit.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use crate::request::filter::kinds::Kinds;
use crate::request::filter::words::{quoted, sign};

/// An operator or a function, and what stands at its places.
pub(super) struct Operation<'a> {
    pub(super) whole: &'a Expr,
    pub(super) call: &'a CallExpr,
    /// What it is called on, where it is, then the arguments.
    pub(super) parts: &'a [&'a IdedExpr],
    pub(super) kinds: &'a [Kinds],
}

impl Operation<'_> {
    /// The kinds of its value.
    pub(super) fn result(&self) -> Result<Kinds, String> {
        match (self.call.func_name.as_str(), self.kinds) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, _])
            | (operators::LOGICAL_NOT, [_]) => {
                self.each_must_be(Kinds::TRUTH)?;
                Ok(Kinds::TRUTH)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.must_compare(left.or(Kinds::NULL), right.or(Kinds::NULL))
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                let ordered = Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::TRUTH);
                self.each_must_be(ordered)?;
                self.must_compare(left.and(ordered), right.and(ordered))
            }
            (operators::ADD, [left, right]) => {
                // Lists would be copied as often as there are `+`.
                let added = Kinds::NUMBER.or(Kinds::TEXT);
                self.must_join(left.and(added), right.and(added))
            }
            (
                operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [left, right],
            ) => {
                self.each_must_be(Kinds::NUMBER)?;
                let number = Kinds::NUMBER;
                self.must_join(left.and(number), right.and(number))
            }
            (operators::NEGATE, [of]) => {
                self.each_must_be(Kinds::NUMBER)?;
                Ok(of.and(Kinds::NUMBER))
            }
            (operators::CONDITIONAL, [asked, yes, no]) => {
                self.must_be(0, *asked, Kinds::TRUTH)?;
                Ok(yes.or(*no))
            }
            (operators::IN, [_, _]) => self.contained(),
            (operators::INDEX, [of, place]) => self.indexed(*of, *place),
            _ => self.function(),
        }
    }

    /// `element in list`: a list that is written out, or the categories, must
    /// be able to hold the element.
    fn contained(&self) -> Result<Kinds, String> {
        self.must_be(1, self.kinds[1], Kinds::LIST.or(Kinds::MAP))?;
        let held = match &self.parts[1].expr {
            Expr::Ident(name) if name == "categories" => Kinds::TEXT,
            Expr::List(list) => {
                let mut held = Kinds::NONE;
                for element in &list.elements {
                    let Expr::Literal(value) = &element.expr else {
                        return Ok(Kinds::TRUTH);
                    };
                    held = held.or(of_literal(value));
                }
                held
            }
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => Kinds::ANY,
        };
        let element = self.kinds[0];
        if held == Kinds::NONE || element.as_compared().may_be(held) {
            return Ok(Kinds::TRUTH);
        }
        Err(format!(
            "{} never holds: {} is {}, the list holds {}",
            quoted(self.whole),
            quoted(&self.parts[0].expr),
            element.words(),
            held.words()
        ))
    }

    fn indexed(&self, of: Kinds, place: Kinds) -> Result<Kinds, String> {
        self.must_be(0, of, Kinds::LIST.or(Kinds::MAP))?;
        if !of.may_be(Kinds::MAP) {
            self.must_be(1, place, Kinds::WHOLE)?;
        }
        let is_categories = matches!(
            &self.parts[0].expr,
            Expr::Ident(name) if name == "categories"
        );
        Ok(if is_categories {
            Kinds::TEXT
        } else {
            Kinds::ANY
        })
    }

    fn function(&self) -> Result<Kinds, String> {
        let name = self.call.func_name.as_str();
        let of_text = self.call.target.is_some() && self.kinds.len() == 2;
        let of_one = self.kinds.len() == 1;
        match name {
            "startsWith" | "endsWith" | "contains" if of_text => {
                self.each_must_be(Kinds::TEXT)?;
                Ok(Kinds::TRUTH)
            }
            "startsWith" | "endsWith" | "contains" => Err(format!(
                "{} is not how `{name}` is called: write `text.{name}(\"…\")`",
                quoted(self.whole)
            )),
            "size" if of_one => {
                let sized = Kinds::TEXT.or(Kinds::LIST).or(Kinds::MAP);
                self.each_must_be(sized)?;
                Ok(Kinds::WHOLE)
            }
            "int" if of_one => Ok(Kinds::WHOLE),
            "double" if of_one => Ok(Kinds::DECIMAL),
            "string" if of_one => Ok(Kinds::TEXT),
            "size" | "int" | "double" | "string" => Err(format!(
                "{} is not how `{name}` is called: write `{name}(…)` with one value",
                quoted(self.whole)
            )),
            _ => Err(format!(
                "`{name}` in {} is no function of a filter; there are startsWith, endsWith, contains, size, int, double, string",
                quoted(self.whole)
            )),
        }
    }

    fn each_must_be(&self, wanted: Kinds) -> Result<(), String> {
        for (place, kinds) in self.kinds.iter().enumerate() {
            self.must_be(place, *kinds, wanted)?;
        }
        Ok(())
    }

    fn must_be(
        &self,
        place: usize,
        kinds: Kinds,
        wanted: Kinds,
    ) -> Result<(), String> {
        if kinds.may_be(wanted) {
            return Ok(());
        }
        Err(format!(
            "{} is {}, but {} needs {} there",
            quoted(&self.parts[place].expr),
            kinds.words(),
            quoted(self.whole),
            wanted.words()
        ))
    }

    /// Both sides of a comparison can be of one kind.
    fn must_compare(&self, left: Kinds, right: Kinds) -> Result<Kinds, String> {
        let common = left.as_compared().and(right.as_compared());
        let is_null = |kinds: &Kinds| *kinds == Kinds::NULL;
        let asks_for_null = self.kinds.iter().any(is_null);
        let has_common = common != Kinds::NONE && common != Kinds::NULL;
        if asks_for_null || has_common {
            return Ok(Kinds::TRUTH);
        }
        Err(self.unlike())
    }

    /// Both sides of a sum or a product are of one kind, which it is then.
    fn must_join(&self, left: Kinds, right: Kinds) -> Result<Kinds, String> {
        let common = left.and(right);
        if common.may_be(Kinds::ANY) {
            return Ok(common);
        }
        let hint = if left.may_be(Kinds::NUMBER) && right.may_be(Kinds::NUMBER)
        {
            "; write whole numbers as 2.0 beside decimals, or convert with double(…)"
        } else {
            ""
        };
        Err(self.unlike() + hint)
    }

    fn unlike(&self) -> String {
        let name = &self.call.func_name;
        format!(
            "{} does not fit: {} is {}, {} is {}; `{}` needs both alike",
            quoted(self.whole),
            quoted(&self.parts[0].expr),
            self.kinds[0].words(),
            quoted(&self.parts[1].expr),
            self.kinds[1].words(),
            sign(name).unwrap_or(name)
        )
    }
}

/// The kind of a value that is written out.
pub(super) fn of_literal(value: &LiteralValue) -> Kinds {
    match value {
        LiteralValue::Boolean(_) => Kinds::TRUTH,
        LiteralValue::Bytes(_) => Kinds::ANY,
        LiteralValue::Double(_) => Kinds::DECIMAL,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::WHOLE,
        LiteralValue::Null => Kinds::NULL,
        LiteralValue::String(_) => Kinds::TEXT,
    }
}
