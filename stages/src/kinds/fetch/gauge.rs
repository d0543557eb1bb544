//! How far a fetch is.

use llmcl_stages_api::task::Host;

/// The progress of a fetch over all its files: the bytes that arrive, and then the bytes that are taken in.
///
/// What arrives may be packed, so that its length is not known; it counts as long as the file that it becomes.
pub(super) struct Gauge<'a> {
    host: &'a dyn Host,
    /// What has been dealt with for good.
    base: u64,
    /// How far the part is that is being dealt with.
    within: u64,
    total: u64,
}

impl<'a> Gauge<'a> {
    pub(super) fn new(host: &'a dyn Host, total: u64) -> Self {
        Self {
            host,
            base: 0,
            within: 0,
            total,
        }
    }

    /// Shows how many bytes of the current part are done, out of `weight` at most.
    pub(super) fn show(&mut self, done: u64, weight: u64) {
        // What has been shown is not taken back: wheels of a joined file arrive one by one.
        self.within = self.within.max(done.min(weight));
        self.host
            .progress(self.base + self.within, Some(self.total));
    }

    /// Ends the current part, which was worth `weight` bytes.
    pub(super) fn advance(&mut self, weight: u64) {
        self.base += weight;
        self.within = 0;
        self.host.progress(self.base, Some(self.total));
    }
}
