//! What a plan knows of the machine.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::task::TaskError;
use crate::value::Value;

/// Facts about the machine, each looked up once: all tasks of a plan or a run agree on them, and none pays for
/// what another has found.
#[derive(Debug, Default)]
pub struct Machine {
    /// By sort and name.
    facts: RefCell<BTreeMap<(&'static str, String), Fact>>,
}

type Fact = Result<Value, TaskError>;

impl Machine {
    /// A fact of that sort and name, which `find` looks up if nobody has asked for it yet.
    ///
    /// # Errors
    /// What `find` returned, also to those who ask later.
    pub fn fact(
        &self,
        sort: &'static str,
        name: &str,
        find: impl FnOnce() -> Result<Value, TaskError>,
    ) -> Result<Value, TaskError> {
        let place = (sort, name.to_owned());
        if let Some(known) = self.facts.borrow().get(&place) {
            return known.clone();
        }
        let found = find();
        self.facts.borrow_mut().insert(place, found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_looked_up_once_whatever_it_is() {
        let machine = Machine::default();
        let twice = |sort, name| {
            let first = machine.fact(sort, name, || Ok(Value::Int(1)));
            let never = || -> Result<Value, TaskError> { panic!("it is known") };
            assert_eq!(machine.fact(sort, name, never).ok(), first.ok());
        };
        twice("program", "sh");
        twice("program", "cat");
        twice("cpu", "sh");
        let missing = || Err(TaskError::input("there is none"));
        assert!(machine.fact("program", "none", missing).is_err());
        assert!(machine.fact("program", "none", || Ok(Value::None)).is_err());
    }
}
