//! What a plan knows of the machine.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::task::TaskError;
use crate::value::Value;

/// A sort of facts about machines.
#[derive(Debug)]
pub struct FactSort {
    /// Its name; no two sorts have the same.
    pub name: &'static str,
    /// Looks a fact up by its name.
    pub find: fn(name: &str) -> Result<Value, TaskError>,
}

/// A fact about machines that outputs depend on.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Its sort.
    pub sort: &'static FactSort,
    /// Its name; empty where there is one of its sort.
    pub name: String,
}

/// Facts about the machine, each looked up once: all tasks of a plan or a run agree on them, and none pays for
/// what another has found.
#[derive(Debug, Default)]
pub struct Machine {
    /// By sort and name.
    facts: RefCell<BTreeMap<&'static str, BTreeMap<String, Found>>>,
}

type Found = Result<Value, TaskError>;

impl Machine {
    /// What a fact is here.
    ///
    /// # Errors
    /// Whatever there was when somebody asked for it first.
    pub fn look_up(&self, fact: &Fact) -> Result<Value, TaskError> {
        if let Some(known) = self.facts.borrow().get(fact.sort.name)
            && let Some(known) = known.get(&fact.name)
        {
            return known.clone();
        }
        let found = (fact.sort.find)(&fact.name);
        let mut facts = self.facts.borrow_mut();
        let of_sort = facts.entry(fact.sort.name).or_default();
        of_sort.insert(fact.name.clone(), found.clone());
        found
    }

    /// What all of these are here, by sort and name: `program sh`.
    ///
    /// # Errors
    /// Those of the first that could not be looked up.
    pub fn environment(&self, facts: &[Fact]) -> Result<BTreeMap<String, Value>, TaskError> {
        let named = facts.iter().map(|fact| {
            let sort = fact.sort.name;
            let name = match fact.name.is_empty() {
                true => sort.to_owned(),
                false => format!("{sort} {}", fact.name),
            };
            Ok((name, self.look_up(fact)?))
        });
        named.collect()
    }

    /// All that has been looked up and found: sort, name, and what it is.
    #[must_use]
    pub fn known(&self) -> Vec<(String, String, Value)> {
        let facts = self.facts.borrow();
        let all = facts
            .iter()
            .flat_map(|(sort, facts)| facts.iter().map(move |(name, fact)| (sort, name, fact)));
        all.filter_map(|(sort, name, fact)| {
            let value = fact.as_ref().ok()?;
            Some(((*sort).to_owned(), name.clone(), value.clone()))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static LOOKS: Cell<i64> = const { Cell::new(0) };
    }

    static EVEN: FactSort = FactSort {
        name: "even",
        find: |name| {
            LOOKS.set(LOOKS.get() + 1);
            match name.len() % 2 {
                0 => Ok(Value::Int(LOOKS.get())),
                _ => Err(TaskError::input("odd")),
            }
        },
    };
    static OTHER: FactSort = FactSort {
        name: "other",
        find: |_| Ok(Value::None),
    };

    fn fact(sort: &'static FactSort, name: &str) -> Fact {
        let name = name.to_owned();
        Fact { sort, name }
    }

    #[test]
    fn a_fact_is_looked_up_once_whatever_it_is() {
        let machine = Machine::default();
        let look_up = |sort, name| machine.look_up(&fact(sort, name));
        for _ in 0..2 {
            assert_eq!(look_up(&EVEN, "sh").ok(), Some(Value::Int(1)));
            assert_eq!(look_up(&EVEN, "make").ok(), Some(Value::Int(2)));
            assert!(look_up(&EVEN, "cat").is_err());
            assert_eq!(look_up(&OTHER, "").ok(), Some(Value::None));
        }
        assert_eq!(LOOKS.get(), 3);
        let known = |sort: &str, name: &str, value| (sort.to_owned(), name.to_owned(), value);
        assert_eq!(
            machine.known(),
            [
                known("even", "make", Value::Int(2)),
                known("even", "sh", Value::Int(1)),
                known("other", "", Value::None)
            ]
        );
        let environment = machine.environment(&[fact(&EVEN, "sh"), fact(&OTHER, "")]);
        let names: Vec<String> = environment.unwrap().into_keys().collect();
        assert_eq!(names, ["even sh", "other"]);
        assert!(machine.environment(&[fact(&EVEN, "cat")]).is_err());
    }
}
