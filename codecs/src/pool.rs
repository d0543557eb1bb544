//! Space that is used again, by as many threads as there are.

use std::sync::{Arc, Mutex, PoisonError};

/// Spaces that nobody uses at the moment. Clones are the same pool.
#[derive(Debug)]
pub(crate) struct Pool<S>(Arc<Mutex<Vec<S>>>);

impl<S> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Pool(Arc::clone(&self.0))
    }
}

impl<S> Default for Pool<S> {
    fn default() -> Self {
        Pool(Arc::default())
    }
}

impl<S: Default> Pool<S> {
    /// Does something with a space, a new one if all are in use.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut S) -> R) -> R {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut space = free().pop().unwrap_or_default();
        let result = work(&mut space);
        free().push(space);
        result
    }
}
