//! The experiment file as it is written: declarations with their places, before anything is resolved.

mod axes;
mod file;
mod read;
mod set;

pub(crate) use axes::{AxisInfo, resolve_axes};
pub(crate) use file::{
    CLAIM_KEYS, ClaimDecl, Declarations, Element, ElementSource, InputDecl, STAGE_KEYS, StageDecl,
};
pub(crate) use read::{unknown_keys, wrong_type};
pub(crate) use set::apply as apply_set;
