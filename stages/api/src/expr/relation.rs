//! Which types go together.

use crate::value::Type;

/// Tells whether a value of the type `found` can stand where `expected` is needed.
pub(super) fn fits(found: &Type, expected: &Type) -> bool {
    match (found, expected) {
        (Type::Any, _) | (_, Type::Any) => true,
        (Type::Int, Type::Float) | (Type::Axis(_), Type::Text) => true,
        (Type::List(found), Type::List(expected)) => fits(found, expected),
        _ => found == expected,
    }
}

/// Tells whether values of the type may be texts, or compare as texts.
pub(super) fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Axis(_) | Type::Any)
}

/// Tells whether values of the two types can be equal.
pub(super) fn may_be_equal(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Any, _) | (_, Type::Any) => true,
        (Type::Bool, Type::Bool) => true,
        (Type::List(left), Type::List(right)) => may_be_equal(left, right),
        _ => left.is_number() && right.is_number() || is_text(left) && is_text(right),
    }
}
